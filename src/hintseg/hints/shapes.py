"""What makes a drawn shape sound, whatever file it came from.

Points are (x, y) in pixels with the origin at the centre of the top-left pixel.
"""

from typing import NamedTuple

from hintseg.structures import Shape, ShapeKind

FARTHEST = 1e7
"""No image is this many pixels wide; a coordinate beyond it is a slip."""

SLACK = 0.5
"""How far outside the image, in pixels, a point may lie and still be taken as on its edge."""

Point = tuple[float, float]
Size = tuple[int, int]  # (height, width)


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
