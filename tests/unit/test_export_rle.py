"""Run lengths: decoded by the readers of the tools, where they are installed, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hintseg.export.rle import LONGEST, brush_bytes, coco_counts, cvat_counts, run_lengths

BITMAPS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
PLACES = st.tuples(*[st.integers(0, 5)] * 4)


def placed(inside, place):
    """The bitmap in an image: (left, top, size) and the whole."""
    left, top, right, bottom = place
    whole = np.pad(inside, ((top, bottom), (left, right)))
    return left, top, whole.shape, whole


def unpacked(packed):
    """thi.ng's rle-pack, read bit by bit as its page describes it."""
    bits, at = "".join(f"{byte:08b}" for byte in packed), 0

    def take(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_run, size = take(1), sizes[take(2)]
        count = take(size) + 1
        values += [take(word)] * count if is_run else [take(word) for _ in range(count)]
    return np.array(values)


@given(BITMAPS, PLACES)
def test_brushes_are_read_again_as_four_equal_channels(inside, place):
    left, top, size, whole = placed(inside, place)
    values = unpacked(brush_bytes(inside, left, top, size)).reshape(*size, 4)
    assert (values == 255 * whole[..., None]).all()


def test_a_brush_longer_than_a_run_can_be():
    inside = np.ones((200, 150), dtype=bool)
    assert inside.size * 4 > LONGEST
    values = unpacked(brush_bytes(inside, 3, 2, (210, 160))).reshape(210, 160, 4)
    assert np.array_equal(values[..., 3] > 0, np.pad(inside, ((2, 8), (3, 7))))


@given(BITMAPS, PLACES)
def test_coco_counts_are_those_of_pycocotools(inside, place):
    mask = pytest.importorskip("pycocotools.mask")
    left, top, size, whole = placed(inside, place)
    encoded = mask.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert coco_counts(inside, left, top, size) == encoded["counts"].decode()


def test_coco_counts_of_large_masks_are_those_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    rows, columns = np.mgrid[:700, :900]
    whole = (rows - 350) ** 2 + (columns - 450) ** 2 < 300**2
    encoded = mask.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert coco_counts(whole, 0, 0, (700, 900)) == encoded["counts"].decode()


@given(BITMAPS)
def test_cvat_counts_alternate_along_the_rows_and_begin_outside(inside):
    counts = [int(part) for part in cvat_counts(inside).split(",")]
    bits = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    assert np.array_equal(bits.reshape(inside.shape), inside)


def test_runs_of_nothing_are_one():
    assert run_lengths(np.zeros(5, bool)).tolist() == [5]
