"""Painted hints (`hints/NAME.png`) as a browser draws them: one bitmap of each class in them.

A bitmap that stands for the file carries `PAINTED`, so that it finds its way back into it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.data.dataset import Dataset
from hintseg.errors import DataError, UnknownNameError
from hintseg.files import writing
from hintseg.hints.figures import corners_of_bitmap, read_bitmap, write_bitmap
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.structures import UNLABELLED, LabelMap

PAINTED = "hintseg:painted"  # a key of shapes that lie in NAME.png, not in NAME.json
Entry = dict[str, Any]


def mask_entry(label: str, corners: Sequence[Sequence[float]], bitmap: np.ndarray) -> Entry:
    """A bitmap as an entry of a LabelMe file; its corners are pixels, both inside."""
    return {
        "label": label,
        "points": [list(point) for point in corners],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": write_bitmap(bitmap),
    }


def painted_entries(dataset: Dataset, name: str, path: Path) -> list[Entry]:
    """The painted hints of an image, class by class.

    Raises:
        DataError: The file cannot be read, or is of another size than the image.
    """
    labels = read_label_map(
        path, classes=len(dataset.classes), undeclared=UNLABELLED, coding=dataset.coding
    )
    problem = dataset.misfit((labels.shape[0], labels.shape[1]), name)
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    found = [int(label) for label in np.unique(labels) if label >= 0]
    return [
        {**cropped_entry(dataset.classes[label], labels == label), PAINTED: True} for label in found
    ]


def write_painted(dataset: Dataset, path: Path, size: tuple[int, int], shapes: list[Entry]) -> None:
    """Write the painted hints anew, later bitmaps over earlier ones; without any the file goes.

    Raises:
        DataError: What is no bitmap of a class inside the image, or a data set whose painted hints
            are coded by values or colours of its own.
        WriteError: The file cannot be written.
    """
    if dataset.coding:
        raise DataError(
            f"{path}: this data set codes painted hints by values: or colors:; change them with "
            "the program that painted them"
        )
    if not shapes:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    labels: LabelMap = np.full(size, UNLABELLED, dtype=np.int16)
    for index, shape in enumerate(shapes):
        try:
            _paint(labels, shape, dataset)
        except (DataError, UnknownNameError, TypeError, ValueError, LookupError) as error:
            raise DataError(f"{path}: bitmap {index}: {error}") from error
    write_label_map(path, labels, classes=len(dataset.classes))


def cropped_entry(label: str, inside: np.ndarray) -> Entry:
    """The pixels of an image that are true as an entry of a LabelMe file; there is one at least."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, left, right = (int(line[end]) for line in (rows, columns) for end in (0, -1))
    corners = [float(left), float(top)], [float(right), float(bottom)]
    return mask_entry(label, corners, inside[top : bottom + 1, left : right + 1])


def _paint(labels: LabelMap, shape: Mapping[str, Any], dataset: Dataset) -> None:
    label = dataset.classes.index(str(shape.get("label")))
    bitmap = read_bitmap(shape.get("mask"))
    first, last = ((float(x), float(y)) for x, y in shape["points"])
    (left, top), (right, bottom) = corners_of_bitmap(first, last, bitmap)
    height, width = labels.shape
    if left < 0 or top < 0 or right >= width or bottom >= height:
        raise DataError(f"reaches out of the image of {width} x {height} pixels")
    part = labels[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
    part[bitmap] = label
