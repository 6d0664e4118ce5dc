"""What a reader finds in the files of another tool, before images and classes are settled.

Coordinates are those of most tools: x to the right, y down, (0, 0) the outer corner of the top-left
pixel, in pixels or (`relative`) as shares of width and height. Classes are names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from hintseg.formats.classes import ClassList
from hintseg.formats.journal import Journal
from hintseg.hints.shapes import Point, Size
from hintseg.plain import one_line
from hintseg.structures import LabelMap, ShapeKind

Bitmap = Bool[np.ndarray, "_ _"]
Numbers = Mapping[str, int]  # name of a class in the source -> class index; left out: not wanted


@dataclass(frozen=True, slots=True)
class Drawn:
    """One thing that somebody drew.

    A mask has its top left pixel as its only point, (0, 0) where the bitmap is as large as the
    image; it is decoded when it is needed, and may raise DataError then.
    """

    kind: ShapeKind
    label: str
    points: tuple[Point, ...]
    place: str  # in its file, for messages
    relative: bool = False
    bitmap: Callable[[], Bitmap] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Painted:
    """A label map: its file, and a function that reads it as class indices, UNLABELLED or VOID.

    The function is told which index each class of the source has, and the size of the image; it
    raises DataError.
    """

    place: str
    read: Callable[[Numbers, Size], LabelMap]


@dataclass(slots=True)
class Found:
    """What a source says of one image."""

    image: str  # as the source calls it: a name, a file, a path, an address
    place: str  # where it says so
    also: tuple[str, ...] = ()  # other names, if there is no image of the first
    size: Size | None = None  # height and width that it claims
    drawn: list[Drawn] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    hints: Painted | None = None
    mask: Painted | None = None
    file: Path | None = None  # the image itself, where the reader knows it
    content: Callable[[], bytes] | None = None  # the image itself, in the source's own file


@dataclass(frozen=True, slots=True)
class Source:
    """All that a reader finds."""

    found: Sequence[Found]
    classes: Sequence[str] = ()  # in the source's order; those beyond it follow by alphabet
    folders: Sequence[Path] = ()  # where its images may lie
    splits: Mapping[str, Collection[str]] = field(default_factory=dict)  # split -> images
    maps: Collection[Path] = ()  # files among the images that are label maps


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader is asked."""

    source: Path  # a file or a folder; a ZIP file has been unpacked
    name: str  # of the source, as the user wrote it
    journal: Journal  # takes what is left
    images: Path | None = None  # where the user says that the images are
    classes: ClassList | None = None

    def place(self, path: Path) -> str:
        """How a file of the source is called in messages."""
        if path == self.source:
            return self.name
        try:
            return f"{self.name}/{one_line(path.relative_to(self.source).as_posix())}"
        except ValueError:
            return one_line(str(path))


Reader = Callable[[Request], Source]
