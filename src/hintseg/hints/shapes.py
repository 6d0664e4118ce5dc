"""What makes a drawn shape sound, whatever file it came from.

Points are (x, y) in pixels with the origin at the centre of the top-left pixel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hintseg.structures import Shape, ShapeKind

FARTHEST = 1e7
"""No image is this many pixels wide; a coordinate beyond it is a slip."""

SLACK = 0.5
"""How far outside the image, in pixels, a point may lie and still be taken as on its edge."""

MOST_SHAPES = 100_000
"""Of one image; a slide of cells has tens of thousands."""

MANY_POINTS, MANY_SHAPES = 1000, 1000  # below them nothing is counted: it would cost more
MOST_ROWS = 2**25  # that the outline of a polygon may pass: 1.6 GB while it is drawn
WINDING = 200  # sides of the image that a stroke, or an outline, may go along
LAYERS = 1000  # times that all shapes together may cover the image

Point = tuple[float, float]
Size = tuple[int, int]  # (height, width)
AREAS = ("polygon", "mask")


class Extent(NamedTuple):
    """The upright rectangle around some points."""

    left: float
    top: float
    right: float
    bottom: float


def extent(points: tuple[Point, ...]) -> Extent:
    """Smallest upright rectangle that holds all points."""
    xs, ys = zip(*points, strict=True)
    return Extent(min(xs), min(ys), max(xs), max(ys))


def count_problem(kind: ShapeKind, count: int) -> str | None:
    """What is wrong with the number of points of a shape, if anything."""
    match kind:
        case "point" if count != 1:
            return f"a point needs exactly 1 point, got {count}; draw it again"
        case "scribble" if count < 2:
            return f"a scribble needs 2 points or more, got {count}; draw it again or remove it"
        case "polygon" if count < 3:
            return f"a polygon needs 3 points or more, got {count}; draw it again or remove it"
        case "box" if count != 2:
            return f"a box needs 2 opposite corners, got {count} points; draw it again"
        case _:
            return None


def box_corners(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Two opposite corners of a box that was given by all four; other points as they are."""
    area = extent(points) if len(points) == 4 else None
    if area is None or set(points) != {
        (x, y) for x in (area.left, area.right) for y in (area.top, area.bottom)
    }:
        return points
    return (area.left, area.top), (area.right, area.bottom)


def empty_box_problem(points: tuple[Point, ...]) -> str | None:
    """Says so if two corners leave a box no width or no height."""
    area = extent(points)
    width, height = area.right - area.left, area.bottom - area.top
    if width > 0 and height > 0:
        return None
    return f"an empty box, {width:g} wide and {height:g} high; draw it again or remove it"


def overdrawn(shapes: Sequence[Shape], size: Size) -> str | None:
    """What is wrong with shapes that nobody drew: drawing them would take hours or all memory.

    The outline of a polygon passes rows of pixels; a million corners that zigzag over a photograph
    pass thousands of millions. Limits: MOST_SHAPES; an outline of WINDING times the sides of the
    image, or as many rows as it has pixels, and MOST_ROWS at most; a stroke of WINDING times the
    sides; polygons and bitmaps that cover the image LAYERS times.
    """
    if len(shapes) > MOST_SHAPES:
        return f"{len(shapes)} shapes; at most {MOST_SHAPES} are read"
    height, width = size
    sides = WINDING * (height + width)
    for shape in shapes:
        if len(shape.points) < MANY_POINTS:
            continue
        steps = _way(shape, size)
        most = min(max(sides, height * width), MOST_ROWS) if shape.kind == "polygon" else sides
        if steps > most:
            return (
                f"a {shape.kind} of {len(shape.points)} points that goes along {steps:.0f} pixels; "
                "draw it more simply or remove it"
            )
    if len(shapes) > MANY_SHAPES:
        covered = sum(_covered(shape, size) for shape in shapes if shape.kind in AREAS)
        if covered > LAYERS * height * width:
            return (
                f"{len(shapes)} shapes that cover the image {covered / (height * width):.0f} "
                "times; remove those that say nothing new"
            )
    return None


def _way(shape: Shape, size: Size) -> float:
    """Rows that an outline passes on the image, or the length of a stroke there."""
    points = np.asarray(shape.points, dtype=np.float64).clip((0, 0), (size[1], size[0]))
    steps = np.abs(np.diff(points, axis=0))
    return float(steps[:, 1].sum() if shape.kind == "polygon" else np.hypot(*steps.T).sum())


def _covered(shape: Shape, size: Size) -> float:
    """Pixels of the image around a shape."""
    area = extent(shape.points)
    wide = min(area.right + 1, size[1]) - max(area.left, 0)
    high = min(area.bottom + 1, size[0]) - max(area.top, 0)
    return max(wide, 0) * max(high, 0)


def is_outside(shape: Shape, size: Size) -> bool:
    """Whether nothing of a shape lies on an image of (height, width)."""
    height, width = size
    area = extent(shape.points)
    beside = area.right < -0.5 - SLACK or area.left > width - 0.5 + SLACK
    return beside or area.bottom < -0.5 - SLACK or area.top > height - 0.5 + SLACK


def reaches_out(shape: Shape, size: Size) -> bool:
    """Whether a part of a shape lies outside, and a part of it on the image."""
    return not is_outside(shape, size) and not all(_within(point, size) for point in shape.points)


def _within(point: Point, size: Size) -> bool:
    (x, y), (height, width) = point, size
    low, reach = -0.5 - SLACK, 2 * SLACK
    return low <= x <= low + width + reach and low <= y <= low + height + reach
