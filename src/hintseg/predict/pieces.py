"""One piece of a label map: what a person accepts by a click."""

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from hintseg.errors import DataError
from hintseg.structures import LabelMap, Shape


def piece_at(labels: LabelMap, x: float, y: float) -> Shape:
    """The 4-connected piece of one class that holds a place, as a bitmap of that class.

    Args:
        labels: Class indices of an image at its own resolution.
        x: Of the place, in pixels, origin at the centre of the top-left one.
        y: The same, downwards.

    Raises:
        DataError: The place lies outside the image, or has no class.

    Example:
        >>> import numpy as np
        >>> shape = piece_at(np.array([[0, 0, 1], [1, 0, 1]]), 2.0, 1.0)
        >>> shape.label, shape.points, shape.bitmap.tolist()
        (1, ((2.0, 0.0), (2.0, 1.0)), [[True], [True]])
    """
    row, column = round(y), round(x)
    height, width = labels.shape
    if not (0 <= row < height and 0 <= column < width):
        raise DataError(f"place {x:g}, {y:g}: outside the image of {width} x {height} pixels")
    label = int(labels[row, column])
    if label < 0:
        raise DataError(f"place {x:g}, {y:g}: nothing is predicted there")
    numbers, _ = ndimage.label(labels == label)
    inside: Bool[np.ndarray, "h w"] = numbers == numbers[row, column]
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    corners = (float(left), float(top)), (float(right), float(bottom))
    return Shape("mask", label, corners, bitmap=inside[top : bottom + 1, left : right + 1].copy())
