"""VGG Image Annotator 1 and 2: projects, JSON and CSV annotations.

(https://www.robots.ox.ac.uk/~vgg/software/via/) The class of a region is its attribute `class`,
`label`, `name`, `type` or `category`, or the only one that it has. Attributes of an image that are
called so are tags. Coordinates are pixels as the browser counts them, from the top-left corner.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError
from hintseg.formats.found import Drawn, Found, Request, Source
from hintseg.formats.reading import load_json, number, rounded_ellipse, rows_of
from hintseg.hints.labelme_shapes import show
from hintseg.hints.shapes import Point
from hintseg.structures import ShapeKind

CLASS_KEYS = ("class", "label", "name", "type", "category", "object", "class_name")
Figure = tuple[ShapeKind, tuple[Point, ...]]


def read(request: Request) -> Source:
    """The images of a file, or of all in a folder.

    Raises:
        DataError: No file of VIA, or one of a version that is not known.
    """
    source = request.source
    endings = (".json", ".csv")
    files = [source] if source.is_file() else sorted(source.rglob("*"))
    found: list[Found] = []
    for path in files:
        place = request.place(path)
        if path.suffix.lower() in endings:
            with request.journal.leaving(place):
                rows = _rows(path, place) if path.suffix.lower() == ".csv" else _images(path, place)
                found += [_image(request, image, f"{place}: {key}") for key, image in rows.items()]
    if not found:
        reasons = "; ".join(request.journal.left)
        raise DataError(f"{request.name}: no file of VIA{reasons and f' ({reasons})'}")
    return Source(found, folders=[source if source.is_dir() else source.parent])


def _images(path: Path, place: str) -> dict[str, Any]:
    content = load_json(path, place)
    if isinstance(content, dict) and "file" in content and "metadata" in content:
        raise DataError("a project of VIA 3; export it as JSON of VIA 2")
    images = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(images, dict) or not all(
        isinstance(each, dict) and isinstance(each.get("filename"), str) for each in images.values()
    ):
        raise DataError("no annotations of VIA: each image needs a filename")
    return images


def _rows(path: Path, place: str) -> dict[str, Any]:
    """The same of a CSV file: a line for each region."""
    rows = list(rows_of(path, place))
    headings = [cell.lstrip("#").strip() for cell in rows[0][1]] if rows else []
    needed = ("filename", "region_shape_attributes", "region_attributes")
    if not {*needed} <= {*headings}:
        raise DataError(f"no CSV file of VIA: it needs the columns {', '.join(needed)}")
    images: dict[str, Any] = {}
    for line, cells in rows[1:]:
        row = dict(zip(headings, cells, strict=False))
        if not row.get("filename"):
            raise DataError(f"line {line}: names no file")
        image = images.setdefault(row["filename"], {"filename": row["filename"], "regions": []})
        try:
            image["file_attributes"] = parse_json(row.get("file_attributes") or "{}")
            keys = ("region_shape_attributes", "region_attributes")
            shape, attributes = (parse_json(row.get(key) or "{}") for key in keys)
        except ValueError as error:
            raise DataError(f"line {line}: its attributes are no JSON") from error
        if shape:
            region = {"shape_attributes": shape, "region_attributes": attributes}
            image["regions"].append(region)
    return images


def _image(request: Request, image: dict[str, Any], place: str) -> Found:
    found = Found(image["filename"], place)
    attributes = image.get("file_attributes")
    if isinstance(attributes, dict):
        for key, value in attributes.items():
            if key.casefold() in CLASS_KEYS:
                found.tags += _ticked(value)
    regions = image.get("regions") or []
    values = list(regions.values()) if isinstance(regions, dict) else regions  # of version 1
    if not isinstance(values, list):
        request.journal.leave(f"regions must be a list, got {show(regions)}", place)
        return found
    for index, region in enumerate(values):
        where = f"{place}.regions[{index}]"
        with request.journal.leaving(where):
            found.drawn += _region(region, where)
    return found


def _region(region: Any, place: str) -> list[Drawn]:  # noqa: ANN401
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise DataError("a region without shape_attributes")
    kind = shape.get("name")
    if not isinstance(kind, str) or kind not in FIGURES:
        raise DataError(f"a region of shape {show(kind)} is not known")
    labels = _labels(region.get("region_attributes"))
    figure, points = FIGURES[kind](shape)
    return [Drawn(figure, label, points, place) for label in labels]


def _labels(attributes: Any) -> list[str]:  # noqa: ANN401
    """The class of a region, or several where a person ticked several."""
    if not isinstance(attributes, dict):
        raise DataError("a region without region_attributes")
    by_key = {key.casefold(): value for key, value in attributes.items()}
    for key in CLASS_KEYS:
        if _ticked(by_key.get(key)):
            return _ticked(by_key[key])
    given = [value for value in attributes.values() if _ticked(value)]
    if len(given) != 1:
        names = ", ".join(map(str, attributes))[:60] or "none"
        raise DataError(f"a region whose class is not to be seen among its attributes ({names})")
    return _ticked(given[0])


def _ticked(value: Any) -> list[str]:  # noqa: ANN401
    """Text, or the names that are true of a list of boxes to tick."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, dict):
        return [name.strip() for name, on in value.items() if on and name.strip()]
    return []


def _values(shape: Mapping[str, Any], *keys: str) -> tuple[float, ...]:
    return tuple(number(shape.get(key)) for key in keys)


def _point(shape: Mapping[str, Any]) -> Figure:
    x, y = _values(shape, "cx", "cy")
    return "point", ((x, y),)


def _rect(shape: Mapping[str, Any]) -> Figure:
    x, y, width, height = _values(shape, "x", "y", "width", "height")
    return "box", ((x, y), (x + width, y + height))


def _circle(shape: Mapping[str, Any]) -> Figure:
    x, y, radius = _values(shape, "cx", "cy", "r")
    return "polygon", rounded_ellipse((x, y), (radius, radius))


def _ellipse(shape: Mapping[str, Any]) -> Figure:
    x, y, across, down = _values(shape, "cx", "cy", "rx", "ry")
    turn = number(shape.get("theta") or 0)  # radians
    return "polygon", rounded_ellipse((x, y), (across, down), turn * 180 / 3.141592653589793)


def _corners(shape: Mapping[str, Any]) -> tuple[Point, ...]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise DataError("all_points_x and all_points_y must be lists of one length")
    return tuple((number(x), number(y)) for x, y in zip(xs, ys, strict=True))


def _polygon(shape: Mapping[str, Any]) -> Figure:
    return "polygon", _corners(shape)


def _polyline(shape: Mapping[str, Any]) -> Figure:
    return "scribble", _corners(shape)


FIGURES: Mapping[Any, Callable[[Mapping[str, Any]], Figure]] = {
    "point": _point,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "polyline": _polyline,
}
