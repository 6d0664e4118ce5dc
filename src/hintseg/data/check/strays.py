"""Files in the folders of hints and masks, and beside the photographs, that nothing reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hintseg.data.check.image import Problem, attempt
from hintseg.data.check.splits import near
from hintseg.data.dataset import Dataset
from hintseg.errors import DataError
from hintseg.images.files import WRITTEN_BY_HINTSEG, ImageFolder, is_hidden, listed, name_of


@dataclass(frozen=True)
class _Place:
    """A folder of hints or masks: what its files are, and how the one of an image is found."""

    folder: Path
    what: str
    finders: Mapping[str, Callable[[str], Path | None]]  # by ending


def check_strays(dataset: Dataset, images: ImageFolder) -> list[Problem]:
    """What lies where hints and masks do and is read by nobody, with the reason.

    Args:
        dataset: The data set.
        images: What its folder of images holds.
    """
    hints = {".json": dataset.json_file, ".png": dataset.partial_file}
    masks = {".png": dataset.mask_file}
    places = [_Place(dataset.hints_folder, "hint", hints)]
    if dataset.masks_folder.resolve() != dataset.hints_folder.resolve():
        places.append(_Place(dataset.masks_folder, "mask", masks))
    problems: list[Problem] = []
    for place in places:
        if place.folder.resolve() == dataset.images_folder.resolve():
            continue  # photographs, all of which have been looked at; JSON files follow
        files = attempt(problems, place.folder, partial(_files, place.folder, dataset))
        for path in files or ():
            problems += _stray(dataset, images, place, path)
    return problems + _beside(dataset, images)


def _files(folder: Path, dataset: Dataset) -> list[Path]:
    """The files of a folder and its sub-folders but for hidden ones; none if it does not exist."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file, a folder is needed; move it away")
    ours = (dataset.images_folder, dataset.hints_folder, dataset.masks_folder)
    others = {path.resolve() for path in ours}
    found = []
    for path in sorted(folder.iterdir()):
        if is_hidden(path):
            continue
        if not path.is_dir():
            found.append(path)
        elif path.resolve() not in others | set(folder.resolve().parents) and not any(
            (path / file).exists() for file in WRITTEN_BY_HINTSEG
        ):
            found += _files(path, dataset) or [path]
    return found


def _stray(dataset: Dataset, images: ImageFolder, place: _Place, path: Path) -> list[Problem]:
    """Why nothing reads this file; no problem if something does."""
    name, find = name_of(path, place.folder), place.finders.get(path.suffix.lower())
    if find is None:
        forms = " or ".join(f"NAME{ending}" for ending in place.finders)
        text = f"not used; a {place.what} file is called {forms}"
        return [Problem(str(path), text, "warning")]
    if name not in dataset.images:
        return [Problem(str(path), _imageless(dataset, images, name, place.what))]
    used = find(name)
    if used is None or not path.exists() or used.samefile(path):
        return []
    return [Problem(str(path), f"not used, {used} is; keep one of them", "warning")]


def _imageless(dataset: Dataset, images: ImageFolder, name: str, what: str) -> str:
    """What is said of a hint or mask without an image; the image may be one that is not read."""
    for why, files in images.unused.items():
        for file in files:
            if name_of(file, dataset.images_folder) == name:
                return f"its image {file} is not used: {why}"
    text = f"there is no image {name!r} for this {what}{near(name, dataset)}; "
    return text + f"add the image or remove the {what}"


def _beside(dataset: Dataset, images: ImageFolder) -> list[Problem]:
    """LabelMe files beside the photographs that are not read."""
    here = dataset.hints_folder.resolve() == dataset.images_folder.resolve()
    if here or dataset.beside:
        problems = []
        for path in images.json_files:
            name = name_of(path, dataset.images_folder)
            if name not in dataset.images:
                text = _imageless(dataset, images, name, "hint")
                if not here:
                    text = f"not used; if it is a hint: {text}"
                problems.append(Problem(str(path), text, "error" if here else "warning"))
        return problems
    unread = [p for p in images.json_files if name_of(p, dataset.images_folder) in dataset.images]
    if not unread or any(dataset.json_file(name) for name in dataset.images):
        return []
    text = f"{listed(unread)} beside the photographs not used: hints: names another folder"
    return [Problem(str(dataset.images_folder), f"{text}; take the key out", "warning")]
