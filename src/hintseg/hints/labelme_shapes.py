"""One entry of a LabelMe file -> its shapes, with all that can be wrong in it."""

import math
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any, cast

from hintseg.errors import DataError, UnknownNameError
from hintseg.hints.figures import Bitmap, circle, corners_of_bitmap, read_bitmap
from hintseg.hints.shapes import (
    FARTHEST,
    Point,
    box_corners,
    count_problem,
    empty_box_problem,
)
from hintseg.structures import ClassSet, Shape, ShapeKind

KIND_OF: Mapping[str, ShapeKind] = {
    "point": "point",
    "line": "scribble",
    "linestrip": "scribble",
    "rectangle": "box",
    "polygon": "polygon",
    "circle": "polygon",
    "rotation": "polygon",
    "oriented_rectangle": "polygon",
    "mask": "mask",
    "points": "point",
}
FOREIGN = ("circle", "rotation", "oriented_rectangle", "mask")
"""Figures that are written again as they were read."""

Report = Callable[[str], None]  # takes one problem; raises it or collects it


def at(place: str, report: Report) -> Report:
    """The same reporter for problems of a part: puts its place before each."""
    return lambda problem: report(f"{place}{problem}")


def shapes_of(entry: object, classes: ClassSet, report: Report) -> tuple[Shape, ...]:
    """The shapes of one entry in hintseg's frame; none after reporting what is wrong with it.

    Only an entry of several clicks gives more than one.
    """
    if not isinstance(entry, dict):
        report(f": must be an object with label and points, got {show(entry)}; remove it")
        return ()
    label = _label_of(entry, classes, report)
    kind = _kind_of(entry.get("shape_type"), report)
    points = _points_of(entry, report)
    if kind is None or points is None:
        return ()
    if entry.get("shape_type") == "points":
        return _clicks(entry, points, label, report)
    found = _figure(entry, kind, points, at(".points: ", report))
    if found is None or label is None:
        return ()
    kind, points, bitmap = found
    return (Shape(kind, label, points, extra=_extra_of(entry, len(points)), bitmap=bitmap),)


def _figure(
    entry: dict[str, Any], kind: ShapeKind, points: tuple[Point, ...], report: Report
) -> tuple[ShapeKind, tuple[Point, ...], Bitmap | None] | None:
    """What an entry draws, as one of our kinds; None after reporting what is wrong with it."""
    if entry.get("shape_type") == "circle":
        if len(points) != 2 or points[0] == points[1]:
            report("a circle needs its centre and a point on it; draw it again or remove it")
            return None
        return "polygon", circle(*points), None
    if kind == "mask":
        return _bitmap(entry, points, report)
    points = box_corners(points) if kind == "box" else points
    if kind == "box" and len(points) == 4:  # turned
        kind = "polygon"
    problem = count_problem(kind, len(points))
    if problem is None and kind == "box":
        problem = empty_box_problem(points)
    if problem is not None:
        report(problem)
        return None
    return kind, points, None


def _bitmap(
    entry: dict[str, Any], points: tuple[Point, ...], report: Report
) -> tuple[ShapeKind, tuple[Point, ...], Bitmap | None] | None:
    """A bitmap in its box, whose corners are pixels counted from 0: LabelMe's half is put back."""
    if len(points) != 2:
        report(f"a mask needs 2 opposite corners, got {len(points)} points; draw it again")
        return None
    first, last = ((x + 0.5, y + 0.5) for x, y in points)
    try:
        bitmap = read_bitmap(entry.get("mask"))
        return "mask", corners_of_bitmap(first, last, bitmap), bitmap
    except DataError as error:
        report(f"mask: {error}")
        return None


def _clicks(
    entry: dict[str, Any], points: tuple[Point, ...], label: int | None, report: Report
) -> tuple[Shape, ...]:
    """Each click of an entry on its own; those that mean "not this" are left out."""
    if not points:
        report(".points: holds no point; draw it again or remove it")
    signs = entry.get("point_labels")
    given = signs if isinstance(signs, list) and len(signs) == len(points) else [1] * len(points)
    kept = [point for point, sign in zip(points, given, strict=True) if sign != 0]
    return () if label is None else tuple(Shape("point", label, (point,)) for point in kept)


def _extra_of(entry: dict[str, Any], points: int) -> dict[str, Any]:
    extra = {key: value for key, value in entry.items() if key not in ("label", "points")}
    kind = extra.get("shape_type")
    if kind in FOREIGN:
        extra["points"] = entry["points"]
    elif kind != "line" or points != 2:  # a line is a scribble, but stays a line
        extra.pop("shape_type", None)
    return extra


def _label_of(entry: dict[str, Any], classes: ClassSet, report: Report) -> int | None:
    if "label" not in entry:
        report(": has no label; give it the name of a class")
        return None
    label = entry["label"]
    if not isinstance(label, str):
        report(f".label: must be the name of a class, got {show(label)}; correct it")
        return None
    return class_of(label, classes, at(".label: ", report))


def class_of(name: str, classes: ClassSet, report: Report) -> int | None:
    """Index of a class; None after reporting the nearest name."""
    try:
        return classes.index(name if len(name) <= 200 else f"{name[:200]}...")
    except UnknownNameError as error:
        report(str(error))
        return None


def _kind_of(shape_type: object, report: Report) -> ShapeKind | None:
    if shape_type is None:  # as LabelMe wrote before it knew other shapes
        return "polygon"
    if not isinstance(shape_type, str) or shape_type not in KIND_OF:
        report(
            f".shape_type: {show(shape_type)} cannot be used as a hint; use {', '.join(KIND_OF)}"
        )
        return None
    return KIND_OF[shape_type]


def _points_of(entry: dict[str, Any], report: Report) -> tuple[Point, ...] | None:
    points = entry.get("points")
    if not isinstance(points, list):
        report(f".points: must be a list of [x, y], got {show(points)}; draw it again")
        return None
    wrong = [index for index, point in enumerate(points) if not _is_point(point)]
    for index in wrong:
        report(
            f".points[{index}]: must be two finite numbers [x, y], got {show(points[index])}; "
            "draw it again"
        )
    if wrong:
        return None
    return tuple((float(x) - 0.5, float(y) - 0.5) for x, y in cast(list[Point], points))


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_coordinate, value))


def _is_coordinate(value: object) -> bool:
    return is_number(value) and abs(cast(float, value)) <= FARTHEST


def is_number(value: object) -> bool:
    """A finite number of JSON; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def show(value: object) -> str:
    """A value for a message of one line, however long it is."""
    return _SHORT.repr(value)


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
