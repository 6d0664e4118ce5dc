"""Label Studio's JSON export: rectangles, polygons, ellipses, keypoints, brushes, choices.

(https://labelstud.io/guide/export) Coordinates are percent of width and height. Of several people
all annotations are taken; predictions, skipped and cancelled ones are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hintseg.errors import DataError
from hintseg.formats.found import Drawn, Found, Request, Source
from hintseg.formats.reading import (
    load_json,
    number,
    rounded_ellipse,
    size_of,
    turned_box,
)
from hintseg.formats.rle import brush_bitmap
from hintseg.hints.labelme_shapes import show
from hintseg.hints.shapes import Point, Size

LABELS = "labels"  # how keys of classes end, such as polygonlabels
MINIMAL = "a JSON-MIN export has no kinds of shapes; export as JSON"
IMAGE_KEYS = ("image", "img", "photo", "picture", "ocr", "url")
UNCONFIRMED = (
    "predictions that nobody has submitted; submit them in Label Studio and export as JSON"
)


def read(request: Request) -> Source:
    """The tasks of one JSON file, or of all in a folder.

    Raises:
        DataError: No export of Label Studio.
    """
    source = request.source
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    found = []
    for path in files:
        place = request.place(path)
        content = load_json(path, place)
        tasks = content if isinstance(content, list) else [content]
        for index, task in enumerate(tasks):
            where = f"{place}: [{index}]"
            with request.journal.leaving(where):
                found.append(_Task(request, task, where).read())
    if not found:
        reasons = "; ".join(request.journal.left)
        text = "no export of Label Studio as JSON"
        raise DataError(f"{request.name}: {text}{reasons and f' ({reasons})'}")
    home = source if source.is_dir() else source.parent
    return Source(found, folders=[home])


@dataclass(slots=True)
class _Task:
    """One image with what people said of it."""

    request: Request
    task: Any
    place: str

    def read(self) -> Found:
        """What is said of the image."""
        task = self.task
        if not isinstance(task, dict):
            raise DataError(f"a task must be an object, got {show(task)}")
        annotations = task.get("annotations", task.get("completions"))
        if not isinstance(annotations, list):
            raise DataError(_why_none(task))
        found = Found(self._image(), self.place, also=(str(task.get("file_upload") or ""),))
        if task.get("predictions"):
            self.request.journal.leave("predictions, which nobody has confirmed", self.place)
        taken = 0
        for index, annotation in enumerate(annotations):
            place = f"{self.place}.annotations[{index}]"
            with self.request.journal.leaving(place):
                self._annotation(annotation, found, place)
                taken += 1
        if taken > 1:
            what = "several annotators: all are taken, what they disagree on stays unlabelled"
            self.request.journal.change(what, self.place)
        return found

    def _image(self) -> str:
        data = self.task.get("data")
        if not isinstance(data, dict):
            raise DataError("a task without data")
        values = [data.get(key) for key in IMAGE_KEYS] + list(data.values())
        for value in values:
            if isinstance(value, str) and value.strip():
                return value
        raise DataError("a task whose data names no image")

    def _annotation(self, annotation: Any, found: Found, place: str) -> None:  # noqa: ANN401
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise DataError("an annotation without a result")
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            raise DataError("an annotation that was cancelled")
        results = annotation["result"]
        labels = {
            each["id"]: each["value"]["labels"]
            for each in results
            if isinstance(each, dict)
            and each.get("type") == LABELS
            and isinstance(each.get("id"), str)
            and isinstance(each.get("value"), dict)
            and "labels" in each["value"]
        }
        for index, each in enumerate(results):
            where = f"{place}.result[{index}]"
            with self.request.journal.leaving(where):
                self._result(each, labels, found, where)

    def _result(self, each: Any, labels: dict[str, Any], found: Found, place: str) -> None:  # noqa: ANN401
        if not isinstance(each, dict) or not isinstance(each.get("value"), dict):
            raise DataError("a result without a value")
        kind, value = str(each.get("type")), each["value"]
        if kind == "choices":
            found.tags += _names(value.get("choices"))
            return
        if kind == LABELS and not {"x", "points", "rle"} & value.keys():
            return  # the class of another result
        if number(each.get("image_rotation") or 0) % 360:
            raise DataError("drawn on an image that was turned in Label Studio; turn it back")
        names = _own_names(value) or _names(labels.get(str(each.get("id"))))
        if not names:
            raise DataError(f"a {kind} without a class")
        size = size_of(each.get("original_height"), each.get("original_width"))
        found.size = found.size or size
        for name in names:
            found.drawn += _shapes(value, name, size, place)


def _own_names(value: dict[str, Any]) -> list[str]:
    """The classes under rectanglelabels, polygonlabels, brushlabels, ..."""
    for key, found in value.items():
        if key.endswith(LABELS) and isinstance(found, list) and found:
            return _names(found)
    return []


def _names(value: Any) -> list[str]:  # noqa: ANN401
    if not isinstance(value, list):
        return []
    return [each.strip() for each in value if isinstance(each, str) and each.strip()]


def _shapes(value: dict[str, Any], name: str, size: Size | None, place: str) -> Iterator[Drawn]:
    """What one result draws; its keys say what it is."""
    if "rle" in value:
        if size is None:
            raise DataError("a brush without original_width and original_height")
        bitmap = partial(brush_bitmap, value["rle"], size)
        yield Drawn("mask", name, ((0.0, 0.0),), place, bitmap=bitmap)
    elif "points" in value:
        yield Drawn("polygon", name, _points(value["points"]), place, relative=True)
    elif "radiusX" in value:
        yield Drawn("polygon", name, _round(value, size), place, relative=True)
    elif "width" in value and "height" in value:
        yield _box(value, name, size, place)
    elif "x" in value and "y" in value:
        centre = (number(value["x"]) / 100, number(value["y"]) / 100)
        yield Drawn("point", name, (centre,), place, relative=True)
    else:
        raise DataError(f"a shape of keys {', '.join(sorted(value))[:60]} is not known")


def _points(value: Any) -> tuple[Point, ...]:  # noqa: ANN401
    if not isinstance(value, list) or not all(
        isinstance(each, list) and len(each) == 2 for each in value
    ):
        raise DataError(f"points must be a list of [x, y], got {show(value)}")
    return tuple((number(x) / 100, number(y) / 100) for x, y in value)


def _box(value: dict[str, Any], name: str, size: Size | None, place: str) -> Drawn:
    left, top, width, height = (number(value.get(key)) for key in ("x", "y", "width", "height"))
    degrees = number(value.get("rotation") or 0)
    if not degrees:
        corners: tuple[Point, ...] = ((left, top), (left + width, top + height))
        return Drawn("box", name, _shares(corners), place, relative=True)
    down, across = size or (1, 1)  # angles are kept where both sides are counted in pixels
    corner, sides = (left * across, top * down), (width * across, height * down)
    corners = turned_box(corner, sides, degrees, corner)
    corners = _shares(tuple((x / across, y / down) for x, y in corners))
    return Drawn("polygon", name, corners, place, relative=True)


def _round(value: dict[str, Any], size: Size | None) -> tuple[Point, ...]:
    x, y, wide, high = (number(value.get(key)) for key in ("x", "y", "radiusX", "radiusY"))
    down, across = size or (1, 1)
    degrees = number(value.get("rotation") or 0)
    found = rounded_ellipse((x * across, y * down), (wide * across, high * down), degrees)
    return _shares(tuple((px / across, py / down) for px, py in found))


def _shares(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple((x / 100, y / 100) for x, y in points)


def _why_none(task: dict[str, Any]) -> str:
    """Why a task has nothing to take."""
    if "annotation_id" in task:
        return MINIMAL
    return UNCONFIRMED if task.get("predictions") else "a task without annotations"
