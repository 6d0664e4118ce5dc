"""Run lengths of COCO, CVAT and Label Studio, against pycocotools and plain loops."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as oracle

from hintseg.errors import DataError
from hintseg.formats.rle import brush_bitmap, coco_bitmap, coco_counts, row_bitmap

DATA = Path(__file__).parents[1] / "data"
BITMAPS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@given(BITMAPS)
def test_compressed_rle_is_that_of_pycocotools(bitmap):
    packed = oracle.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    segmentation = {"size": list(bitmap.shape), "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(coco_bitmap(segmentation, bitmap.shape), bitmap)


def test_long_runs_of_a_large_image_are_those_of_pycocotools():
    bitmap = np.zeros((3000, 4000), dtype=np.uint8, order="F")
    bitmap[100:2900, 7:3990] = 1
    bitmap[500:600, 2000:2002] = 0
    packed = oracle.encode(bitmap)["counts"].decode()
    found = coco_bitmap({"size": [3000, 4000], "counts": packed}, (3000, 4000))
    np.testing.assert_array_equal(found, bitmap > 0)


@given(BITMAPS)
def test_runs_along_rows(bitmap):
    flat, runs, value = bitmap.ravel().tolist(), [0], False
    for pixel in flat:
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    np.testing.assert_array_equal(row_bitmap(runs, bitmap.shape), bitmap)


@given(st.text(max_size=30))
def test_any_text_is_counts_or_a_data_error(text):
    try:
        coco_counts(text)
    except DataError:
        return
    assert all(48 <= ord(letter) < 112 for letter in text)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [2, 3], "counts": [1, 2]}, "does not fit its box"),
        ({"size": [2, 3], "counts": [1, 2, 2**70]}, "does not fit its box"),
        ({"size": [2, 3], "counts": [-1, 7]}, "does not fit its box"),
        ({"size": [2, 3], "counts": [1.5, 4.5]}, "run lengths"),
        ({"size": [2, 3], "counts": ["a"]}, "run lengths"),
        ({"size": [2, 3], "counts": [[6]]}, "run lengths"),
        ({"size": [3, 2], "counts": [6]}, r"does not fit its image of \[2, 3\]"),
        ({"size": [2, 3]}, "without counts"),
        ({"size": [2, 3], "counts": "`"}, "cut short"),
        ({"size": [2, 3], "counts": "oooooooooo0"}, "longer than any image"),
    ],
)
def test_rle_that_does_not_fit_is_told(segmentation, reason):
    with pytest.raises(DataError, match=reason):
        coco_bitmap(segmentation, (2, 3))


def test_a_brush_that_repeats_and_one_that_does_not():
    """By hand: 8 words of 8 bits (2 pixels); 4 x 7, then the words 1, 2, 3, 0."""
    bits = f"{8:032b}{7:05b}" + f"{1:04b}" * 4
    bits += "1" + "00" + f"{3:02b}" + f"{7:08b}"
    bits += "0" + "01" + f"{3:02b}" + "".join(f"{word:08b}" for word in (1, 2, 3, 0))
    bits += "0" * (-len(bits) % 8)
    content = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    assert brush_bitmap(content, (1, 2)).tolist() == [[True, False]]
    with pytest.raises(DataError, match="does not fit its image"):
        brush_bitmap(content, (100, 100))
    with pytest.raises(DataError, match="cut short"):
        brush_bitmap(content[:-2], (1, 2))
    with pytest.raises(DataError, match="list of bytes"):
        brush_bitmap([1, 300], (1, 2))


def test_a_brush_that_label_studio_has_packed():
    rows, columns = np.mgrid[:30, :40]
    distance = np.hypot(rows - 14, columns - 20)
    content = json.loads((DATA / "labelstudio_brush.json").read_text())
    expected = (distance < 11) & (distance > 5)
    np.testing.assert_array_equal(brush_bitmap(content, (30, 40)), expected)
