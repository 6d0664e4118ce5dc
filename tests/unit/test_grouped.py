"""A data set of many classes, seen as objects and a background."""

import json

import numpy as np
import pytest

from hintseg.data.dataset import open_dataset
from hintseg.data.grouped import as_object
from hintseg.data.samples import load_weak
from hintseg.errors import ConfigError
from hintseg.structures import UNLABELLED, VOID, ClassSet


def with_background(folder, name):
    file = folder / "dataset.yaml"
    file.write_text(file.read_text() + f"background: {name}\n")
    return open_dataset(folder)


def test_all_classes_but_the_background_are_one(data_folder):
    dataset = with_background(data_folder, "grass")
    two = as_object(dataset, "any")
    assert two.classes == ClassSet(("grass", "foreground"), 0)
    truth, seen = dataset.truth("herd"), two.truth("herd")
    assert np.array_equal(seen == 1, truth > 0)
    assert np.array_equal(seen == VOID, truth == VOID)
    assert two.hints("herd").tags == {0, 1}
    kinds = {shape.kind: shape.label for shape in two.hints("herd").shapes}
    assert kinds == {"scribble": 1, "point": 1, "polygon": 0}


def test_boxes_stay_where_no_object_can_be_outside_of_them(data_folder):
    dataset = with_background(data_folder, "grass")
    two = as_object(dataset, "any")  # its box is around the cow, and the sky is an object too
    assert (load_weak(two, "herd", size=None).labels == UNLABELLED).mean() > 0.5
    assert not any(shape.kind == "box" for shape in two.hints("herd").shapes)
    path = data_folder / "hints" / "herd.json"
    document = json.loads(path.read_text())
    box = next(s for s in document["shapes"] if s["shape_type"] == "rectangle")
    alone = [s for s in document["shapes"] if s["label"] != "sky"]
    whole = [*document["shapes"], {**box, "label": "sky", "points": [[0, 0], [56, 12]]}]
    for shapes in (alone, whole):
        path.write_text(json.dumps({**document, "shapes": shapes}))
        seen = as_object(open_dataset(data_folder), "any").hints("herd")
        assert any(shape.kind == "box" for shape in seen.shapes)
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text() + "tags_complete: false\n")
    path.write_text(json.dumps({**document, "shapes": alone}))  # there may be sky outside
    seen = as_object(open_dataset(data_folder), "any").hints("herd")
    assert not any(shape.kind == "box" for shape in seen.shapes)
    assert seen.tags == {0, 1}


def test_one_class_against_all_others_needs_no_background(dataset):
    two = as_object(dataset, "cow")
    assert two.classes == ClassSet(("background", "cow"), 0)
    assert np.array_equal(two.truth("herd") == 1, dataset.truth("herd") == 1)
    assert (two.truth("herd") == 0).any()
    sky = as_object(dataset, "sky")
    assert all(shape.kind != "box" for shape in sky.hints("herd").shapes)


def test_painted_hints_are_grouped_as_masks_are(data_folder):
    (data_folder / "hints" / "herd.json").unlink()
    mask = (data_folder / "masks" / "herd.png").read_bytes()
    (data_folder / "hints" / "herd.png").write_bytes(mask)
    two = as_object(open_dataset(data_folder), "cow")
    painted, truth = two.hints("herd").partial, two.truth("herd")
    assert np.array_equal(np.maximum(painted, -1), np.maximum(truth, -1))


def test_a_data_set_of_two_classes_is_itself(data_folder):
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text().replace("grass, cow, sky", "rest, cow") + "background: rest\n")
    dataset = open_dataset(data_folder)
    for foreground in (None, "any", "cow"):
        assert as_object(dataset, foreground) is dataset


def test_files_decide_the_digest_whatever_is_taken_together(dataset):
    assert as_object(dataset, "cow").digest == dataset.digest


def test_given_names_are_used(data_folder):
    classes = ClassSet(("horse", "ground"), 1)
    dataset = with_background(data_folder, "grass")
    two = as_object(dataset, "any", classes=classes)
    assert two.classes == classes
    assert np.array_equal(two.truth("herd") == 0, dataset.truth("herd") > 0)


def test_what_the_objects_are_has_to_be_clear(data_folder):
    with pytest.raises(ConfigError, match="no class is the background"):
        as_object(open_dataset(data_folder), "any")
    with pytest.raises(ConfigError, match=r"foreground=caw: .*did you mean 'cow'.*, or any"):
        as_object(open_dataset(data_folder), "caw")
    dataset = with_background(data_folder, "sky")
    with pytest.raises(ConfigError, match="2 classes beside the background; take them together by"):
        as_object(dataset)
    (data_folder / "dataset.yaml").write_text("classes: [sky]\nbackground: sky\n")
    with pytest.raises(ConfigError, match="no class beside the background"):
        as_object(open_dataset(data_folder))
