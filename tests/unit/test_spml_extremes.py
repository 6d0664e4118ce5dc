"""Whatever the hints: SPML trains on without NaN, or refuses with a clear error."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import nn

import hintseg
from conftest import TINY
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, DataError
from hintseg.images.photographs import write_png
from hintseg.methods.settings import merge
from hintseg.methods.spml.learner import RelationLearner
from hintseg.methods.spml.settings import SPMLSettings, Weights
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.structures import UNLABELLED, VOID, Batch

# Here classes without hints are meant.
pytestmark = pytest.mark.filterwarnings("ignore::hintseg.errors.DataWarning")

TRAIN = {**TINY, "steps": 2}
OWN = {
    "regions": {"count": 8},
    "localise": {"steps": 2, "scales": [1.0], "flip": False},
    "relabel": {"steps": 4, "confidence": 0.0},
    "classify": {"steps": 2},
    "retrieval": {"grid": 3},
}
OFF = {"relabel": {"rounds": []}}
ALL = {"relations": dict.fromkeys(Weights.model_fields, 1.0), "absent": 1.0, "detach": False}


class Fixed(Embedder):
    """An embedder that always gives the same parameter."""

    def __init__(self, values):
        nn.Module.__init__(self)
        self.values, self.dim, self.backbone = nn.Parameter(values), values.shape[1], nn.Identity()

    def forward(self, images):
        return self.values[: len(images)]


def learner_of(images=2, *, cells=6, classes=3, **own):
    values = torch.randn(images, 4, cells, cells, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = Segmenter(Fixed(values), classes, dropout=0.0)
    return RelationLearner(model.eval(), SPMLSettings(**{**ALL, **own}))


def batch_of(labels, *, tags=None, absent=None, regions=None, classes=3):
    images = len(labels)
    if tags is None:
        tags = torch.stack([torch.tensor([c in part for c in range(classes)]) for part in labels])
    return Batch(
        names=tuple(map(str, range(images))),
        images=torch.zeros(images, 3, *labels.shape[1:], dtype=torch.uint8),
        labels=labels,
        tags=tags,
        absent=~tags if absent is None else absent,
        maps={"regions": torch.zeros_like(labels) if regions is None else regions},
    )


def losses_of(learner, batch, steps=3):
    """The losses of a few steps on one batch, which must be finite and teach finitely."""
    for _ in range(steps):
        learner.model.zero_grad()
        losses = learner.losses(batch, 0)
        total = torch.stack(list(losses.values())).sum()
        assert torch.isfinite(total), losses
        total.backward()
        for name, parameter in learner.model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    return {name: loss.item() for name, loss in losses.items()}


# Batches


@pytest.mark.parametrize("own", [{}, {"plain": True}, {"plain": True, "across": True}])
@pytest.mark.parametrize("value", [UNLABELLED, VOID])
def test_a_batch_without_any_labelled_pixel_gives_exact_zeros(value, own):
    nothing = torch.full((2, 24, 24), value)
    losses = losses_of(learner_of(**own), batch_of(nothing))
    taught = {name for name, loss in losses.items() if loss}
    assert taught <= ({"similarity"} if value == UNLABELLED else set())


def test_an_image_that_is_all_padding_changes_nothing():
    labels = torch.full((2, 24, 24), UNLABELLED)
    labels[0, :12], labels[0, 12:] = 0, 1
    labels[1] = VOID
    both = losses_of(learner_of(), batch_of(labels), steps=1)
    own = losses_of(learner_of(1), batch_of(labels[:1]), steps=1)
    assert both.pop("similarity") == pytest.approx(own.pop("similarity") / 2)  # a mean over images
    assert both == pytest.approx(own)


def test_one_cell_that_is_seen_is_enough():
    labels = torch.full((2, 24, 24), VOID)
    labels[0, 0, 0], labels[1, 9, 9] = 0, UNLABELLED
    losses_of(learner_of(), batch_of(labels))


def test_a_batch_after_an_empty_one_remembers_nothing_wrong():
    learner = learner_of()
    empty, full = torch.full((2, 24, 24), VOID), torch.full((2, 24, 24), UNLABELLED)
    full[0], full[1] = 0, 1
    losses_of(learner, batch_of(empty))
    assert losses_of(learner, batch_of(full))["annotation"] > 0


def test_300_classes():
    labels = torch.arange(2 * 576).reshape(2, 24, 24) % 300
    losses = losses_of(learner_of(classes=300), batch_of(labels, classes=300))
    assert losses["annotation"] > 0


def test_10_000_regions():
    labels = torch.full((1, 400, 400), UNLABELLED)
    labels[:, :, :50], labels[:, :, -50:] = 0, 1
    rows, columns = torch.meshgrid(torch.arange(400), torch.arange(400), indexing="ij")
    regions = (rows // 4 * 100 + columns // 4).expand(1, -1, -1).contiguous()
    learner = learner_of(1, cells=100, relations={"annotation": 1.0, "similarity": 1.0})
    assert losses_of(learner, batch_of(labels, regions=regions), steps=1)["similarity"] > 0


def test_a_huge_concentration():
    labels = torch.randint(VOID, 3, (2, 24, 24), generator=torch.Generator().manual_seed(0))
    sharp = dict.fromkeys(Weights.model_fields, 1000.0)
    losses_of(learner_of(concentrations=sharp), batch_of(labels))


def test_embeddings_that_are_all_alike_or_zero():
    labels = torch.randint(UNLABELLED, 3, (2, 24, 24), generator=torch.Generator().manual_seed(0))
    for value in (0.0, 1.0):
        learner = learner_of()
        with torch.no_grad():
            learner.model.embedder.values.fill_(value)
        losses_of(learner, batch_of(labels))


# Data sets


def make_data(root, images, *, classes=("grass", "cow", "sky"), split=True, **keys):
    """images: name -> (height, width, hints document or None)."""
    rng = np.random.default_rng(0)
    for name, (height, width, hints) in images.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        write_png(root / "images" / f"{name}.png", PillowImage.fromarray(pixels))
        if hints is not None:
            shapes = [
                {"label": label, "shape_type": kind, "points": points, "flags": {}}
                for label, kind, points in hints.get("shapes", [])
            ]
            document = {
                "shapes": shapes,
                "flags": dict.fromkeys(hints.get("tags", []), True),
                "imagePath": f"../images/{name}.png",
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            }
            (root / "hints").mkdir(exist_ok=True)
            (root / "hints" / f"{name}.json").write_text(json.dumps(document))
    lines = {"classes": list(classes), **keys}
    if split:
        (root / "train.txt").write_text("\n".join(images))
        lines["splits"] = {"train": "train.txt"}
    (root / "dataset.yaml").write_text(json.dumps(lines))
    return root


def train(folder, out, preset=None, own=None, **shared):
    settings = merge({"train": TRAIN, "spml": OWN}, {"train": shared, "spml": own or {}})
    return hintseg.train(folder, out, method="spml", preset=preset, settings=settings)


def is_sound(folder):
    """The run has a model that predicts, and logged finite losses."""
    assert all(np.isfinite(line.get("loss", 0)) for line in Run(folder).read_log())
    image = np.zeros((20, 30, 3), np.uint8)
    assert hintseg.load(folder).predict(image).labels.shape == (20, 30)
    return folder


POINT = {"shapes": [("cow", "point", [[0, 0]])]}


def test_a_train_image_of_one_pixel(tmp_path):
    images = {"dot": (1, 1, POINT), "line": (1, 40, {"tags": ["sky"]}), "photo": (30, 40, POINT)}
    is_sound(train(make_data(tmp_path / "data", images), tmp_path / "run"))


def test_nothing_but_one_image_of_one_pixel(tmp_path):
    is_sound(train(make_data(tmp_path / "data", {"dot": (1, 1, POINT)}), tmp_path / "run"))


def test_images_of_one_pixel_without_hints(tmp_path):
    images = {"dot": (1, 1, None), "photo": (30, 40, POINT)}
    is_sound(train(make_data(tmp_path / "data", images), tmp_path / "run"))


def test_crops_much_larger_than_the_images(tmp_path):
    images = {"small": (3, 2, POINT), "other": (2, 3, {"tags": ["sky", "grass"]})}
    data = make_data(tmp_path / "data", images)
    is_sound(train(data, tmp_path / "run", crop=96, scale=[0.2, 0.3]))


def test_classes_without_a_single_hint(tmp_path):
    names = [f"class {index}" for index in range(300)]
    shapes = [("class 7", "point", [[5, 5]]), ("class 299", "point", [[30, 20]])]
    images = {name: (30, 40, {"shapes": shapes}) for name in ("a", "b")}
    is_sound(train(make_data(tmp_path / "data", images, classes=names), tmp_path / "run"))


def test_only_the_background_is_hinted(tmp_path):
    images = {name: (30, 40, {"tags": ["grass"]}) for name in ("a", "b")}
    data = make_data(tmp_path / "data", images, background="grass")
    is_sound(train(data, tmp_path / "run"))


def test_tags_in_one_image_of_many(tmp_path):
    images = {name: (30, 40, None) for name in "abcd"} | {"e": (30, 40, {"tags": ["cow", "sky"]})}
    folder = is_sound(train(make_data(tmp_path / "data", images), tmp_path / "run"))
    assert json.loads((folder / "embed" / "manifest.json").read_text())["images"] == 5


@pytest.mark.parametrize("split", [True, False])
def test_no_hints_at_all_is_refused_with_the_way_to_learn_without(tmp_path, split):
    data = make_data(tmp_path / "data", {"a": (30, 40, None)}, split=split)
    with pytest.raises(DataError, match=r"no hints for any .*annotation.*segsort-unsupervised"):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", [True, False])
def test_without_hints_the_unsupervised_preset_learns(tmp_path, split):
    data = make_data(tmp_path / "data", {n: (30, 40, None) for n in "ab"}, split=split)
    folder = is_sound(train(data, tmp_path / "run", "segsort-unsupervised", OFF))
    assert {path.parent.name for path in folder.glob("*/manifest.json")} == {"embed", "prototypes"}
    assert json.loads((folder / "prototypes" / "manifest.json").read_text())["prototypes"] == 0
    terms = [line["losses"] for line in Run(folder).read_log() if "losses" in line]
    assert terms[0]["similarity"] > 0


def test_an_untrained_classifier_does_not_choose_the_model(data_folder, tmp_path):
    """Without labels nothing trains it, so what it scores on the val split says nothing."""
    folder = train(data_folder, tmp_path / "run", "segsort-unsupervised", OFF, validate_every=1)
    assert json.loads((folder / "embed" / "manifest.json").read_text())["model"] == "last"
    assert not any("val" in line for line in Run(folder).read_log())


def test_masks_name_the_segments_of_what_was_learned_without_hints(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.unlink()
    folder = is_sound(train(data_folder, tmp_path / "run", "segsort-unsupervised", OFF))
    record = json.loads((folder / "prototypes" / "manifest.json").read_text())
    assert record["labelled_by"] == "masks"
    assert record["images"] == 4
    assert record["prototypes"] > 0


@pytest.mark.parametrize("split", [True, False])
def test_masks_teach_segsort(data_folder, tmp_path, split):
    for path in (data_folder / "hints").glob("*.json"):
        path.unlink()
    if not split:
        (data_folder / "dataset.yaml").write_text("classes: [grass, cow, sky]\n")
    folder = is_sound(train(data_folder, tmp_path / "run", "segsort", OFF))
    record = json.loads((folder / "prototypes" / "manifest.json").read_text())
    assert record["labelled_by"] == "masks"
    assert record["prototypes"] > 0
    predicted = hintseg.load(folder).predict(np.zeros((20, 30, 3), np.uint8), by="retrieval")
    assert predicted.labels.shape == (20, 30)


# Settings that leave a term nothing to learn from


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"relations": dict.fromkeys(Weights.model_fields, 0.0), "classifier": 0.0}, "no term"),
        ({"regions": {"count": 1}}, r"spml.regions.count=1.*spml.relations.similarity"),
        ({"classifier": 0.0}, r"spml.relabel.rounds.*spml.classifier"),
        ({"across": True}, r"spml.across.*spml.plain"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(data_folder, tmp_path, own, message):
    with pytest.raises(ConfigError, match=message):
        train(data_folder, tmp_path / "run", own=own)
    assert not (tmp_path / "run").exists()


def test_tags_without_seeds_are_refused(tmp_path):
    data = make_data(tmp_path / "data", {"a": (30, 40, {"tags": ["cow"]})})
    with pytest.raises(DataError, match=r"label no pixel.*spml.localise.steps"):
        train(data, tmp_path / "run", own={"localise": {"steps": 0}})
    assert not (tmp_path / "run").exists()
