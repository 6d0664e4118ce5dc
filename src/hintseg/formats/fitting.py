"""What was drawn in another tool -> shapes of an image that is on disk, or why not."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hintseg.errors import DataError
from hintseg.formats.found import Bitmap, Drawn, Found, Numbers, Painted
from hintseg.formats.journal import Journal
from hintseg.hints.shapes import (
    FARTHEST,
    Point,
    Size,
    box_corners,
    count_problem,
    empty_box_problem,
    is_outside,
)
from hintseg.images.exif import TRANSPOSED, turned
from hintseg.structures import LabelMap, Shape

REMEDY = "; draw it again"  # of messages about shapes; here nobody is asked to


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image on disk: how large it is upright, and how it was turned to be so (EXIF)."""

    size: Size
    orientation: int = 1

    @property
    def is_turned(self) -> bool:
        """Whether height and width of the file as it is stored are swapped."""
        return self.orientation in TRANSPOSED and self.size[0] != self.size[1]


def fit_shapes(
    found: Found, canvas: Canvas, numbers: Numbers, journal: Journal
) -> tuple[Shape, ...]:
    """The shapes of one image in hintseg's frame; what does not fit is noted.

    A source that saw the image as it is stored, not upright, has its shapes turned.

    Args:
        found: What the source says.
        canvas: The image.
        numbers: Class of the source -> index.
        journal: Takes what is left.
    """
    turn = _is_as_stored(found.size, canvas)
    if found.size not in (None, canvas.size) and not turn:
        reason = _other_size(found.size or (0, 0), canvas.size)
        for drawn in found.drawn:
            journal.leave(reason, drawn.place)
        return ()
    if turn and found.drawn:
        what = f"turned upright (EXIF orientation {canvas.orientation})"
        journal.change(what, found.place)
    shapes = []
    for drawn in found.drawn:
        if drawn.label not in numbers:
            journal.leave(_unwanted(drawn.label), drawn.place)
            continue
        with journal.leaving(drawn.place):
            shapes.append(_shape(drawn, canvas, numbers[drawn.label], turn=turn))
    return tuple(shapes)


def fit_tags(found: Found, numbers: Numbers, journal: Journal) -> frozenset[int]:
    """The tags of one image; arguments as of `fit_shapes`."""
    for name in found.tags:
        if name not in numbers:
            journal.leave(_unwanted(name), f"{found.place}: tag")
    return frozenset(numbers[name] for name in found.tags if name in numbers)


def fit_map(
    painted: Painted | None, canvas: Canvas, numbers: Numbers, journal: Journal
) -> LabelMap | None:
    """A label map as large as the image; None where there is none that fits and has a label."""
    if painted is None:
        return None
    with journal.leaving(painted.place):
        labels = painted.read(numbers, canvas.size)
        size = (labels.shape[0], labels.shape[1])
        if size == canvas.size[::-1] and canvas.is_turned:
            labels = np.ascontiguousarray(turned(labels[..., None], canvas.orientation)[..., 0])
            journal.change(f"turned upright (EXIF orientation {canvas.orientation})", painted.place)
        elif size != canvas.size:
            raise DataError(_other_size(size, canvas.size))
        if not (labels >= 0).any():
            raise DataError("no pixel of it has a class")
        return labels
    return None


def _is_as_stored(size: Size | None, canvas: Canvas) -> bool:
    return canvas.is_turned and size == canvas.size[::-1]


def _unwanted(label: str) -> str:
    return "a class without a name" if not label.strip() else f"class {label!r} is not wanted"


def _other_size(claimed: Size, size: Size) -> str:
    return (
        f"drawn on {claimed[1]} x {claimed[0]} pixels, its image has {size[1]} x {size[0]}; "
        "give the image that was annotated"
    )


def _shape(drawn: Drawn, canvas: Canvas, label: int, *, turn: bool) -> Shape:
    """One shape; DataError where it cannot be one."""
    if drawn.kind == "mask":
        return _mask(drawn, canvas, label, turn=turn)
    height, width = canvas.size[::-1] if turn else canvas.size
    scale = (width, height) if drawn.relative else (1, 1)
    points = tuple((x * scale[0], y * scale[1]) for x, y in drawn.points)
    values = [value for point in points for value in point]
    if values and not -FARTHEST <= min(values) <= max(values) <= FARTHEST:
        raise DataError("a coordinate that is no number, or farther away than any image reaches")
    if turn:
        move = TURNS[canvas.orientation]
        points = tuple(move(x, y, width, height) for x, y in points)
    points = tuple((x - 0.5, y - 0.5) for x, y in points)
    if drawn.kind == "box":
        points = _upright_box(box_corners(points))
    problem = count_problem(drawn.kind, len(points))
    if problem is None and drawn.kind == "box":
        problem = empty_box_problem(points)
    if problem is not None:
        raise DataError(problem.partition(REMEDY)[0])
    shape = Shape(drawn.kind, label, points, extra={} if turn else drawn.extra)
    _refuse_outside(shape, canvas.size)
    return shape


def _upright_box(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The same two corners with the top left one first."""
    if len(points) != 2:
        return points
    (x0, y0), (x1, y1) = points
    return (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))


def _mask(drawn: Drawn, canvas: Canvas, label: int, *, turn: bool) -> Shape:
    """The smallest bitmap with all that is set, cut off at the borders of the image."""
    assert drawn.bitmap is not None
    bitmap = drawn.bitmap()
    left, top = (math.floor(value) for value in drawn.points[0])
    if turn:
        whole = _on_image(bitmap, left, top, canvas.size[::-1])
        bitmap = turned(whole[..., None], canvas.orientation)[..., 0]
        left = top = 0
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    if not len(rows):
        raise DataError("a mask without a pixel")
    first, last = (left + columns[0], top + rows[0]), (left + columns[-1], top + rows[-1])
    ends = ((float(first[0]), float(first[1])), (float(last[0]), float(last[1])))
    cut = np.ascontiguousarray(bitmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    shape = Shape("mask", label, ends, bitmap=cut, extra={} if turn else drawn.extra)
    _refuse_outside(shape, canvas.size)
    return shape


def _on_image(bitmap: Bitmap, left: int, top: int, size: Size) -> Bitmap:
    """A bitmap laid on an empty one of the image; what lies outside is cut off."""
    whole = np.zeros(size, dtype=bool)
    y, x = max(top, 0), max(left, 0)
    part = bitmap[max(-top, 0) : size[0] - top, max(-left, 0) : size[1] - left]
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole


def _refuse_outside(shape: Shape, size: Size) -> None:
    if is_outside(shape, size):
        raise DataError(f"lies wholly outside the image of {size[1]} x {size[0]} pixels")


TURNS: Mapping[int, Callable[[float, float, float, float], Point]] = {
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}
"""Where a place (x, y) of a stored image of width w and height h is in the upright one."""
