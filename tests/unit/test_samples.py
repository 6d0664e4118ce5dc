"""Images with what is known of them, and a memory that keeps to its budget."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from hintseg.data import samples
from hintseg.data.dataset import open_dataset
from hintseg.data.samples import (
    load_hinted,
    load_masked,
    remembered,
    with_grown_labels,
    with_labels,
    with_regions,
)
from hintseg.errors import DataError, RunError
from hintseg.hints.raster import Brush
from hintseg.images.label_maps import write_label_map
from hintseg.resize import resize_labels
from hintseg.structures import UNLABELLED, VOID, Sample, WeakLabels, region_map


def blank(name, side=10):
    weak = WeakLabels(
        labels=np.zeros((side, side), np.int16),
        tags=np.ones(3, bool),
        absent=np.zeros(3, bool),
        boxes=np.zeros((0, 5)),
    )
    return Sample(name, np.zeros((side, side, 3), np.uint8), weak)


COST = 10 * 10 * (3 + 2)


class Counted:
    """A loader that counts its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, name):
        self.calls.append(name)
        return blank(name)


@pytest.mark.parametrize(("size", "expected"), [(None, (40, 56)), (28, (20, 28)), (112, (80, 112))])
def test_image_and_labels_have_the_working_size(dataset, size, expected):
    for sample in (
        load_hinted(dataset, "field", size=size),
        load_masked(dataset, "field", size=size),
    ):
        assert sample.name == "field"
        assert sample.image.shape == (*expected, 3)
        assert sample.weak.labels.shape == expected


def test_zoom_multiplies_the_working_size(dataset):
    for load in (load_hinted, load_masked):
        assert load(dataset, "field", size=28, zoom=1.5).weak.labels.shape == (30, 42)
        assert load(dataset, "field", size=None, zoom=0.5).image.shape == (20, 28, 3)


def test_pseudo_labels_of_any_size_are_brought_to_that_of_the_image(dataset, tmp_path):
    labels = np.repeat(np.arange(3), 20)[None].repeat(42, 0)
    write_label_map(tmp_path / "field.png", labels.astype(np.int16), classes=3)
    load = with_labels(partial(load_hinted, dataset, size=None), tmp_path, classes=3)
    expected = resize_labels(labels.astype(np.int16), 40, 56)
    assert np.array_equal(load("field").weak.labels, expected)


def test_hints_grow_in_their_region_over_what_looks_like_them():
    halves = np.repeat([[0] * 5 + [1] * 5], 10, axis=0).astype(np.int32)
    image = np.zeros((10, 10, 3), np.uint8)
    image[6:] = 200
    labels = np.full((10, 10), UNLABELLED, np.int16)
    labels[3, 3] = 2

    def get(name):
        sample = blank(name)
        weak, maps = replace(sample.weak, labels=labels), {"regions": region_map(halves)}
        return replace(sample, image=image, weak=weak, maps=maps)

    found = with_grown_labels(get, lambda name: get(name).weak)("field").weak.labels
    assert (found[:5, :5] == 2).all()
    assert (found[7:] == UNLABELLED).all()
    assert (found[:, 5:] == UNLABELLED).all()


def test_what_is_outside_a_box_does_not_grow_into_it():
    labels = np.full((10, 10), UNLABELLED, np.int16)
    labels[:, :4] = 0
    boxes = np.array([[4.0, 0.0, 10.0, 10.0, 1.0]])

    def get(name):
        sample = blank(name)
        one = {"regions": region_map(np.zeros((10, 10), np.int32))}
        return replace(sample, weak=replace(sample.weak, labels=labels, boxes=boxes), maps=one)

    found = with_grown_labels(get, lambda name: get(name).weak)("field").weak.labels
    assert np.array_equal(found, labels)


def test_hints_label_the_pixels_that_were_drawn_on(dataset):
    weak = load_hinted(dataset, "field", size=None).weak
    truth = dataset.truth("field")
    drawn = weak.labels >= 0
    assert set(np.unique(weak.labels)) == {0, 1, 2, UNLABELLED}
    assert drawn.mean() < 0.3
    assert (weak.labels[drawn] == truth[drawn]).mean() > 0.97
    assert weak.tags.tolist() == [True, True, True]
    assert not weak.absent.any()
    assert weak.boxes.shape == (1, 5)


def test_thicker_strokes_label_more(dataset):
    thin = load_hinted(dataset, "field", size=None, brush=Brush(0.01, 0.01))
    thick = load_hinted(dataset, "field", size=None, brush=Brush(0.05, 0.1))
    assert (thick.weak.labels >= 0).sum() > (thin.weak.labels >= 0).sum()


def test_silence_means_absence_only_where_tags_are_complete(dataset, data_folder):
    only = np.full((40, 56), VOID)
    only[:3] = 2
    write_label_map(data_folder / "hints" / "pond.png", only, classes=3)
    assert load_hinted(dataset, "pond", size=None).weak.absent.tolist() == [True, True, False]
    with (data_folder / "dataset.yaml").open("a") as file:
        file.write("tags_complete: false\n")
    silent = load_hinted(open_dataset(data_folder), "pond", size=None).weak
    assert silent.absent.tolist() == [False, False, False]
    assert silent.tags.tolist() == [False, False, True]


def test_an_image_without_hints_is_wholly_unlabelled(dataset):
    weak = load_hinted(dataset, "pond", size=None).weak
    assert (weak.labels == UNLABELLED).all()
    assert not weak.tags.any()
    assert not weak.absent.any()


def test_a_mask_gives_all_labels_and_says_what_is_absent(dataset, data_folder):
    truth = np.where(dataset.truth("field") == 1, 0, dataset.truth("field"))
    write_label_map(data_folder / "masks" / "field.png", truth, classes=3)
    weak = load_masked(dataset, "field", size=28).weak
    assert np.array_equal(weak.labels, resize_labels(truth.astype(np.int16), 20, 28))
    assert weak.tags.tolist() == [True, False, True]
    assert weak.absent.tolist() == [False, True, False]
    assert weak.boxes.shape == (0, 5)
    assert (weak.labels != UNLABELLED).all()


def test_a_class_that_vanishes_at_the_working_size_is_still_a_tag(dataset, data_folder):
    truth = np.zeros((40, 56), np.int16)
    truth[0, 0] = 1
    write_label_map(data_folder / "masks" / "field.png", truth, classes=3)
    weak = load_masked(dataset, "field", size=14).weak
    assert (weak.labels == 0).all()
    assert weak.tags.tolist() == [True, True, False]


def test_full_supervision_of_an_image_without_mask_is_an_error(dataset, data_folder):
    (data_folder / "masks" / "field.png").unlink()
    with pytest.raises(DataError, match="no such mask"):
        load_masked(dataset, "field", size=None)


def test_what_fits_the_budget_is_loaded_once():
    load = Counted()
    get = remembered(load, budget=2 * COST)
    samples = [get(name) for name in "abcabcab"]
    assert [sample.name for sample in samples] == list("abcabcab")
    assert load.calls == list("abcc")
    assert samples[0] is samples[3]


def test_without_a_budget_nothing_is_kept():
    load = Counted()
    get = remembered(load, budget=0)
    assert get("a") is not get("a")
    assert load.calls == ["a", "a"]


def test_a_sample_loaded_by_two_threads_at_once_is_paid_for_once():
    load, both = Counted(), threading.Barrier(2)

    def slow(name):
        if name == "a" and load.calls.count("a") < 2:
            sample = load(name)
            both.wait(timeout=10)
            return sample
        return load(name)

    get = remembered(slow, budget=2 * COST)
    threads = [threading.Thread(target=get, args="a") for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    get("b")
    get("b")
    assert sorted(load.calls) == ["a", "a", "b"]


def test_an_error_of_the_loader_is_not_remembered():
    answers = iter([DataError("broken"), None])

    def load(name):
        error = next(answers)
        if error is not None:
            raise error
        return blank(name)

    get = remembered(load)
    with pytest.raises(DataError, match="broken"):
        get("a")
    assert get("a").name == "a"


@pytest.mark.parametrize("side", [10, 40])
def test_regions_have_the_size_of_the_image_whatever_theirs(side):
    found = with_regions(blank, lambda name: np.arange(side * side).reshape(side, side))("a")
    assert found.maps["regions"].values.shape == (10, 10)
    assert len(np.unique(found.maps["regions"].values)) == 100
    if side == 10:
        assert found.maps["regions"].values[3, 4] == 34
    assert found.weak.labels.shape == (10, 10)


def test_regions_count_in_the_budget_of_the_memory():
    counted = Counted()
    load = remembered(with_regions(counted, lambda name: np.zeros((10, 10), np.int32)), budget=COST)
    load("a"), load("a")
    assert counted.calls == ["a", "a"]
    load = remembered(
        with_regions(counted, lambda n: np.zeros((10, 10), np.int32)), budget=COST + 400
    )
    load("b"), load("b")
    assert counted.calls == ["a", "a", "b"]


def test_pseudo_labels_take_the_place_of_labels_and_tags_stay(tmp_path):
    labels = np.full((10, 10), 2, np.int16)
    labels[0], labels[1] = UNLABELLED, 1
    write_label_map(tmp_path / "a.png", labels, classes=3)
    found = with_labels(blank, tmp_path, classes=3)("a")
    assert np.array_equal(found.weak.labels, labels)
    assert found.weak.tags.all()
    assert (blank("a").weak.labels == 0).all()


def test_a_sample_without_its_pseudo_labels_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"b.png: no such pseudo labels"):
        with_labels(blank, tmp_path, classes=3)("b")


def test_hints_of_a_large_image_grow_on_a_small_one(monkeypatch):
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, 40:] = 200
    labels = np.full((60, 80), UNLABELLED, np.int16)
    labels[30, 10], labels[5, 70], labels[:3] = 2, 1, VOID
    monkeypatch.setattr(samples, "GROWN_PIXELS", 1200)

    def get(name):
        one = {"regions": region_map(np.zeros((60, 80), np.int32))}
        return replace(
            blank(name),
            image=image,
            weak=replace(blank(name).weak, labels=labels),
            maps=one,
        )

    found = with_grown_labels(get, lambda name: get(name).weak)("field").weak.labels
    assert (found[:3] == VOID).all()
    assert (found[3:, :30] == 2).mean() > 0.9
    assert not (found[:, 44:] == 2).any()
    assert (found[30, 10], found[5, 70]) == (2, 1)
