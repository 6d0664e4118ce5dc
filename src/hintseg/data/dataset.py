"""The data set folder: dataset.yaml, images, hints, masks, splits (docs/data.md)."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hintseg.data.coding import read_coding
from hintseg.errors import ConfigError, DataError, UnknownNameError
from hintseg.files import write_text
from hintseg.hints.labelme import read_labelme
from hintseg.images import IMAGE_SUFFIXES, image_size, is_image_name, read_image
from hintseg.label_maps import CLASS_INDICES, Coding, read_label_map
from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, Image, LabelMap

DATASET_FILE = "dataset.yaml"
ODD_YAML_ERRORS = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What PyYAML lets through for a wrong value of an explicit type, such as `!!bool maybe`."""


class DatasetFile(BaseModel):
    """What dataset.yaml may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    classes: list[str]
    background: str | None = None
    images: str = "images"
    hints: str = "hints"
    masks: str = "masks"
    splits: dict[str, str] = Field(default_factory=dict)
    tags_complete: bool = True
    boxes_complete: bool = True
    values: dict[Any, Any] = Field(default_factory=dict)
    colors: dict[Any, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A data set folder, opened: names and paths; files are read when asked for."""

    root: Path
    classes: ClassSet
    images: Mapping[str, Path]  # image stem -> file, sorted by stem
    hints_folder: Path
    masks_folder: Path
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags_complete: bool = True
    boxes_complete: bool = True
    coding: Coding = CLASS_INDICES  # of painted hints and masks

    def names(self, split: str) -> tuple[str, ...]:
        """Image stems of a split; without splits, `train` is every image with hints.

        Raises:
            DataError: No such split, or a name of it without an image.
        """
        if split not in self.splits:
            if split == "train" and not self.splits:
                return tuple(name for name in self.images if self.has_hints(name))
            known = ", ".join(self.splits) or "none"
            raise DataError(
                f"{self.root / DATASET_FILE}: no split {split!r} (splits: {known}); "
                f"add it under splits: or choose another with --split"
            )
        for name in self.splits[split]:
            self._image_path(name, where=f"split {split!r}")
        return self.splits[split]

    def train_names(self) -> tuple[str, ...]:
        """Image stems of the train split, hinted or not; without splits, every image."""
        return self.names("train") if self.splits else tuple(self.images)

    def hinted_names(self, split: str = "train") -> tuple[str, ...]:
        """Image stems of a split that have a hint file; DataError as `names`."""
        return tuple(name for name in self.names(split) if self.has_hints(name))

    def has_split(self, split: str) -> bool:
        """Whether the data set names this split."""
        return split in self.splits

    def has_hints(self, name: str) -> bool:
        """Whether a hint file exists for an image."""
        return self.json_path(name).exists() or self.partial_path(name).exists()

    def has_mask(self, name: str) -> bool:
        """Whether a dense mask exists for an image."""
        return self.mask_path(name).exists()

    def json_path(self, name: str) -> Path:
        """The LabelMe file of an image, existing or not."""
        return self.hints_folder / f"{name}.json"

    def partial_path(self, name: str) -> Path:
        """The partial label map of an image, existing or not."""
        return self.hints_folder / f"{name}.png"

    def mask_path(self, name: str) -> Path:
        """The dense mask of an image, existing or not."""
        return self.masks_folder / f"{name}.png"

    def image(self, name: str) -> Image:
        """The photograph, uint8 RGB, upright."""
        return read_image(self._image_path(name))

    def size(self, name: str) -> tuple[int, int]:
        """Height and width of the photograph."""
        return image_size(self._image_path(name))

    def hints(self, name: str) -> Hints:
        """What was drawn, ticked and painted on an image; empty Hints if nothing was.

        Raises:
            DataError: A damaged file, or one that belongs to an image of another size.
        """
        size = self.size(name)
        hints = Hints()
        if self.json_path(name).exists():
            hints, claimed = read_labelme(self.json_path(name), self.classes)
            self._check_size(self.json_path(name), claimed, size)
        if self.partial_path(name).exists():
            partial = self._label_map(self.partial_path(name), UNLABELLED, size)
            hints = replace(hints, partial=partial)
        return hints

    def truth(self, name: str) -> LabelMap | None:
        """The dense mask (class index or VOID), None where the image has none."""
        if not self.has_mask(name):
            return None
        return self._label_map(self.mask_path(name), VOID, self.size(name))

    def checked_truth(self, name: str) -> LabelMap:
        """The dense mask of an image that has to have one.

        Raises:
            DataError: It has none.
        """
        truth = self.truth(name)
        if truth is None:
            raise DataError(f"{self.mask_path(name)}: no such mask; image {name!r} needs one")
        return truth

    @cached_property
    def digest(self) -> str:
        """Hash of classes, splits and all label files, for the record of a run."""
        complete = self.tags_complete, self.boxes_complete
        coded = (self.coding,) if self.coding else ()  # nothing to say: as before there was any
        facts = self.classes, complete, sorted(self.splits.items()), *coded
        digest = hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass"))
        for name in self.images:
            for path in (self.json_path(name), self.partial_path(name), self.mask_path(name)):
                content = path.read_bytes() if path.exists() else b""
                digest.update(hashlib.sha256(content).digest())  # of one length: order tells whose
        return digest.hexdigest()

    def _label_map(self, path: Path, undeclared: int, size: tuple[int, int]) -> LabelMap:
        labels = read_label_map(
            path, classes=len(self.classes), undeclared=undeclared, coding=self.coding
        )
        self._check_size(path, labels.shape, size)
        return labels

    def _check_size(self, path: Path, found: tuple[int, ...] | None, size: tuple[int, int]) -> None:
        if found is not None and tuple(found) != size:
            raise DataError(
                f"{path}: {found[1]} x {found[0]} pixels, its image is {size[1]} x {size[0]}; "
                "make it from the image as it is on disk"
            )

    def _image_path(self, name: str, where: str = "") -> Path:
        if name not in self.images:
            named = f" named by {where}" if where else ""
            bare = Path(name).stem
            remedy = f"write {bare}" if bare in self.images else "add the file or remove the name"
            raise DataError(f"{self.root}: no image {name!r}{named}; {remedy}")
        return self.images[name]


def open_dataset(path: str | Path) -> Dataset:
    """Open a data set folder (docs/data.md); images and labels are read when asked for.

    Raises:
        DataError: The folder, dataset.yaml, the image folder or a split file is missing or wrong.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; a data set is a folder with {DATASET_FILE}")
    file = root / DATASET_FILE
    settings = read_settings(file)
    classes = class_set_of(settings, file)
    return Dataset(
        root=root,
        classes=classes,
        images=find_images(root / settings.images),
        hints_folder=root / settings.hints,
        masks_folder=root / settings.masks,
        splits={name: read_split(root / file) for name, file in settings.splits.items()},
        tags_complete=settings.tags_complete,
        boxes_complete=settings.boxes_complete,
        coding=coding_of(settings, classes, file),
    )


def find_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted by it; of two with one stem the first is taken.

    Raises:
        DataError: No such folder, or no image in it.
    """
    try:
        files = sorted(filter(is_image_name, folder.iterdir()), reverse=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{folder}: no such folder; put the images there or set images: in {DATASET_FILE}"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read ({_reason(error)})") from error
    if not files:
        raise DataError(f"{folder}: no image ({', '.join(IMAGE_SUFFIXES)}); put the images there")
    by_stem = {path.stem: path for path in files}
    return {stem: by_stem[stem] for stem in sorted(by_stem)}


def duplicate_stems(folder: Path) -> dict[str, list[str]]:
    """Stems that several image files of a folder share."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if is_image_name(path):
            by_stem[path.stem].append(path.name)
    return {stem: names for stem, names in by_stem.items() if len(names) > 1}


def read_split(path: Path) -> tuple[str, ...]:
    """Image stems of a split file, one a line; blank lines and repetitions are dropped.

    Raises:
        DataError: The file is missing or no text.
    """
    try:
        lines = path.read_text(
            encoding="utf-8-sig"
        ).splitlines()  # Windows marks UTF-8 at the start
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: split file cannot be read ({_reason(error)})") from error
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def dump_settings(path: Path, settings: DatasetFile) -> None:
    """Write dataset.yaml."""
    content = {key: value for key, value in settings.model_dump().items() if value != {}}
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_settings(path: Path) -> DatasetFile:
    """What dataset.yaml says; DataError names the key that is wrong."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; write one that lists classes: (docs/data.md)"
        ) from error
    except (OSError, yaml.YAMLError, *ODD_YAML_ERRORS) as error:
        raise DataError(f"{path}: not a YAML file ({_reason(error)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must be a mapping with the key classes:, got {content!r:.80}")
    try:
        return DatasetFile.model_validate({str(key): value for key, value in content.items()})
    except ValidationError as error:
        raise DataError(f"{path}: {_problem(error)}") from error


def _problem(error: ValidationError) -> str:
    """The first problem of dataset.yaml in the words of its author; unknown keys come first."""
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    kind, where = problems[0]["type"], ".".join(str(part) for part in problems[0]["loc"])
    found = problems[0]["input"]
    if kind == "extra_forbidden":
        return str(UnknownNameError("key", where, DatasetFile.model_fields))
    if kind == "missing":
        return f"{where}: is missing; list them, such as classes: [cow, grass]"
    if kind == "string_type" and not isinstance(found, list | dict):
        return (
            f"{where}: must be text, got {found!r:.80}; put it in quotes "
            "(YAML takes yes, no, on, off, dates and numbers for other values)"
        )
    return f"{where}: {problems[0]['msg']}, got {found!r:.80}; correct it (docs/data.md)"


def class_set_of(settings: DatasetFile, path: Path) -> ClassSet:
    """The classes of a dataset.yaml; DataError if they cannot be."""
    try:
        classes = ClassSet(tuple(settings.classes))
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    if settings.background is None:
        return classes
    try:
        return replace(classes, background=classes.index(settings.background))
    except UnknownNameError as error:
        raise DataError(f"{path}: background: {error}") from error


def coding_of(settings: DatasetFile, classes: ClassSet, path: Path) -> Coding:
    """What the label maps of a dataset.yaml hold; DataError if that cannot be."""
    try:
        return read_coding(settings.values, settings.colors, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error)).split())[:200] or type(error).__name__
