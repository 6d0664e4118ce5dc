"""Salient objects: DUTS, ECSSD, HKU-IS and others of their form: photographs and grey masks.

`DUTS-TR/DUTS-TR-Image/NAME.jpg` with `DUTS-TR/DUTS-TR-Mask/NAME.png`, and DUTS-TE alike; or
`image/`, `mask/`, `train.txt` and `test.txt`. Masks are grey with soft edges: from half of full
white on a pixel is of an object.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hintseg.errors import DataError
from hintseg.formats.found import Found, Numbers, Painted, Request, Source
from hintseg.formats.reading import load_text
from hintseg.hints.shapes import Size
from hintseg.images.files import is_image_name, without_ending
from hintseg.images.photographs import read_image
from hintseg.structures import VOID, LabelMap

CLASSES = ("background", "object")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
HALF = 128  # of 255
MASKS = ("mask", "masks", "gt", "gts", "ground")
SPLITS = {"tr": "train", "train": "train", "te": "test", "test": "test", "val": "val"}


def read(request: Request) -> Source:
    """The masks of a folder with photographs beside them.

    Raises:
        DataError: No folder of masks.
    """
    source = request.source
    files = [path for path in sorted(source.rglob("*")) if is_image_name(path) and path.is_file()]
    masks = [path for path in files if _mask_folder(path, source) is not None]
    if not masks:
        raise DataError(
            f"{request.name}: no masks in a folder called {', '.join(MASKS)} or such as "
            "DUTS-TR-Mask; choose the format that it has"
        )
    found, splits = list[Found](), dict[str, list[str]]()
    for path in masks:
        name = _image_of(path, source)
        place = request.place(path)
        found.append(
            Found(name, place, also=(path.stem,), mask=Painted(place, partial(_halved, path)))
        )
        split = _split_of(path, source)
        if split:
            splits.setdefault(split, []).append(name)
    splits = splits or _lists(request, found)
    maps = {path.resolve() for path in masks}
    return Source(found, CLASSES, folders=[source], splits=splits, maps=maps)


def _words(name: str) -> set[str]:
    """The parts of a folder's name: DUTS-TR-Mask has duts, tr and mask."""
    return set(name.casefold().replace("-", "_").replace(" ", "_").split("_"))


def _mask_folder(path: Path, source: Path) -> Path | None:
    """The innermost folder of masks that a file lies in."""
    for folder in path.parents:
        if folder == source:
            return None
        if _words(folder.name) & {*MASKS}:
            return folder
    return None


def _image_of(mask: Path, source: Path) -> str:
    """The path of an image, by the folder of its mask: DUTS-TR-Image for DUTS-TR-Mask."""
    folder = _mask_folder(mask, source)
    assert folder is not None, "it is one of the masks"
    inner = mask.relative_to(folder).with_suffix("")
    beside = [
        other
        for other in sorted(folder.parent.iterdir())
        if other.is_dir() and other != folder and _has_image(other / inner)
    ]
    return ((beside[0] if beside else folder) / inner).relative_to(source).as_posix()


def _has_image(path: Path) -> bool:
    """Whether there is a photograph of that name, whatever its ending."""
    return any(path.with_name(f"{path.name}{ending}").is_file() for ending in ENDINGS)


def _split_of(mask: Path, source: Path) -> str:
    for part in mask.relative_to(source).parts[-2::-1]:
        for word, split in SPLITS.items():
            if word in _words(part):
                return split
    return ""


def _lists(request: Request, found: list[Found]) -> dict[str, list[str]]:
    """By train.txt and test.txt beside the folders."""
    by_stem, splits = {Path(each.image).name: each.image for each in found}, {}
    for split in ("train", "val", "test"):
        for path in sorted(request.source.rglob(f"{split}.txt"))[:1]:
            lines = load_text(path, request.place(path)).split()
            names = [by_stem.get(without_ending(line.rpartition("/")[2])) for line in lines]
            splits[split] = [name for name in names if name is not None]
    return {split: names for split, names in splits.items() if names}


def _halved(path: Path, numbers: Numbers, _: Size) -> LabelMap:
    bright = read_image(path).max(axis=-1) >= HALF
    back, front = (numbers.get(name, VOID) for name in CLASSES)
    return np.where(bright, front, back).astype(np.int16)
