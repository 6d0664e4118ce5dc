"""The one place that changes the size of images and labels; half-pixel centres everywhere.

Output cell i of n covers the input interval [i, i + 1] * m / n and is centred in it.
"""

import numpy as np
from jaxtyping import Int
from PIL import Image as PillowImage

from hintseg.structures import UNLABELLED, VOID, Image, LabelMap


def fit_size(height: int, width: int, longer_side: int | None) -> tuple[int, int]:
    """Height and width with the longer side brought to `longer_side` (None: as it is)."""
    if longer_side is None:
        return height, width
    factor = longer_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def resize_image(image: Image, height: int, width: int) -> Image:
    """Bilinear when growing; averaged over the area of each pixel when shrinking."""
    if image.shape[:2] == (height, width):
        return image
    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR)
    return np.array(resized)


def resize_labels(labels: LabelMap, height: int, width: int) -> LabelMap:
    """Nearest where it grows; where it shrinks, a cell takes the majority of its labelled pixels.

    "Labelled wins": one labelled pixel among unlabelled ones decides its cell, so that thin scribbles
    and points survive. A cell without any class is UNLABELLED if it has an unlabelled pixel, else VOID.
    Ties go to the smaller class index.
    """
    rows, columns = labels.shape
    if (rows, columns) == (height, width):
        return labels
    if height >= rows and width >= columns:
        return labels[np.ix_(_source_of(height, rows), _source_of(width, columns))]
    if height > rows or width > columns:  # one axis grows: grow it first, then shrink the other
        grown = resize_labels(labels, max(height, rows), max(width, columns))
        return resize_labels(grown, height, width)
    cells = _cell_of(rows, height)[:, None] * width + _cell_of(columns, width)[None, :]
    return _majority(labels, cells, height * width).reshape(height, width)


def _source_of(out: int, size: int) -> Int[np.ndarray, " out"]:
    """Nearest input index of each output index."""
    return np.minimum(((np.arange(out) + 0.5) * size / out).astype(np.int64), size - 1)


def _cell_of(size: int, out: int) -> Int[np.ndarray, " size"]:
    """Output cell in which the centre of each input pixel lies."""
    return np.minimum(((np.arange(size) + 0.5) * out / size).astype(np.int64), out - 1)


def _majority(
    labels: LabelMap, cells: Int[np.ndarray, "height width"], count: int
) -> Int[np.ndarray, " count"]:
    result = np.full(count, VOID, dtype=labels.dtype)
    result[cells[labels == UNLABELLED]] = UNLABELLED
    known = labels >= 0
    classes = int(labels.max(initial=0)) + 1
    pairs, votes = np.unique(cells[known] * classes + labels[known], return_counts=True)
    cell, label = np.divmod(pairs, classes)
    order = np.lexsort((label, -votes, cell))  # within a cell: most votes first, then smaller class
    winners = order[np.unique(cell[order], return_index=True)[1]]
    result[cell[winners]] = label[winners].astype(labels.dtype)
    return result
