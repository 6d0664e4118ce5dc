"""Label images where a number is a class and one number means unlabelled -> painted hints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hintseg.errors import DataError
from hintseg.formats.arrays import ENDINGS, PLAIN, read_plane
from hintseg.formats.found import Found, Numbers, Painted, Request, Source
from hintseg.formats.maps import looked_up
from hintseg.formats.masks import FOLDERS, other_names
from hintseg.hints.shapes import Size
from hintseg.images.files import is_image_name
from hintseg.structures import UNLABELLED, LabelMap

MOST_CLASSES = 256  # more numbers than these are numbers of objects


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which numbers are classes: from `first` on, in the order of the classes."""

    first: int
    unlabelled: int
    classes: Sequence[str] = ()  # where the source does not say them


def read_layers(request: Request, numbering: Numbering) -> Source:
    """The label images of a file or folder.

    Raises:
        DataError: None.
    """
    source = request.source
    single = source.is_file() or source.suffix.lower() == ".zarr"
    home = source.parent if single else source
    files = [source] if single else layer_files(home, request.images)
    if not files:
        raise DataError(f"{request.name}: no label image ({', '.join(ENDINGS)})")
    planes: dict[Path, set[int]] = {}
    for path in files:
        with request.journal.leaving(request.place(path)):
            planes[path] = _values(path) - {numbering.unlabelled}
    names = _names(request, numbering, set().union(*planes.values()))
    found = []
    for path in planes:
        place, name = request.place(path), path.relative_to(home).with_suffix("").as_posix()
        painted = Painted(place, _reader(path, names, numbering.unlabelled))
        found.append(Found(name, place, also=other_names(name), hints=painted))
    maps = {path.resolve() for path in planes}
    return Source(found, tuple(names.values()), folders=[home], maps=maps)


def layer_files(home: Path, images: Path | None) -> list[Path]:
    """The label images of a folder; of those that may be photographs only what is called a map."""
    arrays, pictures = list[Path](), list[Path]()
    closed = None if images is None else images.resolve()
    for path in sorted(home.rglob("*")):
        ending = path.suffix.lower()
        if ending not in ENDINGS or any(part.suffix == ".zarr" for part in path.parents):
            continue
        if closed is not None and closed in path.resolve().parents and closed != home:
            continue
        (arrays if ending not in (*PLAIN, ".tif", ".tiff") else pictures).append(path)
    if images is None:
        stems: dict[str, set[Path]] = {}
        for path in home.rglob("*"):
            if is_image_name(path) and not _is_in_map_folder(path, home):
                stems.setdefault(path.stem.casefold(), set()).add(path)
        pictures = [path for path in pictures if _is_layer(path, home, stems)]
    return sorted([*arrays, *pictures])


def _is_layer(path: Path, home: Path, stems: Mapping[str, set[Path]]) -> bool:
    """Whether a picture is a label image: by its folder, or because another has its name."""
    if _is_in_map_folder(path, home):
        return True
    names = {each.casefold() for each in (path.stem, *other_names(path.stem))}
    return any(stems.get(name, set()) - {path} for name in names)


def _is_in_map_folder(path: Path, home: Path) -> bool:
    return any(part.casefold() in FOLDERS for part in path.relative_to(home).parts[:-1])


def _values(path: Path) -> set[int]:
    values = set(np.unique(read_plane(path)).tolist())
    if len(values) > MOST_CLASSES:
        raise DataError(f"{len(values)} numbers; those of objects are no classes")
    return values


def _names(request: Request, numbering: Numbering, values: set[int]) -> dict[int, str]:
    """The name of each number: in the order of --classes, or the number itself."""
    asked, first = request.classes, numbering.first
    if asked is not None and not any(str(value) in asked.meaning for value in values):
        return dict(enumerate(asked.names, first))
    if asked is None and numbering.classes:
        return dict(enumerate(numbering.classes, first))
    return {value: str(value) for value in sorted(values)}


@dataclass(frozen=True, slots=True)
class _Layer:
    """Reads one label image."""

    path: Path
    names: dict[int, str]
    unlabelled: int

    def __call__(self, numbers: Numbers, _: Size) -> LabelMap:
        """Class indices, or UNLABELLED."""
        plane = read_plane(self.path)
        return looked_up(plane, self.names, numbers, nothing=UNLABELLED, without=[self.unlabelled])


def _reader(path: Path, names: dict[int, str], unlabelled: int) -> _Layer:
    return _Layer(path, names, unlabelled)
