"""One entry of a LabelMe file -> one shape, with all that can be wrong in it."""

import math
from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any, cast

from hintseg.errors import UnknownNameError
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
}
INSTEAD = {
    "circle": "draw it as a polygon",
    "mask": "draw it as a polygon, or paint it in a partial label map hints/NAME.png",
    "points": "draw its points one by one with shape_type 'point'",
    "oriented_rectangle": "draw it as a polygon",
}

Report = Callable[[str], None]  # takes one problem; raises it or collects it


def at(place: str, report: Report) -> Report:
    """The same reporter for problems of a part: puts its place before each."""
    return lambda problem: report(f"{place}{problem}")


def shape_of(entry: object, classes: ClassSet, report: Report) -> Shape | None:
    """The shape of one entry in hintseg's frame; None after reporting what is wrong with it."""
    if not isinstance(entry, dict):
        report(f": must be an object with label and points, got {show(entry)}; remove it")
        return None
    label = _label_of(entry, classes, report)
    kind = _kind_of(entry.get("shape_type"), report)
    points = _points_of(entry, report)
    if kind is None or points is None:
        return None
    points = box_corners(points) if kind == "box" else points
    problem = count_problem(kind, len(points))
    if problem is None and kind == "box":
        problem = empty_box_problem(points)
    if problem is not None:
        report(f".points: {problem}")
    if problem is not None or label is None:
        return None
    return Shape(kind, label, points, extra=_extra_of(entry, len(points)))


def _extra_of(entry: dict[str, Any], points: int) -> dict[str, Any]:
    extra = {key: value for key, value in entry.items() if key not in ("label", "points")}
    if extra.get("shape_type") != "line" or points != 2:  # a line is a scribble, but stays a line
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
        instead = INSTEAD.get(str(shape_type), f"use {', '.join(KIND_OF)}")
        report(f".shape_type: {show(shape_type)} cannot be used as a hint; {instead}")
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
