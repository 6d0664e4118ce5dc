"""Hints grow over what looks like them, and over nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hintseg.regions import grow_labels
from hintseg.structures import UNLABELLED, VOID

GREY, GREEN, BLUE = (90, 90, 90), (60, 170, 50), (120, 170, 230)


def picture(rows):
    """An image of so many columns a letter: g(rey), p(lant), s(ky)."""
    colours = {"g": GREY, "p": GREEN, "s": BLUE}
    letters = np.array([[colours[letter] for letter in row] for row in rows], np.uint8)
    return letters.repeat(8, axis=0).repeat(8, axis=1)


def nothing(image):
    return np.full(image.shape[:2], UNLABELLED, np.int16)


def one_region(image):
    return np.zeros(image.shape[:2], np.int64)


def test_a_click_on_a_leaf_labels_leaves_and_not_the_soil_of_its_region():
    image = picture(["ggggg", "gppgg", "ggggg"])
    core = nothing(image)
    core[12, 12] = 1
    found = grow_labels(image, core, core, one_region(image))
    green = (image == GREEN).all(axis=2)
    assert (found[green] == 1).mean() > 0.5
    assert not (found[~green] == 1).any()


def test_the_disc_of_a_click_loses_what_is_not_alike():
    image = picture(["ggg", "gpg", "ggg"])
    core, drawn = nothing(image), nothing(image)
    core[11, 11], drawn[4:20, 4:20] = 1, 1
    found = grow_labels(image, core, drawn, np.arange(24 * 24).reshape(24, 24))
    assert set(np.unique(found[drawn == 1])) == {UNLABELLED, 1}
    assert not (found[~(image == GREEN).all(axis=2)] == 1).any()


def test_a_hint_elsewhere_in_the_image_holds_another_back():
    image = picture(["sgsss", "sgsss"])
    pole, sky = nothing(image), nothing(image)
    pole[4, 11] = 1
    sky[:] = pole
    sky[4, 36] = 0
    left = np.repeat([[0] * 24 + [1] * 16], 16, axis=0)  # pole and sky beside it are one region
    found = grow_labels(image, sky, sky, left)
    blue = (image == BLUE).all(axis=2)
    assert not (found[blue] == 1).any()
    assert (found[:, 24:] == 0).mean() > 0.9


def test_the_hints_themselves_and_void_stay():
    image = picture(["gp", "ps"])
    core = nothing(image)
    core[0, 0], core[15, 15], core[0, 1] = 2, 0, 1  # the last one contradicts its colour
    drawn = core.copy()
    drawn[3] = VOID
    found = grow_labels(image, core, drawn, one_region(image))
    assert (found[core >= 0] == core[core >= 0])[drawn[core >= 0] != VOID].all()
    assert (found[3] == VOID).all()


def test_without_hints_nothing_grows():
    image = picture(["gp"])
    empty = nothing(image)
    assert np.array_equal(grow_labels(image, empty, empty, one_region(image)), empty)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (30, 1)])
def test_thin_images_are_no_trouble(size):
    image = np.full((*size, 3), 77, np.uint8)
    core = nothing(image)
    core[0, 0] = 5
    assert (grow_labels(image, core, core, one_region(image)) == 5).all()


@given(seed=st.integers(0, 10_000))
def test_only_hinted_classes_in_reached_regions_and_no_hint_changes(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    regions = rng.integers(0, 4, (12, 15))
    core = np.where(rng.random((12, 15)) < 0.05, rng.integers(0, 3, (12, 15)), UNLABELLED)
    core = core.astype(np.int16)
    drawn = core.copy()
    found = grow_labels(image, core, drawn, regions)
    assert np.array_equal(found[core >= 0], core[core >= 0])
    for region in range(4):
        here = set(np.unique(found[regions == region])) - {UNLABELLED}
        assert here <= set(np.unique(core[regions == region]))
