"""Classes are added, renamed, merged and removed; the hints that use them follow.

A change goes file by file in an order in which the data set is sound after each of them: the new
name is known before the first file uses it, the old one until the last file has left it. Whatever
ends the work in between (no room, kill -9), it can be done again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hintseg.data.dataset import DATASET_FILE, Dataset, open_dataset, read_settings
from hintseg.documents.from_json import parse_json
from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import DataError
from hintseg.files import read_json, read_text, write_json, writing
from hintseg.hints.labelme import write_document
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.structures import UNLABELLED
from hintseg.studio.drawings import refuse_outside
from hintseg.studio.opening import check_classes, mend

Document = dict[str, Any]
JOURNAL = Path("studio", "renaming.json")  # in the data set, while hints follow a new name


def add_class(root: Path, name: str) -> None:
    """Add a class behind the others; DataError where it cannot be one."""
    known = read_settings(root / DATASET_FILE).classes
    _write_classes(root, [*known, name])


def rename_class(dataset: Dataset, old: str, new: str) -> int:
    """Give a class another name, in dataset.yaml and in all hints; images whose hints changed.

    Raises:
        DataError: No such class, or the new name cannot be one or is taken.
        WriteError: A file cannot be written.
    """
    refuse_outside(dataset, dataset.hints_folder / "NAME.json")
    root, names = dataset.root, list(read_settings(dataset.root / DATASET_FILE).classes)
    at = _index(names, old)
    if new in names:
        raise DataError(f"{new}: there is such a class already; remove {old!r} and choose it then")
    check_classes([*names[:at], new, *names[at + 1 :]])
    write_json(root / JOURNAL, {"old": old, "new": new})
    _write_classes(root, [*names, new])  # both are known while the hints follow
    return finish_renaming(root)


def finish_renaming(root: Path) -> int:
    """End a renaming, also one that was interrupted; images whose hints changed."""
    journal = root / JOURNAL
    if not journal.exists():
        return 0
    begun = read_json(journal)
    old, new = str(begun.get("old")), str(begun.get("new"))
    names, changed = read_settings(root / DATASET_FILE).classes, 0
    if old in names and names[-1] == new:
        changed = _follow(open_dataset(root), old, new)
        names = [new if name == old else name for name in names[:-1]]
        _write_classes(root, names, {old: new})
    with writing(journal):
        journal.unlink()
    return changed


def remove_class(dataset: Dataset, name: str, into: str | None) -> int:
    """Remove a class; its hints become those of another class, or go. Images that changed.

    Args:
        dataset: Whose class it is.
        name: The class.
        into: The class of its hints from now on; None: they are removed.

    Raises:
        DataError: No such class, the background, the last class, or a data set with masks or
            codes, in which the numbers of classes stand.
        WriteError: A file cannot be written.
    """
    refuse_outside(dataset, dataset.hints_folder / "NAME.json")
    names = list(read_settings(dataset.root / DATASET_FILE).classes)
    at = _index(names, name)
    _refuse_removal(dataset, names, name)
    if into is not None:
        _index(names, into)
    changed = _follow(dataset, name, into)
    left = [*names[:at], *names[at + 1 :]]
    painted = _painted_without(dataset, at, into, left)
    _write_classes(dataset.root, left)
    return changed + painted


def uses(dataset: Dataset, name: str) -> int:
    """Images with hints of a class, drawn or ticked."""
    files = map(dataset.json_file, dataset.images)
    documents = (_read(path) for path in files if path is not None)
    return sum(found is not None and _mentions(found, name) for found in documents)


def _refuse_removal(dataset: Dataset, names: list[str], name: str) -> None:
    file = dataset.root / DATASET_FILE
    if len(names) == 1:
        raise DataError(f"{name}: the last class; rename it instead")
    if dataset.coding:
        raise DataError(f"{file}: values: or colors: name the classes; remove {name!r} there")
    if any(dataset.has_mask(image) for image in dataset.images):
        raise DataError(
            f"{dataset.masks_folder}: masks number the classes; removing {name!r} would change "
            "what they say, make a data set without masks, or rename the class"
        )
    background = dataset.classes.background
    if background is not None and dataset.classes[background] == name:
        raise DataError(f"{name}: the background; change background: in {file} first")


def _follow(dataset: Dataset, old: str, new: str | None) -> int:
    """The hints of one class become those of another, or go."""
    changed = 0
    for image in dataset.images:
        path = dataset.json_file(image)
        document = None if path is None else _read(path)
        if path is not None and document is not None and _mentions(document, old):
            write_document(path, _replaced(document, old, new))
            changed += 1
    return changed


def _painted_without(dataset: Dataset, at: int, into: str | None, left: list[str]) -> int:
    """Painted hints number the classes: all of them are written anew."""
    place = {index: index - (index > at) for index in range(len(left) + 1)}
    place[at] = UNLABELLED if into is None else left.index(into)
    table = np.array([place[index] for index in range(len(left) + 1)] + [UNLABELLED])
    changed = 0
    for image in dataset.images:
        path = dataset.partial_file(image)
        if path is not None:
            labels = read_label_map(path, classes=len(left) + 1, undeclared=UNLABELLED)
            write_label_map(path, table[labels].astype(np.int16), classes=len(left))
            changed += 1
    return changed


def _replaced(document: Document, old: str, new: str | None) -> Document:
    shapes = [_renamed(shape, old, new) for shape in document["shapes"]]
    flags = dict(document.get("flags") or {})
    if old in flags:
        ticked = flags.pop(old)
        if new is not None:
            flags[new] = flags.get(new) is True or ticked
    return {**document, "shapes": [shape for shape in shapes if shape is not None], "flags": flags}


def _renamed(shape: Any, old: str, new: str | None) -> Any:  # noqa: ANN401 - foreign JSON
    if not isinstance(shape, dict) or shape.get("label") != old:
        return shape
    return None if new is None else {**shape, "label": new}


def _mentions(document: Document, name: str) -> bool:
    flags = document.get("flags")
    drawn = any(isinstance(one, dict) and one.get("label") == name for one in document["shapes"])
    return drawn or (isinstance(flags, dict) and name in flags)


def _read(path: Path) -> Document | None:
    """A LabelMe file; None for what is none: it is shown where it is opened."""
    try:
        document = parse_json(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    sound = isinstance(document, dict) and isinstance(document.get("shapes"), list)
    return document if sound else None


def _index(names: list[str], name: str) -> int:
    if name not in names:
        raise DataError(f"{name}: no such class any more; reload the page")
    return names.index(name)


def _write_classes(root: Path, names: list[str], renamed: dict[str, str] | None = None) -> None:
    """Write the classes into dataset.yaml; what else it says stays, under new names."""
    check_classes(names)
    path = root / DATASET_FILE
    content = parse_yaml(read_text(path))
    content["classes"] = names
    follow: Callable[[Any], Any] = lambda value: (renamed or {}).get(value, value)  # noqa: E731
    if "background" in content:
        content["background"] = follow(content["background"])
    if isinstance(content.get("values"), dict):
        content["values"] = {key: follow(value) for key, value in content["values"].items()}
    if isinstance(content.get("colors"), dict):
        content["colors"] = {follow(key): value for key, value in content["colors"].items()}
    mend(root, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
