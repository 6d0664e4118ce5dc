"""The one place that changes the size of images and labels; half-pixel centres everywhere.

Of tensors `pooling.py` does it: who checks or imports a data set waits for no torch.

Output cell i of n covers the input interval [i, i + 1] * m / n and is centred in it.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Int
from PIL import Image as PillowImage

from hintseg.structures import UNLABELLED, VOID, Image, ImageMap, LabelMap


def fit_size(
    height: int, width: int, longer_side: int | None, *, zoom: float = 1.0
) -> tuple[int, int]:
    """Height and width with the longer side at `zoom` x `longer_side` (None: of what it is)."""
    longest = max(height, width)
    factor = zoom * (longest if longer_side is None else longer_side) / longest
    return max(1, round(height * factor)), max(1, round(width * factor))


def resize_image(image: Image, height: int, width: int) -> Image:
    """Bilinear when growing; averaged over the area of each pixel when shrinking."""
    if image.shape[:2] == (height, width):
        return image
    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR)
    return np.array(resized)


def resize_labels(labels: LabelMap, height: int, width: int) -> LabelMap:
    """Nearest where it grows; where it shrinks, a cell takes the majority of its labelled pixels.

    "Labelled wins": one labelled pixel among unlabelled ones decides its cell, so that thin
    scribbles and points survive. A cell without any class is UNLABELLED if it has an unlabelled
    pixel, else VOID. Ties go to the smaller class index.
    """
    return resize_labels_window(labels, height, width, rows=(0, height), columns=(0, width))


def resize_map_window(
    whole: ImageMap, height: int, width: int, *, rows: tuple[int, int], columns: tuple[int, int]
) -> ImageMap:
    """The window rows x columns (first, end) of a map resized as the map says."""
    values = whole.values
    if whole.resized == "nearest":
        down = _source_of(height, values.shape[0])[slice(*rows)]
        across = _source_of(width, values.shape[1])[slice(*columns)]
        return replace(whole, values=values[down[:, None], across])
    vertical, horizontal = values.shape[0] / height, values.shape[1] / width
    (top, bottom), (left, right) = rows, columns
    box = (left * horizontal, top * vertical, right * horizontal, bottom * vertical)
    size = (right - left, bottom - top)
    picture = PillowImage.fromarray(values.astype(np.float32))
    resized = picture.resize(size, PillowImage.Resampling.BILINEAR, box=box)
    return replace(whole, values=np.array(resized))


def resize_labels_window(
    labels: LabelMap, height: int, width: int, *, rows: tuple[int, int], columns: tuple[int, int]
) -> LabelMap:
    """The window rows x columns (first, end) of `resize_labels`, without making the rest."""
    if labels.shape == (height, width):
        return labels[slice(*rows), slice(*columns)]
    if height >= labels.shape[0]:  # an axis that grows takes the nearest
        labels = labels[_source_of(height, labels.shape[0])[slice(*rows)]]
        height, rows = rows[1] - rows[0], (0, rows[1] - rows[0])
    if width >= labels.shape[1]:
        labels = labels[:, _source_of(width, labels.shape[1])[slice(*columns)]]
        width, columns = columns[1] - columns[0], (0, columns[1] - columns[0])
    if labels.shape == (height, width):
        return labels
    return _shrink(labels, (height, width), rows, columns)


def _source_of(out: int, size: int) -> Int[np.ndarray, " out"]:
    """Nearest input index of each output index."""
    return np.minimum(((np.arange(out) + 0.5) * size / out).astype(np.int64), size - 1)


def _cell_of(size: int, out: int) -> Int[np.ndarray, " size"]:
    """Output cell in which the centre of each input pixel lies."""
    return np.minimum(((np.arange(size) + 0.5) * out / size).astype(np.int64), out - 1)


def _shrink(
    labels: LabelMap, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> LabelMap:
    """Majority of the labelled pixels in each cell of a window."""
    row, column = (_cell_of(n, out) for n, out in zip(labels.shape, size, strict=True))
    seen = (slice(*np.searchsorted(row, rows)), slice(*np.searchsorted(column, columns)))
    labels, row, column = labels[seen], row[seen[0]] - rows[0], column[seen[1]] - columns[0]
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    return _majority(labels, row[:, None] * width + column, height * width).reshape(height, width)


def _majority(
    labels: LabelMap, cells: Int[np.ndarray, "height width"], count: int
) -> Int[np.ndarray, " count"]:
    """The most frequent class of each cell; one sort, whatever the number of classes."""
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
