"""What the stages of LDF leave for a person to see, its teacher, and what stays frozen."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file

import hintseg
from conftest import HEIGHT, TINY, TINY_MODEL, WIDTH, draw_data
from hintseg.errors import ConfigError
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.methods.config import make_config
from hintseg.methods.contact_sheet import TITLE
from hintseg.methods.ldf.sheets import _row
from hintseg.structures import UNLABELLED, VOID, Sample, WeakLabels

SETTINGS = {**TINY, "steps": 2, "validate_images": 0, "freeze": 1}
OWN = {"foreground": "any", "fine_steps": 2}
WIDE, HIGH = WIDTH + 4, HEIGHT + TITLE + 4  # of a picture on a sheet


def run(data, out, own, method="ldf"):
    return hintseg.train(data, out, method=method, settings={"train": SETTINGS, method: own})


@pytest.fixture(scope="module")
def meadows(tmp_path_factory):
    """The drawn data set; grass is its background."""
    data = draw_data(tmp_path_factory.mktemp("meadows") / "data")
    with (data / "dataset.yaml").open("a") as file:
        file.write("background: grass\n")
    return data


@pytest.fixture(scope="module")
def from_masks(meadows, tmp_path_factory):
    return run(meadows, tmp_path_factory.mktemp("masks") / "run", OWN)


@pytest.fixture(scope="module")
def from_hints(meadows, tmp_path_factory):
    return run(meadows, tmp_path_factory.mktemp("hints") / "run", {**OWN, "labels": "hints"})


def size(file):
    with PillowImage.open(file) as image:
        return image.size


def test_each_stage_shows_what_it_learned_from_and_what_it_found(from_masks, from_hints):
    # image, labels, two learned maps, three found ones; four train images
    for file in (from_masks / "coarse/maps.png", from_masks / "fine/maps.png"):
        assert size(file) == (7 * WIDE, 4 * HIGH)
    assert size(from_hints / "coarse/maps.png") == (5 * WIDE, 4 * HIGH)  # no maps from hints
    assert size(from_hints / "fine/maps.png") == (7 * WIDE, 4 * HIGH)


def test_a_sheet_shows_the_maps_themselves():
    labels = np.full((9, 9), UNLABELLED, dtype=np.int16)
    weak = WeakLabels(labels, np.ones(2, bool), np.zeros(2, bool), np.zeros((0, 5)))
    found = np.stack([np.full((9, 9), value, np.float32) for value in (0.0, 0.5, 1.0)])
    row = _row(Sample("one", np.zeros((9, 9, 3), np.uint8), weak), found, ("body", "edge"))
    assert row.shape == (9 + TITLE + 4, 5 * 13, 3)
    greys = [set(row[TITLE : TITLE + 9, x : x + 9].flatten().tolist()) for x in (26, 39, 52)]
    assert greys == [{0}, {128}, {255}]


def test_the_report_shows_sheets_and_saliency(from_masks):
    page = from_masks.report.read_text()
    assert "What the stages have made" in page
    assert page.index("coarse/maps.png") < page.index("fine/maps.png")
    assert "<figcaption>saliency</figcaption>" in page


def test_frozen_layers_and_their_statistics_stay(from_masks):
    """Released code froze the first layers, but their batch statistics went on moving."""
    weights = load_file(from_masks / "model.safetensors")
    means = {n: w for n, w in weights.items() if n.endswith("running_mean")}
    own = {n: w for n, w in means.items() if n.startswith("backbone.")}
    assert own
    assert not any(w.any() for w in own.values())  # as they were made
    assert any(w.any() for n, w in means.items() if n not in own)


def test_hints_keep_their_labels_in_the_fine_stage(meadows, from_hints):
    labels = read_label_map(from_hints / "fine/labels/herd.png", classes=2, undeclared=VOID)
    assert labels[4, 4] == 1  # a scribble on the sky, an object here
    assert labels[37, 10] == 0  # grass
    assert set(np.unique(labels).tolist()) <= {0, 1}


def test_another_run_labels_what_hints_leave(meadows, tmp_path):
    teacher = run(meadows, tmp_path / "teacher", {}, method="partial")
    done = run(meadows, tmp_path / "run", {**OWN, "labels": "hints", "teacher": str(teacher)})
    assert not (done / "coarse").exists()
    assert (done / "fine/manifest.json").exists()
    found = hintseg.load(teacher).predict(meadows / "images/herd.png").labels != 0
    labels = read_label_map(done / "fine/labels/herd.png", classes=2, undeclared=VOID)
    weak = hintseg.data.samples.load_weak(hintseg.open_dataset(meadows), "herd", size=None).labels
    is_open = weak == UNLABELLED
    assert np.array_equal(labels[is_open], found[is_open])
    assert np.array_equal(labels[weak >= 0], weak[weak >= 0] != 0)
    beyond = json.loads((done / "run.json").read_text())["extra_supervision"]
    assert len(beyond) == 1
    assert beyond[0].startswith(f"labels of the run {teacher} (method partial, data {meadows}")


def test_a_teacher_of_other_classes_is_refused(meadows, segmenter, tmp_path):
    description = hintseg.models.saved.ModelDescription(("a", "b", "c"), **TINY_MODEL)
    hintseg.models.saved.save_model(tmp_path / "other", segmenter, description)
    own = {**OWN, "labels": "hints", "teacher": str(tmp_path / "other")}
    with pytest.raises(ConfigError, match=r"ldf.teacher=.*its classes \(a, b, c\) are not those"):
        run(meadows, tmp_path / "run", own)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("own", [{"labels": "masks"}, {"labels": "hints", "fine_steps": 0}])
def test_a_teacher_without_pupils_is_refused(own):
    with pytest.raises(ConfigError, match="a teacher needs labels=hints and a stage fine"):
        make_config("ldf", "data", sections={"ldf": {"teacher": "some/run", **own}})


@pytest.mark.parametrize("kind", ["point", "linestrip"])
def test_points_or_scribbles_alone_are_enough(tmp_path, kind):
    data = draw_data(tmp_path / "data")
    with (data / "dataset.yaml").open("a") as file:
        file.write("background: grass\n")
    middle = {"point": [[28, 34]], "linestrip": [[10, 34], [40, 35]]}[kind]
    for path in (data / "hints").glob("*.json"):
        document = json.loads(path.read_text())
        ground = {**document["shapes"][0], "label": "grass", "shape_type": kind, "points": middle}
        sky = {**ground, "label": "sky", "points": [[x, y - 31] for x, y in middle]}
        path.write_text(json.dumps({**document, "shapes": [ground, sky], "flags": {}}))
    done = run(data, tmp_path / "run", {**OWN, "labels": "hints", "fine_steps": 1})
    assert (done / "fine/maps.png").exists()
    assert json.loads((done / "run.json").read_text())["extra_supervision"] == "none"


def test_an_object_of_one_pixel_in_an_image_of_background_trains(meadows, tmp_path):
    data = draw_data(tmp_path / "data")
    (data / "dataset.yaml").write_text((data / "dataset.yaml").read_text() + "background: grass\n")
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.int16)
    labels[20, 30] = 1
    for name in ("field", "herd"):
        write_label_map(data / "masks" / f"{name}.png", labels, classes=3)
    done = run(data, tmp_path / "run", OWN)
    weights = load_file(done / "model.safetensors")
    assert all(torch.isfinite(w).all() for w in weights.values() if w.is_floating_point())
