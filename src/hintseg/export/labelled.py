"""What the writers of all formats are given: classes, options, and one labelled image at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hintseg.errors import ConfigError
from hintseg.export.pieces import Piece
from hintseg.images.label_maps import palette
from hintseg.structures import ClassSet, LabelMap

COMPONENT, CLASS = "component", "class"
POLYGONS, MASKS = "polygons", "masks"
LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files of its own disk

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How label maps become objects.

    Raises:
        ConfigError: A value that cannot work.
    """

    drawn: str | None = None  # "polygons", "masks", ...; None: the first that the format has
    objects: str = COMPONENT  # one for each connected piece; or "class": one for each class
    tolerance: float = 1.0  # pixels by which outlines may be off
    smallest: int | None = None  # pieces of fewer pixels are dropped; None: as the format has it
    background: bool = False  # objects of the background too
    link: bool = False  # photographs as links instead of copies
    url: str | None = None  # what stands before the path of a photograph

    @property
    def by_piece(self) -> bool:
        """Whether each connected piece is an object."""
        return self.objects == COMPONENT

    def __post_init__(self) -> None:
        if self.objects not in (COMPONENT, CLASS):
            raise ConfigError(f"--objects {self.objects}: choose {COMPONENT} or {CLASS}")
        if not 0 <= self.tolerance <= 1000:
            raise ConfigError(f"--tolerance {self.tolerance}: must be 0 to 1000 pixels")
        if self.smallest is not None and self.smallest < 0:
            raise ConfigError(f"--smallest {self.smallest}: must be 0 pixels or more")


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of the written files: of all, those that get objects, numbered from 0."""

    classes: ClassSet
    kept: tuple[int, ...]  # class indices

    def __iter__(self) -> Iterator[tuple[int, str, Colour]]:
        """Number, name and colour of each class that is kept."""
        for number, index in enumerate(self.kept):
            yield number, self.classes[index], self.colour(index)

    def number(self, index: int) -> int:
        """Number of a class in the written files."""
        return self.kept.index(index)

    def name(self, index: int) -> str:
        """Name of a class."""
        return self.classes[index]

    def colour(self, index: int) -> Colour:
        """Red, green, blue, as in the palette of label maps."""
        return _colours(len(self.classes))[index]

    def hex_colour(self, index: int) -> str:
        """The same as #rrggbb."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour(index))


@cache
def _colours(count: int) -> tuple[Colour, ...]:
    return tuple((red, green, blue) for red, green, blue in palette(count).tolist())


def legend_of(classes: ClassSet, *, background: bool) -> Legend:
    """All classes, or all but the background."""
    return Legend(classes, tuple(range(len(classes))) if background else classes.foreground)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image with its labels, crumbs dropped."""

    name: str
    photograph: Path | None
    place: str  # path of the photograph in its folder, with slashes
    labels: LabelMap
    pieces: Sequence[Piece]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.labels.shape[0], self.labels.shape[1]

    @property
    def score(self) -> float | None:
        """Mean score over the pixels of all pieces."""
        known = [(piece.score, piece.area) for piece in self.pieces if piece.score is not None]
        if not known:
            return None
        return sum(score * area for score, area in known) / sum(area for _, area in known)


Add = Callable[[Labelled], None]
Writer = Callable[[Path, Legend, ExportOptions], AbstractContextManager[Add]]
