"""The data set folder: dataset.yaml, images, hints, masks, splits (docs/data.md)."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hintseg.data.coding import read_coding
from hintseg.data.stored import PHOTOGRAPHS, StoredImages, stored_images
from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import ConfigError, DataError, UnknownNameError
from hintseg.files import read_bytes, read_text, write_text
from hintseg.hints.labelme import read_labelme, size_problem
from hintseg.hints.shapes import overdrawn
from hintseg.images.exif import IN_WORDS
from hintseg.images.files import ImageFolder, find_name, no_image, scan_images
from hintseg.images.label_maps import CLASS_INDICES, Coding, read_label_map
from hintseg.images.names import NamedFiles, last_part, sized_files
from hintseg.images.photographs import image_orientation, image_size, read_image
from hintseg.images.reading import Reading
from hintseg.plain import is_file_name
from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, Image, LabelMap

DATASET_FILE = "dataset.yaml"
MANY = 10_000  # images; of more, folders are listed instead of looking for each file
READ = 1000  # images of those whose label files are read for the digest


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
    intensity: Any = None
    channels: Any = None
    values: dict[Any, Any] = Field(default_factory=dict)
    colors: dict[Any, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A data set folder, opened: names and paths; files are read when asked for."""

    root: Path
    classes: ClassSet
    images: Mapping[str, Path]  # name -> file, sorted by name; a name has slashes in sub-folders
    images_folder: Path
    hints_folder: Path
    masks_folder: Path
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags_complete: bool = True
    boxes_complete: bool = True
    coding: Coding = CLASS_INDICES  # of painted hints and masks
    stored: StoredImages = PHOTOGRAPHS  # how the image files are read
    beside: bool = False  # LabelMe files beside the photographs count where `hints_folder` has none

    def names(self, split: str) -> tuple[str, ...]:
        """Image stems of a split; without splits, `train` is every image with hints.

        Raises:
            DataError: No such split, or a name of it without an image.
        """
        if split not in self.splits:
            if split == "train" and not self.splits:
                return self._with_hints(tuple(self.images))
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
        return self._with_hints(self.names(split))

    def _with_hints(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those that have a hint file."""
        if len(names) > MANY:
            drawn = self._hint_files.having(names, ".json")
            beside = self._image_files.having(names, ".json") if self.beside else set()
            painted = self._hint_files.having(names, ".png", but=self.images_folder)
            if drawn is not None and beside is not None and painted is not None:
                there = drawn | beside | painted
                return tuple(name for name in names if name in there)
        return tuple(name for name in names if self.has_hints(name))

    def with_masks(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those that have a dense mask."""
        found = None
        if len(names) > MANY:
            found = self._mask_files.having(names, ".png", but=self.images_folder)
        there = self.has_mask if found is None else found.__contains__
        return tuple(name for name in names if there(name))

    def has_split(self, split: str) -> bool:
        """Whether the data set names this split."""
        return split in self.splits

    def has_hints(self, name: str) -> bool:
        """Whether a hint file exists for an image."""
        return self.json_file(name) is not None or self.partial_file(name) is not None

    def has_mask(self, name: str) -> bool:
        """Whether a dense mask exists for an image."""
        return self.mask_file(name) is not None

    def json_file(self, name: str) -> Path | None:
        """The LabelMe file of an image; None where there is none."""
        found = self._hint_files.find(name, ".json")
        return self.json_beside(name) if found is None else found

    def json_beside(self, name: str) -> Path | None:
        """The LabelMe file beside the photograph, where those count."""
        return self._image_files.find(name, ".json") if self.beside else None

    def partial_file(self, name: str) -> Path | None:
        """The partial label map of an image; None where there is none."""
        return self._label_file(self._hint_files, name)

    def mask_file(self, name: str) -> Path | None:
        """The dense mask of an image; None where there is none."""
        return self._label_file(self._mask_files, name)

    def mask_path(self, name: str) -> Path:
        """The dense mask of an image, or where it should be."""
        return self.mask_file(name) or self.masks_folder / f"{name}.png"

    def find(self, text: str) -> str | None:
        """The name of the image that a person means, as `image_files.find_name`; None: no image."""
        return find_name(text, self.images)

    @cached_property
    def by_last_part(self) -> Mapping[str, str]:
        """The last part of a name, whatever its case -> the first image called so."""
        return {last_part(name): name for name in reversed(tuple(self.images))}

    @cached_property
    def reading(self) -> Reading:
        """How the image files become uint8 RGB: one range and the same channels for all of them."""
        return self.stored.reading(tuple(self.images.values()))

    def read_as(self, reading: Reading) -> "Dataset":
        """The same data set, its images read as those that a model has learned from.

        A model that has seen nothing but ordinary photographs has no say.
        """
        return replace(self, stored=replace(self.stored, given=reading)) if reading else self

    def image(self, name: str) -> Image:
        """The photograph, uint8 RGB, upright."""
        return read_image(self._image_path(name), self.reading)

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
        drawn, painted = self.json_file(name), self.partial_file(name)
        if drawn is not None:
            hints, claimed = read_labelme(drawn, self.classes)
            if claimed not in (None, size):
                assert claimed is not None
                raise DataError(f"{drawn}: {size_problem(claimed, size, self.images[name].name)}")
            too_much = overdrawn(hints.shapes, size)
            if too_much:
                raise DataError(f"{drawn}: shapes: {too_much}")
        if painted is not None:
            hints = replace(hints, partial=self._label_map(painted, UNLABELLED, name))
        return hints

    def truth(self, name: str) -> LabelMap | None:
        """The dense mask (class index or VOID), None where the image has none."""
        mask = self.mask_file(name)
        return None if mask is None else self._label_map(mask, VOID, name)

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
        """Hash of classes, splits and all label files, for the record of a run.

        Of more than MANY images: of the names and sizes of their label files, and of all that a
        thousand of them hold, evenly spread, since reading all of them takes minutes.
        """
        complete = self.tags_complete, self.boxes_complete
        said = (self.coding, self.stored)
        coded = tuple(part for part in said if part)  # nothing to say: as before there was any
        facts = self.classes, complete, sorted(self.splits.items()), *coded
        digest = hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass"))
        every = len(self.images) <= MANY
        if not every:
            listed = (sized_files(folder) for folder in (self.hints_folder, self.masks_folder))
            digest.update(repr([*listed]).encode("utf-8", "surrogatepass"))
        for name in list(self.images)[:: 1 if every else -(-len(self.images) // READ)]:
            for path in (self.json_file(name), self.partial_file(name), self.mask_file(name)):
                content = b"" if path is None else _content(path)
                digest.update(hashlib.sha256(content).digest())  # of one length: order tells whose
        return digest.hexdigest()

    @cached_property
    def _image_files(self) -> NamedFiles:
        return NamedFiles(self.images_folder)

    @cached_property
    def _hint_files(self) -> NamedFiles:
        return NamedFiles(self.hints_folder)

    @cached_property
    def _mask_files(self) -> NamedFiles:
        return NamedFiles(self.masks_folder)

    def _label_file(self, files: NamedFiles, name: str) -> Path | None:
        """A PNG of labels; never the photograph itself, where they share a folder."""
        found, image = files.find(name, ".png"), self.images.get(name)
        if found is None or image is None or image.suffix.lower() != ".png":
            return found
        return None if image.exists() and found.samefile(image) else found

    def _label_map(self, path: Path, undeclared: int, name: str) -> LabelMap:
        labels = read_label_map(
            path, classes=len(self.classes), undeclared=undeclared, coding=self.coding
        )
        problem = self.misfit((labels.shape[0], labels.shape[1]), name)
        if problem is not None:
            raise DataError(f"{path}: {problem}")
        return labels

    def misfit(self, found: tuple[int, int], name: str) -> str | None:
        """What is wrong with a label map of this height and width for an image; None if it fits."""
        size, image = self.size(name), self.images[name]
        if found == size:
            return None
        text = (
            f"{found[1]} x {found[0]} pixels, its image {image.name} was read as {size[1]} x "
            f"{size[0]}"
        )
        orientation = image_orientation(image)
        if found == size[::-1] and orientation in IN_WORDS:
            how = IN_WORDS[orientation]
            return f"{text}, turned as its EXIF orientation {orientation} says; {how} as well"
        return f"{text}; make it from the image as it is on disk"

    def _image_path(self, name: str, where: str = "") -> Path:
        if name not in self.images:
            named = f" named by {where}" if where else ""
            meant = self.find(name)
            remedy = f"write {meant}" if meant else "add the file or remove the name"
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
    settings = read_settings(root / DATASET_FILE)
    images = find_images(root, settings).images
    splits = {name: read_split(root / file, images) for name, file in settings.splits.items()}
    return assemble(root, settings, images, splits)


def assemble(
    root: Path,
    settings: DatasetFile,
    images: Mapping[str, Path],
    splits: Mapping[str, tuple[str, ...]],
) -> Dataset:
    """The data set that dataset.yaml describes, of what its files were found to hold.

    Raises:
        DataError: Classes, values or colours that cannot be.
    """
    file = root / DATASET_FILE
    classes = class_set_of(settings, file)
    return Dataset(
        root=root,
        classes=classes,
        images=images,
        images_folder=root / settings.images,
        hints_folder=root / settings.hints,
        masks_folder=root / settings.masks,
        splits=splits,
        tags_complete=settings.tags_complete,
        boxes_complete=settings.boxes_complete,
        beside="hints" not in settings.model_fields_set,
        coding=coding_of(settings, classes, file),
        stored=stored_images(settings.intensity, settings.channels, file),
    )


def find_images(root: Path, settings: DatasetFile) -> ImageFolder:
    """The photographs of a data set; folders of hints and masks inside are not looked into.

    Raises:
        DataError: No such folder, or no image in it.
    """
    folder = root / settings.images
    try:
        found = scan_images(folder, apart=(root / settings.hints, root / settings.masks))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{folder}: no such folder; put the images there or set images: in {DATASET_FILE}"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read ({_reason(error)})") from error
    if not found.images:
        raise no_image(folder, found, "put the images there")
    return found


def read_split(path: Path, images: Collection[str]) -> tuple[str, ...]:
    """Names of images in a split file, each once; a line that means no image stays as it is.

    Raises:
        DataError: The file is missing or no text.
    """
    return tuple(dict.fromkeys(find_name(line, images) or line for line in split_lines(path)))


def split_lines(path: Path) -> list[str]:
    """The lines of a split file but for blank ones; DataError as `read_split`."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: split file cannot be read ({_reason(error)})") from error
    return [line.strip() for line in lines if line.strip()]


def dump_settings(path: Path, settings: DatasetFile) -> None:
    """Write dataset.yaml; keys that say nothing are left out."""
    content = {
        key: value for key, value in settings.model_dump().items() if value not in ({}, None)
    }
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_settings(path: Path) -> DatasetFile:
    """What dataset.yaml says; DataError names the key that is wrong."""
    try:
        content: Any = parse_yaml(read_text(path))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; write one that lists classes: (docs/data.md)"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a YAML file ({_reason(error)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must be a mapping with the key classes:, got {content!r:.80}")
    try:
        settings = DatasetFile.model_validate({str(key): value for key, value in content.items()})
    except ValidationError as error:
        raise DataError(f"{path}: {_problem(error)}") from error
    for split in settings.splits:
        if not is_file_name(split):
            raise DataError(
                f"{path}: splits: {split!r:.80} names a file in places, so it can be of letters, "
                "digits and the like only; rename it"
            )
    return settings


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


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)}); replace it") from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error)).split())[:200] or type(error).__name__
