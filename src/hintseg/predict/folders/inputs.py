"""What `predict` is told to label: folders, files and patterns -> images by name."""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hintseg.errors import DataError
from hintseg.images.files import is_image_name, no_image, scan_images
from hintseg.images.names import composed


@dataclass(frozen=True)
class Inputs:
    """The images that were named, and what lies beside them and is not used."""

    images: Mapping[str, Path]  # name of the label map -> file, in the order given
    complaints: Sequence[str]  # one for each folder and reason


def find_inputs(inputs: Sequence[str]) -> Inputs:
    """Image files named by folders, files and glob patterns, each once, in order.

    The images of a folder and its sub-folders are called by their path in it, others by their stem.

    Raises:
        DataError: An input names nothing, or two images would get the same output name.
    """
    images: dict[str, Path] = {}
    seen: set[Path] = set()  # by their full path: one file can be named in several ways
    complaints: list[str] = []
    for text in inputs:
        for name, path in _named(text, complaints):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            if name in images:
                raise DataError(
                    f"{path}: {images[name]} has the same name, both would become {name}.png; "
                    "predict them into different --out folders"
                )
            images[name] = path
    return Inputs(images, complaints)


def _named(text: str, complaints: list[str]) -> list[tuple[str, Path]]:
    path = Path(text)
    if path.is_dir():
        return _in_folder(path, complaints)
    if path.is_file():
        return [(composed(path.stem), path)]
    matched = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
    images = [(composed(p.stem), p) for p in matched if is_image_name(p) and p.is_file()]
    if not images:
        raise DataError(f"{text}: no such file or folder, and no image matches it as a pattern")
    return images


def _in_folder(folder: Path, complaints: list[str]) -> list[tuple[str, Path]]:
    found = scan_images(folder)
    images = [
        (name, path)
        for name, first in found.images.items()
        for path in (first, *found.doubles.get(name, ()))
        if path.is_file()
    ]
    if not images:
        raise no_image(folder, found, "give another folder")
    complaints += [f"{folder}: {complaint}" for complaint in found.complaints()]
    return images
