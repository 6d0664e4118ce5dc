"""Folders of label maps: indexed, grey or coloured, or a file for each class of an image.

- A colour file is read by the colours of `--classes FILE` (`cow: 128,0,0`), else its colours are
  classes called `#800000`. A palette is read so too where the file lists colours, else by index.
- A grey or indexed file holds class indices, 255 void; where other values occur, they are classes
  called by their numbers. `--classes cow=255,grass=0` gives values and colours a name.
- `NAME_CLASS.png`, `NAME/CLASS.png` or `CLASS/NAME.png`: not 0 is the class.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hintseg.errors import DataError
from hintseg.formats.classes import ClassList
from hintseg.formats.found import Found, Painted, Request, Source
from hintseg.formats.maps import VOC_VOID, VOID_NAMES, VOID_VALUE, by_colours, by_files, by_values
from hintseg.formats.pictures import Pictures
from hintseg.images.files import is_image_name
from hintseg.images.label_maps import MANY, Colour, kind_of_map, read_colours, read_values
from hintseg.images.photographs import is_deep
from hintseg.structures import VOID

ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif")
MARKS = ("mask", "label", "labels", "labelids", "labeltrainids", "gt", "seg", "segmentation", "l")
"""What is put behind the name of an image to call its label map: cow_mask.png."""

FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "gt",
    "annotations",
    "segmentation",
    "labelmaps",
    "layers",
)
"""Folders that are called so hold label maps where photographs lie in the same source."""

DEEP_VOID = 65535


def read(request: Request) -> Source:
    """The label maps of a folder.

    Raises:
        DataError: None, or values that cannot be classes.
    """
    return read_maps(request, _Masks)


@dataclass(frozen=True, slots=True)
class _Masks:
    """How the maps of a source are read: the classes and what each file holds."""

    request: Request
    files: Sequence[Path]

    def painted(self) -> tuple[tuple[str, ...], dict[Path, Painted]]:
        """The classes in their order, and a reader for each file."""
        journal, kinds = self.request.journal, dict[Path, str]()
        for path in self.files:
            kind = journal.attempt(self.request.place(path), partial(kind_of_map, path))
            if kind is not None:
                kinds[path] = kind
        asked = self.request.classes
        listed = bool(asked and asked.colours)
        by_colour = [p for p, kind in kinds.items() if kind == "colour" or listed]
        plain = [p for p in kinds if p not in {*by_colour}]
        classes, painted = self._plain(plain, asked) if plain else ((), {})
        more, coloured = self._coloured(by_colour, asked) if by_colour else ((), {})
        return tuple(dict.fromkeys([*classes, *more])), {**painted, **coloured}

    def _plain(
        self, files: list[Path], asked: ClassList | None
    ) -> tuple[tuple[str, ...], dict[Path, Painted]]:
        """Maps of values: class indices, or values that are called by their numbers."""
        values, void = set[int](), dict[Path, int]()
        for path in files:
            void[path] = DEEP_VOID if is_deep(path) else VOID_VALUE
            with self.request.journal.leaving(self.request.place(path)):
                found = set(np.unique(read_values(path)).tolist())
                if len(found) > MANY * 4:
                    raise DataError(f"{len(found)} values: a photograph, or numbers of objects")
                values |= found
        binary = values == {0, VOID_VALUE}
        if binary:
            void = dict.fromkeys(void, -1)
            what = "0 and 255 alone are taken as two classes"
            self.request.journal.change(what, self.request.name)
        values -= {*void.values()}
        by_number = asked is not None and any(str(value) in asked.meaning for value in values)
        if asked is not None and by_number and str(VOID_VALUE) in asked.meaning:
            values.add(VOID_VALUE)
            void = dict.fromkeys(void, -1)
        names = {value: str(value) for value in sorted(values)}
        if asked is not None and not by_number:
            order = sorted(values) if binary else range(len(asked.names))
            names = dict(zip(order, asked.names, strict=False))
        return tuple(names.values()), {
            path: by_values(
                path, self.request.place(path), names, nothing=VOID, without=[void[path]]
            )
            for path in files
        }

    def _coloured(
        self, files: list[Path], asked: ClassList | None
    ) -> tuple[tuple[str, ...], dict[Path, Painted]]:
        """Maps of colours: those of a list, or classes that are called by their colours."""
        void: list[Colour] = [VOC_VOID]
        if asked is not None and asked.colours:
            names = {n: c for n, c in asked.colours.items() if n.casefold() not in VOID_NAMES}
            void += [c for n, c in asked.colours.items() if n.casefold() in VOID_NAMES]
        else:
            names = self._own_colours(files)
            void = []
        return tuple(names), {
            path: by_colours(path, self.request.place(path), names, nothing=VOID, void=void)
            for path in files
        }

    def _own_colours(self, files: list[Path]) -> dict[str, Colour]:
        numbers = set[int]()
        for path in files:
            with self.request.journal.leaving(self.request.place(path)):
                found = set(np.unique(read_colours(path)).tolist())
                if len(found) > MANY:
                    raise DataError(f"{len(found)} colours: a photograph, or spoilt by JPEG")
                numbers |= found - {-1}
        colours = [(n & 255, n >> 8 & 255, n >> 16) for n in numbers]
        return {"#{:02x}{:02x}{:02x}".format(*colour): colour for colour in sorted(colours)}


Maps = Callable[[Request, Sequence[Path]], _Masks]


def read_maps(request: Request, reader: Maps) -> Source:
    """The label maps of a folder with their images."""
    files, images = map_files(request)
    if not files:
        raise DataError(f"{request.name}: no label map ({', '.join(ENDINGS)})")
    maps = {path.resolve() for path in files}
    pictures = Pictures([images], maps)
    groups = _by_class(request, files, pictures)
    if groups:
        return _one_file_a_class(request, groups, images, maps)
    classes, painted = reader(request, files).painted()
    found = []
    for path, each in painted.items():
        name = path.relative_to(_home(request)).with_suffix("").as_posix()
        found.append(Found(name, each.place, also=other_names(name), mask=each))
    return Source(found, classes, folders=[images], maps=maps)


def map_files(request: Request) -> tuple[list[Path], Path]:
    """The label maps of a source, and the folder of its images.

    Where the images are not said to be elsewhere, a map is what lies in a folder of maps, or shares
    its name with a photograph in another format.
    """
    source, home = request.source, _home(request)
    files = [source] if source.is_file() else _all(source)
    if request.images is not None:
        inside = request.images.resolve()
        kept = [path for path in files if inside == home or inside not in path.parents]
        return kept, request.images
    folders = [path for path in files if _is_in_map_folder(path, home)]
    if folders:
        return folders, home
    photographs = {
        path.stem.casefold()
        for path in home.rglob("*")
        if is_image_name(path) and path.suffix.lower() not in ENDINGS
    }
    return [path for path in files if _stripped(path.stem).casefold() in photographs], home


def _home(request: Request) -> Path:
    return request.source if request.source.is_dir() else request.source.parent


def _all(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file()]


def _is_in_map_folder(path: Path, home: Path) -> bool:
    return any(part.casefold() in FOLDERS for part in path.relative_to(home).parts[:-1])


def _stripped(name: str) -> str:
    """The name of an image from that of its map: cow_mask is cow, a_gtFine_labelIds is a."""
    words = name.split("_")
    while len(words) > 1 and re.sub(r"fine|coarse", "", words[-1].casefold()) in MARKS:
        words.pop()
    return "_".join(words)


def other_names(name: str) -> tuple[str, ...]:
    """What the image of a label map may be called, if not as the map."""
    stripped = _stripped(name)
    return (stripped, f"{stripped}_leftImg8bit")  # of Cityscapes


def _by_class(
    request: Request, files: Sequence[Path], pictures: Pictures
) -> dict[str, dict[str, Path]]:
    """Image -> class -> file, where each class has a file of its own; empty where not."""
    stems = {path.stem.casefold(): path.stem for path in pictures.files}
    groups: dict[str, dict[str, Path]] = {}
    doubles = 0
    for path in files:
        named = _class_of(path, stems, request)
        if named is None:
            return {}
        image, name = named
        groups.setdefault(image, {})[name] = path
        doubles += len(groups[image]) > 1
    return groups if doubles or request.classes is not None else {}


def _class_of(path: Path, stems: Mapping[str, str], request: Request) -> tuple[str, str] | None:
    """The image and the class that the name of a file or of its folder means."""
    stem, folder = path.stem, path.parent.name
    for end in range(len(stem) - 1, 0, -1):
        if stem[end] in "_-." and stem[:end].casefold() in stems:
            name = stem[end + 1 :]
            return None if name.casefold() in MARKS else (stem[:end], name)
    if folder.casefold() in stems:
        return folder, stem
    known = request.classes.meaning if request.classes else {}
    in_class = path.parent != _home(request) and folder.casefold() not in FOLDERS
    if stem.casefold() in stems and (folder in known or (in_class and not known)):
        return stem, folder
    return None


def _one_file_a_class(
    request: Request,
    groups: Mapping[str, Mapping[str, Path]],
    images: Path,
    maps: set[Path],
) -> Source:
    names = sorted({name for group in groups.values() for name in group})
    asked = request.classes
    backgrounds = [name for name in (asked.names if asked else ()) if name == "background"]
    rest = backgrounds[0] if backgrounds and "background" not in names else None
    found = []
    for image, group in sorted(groups.items()):
        place = request.place(next(iter(group.values())))
        mask = by_files(group, place, nothing=VOID, rest=rest)
        found.append(Found(image, place, mask=mask))
    listed = [*names, rest] if rest else names
    return Source(found, listed, folders=[images], maps=maps)
