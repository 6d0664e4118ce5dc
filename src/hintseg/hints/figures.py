"""Figures of other tools -> the shapes that hintseg draws: discs, bitmaps, turned boxes."""

import base64
import binascii
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.hints.shapes import Point
from hintseg.images.photographs import opened_png

FINENESS = 0.01  # of a pixel: how far the sides of a polygon may lie inside its circle
MOST_SIDES = 10_000
MOST_BYTES = 2**26  # of a bitmap that is packed into a file of hints

Bitmap = Bool[np.ndarray, "rows columns"]


def circle(centre: Point, edge: Point) -> tuple[Point, ...]:
    """A polygon so fine that its pixels are those of the disc.

    Args:
        centre: Of the circle.
        edge: A point on it.
    """
    radius = math.dist(centre, edge)
    sides = math.ceil(math.pi * math.sqrt(max(radius, 1) / (2 * FINENESS)))
    angles = [2 * math.pi * side / min(sides, MOST_SIDES) for side in range(min(sides, MOST_SIDES))]
    x, y = centre
    return tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles)


def read_bitmap(text: Any) -> Bitmap:  # noqa: ANN401 - whatever a file holds
    """The pixels of a bitmap in a PNG in base64; True where it is not black.

    Raises:
        DataError: It is none.
    """
    if not isinstance(text, str) or not text or len(text) > MOST_BYTES:
        raise DataError("holds no bitmap (a PNG in base64); draw it again")
    try:
        content = base64.b64decode(text.partition(",")[2] if text[:5] == "data:" else text)
        with opened_png(content, Path("mask")) as image:
            return np.array(image.convert("L")) > 0
    except (binascii.Error, ValueError, DataError):
        raise DataError("is no PNG in base64, or a damaged one; draw it again") from None


def write_bitmap(bitmap: Bitmap) -> str:
    """The same as text."""
    buffer = BytesIO()
    PillowImage.fromarray(bitmap).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def corners_of_bitmap(first: Point, last: Point, bitmap: Bitmap) -> tuple[Point, Point]:
    """The pixels of a bitmap's first and last corner in the image.

    Args:
        first: One corner of its box, in pixels counted from 0, both corners belonging to the box.
        last: The other one.
        bitmap: Has to be as large.

    Raises:
        DataError: It is not.
    """
    left, right = sorted((round(first[0]), round(last[0])))
    top, bottom = sorted((round(first[1]), round(last[1])))
    height, width = bitmap.shape
    if (bottom - top + 1, right - left + 1) != (height, width):
        raise DataError(
            f"the bitmap has {width} x {height} pixels, its box {right - left + 1} x "
            f"{bottom - top + 1}; draw it again"
        )
    return (float(left), float(top)), (float(right), float(bottom))
