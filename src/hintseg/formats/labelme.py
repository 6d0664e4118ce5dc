"""Folders of LabelMe files of any version; the images may be in the files themselves.

Circles, bitmaps and unknown keys stay as they are. Flags are tags where they name a class, or all
of them where nothing is drawn and no list of classes is given.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hintseg.errors import DataError
from hintseg.files import is_there
from hintseg.formats.classes import IGNORED, read_classes
from hintseg.formats.found import Drawn, Found, Request, Source
from hintseg.formats.reading import entries, load_json, size_of
from hintseg.hints.labelme_shapes import shapes_of, show
from hintseg.structures import ClassSet, Shape

LISTS = ("labels.txt", "classes.txt")


def read(request: Request) -> Source:
    """The files of a folder and its sub-folders, or one file.

    Raises:
        DataError: None of them is LabelMe's.
    """
    source = request.source
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    home = source if source.is_dir() else source.parent
    read_files = []
    for path in files:
        place = request.place(path)
        with request.journal.leaving(place):
            read_files.append(_File(request, path, place, _content(path, place)))
    if not read_files:
        reasons = "; ".join(request.journal.left)
        raise DataError(f"{request.name}: no file of LabelMe{reasons and f' ({reasons})'}")
    found = [each.read() for each in read_files]
    listed = _listed(request, home)
    known = set(listed or (request.classes.meaning if request.classes else ()))
    known |= {drawn.label for each in found for drawn in each.drawn}
    for each in read_files:
        each.tag(known)
    return Source(found, listed, folders=[home])


def _listed(request: Request, home: Path) -> tuple[str, ...]:
    for name in LISTS:
        path = home / name
        if path.is_file():
            return read_classes(path, request.place(path)).names
    return ()


def _content(path: Path, place: str) -> dict[str, Any]:
    content = load_json(path, place)
    if not isinstance(content, dict) or "shapes" not in content:
        raise DataError("not a LabelMe file: it has no 'shapes'")
    return content


@dataclass(slots=True)
class _File:
    """One file; what is found in it is kept for its flags."""

    request: Request
    path: Path
    place: str
    content: dict[str, Any]
    found: Found | None = None

    def read(self) -> Found:
        """Its image and shapes."""
        content = self.content
        named = content.get("imagePath")
        stem = self.path.with_suffix("").name
        folder = self.path.parent.name
        image = named if isinstance(named, str) and named.strip() else f"{folder}/{stem}"
        size = size_of(content.get("imageHeight"), content.get("imageWidth"))
        found = Found(image, self.place, also=(stem,), size=size)
        beside = self._beside(image)
        if beside is not None:
            found.file = beside
        if isinstance(content.get("imageData"), str) and content["imageData"]:
            found.content = partial(_image_in, content.pop("imageData"))
        for index, entry in enumerate(entries(content, "shapes", self.place)):
            place = f"{self.place}: shapes[{index}]"
            with self.request.journal.leaving(place):
                found.drawn += self._entry(entry, place)
        self.found = found
        return found

    def _beside(self, image: str) -> Path | None:
        """The image where the file says that it is, as seen from there."""
        named = self.path.parent / image.replace("\\", "/")
        if self.request.images is not None or not is_there(named):
            return None
        home = self.request.source if self.request.source.is_dir() else self.path.parent
        path = named.resolve()
        return path if path.is_relative_to(home.resolve()) else None

    def _entry(self, entry: Any, place: str) -> Iterator[Drawn]:  # noqa: ANN401
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise DataError(f"a shape without a label: {show(label)}")
        if label in IGNORED:
            raise DataError(f"label {label}, which stands for none")

        def stop(problem: str) -> None:
            raise DataError(problem.lstrip(".: "))

        for shape in shapes_of(entry, ClassSet((label,)), stop):
            yield _drawn(shape, label.strip(), place)

    def tag(self, known: set[str]) -> None:
        """Take the ticked flags that name a class."""
        flags = self.content.get("flags")
        if not isinstance(flags, dict) or self.found is None:
            return
        for name, ticked in flags.items():
            if ticked is True and (name in known or not known):
                self.found.tags.append(name)
            elif ticked is True:
                reason = f"flag {name!r}, which names no class"
                self.request.journal.leave(reason, f"{self.place}: flags")


def _drawn(shape: Shape, label: str, place: str) -> Drawn:
    """A shape of hintseg's frame, as the readers have it."""
    if shape.kind == "mask":
        bitmap = shape.bitmap
        assert bitmap is not None
        return Drawn("mask", label, shape.points[:1], place, bitmap=lambda: bitmap)
    points = tuple((x + 0.5, y + 0.5) for x, y in shape.points)
    return Drawn(shape.kind, label, points, place, extra=shape.extra)


def _image_in(text: str) -> bytes:
    """The image in a file; DataError where it is none."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
    except (binascii.Error, ValueError) as error:
        raise DataError("imageData is no image in base64") from error
