"""CVAT: images 1.1 (XML in a folder or ZIP file), and colour masks with a labelmap.txt.

(https://docs.cvat.ai/docs/manual/advanced/xml_format/) Coordinates count from the corner of the
top-left pixel. A mask is runs of 0 and 1 by turns along the rows of its box.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hintseg.errors import DataError
from hintseg.formats import voc
from hintseg.formats.found import Drawn, Found, Request, Source
from hintseg.formats.reading import (
    load_xml,
    number,
    rounded_ellipse,
    size_of,
    turned_box,
)
from hintseg.formats.rle import row_bitmap
from hintseg.hints.shapes import Point

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

KNOWN = "1.1"


def read(request: Request) -> Source:
    """The images of an export, whichever of both forms it has.

    Raises:
        DataError: Neither of them.
        MissingExtraError: defusedxml is not installed.
    """
    source = request.source
    if source.is_dir() and any(source.rglob(voc.LABELMAP)):
        return voc.read(request)
    files = [source] if source.is_file() else sorted(source.rglob("*.xml"))
    reader = _Export(request)
    for path in files:
        with request.journal.leaving(request.place(path)):
            reader.file(path, request.place(path))
    if not reader.found:
        reasons = "; ".join(request.journal.left)
        text = "no CVAT for images 1.1 (XML), and no labelmap.txt with masks"
        reasons = reasons and f" ({reasons})"
        raise DataError(f"{request.name}: {text}{reasons}; choose the format that it has")
    home = source if source.is_dir() else source.parent
    return Source(reader.found, tuple(reader.labels), folders=[home], splits=reader.splits)


@dataclass(slots=True)
class _Export:
    """The XML files of one export."""

    request: Request
    found: list[Found] = field(default_factory=list)
    labels: dict[str, None] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)

    def file(self, path: Path, place: str) -> None:
        """Read one file."""
        root = load_xml(path, place)
        if root.tag != "annotations":
            raise DataError(f"no XML of CVAT: it is a {root.tag!r}")
        version = (root.findtext("version") or "").strip()
        if version and not version.startswith("1."):
            raise DataError(f"version {version} of CVAT's XML is not known; export as {KNOWN}")
        for label in root.iterfind("meta//labels/label"):
            name = (label.findtext("name") or "").strip()
            if name and not (label.findtext("parent") or "").strip():
                self.labels[name] = None
        for index, _ in enumerate(root.findall("track")):
            reason = "a track of a video; export as CVAT for images 1.1"
            self.request.journal.leave(reason, f"{place}: track[{index}]")
        for index, image in enumerate(root.findall("image")):
            self._image(image, f"{place}: image[{index}]")

    def _image(self, image: "Element", place: str) -> None:
        name = image.get("name") or ""
        if not name:
            self.request.journal.leave("an image without a name", place)
            return
        size = size_of(image.get("height"), image.get("width"))
        found = Found(name, f"{place} {name}", size=size)
        subset = (image.get("subset") or "").lower()
        if subset in ("train", "val", "validation", "test"):
            key = "val" if subset == "validation" else subset
            self.splits.setdefault(key, []).append(name)
        counts: dict[str, int] = {}
        for thing in image:
            number_ = counts[thing.tag] = counts.get(thing.tag, -1) + 1
            where = f"{place} {name}: {thing.tag}[{number_}]"
            if thing.find("attribute") is not None:
                self.request.journal.leave("attributes, which are no classes", where)
            with self.request.journal.leaving(where):
                self._thing(thing, found, where)
        self.found.append(found)

    def _thing(self, thing: "Element", found: Found, place: str) -> None:
        label = (thing.get("label") or "").strip()
        if thing.tag == "tag":
            found.tags.append(label)
        elif thing.tag == "skeleton":
            found.drawn += _skeleton(thing, label, place)
        elif thing.tag in SHAPES:
            found.drawn += SHAPES[thing.tag](thing, label, place)
        else:
            raise DataError(f"a {thing.tag} is no hint")


def _values(thing: "Element", *keys: str) -> tuple[float, ...]:
    return tuple(number(thing.get(key)) for key in keys)


def _turn(thing: "Element") -> float:
    return number(thing.get("rotation") or "0")


def _box(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    left, top, right, bottom = _values(thing, "xtl", "ytl", "xbr", "ybr")
    if _turn(thing):
        pivot = ((left + right) / 2, (top + bottom) / 2)
        corners = turned_box((left, top), (right - left, bottom - top), _turn(thing), pivot)
        yield Drawn("polygon", label, corners, place)
    else:
        yield Drawn("box", label, ((left, top), (right, bottom)), place)


def _ellipse(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    x, y, across, down = _values(thing, "cx", "cy", "rx", "ry")
    yield Drawn("polygon", label, rounded_ellipse((x, y), (across, down), _turn(thing)), place)


def _polygon(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    yield Drawn("polygon", label, _points(thing), place)


def _polyline(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    yield Drawn("scribble", label, _points(thing), place)


def _clicks(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    for point in _points(thing):
        yield Drawn("point", label, (point,), place)


def _skeleton(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    """The joints that are seen, as clicks of the skeleton's class."""
    for joint in thing.findall("points"):
        if joint.get("outside") != "1":
            yield from _clicks(joint, label, place)


def _mask(thing: "Element", label: str, place: str) -> Iterator[Drawn]:
    left, top, width, height = (int(value) for value in _values(thing, "left", "top", *_SIDES))
    if not (width > 0 and height > 0 and width * height <= 2**31):
        raise DataError(f"a mask of {width} x {height} pixels")
    words = (thing.get("rle") or "").split(",")
    counts = [int(number(word.strip())) for word in words if word.strip()]
    bitmap = partial(row_bitmap, counts, (height, width))
    yield Drawn("mask", label, ((float(left), float(top)),), place, bitmap=bitmap)


_SIDES = ("width", "height")
SHAPES: Mapping[str, Callable[["Element", str, str], Iterator[Drawn]]] = {
    "box": _box,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "polyline": _polyline,
    "points": _clicks,
    "mask": _mask,
}


def _points(thing: "Element") -> tuple[Point, ...]:
    """`x,y;x,y;...`."""
    points = []
    for pair in (thing.get("points") or "").split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise DataError(f"points must be x,y;x,y;..., got {pair[:40]!r}")
        points.append((number(x), number(y)))
    return tuple(points)
