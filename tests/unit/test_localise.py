"""The stage that makes seeds, on a drawn data set with random weights."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image as PillowImage

from conftest import TINY_MODEL
from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_hinted, load_weak
from hintseg.engine.run import Run, start_run
from hintseg.errors import ConfigError
from hintseg.images.label_maps import read_label_map
from hintseg.methods.job import Job
from hintseg.methods.localise.agreed import AgreedSeeder, some_cells
from hintseg.methods.localise.classifier import ClassifierLocaliser
from hintseg.methods.localise.seeder import Seeder, missing_classes
from hintseg.methods.localise.settings import AgreementSettings, LocaliseSettings
from hintseg.methods.localise.stage import images_needing_seeds, localise, with_seeds
from hintseg.methods.settings import TrainSettings, validated
from hintseg.models.saved import ModelDescription
from hintseg.models.tag_classifier import TagClassifier
from hintseg.structures import UNLABELLED, ClassSet, Sample, WeakLabels

QUICK = LocaliseSettings(
    steps=3,
    scales=(1.0,),
    threshold=0.2,
    margin=0.05,
    background_threshold=0.5,
    agreement=AgreementSettings(rounds=0),
)
TRAIN = TrainSettings(weights="random", crop=32, batch=2, log_every=1, device="cpu")


def change_hints(folder, name, change):
    path = folder / "hints" / f"{name}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def tags_only(document):
    tags = {shape["label"]: True for shape in document["shapes"]}
    return {**document, "shapes": [], "flags": {**document["flags"], **tags}}


def boxes_only(document):
    boxes = [shape for shape in document["shapes"] if shape["shape_type"] == "rectangle"]
    return {**document, "shapes": boxes, "flags": {}}


def with_background(folder, name):
    path = folder / "dataset.yaml"
    path.write_text(path.read_text() + f"background: {name}\n")


def job(folder, out, **train):
    dataset = open_dataset(folder)
    description = ModelDescription(dataset.classes.names, dataset.classes.background, **TINY_MODEL)
    run = Run(out)
    start_run(run, {})
    fabric = Fabric(accelerator="cpu", devices=1)
    settings = TRAIN.model_copy(update=train)
    return Job(dataset, run, fabric, settings, QUICK, description)


def weak_labels(labels, tags, absent=None, boxes=()):
    tags = np.array(tags, bool)
    return WeakLabels(
        labels=np.array(labels, np.int16),
        tags=tags,
        absent=~tags if absent is None else np.array(absent, bool),
        boxes=np.array(boxes, float).reshape(-1, 5),
    )


class Drawn(TagClassifier):
    """A classifier whose map c is channel c of the image, over 255, less a half."""

    def __init__(self, foreground):
        torch.nn.Module.__init__(self)
        self.foreground, self.stride = foreground, 1

    def forward(self, images):
        return images[:, list(range(len(self.foreground)))] / 255 - 0.5


def seeder(classes, *, boxes_complete=True):
    chosen = LocaliseSettings(scales=(1.0,), threshold=0.5, margin=0.2, box_threshold=0.5)
    localiser = ClassifierLocaliser(chosen)
    localiser.use(Drawn(classes.foreground), 6)
    return Seeder(localiser, chosen, classes, boxes_complete=boxes_complete)


@pytest.fixture
def stripes():
    """6 x 6: the left third red, the middle third green, the right third black."""
    image = np.zeros((6, 6, 3), np.uint8)
    image[:, :2, 0] = image[:, 2:4, 1] = 255
    return image


THREE, GROUND = ClassSet(("a", "b", "c")), ClassSet(("ground", "a", "b"), background=0)
NONE = np.full((6, 6), UNLABELLED)


def test_seeds_are_the_stripes_of_the_known_tags(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [True, True, False]))
    assert seeder(THREE).seeds(sample).tolist() == [[0, 0, 1, 1, -1, -1]] * 6


def test_with_a_background_the_rest_is_background(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [False, True, True], [False] * 3))
    assert seeder(GROUND).seeds(sample).tolist() == [[1, 1, 2, 2, 0, 0]] * 6


def test_a_class_that_is_no_tag_has_no_seeds(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [False, True, False], [False] * 3))
    found = seeder(GROUND).seeds(sample)
    assert set(np.unique(found)) == {0, 1}
    assert (found[:, 2:4] == 0).all()


def test_drawn_classes_get_no_seeds_and_drawn_pixels_stay(stripes):
    labels = NONE.copy()
    labels[0, 3] = 0  # a person said so, whatever the maps say
    sample = Sample("x", stripes, weak_labels(labels, [True, True, False]))
    found = seeder(THREE).seeds(sample)
    assert (found == 1).sum() == 11
    assert (found[labels >= 0] == UNLABELLED).all()
    assert not (found == 0).any()


def test_the_only_class_that_can_be_there_is_everywhere(stripes):
    one = Sample("x", stripes, weak_labels(NONE, [False, False, True]))
    assert (seeder(THREE).seeds(one) == 2).all()
    ground = Sample("x", stripes, weak_labels(NONE, [True, False, False], [False, True, True]))
    assert (seeder(GROUND).seeds(ground) == 0).all()


def test_one_tag_that_is_not_complete_is_not_everywhere(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [True, False, False], [False] * 3))
    assert seeder(THREE).seeds(sample).tolist() == [[0, 0, -1, -1, -1, -1]] * 6


def test_with_every_class_known_the_lead_decides_alone():
    image = np.zeros((6, 6, 3), np.uint8)
    image[..., 0], image[:, :3, 0] = 180, 255  # a map of 0.4 at the right: below the threshold
    known = weak_labels(NONE, [True, True, False])
    unknown = weak_labels(NONE, [True, True, False], [False] * 3)
    assert (seeder(THREE).seeds(Sample("x", image, known)) == 0).all()
    strict = seeder(THREE).seeds(Sample("x", image, unknown))
    assert (strict[:, :2] == 0).all()
    assert (strict[:, 4:] == -1).all()


def test_an_image_without_tags_has_no_seeds(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [False] * 3, [False] * 3))
    assert (seeder(GROUND).seeds(sample) == UNLABELLED).all()
    assert (seeder(THREE).seeds(sample) == UNLABELLED).all()


def test_seeds_of_a_boxed_class_lie_in_its_boxes(stripes):
    labels = NONE.copy()
    labels[3:], labels[:, 3:] = 0, 0  # outside the box
    weak = weak_labels(labels, [True, True, False], [False] * 3, [(0, 0, 3, 3, 1)])
    found = seeder(GROUND).seeds(Sample("x", stripes, weak))
    assert found[:3, :3].tolist() == [[1, 1, -1]] * 3  # the background has labels already
    assert (found[3:] == -1).all()
    assert (found[:, 3:] == -1).all()


def test_where_only_one_class_has_a_box_it_is_that_class(stripes):
    weak = weak_labels(NONE, [True, True, False], None, [(0, 0, 3, 6, 0), (2, 0, 6, 5, 1)])
    found = seeder(THREE).seeds(Sample("x", stripes, weak))
    assert found[:5].tolist() == [[0, 0, 1, 1, 1, 1]] * 5  # the maps decide on the third column
    assert found[5].tolist() == [0, 0, 0, -1, -1, -1]
    found = seeder(THREE, boxes_complete=False).seeds(Sample("x", stripes, weak))
    assert found[:5].tolist() == [[0, 0, 1, 1, -1, -1]] * 5


def test_a_class_without_a_box_can_be_anywhere(stripes):
    weak = weak_labels(NONE, [True, True, False], None, [(0, 0, 3, 6, 0)])
    found = seeder(THREE).seeds(Sample("x", stripes, weak))
    assert found.tolist() == [[0, 0, 1, 1, 1, 1]] * 6


def test_a_mirrored_image_has_mirrored_seeds(stripes):
    weak = weak_labels(NONE, [True, True, False])
    mirrored = Sample("x", stripes[:, ::-1], weak)
    found = seeder(THREE).seeds(mirrored)
    assert np.array_equal(found, seeder(THREE).seeds(Sample("x", stripes, weak))[:, ::-1])


def test_what_is_missing_is_known_but_not_shown():
    weak = weak_labels([[1, UNLABELLED]], [False, True, True])
    assert missing_classes(weak, THREE).tolist() == [False, False, True]
    assert missing_classes(weak, GROUND).tolist() == [True, False, True]
    silent = weak_labels([[UNLABELLED]], [False, False, False], [False] * 3)
    assert not missing_classes(silent, GROUND).any()


class Seeing(Drawn):
    """A classifier that sees the colours themselves."""

    backbone = torch.nn.Module()

    def cells(self, images):
        return images / 255


def agreed(classes, samples, **settings):
    """Settings under which a map is worth little and colours decide."""
    alone = seeder(classes)
    chosen = AgreementSettings(**{"trust": 0.5, "regions": 4, "rounds": 4, "sure": 0.6, **settings})
    alone.settings = alone.settings.model_copy(update={"agreement": chosen})
    alone.localiser.use(Seeing(classes.foreground), 6)
    looks = [
        some_cells(alone, sample, number, count=len(samples), seed=0)
        for number, sample in enumerate(samples)
    ]
    return AgreedSeeder.of_cells(alone, looks, seed=0)


def test_seeds_of_all_images_tell_the_stripes_apart(stripes):
    green = np.zeros_like(stripes)
    green[..., 1] = 255
    both = Sample("x", stripes[:, :4], weak_labels(NONE[:, :4], [True, True, False]))
    one = Sample("y", green, weak_labels(NONE, [False, True, False]))
    made = agreed(THREE, [both, one])
    assert made.seeds(both).tolist() == [[0, 0, 1, 1]] * 6
    assert (made.seeds(one) == 1).all()
    seen = made.maps(both)
    assert seen.labels.tolist() == [0, 1]
    assert torch.allclose(seen.maps.sum(dim=0), torch.ones(6, 4))


def test_agreed_seeds_keep_to_boxes_labels_and_missing_classes(stripes):
    labels = NONE.copy()
    labels[0, 0] = 2
    weak = weak_labels(labels, [True, True, True], None, [(0, 0, 3, 6, 0), (2, 0, 6, 5, 1)])
    found = agreed(THREE, [Sample("x", stripes, weak)], sure=0.0).seeds(Sample("x", stripes, weak))
    assert found[0, 0] == UNLABELLED  # a person said so already
    assert not (found == 2).any()  # class 2 is shown
    assert not (found[:, 3:] == 0).any()
    assert not (found[5] == 1).any()


def test_agreed_seeds_of_tags_that_are_not_complete_need_their_maps(stripes):
    sample = Sample("x", stripes, weak_labels(NONE, [True, False, False], [False] * 3))
    assert agreed(THREE, [sample]).seeds(sample).tolist() == [[0, 0, -1, -1, -1, -1]] * 6


def test_where_only_one_class_can_be_agreed_seeds_are_certain(stripes):
    weak = weak_labels(NONE, [True, True, False], None, [(0, 0, 3, 6, 0), (3, 0, 6, 6, 1)])
    found = agreed(THREE, [Sample("x", stripes, weak)], sure=1.0).seeds(Sample("x", stripes, weak))
    assert found.tolist() == [[0, 0, 0, 1, 1, 1]] * 6


def needing(folder):
    dataset = open_dataset(folder)
    return images_needing_seeds(dataset, partial(load_weak, dataset, size=None))


def localised(made, folder, *, rounds=0):
    names = images_needing_seeds(made.dataset, made.weak)
    agreement = AgreementSettings(rounds=rounds, steps=3, sure=0.3)
    return localise(made, QUICK.model_copy(update={"agreement": agreement}), names, folder)


def test_images_that_show_every_class_need_no_seeds(data_folder):
    assert needing(data_folder) == ()
    change_hints(data_folder, "herd", tags_only)
    change_hints(data_folder, "hill", boxes_only)
    assert needing(data_folder) == ("herd", "hill")


def test_a_background_that_only_some_images_show_asks_for_no_seeds(data_folder):
    def weak(name):
        ground = [] if name == "herd" else [0]
        return weak_labels([[1, *ground, UNLABELLED]], [False, True, False])

    with_background(data_folder, open_dataset(data_folder).classes.names[0])
    dataset = open_dataset(data_folder)
    assert images_needing_seeds(dataset, weak) == ()
    nowhere = weak_labels([[1, UNLABELLED]], [False, True, False])
    assert images_needing_seeds(dataset, lambda name: nowhere) == dataset.hinted_names()


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("background", [None, "grass"])
def test_from_hints_to_seeds(data_folder, tmp_path, background, rounds):
    change_hints(data_folder, "herd", tags_only)
    change_hints(data_folder, "hill", boxes_only)
    if background:
        with_background(data_folder, background)
    made = job(data_folder, tmp_path / "run")
    folder = made.run.stage_folder("localise")
    record = localised(made, folder, rounds=rounds)
    assert record["images"] == 2
    assert 0 < record["seeded_pixels"] <= 1
    assert sorted(path.name for path in (folder / "seeds").iterdir()) == ["herd.png", "hill.png"]
    assert np.array(PillowImage.open(folder / "seeds.png")).std() > 0
    dataset = made.dataset
    load = partial(load_hinted, dataset, size=None)
    for name in dataset.names("train"):
        before, after = load(name).weak, with_seeds(load, folder)(name).weak
        known = before.labels >= 0
        assert np.array_equal(after.labels[known], before.labels[known])
        assert not before.absent[np.unique(after.labels[after.labels >= 0])].any()
        assert np.array_equal(after.tags, before.tags)
        assert after.labels.dtype == before.labels.dtype
        if name in ("field", "meadow"):
            assert np.array_equal(after.labels, before.labels)


def test_seeds_that_the_image_contradicts_are_left_out(data_folder, tmp_path):
    for name in ("field", "herd", "hill", "meadow"):
        change_hints(data_folder, name, tags_only)
    kept = []
    for preset in (None, "psa"):
        made = job(data_folder, tmp_path / str(preset))
        folder = made.run.stage_folder("localise")
        names = images_needing_seeds(made.dataset, made.weak)
        settings = QUICK.model_copy(update={"crf": preset, "threshold": 0.0, "margin": 0.0})
        localise(made, settings, names, folder)
        read = partial(read_label_map, classes=3, undeclared=UNLABELLED)
        kept.append(np.stack([read(folder / "seeds" / f"{name}.png") for name in names]))
    assert ((kept[1] == kept[0]) | (kept[1] == UNLABELLED)).all()
    assert 0 < (kept[1] >= 0).sum() < (kept[0] >= 0).sum()


def test_seeds_have_the_working_size(data_folder, tmp_path):
    change_hints(data_folder, "herd", tags_only)
    made = job(data_folder, tmp_path / "run", size=28)
    folder = made.run.stage_folder("localise")
    localised(made, folder)
    found = read_label_map(folder / "seeds" / "herd.png", classes=3, undeclared=UNLABELLED)
    assert found.shape == (20, 28)


def test_the_same_seed_gives_the_same_seeds(data_folder, tmp_path):
    change_hints(data_folder, "herd", tags_only)
    files = []
    for place in ("a", "b"):
        made = job(data_folder, tmp_path / place)
        localised(made, made.run.stage_folder("localise"))
        files.append(made.run.stage_folder("localise") / "seeds" / "herd.png")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_after_an_interruption_the_trained_classifier_is_taken_up(data_folder, tmp_path):
    change_hints(data_folder, "herd", tags_only)
    made = job(data_folder, tmp_path / "run")
    folder = made.run.stage_folder("localise")
    localised(made, folder)
    file, steps = folder / "seeds" / "herd.png", len(made.run.read_log())
    before = file.read_bytes()
    file.unlink()
    localised(made, folder)
    assert file.read_bytes() == before
    assert len(made.run.read_log()) == steps


def test_nothing_to_seed_writes_nothing(data_folder, tmp_path):
    made = job(data_folder, tmp_path / "run")
    folder = made.run.stage_folder("localise")
    assert localised(made, folder)["images"] == 0
    assert not (folder / "seeds").exists()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"localise.threshold"):
        validated(LocaliseSettings, "localise", {"threshold": 1.5})


class Salient(Drawn):
    """As Drawn; what is salient is channel 2 of the image."""

    def saliency(self, images, chosen):
        assert chosen.any()
        return images[:, 2]


def test_the_background_can_be_where_the_tags_hardly_depend(stripes):
    stripes[..., 2] = 100
    stripes[:2, 4:, 2] = 0  # four of 36 pixels
    made = seeder(GROUND)
    made.localiser.use(Salient(GROUND.foreground), 6)
    made.settings = made.settings.model_copy(update={"background": "saliency", "saliency": 0.12})
    sample = Sample("x", stripes, weak_labels(NONE, [False, True, True], [False] * 3))
    found = made.seeds(sample)
    assert found[:2].tolist() == [[1, 1, 2, 2, 0, 0]] * 2
    assert found[2:].tolist() == [[1, 1, 2, 2, -1, -1]] * 4


def test_seeds_by_saliency_of_a_trained_classifier(data_folder, tmp_path):
    change_hints(data_folder, "herd", tags_only)
    with_background(data_folder, "grass")
    made = job(data_folder, tmp_path / "run")
    settings = QUICK.model_copy(update={"background": "saliency", "saliency": 0.2})
    folder = made.run.stage_folder("localise")
    localise(made, settings, ("herd",), folder)
    found = read_label_map(folder / "seeds" / "herd.png", classes=3, undeclared=UNLABELLED)
    assert 0 < (found == 0).mean() <= 0.2


def test_saliency_is_refused_where_nothing_would_use_it():
    with pytest.raises(ConfigError, match=r"background=saliency needs agreement\.rounds=0"):
        validated(LocaliseSettings, "localise", {"background": "saliency"})
