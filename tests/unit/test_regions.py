"""Regions are connected, numbered in reading order, nested, and end where colours do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label as components

from hintseg.errors import ConfigError
from hintseg.regions import edge_map, regions

SIDES = st.integers(1, 40)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width, seed=0):
    field = ndimage.gaussian_filter(noise(height, width, seed).astype(float), (3, 3, 0))
    span = max(1e-9, float(np.ptp(field)))
    return ((field - field.min()) * (255 / span)).astype(np.uint8)


def check(found, size):
    """A partition of 4-connected regions in reading order."""
    assert found.shape == size
    assert found.dtype == np.int32
    used, first = np.unique(found, return_index=True)
    assert used.tolist() == list(range(len(used)))
    assert (np.diff(first) > 0).all()
    assert components(found + 1, connectivity=1).max() == len(used)


@given(height=SIDES, width=SIDES, count=st.integers(1, 50), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_regions_partition_the_image(height, width, count, seed):
    for image in (noise(height, width, seed), smooth(height, width, seed)):
        found = regions(image, count=count)
        check(found, (height, width))
        assert found.max() < count


def test_the_count_is_met_when_there_are_enough_basins():
    image = noise(60, 70)
    for count in (1, 2, 17, 100):
        assert regions(image, count=count).max() + 1 == count


def test_fewer_regions_are_unions_of_more():
    image = smooth(60, 70)
    fine, coarse = regions(image, count=30), regions(image, count=8)
    assert all(len(np.unique(coarse[fine == region])) == 1 for region in range(30))


def test_two_colours_are_two_regions():
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    image[:, 12:] = (200, 30, 40)
    assert np.array_equal(regions(image), np.repeat((np.arange(30) >= 12)[None], 20, axis=0))


def test_four_squares_are_numbered_in_reading_order():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    image[:10, 10:], image[10:, :10], image[10:, 10:] = 255, (255, 0, 0), (0, 0, 255)
    quarter = (np.arange(20) >= 10).astype(int)
    found = regions(image)
    check(found, (20, 20))
    assert (found != 2 * quarter[:, None] + quarter[None]).sum() <= 1  # the pixel where all meet


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (300, 400)])
def test_a_flat_image_is_one_region(size):
    assert not regions(np.full((*size, 3), 77, dtype=np.uint8)).any()


def test_more_regions_than_basins_gives_the_basins():
    image = smooth(40, 40)
    assert np.array_equal(regions(image, count=10_000), regions(image, count=None))


def test_a_threshold_removes_the_weak_boundaries():
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    image[:, 10:20], image[:, 20:] = 104, 250
    assert regions(image).max() == 2
    assert regions(image, threshold=0.2).max() == 1
    assert regions(image, threshold=1.0).max() == 0


def test_given_edges_replace_the_colours():
    edges = np.zeros((20, 30), dtype=np.float32)
    edges[:, 9:11] = 1
    found = regions(noise(20, 30), edges=edges)
    assert found.max() == 1
    assert (found[:, :9] == 0).all()
    assert (found[:, 11:] == 1).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "count"),
        ({"edges": np.zeros((4, 6))}, "6 x 4 pixels, the image is 5 x 4"),
        ({"edges": np.full((4, 5), np.nan)}, "finite"),
        ({"edges": np.full((4, 5), -1.0)}, "finite"),
    ],
)
def test_what_cannot_work_is_an_error(wrong, words):
    with pytest.raises(ConfigError, match=words):
        regions(noise(4, 5), **wrong)


def test_edges_are_strengths():
    for image in (noise(30, 40), smooth(30, 40), noise(1, 1), noise(1, 7)):
        edges = edge_map(image)
        assert edges.shape == image.shape[:2]
        assert edges.dtype == np.float32
        assert (edges >= 0).all()
        assert (edges < 1).all()
    assert not edge_map(np.full((9, 9, 3), 200, dtype=np.uint8)).any()


def test_a_strong_edge_far_away_changes_nothing():
    image = smooth(40, 80)
    other = image.copy()
    other[:, 60:] = noise(40, 20)
    assert np.array_equal(edge_map(image)[:, :45], edge_map(other)[:, :45])


def test_edges_turn_with_the_image():
    image = smooth(30, 40)
    turned = edge_map(np.ascontiguousarray(np.rot90(image)))
    np.testing.assert_allclose(turned, np.rot90(edge_map(image)), atol=1e-4)
