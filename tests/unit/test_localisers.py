"""SEAM, SC-CAM and the spreading of maps, on drawn data and by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import hintseg
from conftest import TINY
from hintseg.data.coverage import Coverage
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, DataWarning
from hintseg.methods.localise.checks import (
    FEWEST,
    check_seeding,
    known_tags,
    seed_doubts,
    unplaced_classes,
    warn_of_tags,
)
from hintseg.methods.localise.expand import AffinityLearner, BoundaryLearner, Expansion
from hintseg.methods.localise.seam import SeamLearner, second_scale
from hintseg.methods.localise.settings import (
    ExpandSettings,
    LocaliseSettings,
    SeamSettings,
    SubCategorySettings,
)
from hintseg.methods.localise.sub_categories import Kinds, SubLearner, cluster_kinds
from hintseg.models.affinity_net import AffinityNet, BoundaryNet
from hintseg.models.attentive_classifier import AttentiveClassifier
from hintseg.models.backbone import Backbone
from hintseg.models.sub_classifier import SubClassifier
from hintseg.seeds.confident import confident_of_maps
from hintseg.structures import UNLABELLED, Batch, ClassSet, Sample, ScoreMaps, WeakLabels

CLASSES = ClassSet(("ground", "a", "b"), background=0)
SIDE = 64  # of the images of a batch


def backbone():
    torch.manual_seed(0)
    return Backbone("test_efficientnet")


def batch(size=SIDE):
    draws = torch.Generator().manual_seed(1)
    labels = torch.full((2, size, size), UNLABELLED)
    labels[:, : size // 2] = 1
    labels[:, size // 2 :, : size // 3] = 0
    labels[1, size // 2 :, size // 2 :] = 2
    return Batch(
        names=("one", "two"),
        images=torch.randint(256, (2, 3, size, size), generator=draws, dtype=torch.uint8),
        labels=labels,
        tags=torch.tensor([[False, True, False], [False, True, True]]),
        absent=torch.tensor([[False, False, True], [False, False, False]]),
    )


def trained(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def test_as_released_the_refined_maps_do_not_train_the_backbone():
    model = AttentiveClassifier(backbone(), CLASSES, dropout=0.0)
    learner = SeamLearner(model, SeamSettings(equivariance=0.0), SIDE)
    losses = learner.losses(batch(), 0)
    (losses["cross"] + losses["empty"]).backward()
    assert trained(model) <= {"project.0.weight", "project.1.weight", "mix.weight"}
    assert "mix.weight" in trained(model)


def test_as_described_they_do():
    model = AttentiveClassifier(backbone(), CLASSES, dropout=0.0, through=True)
    learner = SeamLearner(model, SeamSettings(through=True), SIDE)
    learner.losses(batch(), 0)["cross"].backward()
    assert "classify.weight" in trained(model)
    assert any(name.startswith("backbone.") for name in trained(model))


@pytest.mark.parametrize("off", ["equivariance", "cross", "empty"])
def test_a_term_without_weight_is_not_there(off):
    model = AttentiveClassifier(backbone(), CLASSES)
    losses = SeamLearner(model, SeamSettings(**{off: 0.0}), SIDE).losses(batch(), 0)
    assert set(losses) == {"tags", "equivariance", "cross", "empty"} - {off}


def test_kinds_are_one_bit_for_each_class_of_an_image():
    draws = np.random.default_rng(0)
    tags = np.array([[True, False], [True, True], [True, False], [False, True], [True, False]])
    features = draws.normal(size=(5, 4)) * 0.01
    features[:2] += 5  # two groups of images of the first class
    names = ("v", "w", "x", "y", "z")
    kinds = cluster_kinds(features, tags, names, SubCategorySettings(kinds=2), seed=0)
    assert kinds.counts == [2, 2]
    first = {name: kinds.of(name)[:2].argmax() for name in "vwxz"}
    assert first["v"] == first["w"] != first["x"] == first["z"]
    for name, known in zip(names, tags, strict=True):
        assert [bits.sum() for bits in np.split(kinds.of(name), [2])] == known.tolist()
    assert not kinds.of("unheard of").any()


def test_a_class_has_no_more_kinds_than_images():
    tags = np.array([[True, False], [False, False]])
    kinds = cluster_kinds(
        np.eye(2), tags, ("x", "y"), SubCategorySettings(kinds=10, unit=True), seed=0
    )
    assert kinds.counts == [1, 0]


def test_kinds_teach_beside_the_tags_and_only_where_the_parent_is_known():
    kinds = Kinds({"one": [(0, 1)], "two": [(0, 0), (1, 0)]}, [2, 1])
    model = SubClassifier(backbone(), CLASSES, kinds.counts, dropout=0.0)
    known = batch()
    losses = SubLearner(model, kinds, weight=5.0).losses(known, 0)
    _, scores = model.scores(known.images)
    wanted = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, wanted)
    torch.testing.assert_close(losses["kinds"], 5 * expected)
    losses["kinds"].backward()
    assert "tell.weight" in trained(model)
    assert "classify.weight" not in trained(model)


def test_what_is_neither_clearly_one_nor_the_other_is_not_confident():
    maps = torch.tensor([[[0.9, 0.4, 0.2, 0.01]], [[0.1, 0.1, 0.1, 0.0]]])
    found = confident_of_maps(maps, torch.tensor([1, 2]), 0, low=4.0, high=24.0)
    assert found.tolist() == [[1, 1, -1, 0]]
    nothing = confident_of_maps(
        maps[:0], torch.tensor([], dtype=torch.int64), 0, low=4.0, high=24.0
    )
    assert not nothing.any()


def test_both_learners_of_pairs_train_what_they_should():
    affinity = AffinityNet(backbone())
    AffinityLearner(affinity, 0, 5.0).losses(batch(), 0)["pairs"].backward()
    assert {"mix.weight", "project.0.weight"} <= trained(affinity)
    assert any(name.startswith("backbone.") for name in trained(affinity))
    edges = BoundaryNet(backbone())
    sum(BoundaryLearner(edges, 0, 4.0).losses(batch(), 0).values()).backward()
    assert {"edge.weight", "arrow.weight"} <= trained(edges)
    assert not any(name.startswith("backbone.") for name in trained(edges))


@pytest.mark.parametrize(("height", "width"), [(32, 64), (33, 50), (7, 9)])
def test_grids_cover_the_image_and_nothing_else(height, width):
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    features = AffinityNet(backbone())(images)
    assert features.shape[-2:] == (-(-height // 8), -(-width // 8))
    edges, arrows = BoundaryNet(backbone())(images)
    assert edges.shape[1:] == (1, -(-height // 4), -(-width // 4))
    assert arrows.shape[1:] == (2, -(-height // 4), -(-width // 4))
    maps, seen = AttentiveClassifier(backbone(), CLASSES).both(images)
    assert maps.shape[-2:] == seen.shape[-2:]


class Halves:
    """A map of class 1 on one cell at the left; what it sees is left or right."""

    def fit(self, job, folder):
        """Nothing to learn."""

    def maps(self, sample):
        maps = torch.zeros(1, 8, 16)
        maps[0, 2:4, 2:4] = 1
        return ScoreMaps(maps, torch.tensor([1]))

    def features(self, sample):
        sides = torch.zeros(2, 4, 8)
        sides[0, :, :4] = sides[1, :, 4:] = 1
        return sides


class Blind:
    def fit(self, job, folder):
        """Nothing to learn."""

    def maps(self, sample):
        return ScoreMaps(torch.zeros(0, 8, 16), torch.tensor([], dtype=torch.int64))


def sample():
    weak = WeakLabels(
        labels=np.full((8, 16), UNLABELLED, np.int16),
        tags=np.array([False, True, False]),
        absent=np.array([False, False, True]),
        boxes=np.zeros((0, 5)),
    )
    return Sample("x", np.zeros((8, 16, 3), np.uint8), weak)


def spread(localiser, classes=CLASSES):
    settings = LocaliseSettings(expand=ExpandSettings(by="embedding", walk=200))
    return Expansion(settings, classes, localiser)


def test_maps_spread_over_what_looks_alike_and_bring_a_map_of_the_background():
    found = spread(Halves())(sample(), Halves().maps(sample()))
    assert found.labels.tolist() == [0, 1]
    ground, thing = found.maps
    assert thing[:, :7].min() > 2 * thing[:, 9:].max()
    assert (ground[:, 9:] > thing[:, 9:]).all()
    assert found.maps.min() >= 0
    assert found.maps.max() <= 1


def test_without_a_background_each_map_reaches_one():
    found = spread(Halves(), ClassSet(("x", "a", "b")))(sample(), Halves().maps(sample()))
    assert found.labels.tolist() == [1]
    assert found.maps.amax().item() == pytest.approx(1, abs=1e-3)
    assert found.maps.amin().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("value", "expected"), [(0.3, 1.0), (0.0, 0.0)])
def test_without_a_background_a_map_that_is_the_same_everywhere_is_one_or_empty(value, expected):
    seen = ScoreMaps(torch.full((1, 8, 16), value), torch.tensor([1]))
    found = spread(Halves(), ClassSet(("x", "a", "b")))(sample(), seen)
    torch.testing.assert_close(found.maps, torch.full((1, 8, 16), expected), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("crop", "scale"), [(448, 0.5), (224, 0.5), (160, 0.7), (96, 0.75)])
def test_the_second_view_of_seam_is_no_smaller_than_what_shows_tags(crop, scale):
    assert second_scale(crop) == pytest.approx(scale)
    learner = SeamLearner(AttentiveClassifier(backbone(), CLASSES), SeamSettings(), crop)
    assert learner.view.scale == pytest.approx(scale)


def test_an_image_without_maps_stays_without():
    settings = LocaliseSettings(expand=ExpandSettings(by="affinity"))
    assert not len(Expansion(settings, CLASSES, Blind())(sample(), Blind().maps(sample())).labels)


def test_a_localiser_without_features_cannot_spread_by_them():
    with pytest.raises(ConfigError, match="Blind has no features; use affinity or irn"):
        spread(Blind())


def test_a_hint_is_confident_whatever_the_maps_say():
    settings = LocaliseSettings(expand=ExpandSettings(by="affinity"))
    drawn = sample()
    drawn.weak.labels[0, 0] = 2
    labels = Expansion(settings, CLASSES, Halves()).confident(drawn)
    assert labels[0, 0] == 2
    assert (labels[2:4, 2:4] == 1).all()
    assert labels[7, 15] == 0


# What tags cannot tell


def test_a_class_in_nearly_all_images_has_no_place():
    tags = [frozenset({1, 2})] * 2 + [frozenset({1})] * 30
    assert unplaced_classes(tags, frozenset(), CLASSES) == ([1], [])
    assert unplaced_classes(tags, frozenset({1}), CLASSES) == ([], [])  # somebody clicked it
    assert unplaced_classes(tags[: FEWEST - 1], frozenset(), CLASSES) == ([], [])


def test_two_classes_that_never_part_are_named():
    tags = [frozenset({1, 2})] * 5 + [frozenset()] * 5
    assert unplaced_classes(tags, frozenset(), CLASSES) == ([], [(1, 2)])
    assert unplaced_classes([*tags, frozenset({2})], frozenset(), CLASSES) == ([], [])


def write_tags(folder, tags):
    """A data set of as many images; only their names and tags count."""
    (folder / "images").mkdir(parents=True)
    (folder / "hints").mkdir()
    (folder / "dataset.yaml").write_text("classes: [ground, a, b]\nbackground: ground\n")
    for number, known in enumerate(tags):
        PillowImage.new("RGB", (40, 32)).save(folder / "images" / f"{number}.png")
        document = {
            "version": "5.0.0",
            "flags": {name: True for name in known},
            "shapes": [],
            "imagePath": f"{number}.png",
            "imageData": None,
            "imageHeight": 32,
            "imageWidth": 40,
        }
        (folder / "hints" / f"{number}.json").write_text(json.dumps(document))
    return open_dataset(folder)


def test_tags_that_cannot_tell_are_named_before_the_training(tmp_path):
    dataset = write_tags(tmp_path / "d", ["ab", *["a"] * 20])
    with pytest.warns(DataWarning, match=r"'a': in nearly all images, .* draw a few clicks"):
        warn_of_tags(dataset, *known_tags(dataset))


def test_equal_tags_everywhere_are_refused(tmp_path):
    dataset = write_tags(tmp_path / "d", ["a"] * 9)
    with pytest.raises(DataError, match="same tags, so nothing tells where"):
        check_seeding(dataset, LocaliseSettings())


def test_seeds_that_cannot_be_right_are_doubted():
    def doubts(*pixels, without=0):
        return seed_doubts(Coverage(np.array(pixels), without), [0, 1, 2], CLASSES)

    assert doubts(50, 30, 20, without=900) == []
    assert doubts(5, 3, 2, without=9990) == ["they cover 0.1% of the pixels"]
    assert doubts(50, 30, 0) == ["none for 'b'"]
    assert doubts(1, 60, 60) == ["0.8% of them are background"]


@pytest.mark.parametrize("method", ["seam", "irn"])
def test_a_part_is_exchanged_by_its_short_name(data_folder, tmp_path, method, monkeypatch):
    for path in (data_folder / "hints").glob("*.json"):
        document = json.loads(path.read_text())
        tags = {shape["label"]: True for shape in document["shapes"]}
        document |= {"shapes": [], "flags": {**document["flags"], **tags}}
        path.write_text(json.dumps(document))
    own = {"steps": 1, "by": "cam", "expand": {"by": "embedding", "walk": 3}, "scales": [1.0]}
    settings = {"train": {**TINY, "steps": 1, "validate_images": 0}, "localise": own}
    run = hintseg.train(data_folder, tmp_path / "run", method=method, settings=settings)
    record = json.loads((run.path / "localise" / "manifest.json").read_text())
    assert (record["by"], record["expand"], record["tag_source"]) == ("cam", "embedding", "given")


def test_a_round_goes_on_from_the_classifier_before_and_its_kinds_are_new():
    before = SubClassifier(backbone(), CLASSES, [2, 1])
    after = SubClassifier(backbone(), CLASSES, [3, 2])
    with torch.no_grad():
        before.classify.weight.fill_(0.25)
    kinds = after.tell.weight.clone()
    after.take_over(before)
    assert torch.equal(after.classify.weight, before.classify.weight)
    assert torch.equal(after.tell.weight, kinds)
