"""What `export` is given: a folder of label maps, or the masks of a data set; with its classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hintseg.data.dataset import (
    DATASET_FILE,
    Dataset,
    class_set_of,
    coding_of,
    open_dataset,
    read_settings,
)
from hintseg.errors import ConfigError, DataError
from hintseg.files import read_json, read_text
from hintseg.images.files import find_name, is_hidden, no_image, scan_images
from hintseg.images.label_maps import CLASS_INDICES, Coding, has_class_palette, read_label_map
from hintseg.images.names import composed
from hintseg.images.photographs import image_size, opened
from hintseg.predict.folders.label_folder import OVERLAYS, SCORES
from hintseg.structures import UNLABELLED, ClassSet, LabelMap

RECORDS = ("predict.json", "label.json")  # in which hintseg says what it has written
MODEL = "model.json"


@dataclass(frozen=True)
class Source:
    """Label maps by the name of their image."""

    folder: Path
    classes: ClassSet
    files: Mapping[str, Path]
    photographs: Mapping[str, Path] = field(default_factory=dict)  # by the same names
    images_folder: Path | None = None
    coding: Coding = CLASS_INDICES
    dataset: Dataset | None = None

    @property
    def without(self) -> int:
        """How many photographs have no label map."""
        return len(self.photographs.keys() - self.files.keys())

    def photograph(self, name: str) -> Path | None:
        """The photograph of a label map; None where no photographs were given.

        Raises:
            DataError: They were, and it is not among them.
        """
        if self.images_folder is None:
            return None
        found = find_name(name, self.photographs)
        if found is None:
            raise DataError(
                f"{self.files[name]}: {self.images_folder} has no photograph {name!r}; choose "
                "another --images or remove the label map"
            )
        return self.photographs[found]

    def labels(self, name: str) -> LabelMap:
        """Class indices, negative where there is none.

        Raises:
            DataError: A damaged file, a value without a class, or another size than the photograph.
        """
        if self.dataset is not None:
            return self.dataset.checked_truth(name)
        path, count = self.files[name], len(self.classes)
        coded = self.coding and not has_class_palette(path, classes=count)
        coding = self.coding if coded else CLASS_INDICES
        labels = read_label_map(path, classes=count, undeclared=UNLABELLED, coding=coding)
        photograph = self.photograph(name)
        size = None if photograph is None else image_size(photograph)
        if size not in (None, labels.shape):
            assert size is not None
            raise DataError(
                f"{path}: is {labels.shape[1]} x {labels.shape[0]} pixels, {photograph} "
                f"{size[1]} x {size[0]}; export the label map of this photograph"
            )
        return labels

    def scores(self, name: str, size: tuple[int, int]) -> Float[np.ndarray, "_ _"] | None:
        """Probability of the class of each pixel, 0 to 1, where the folder has them.

        Raises:
            DataError: Damaged, or not as large as the label map.
        """
        path = self.folder / SCORES / f"{name}.png"
        if self.dataset is not None or not path.is_file():
            return None
        with opened(path) as image:
            scores = np.asarray(image.convert("L"), dtype=np.float32) / 255
        if scores.shape != size:
            raise DataError(
                f"{path}: is {scores.shape[1]} x {scores.shape[0]} pixels, the label map {size[1]} "
                f"x {size[0]}; delete it or predict again with --scores"
            )
        return scores


def open_source(
    source: Path,
    *,
    images: Path | None = None,
    classes: str | None = None,
    split: str | None = None,
) -> Source:
    """Find label maps, their photographs and their classes.

    Args:
        source: A data set folder, whose masks are taken, or a folder of label maps NAME.png.
        images: Folder of the photographs, or of a data set that has them; default: those of the
            data set.
        classes: Names with commas, a file of names, a data set folder or a run folder; default: as
            the data set, or what wrote the label maps, says.
        split: Of a data set; default: all images with a mask.

    Raises:
        HintSegError: Nothing to export, no photographs, or no classes.
    """
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; give a folder of label maps or a data set folder"
        )
    if (source / DATASET_FILE).exists():
        return _of_dataset(source, images, classes, split)
    if (source / MODEL).exists():
        raise DataError(
            f"{source}: a run; export what it predicts: hintseg predict {source} IMAGES --out masks"
        )
    if split is not None:
        raise ConfigError(f"--split {split}: {source} is no data set; leave the option out")
    files = _label_maps(source)
    if not files:
        raise DataError(f"{source}: no label map (NAME.png); give a folder of label maps")
    found, coding = _classes_of(source, classes)
    if images is None:
        return Source(source, found, files, coding=coding)
    return Source(source, found, files, *_photographs(images), coding=coding)


def _of_dataset(
    source: Path, images: Path | None, classes: str | None, split: str | None
) -> Source:
    if classes is not None:
        raise ConfigError(f"--classes {classes}: {source / DATASET_FILE} names the classes")
    dataset = open_dataset(source)
    names = tuple(dataset.images) if split is None else dataset.names(split)
    masks = {name: dataset.mask_file(name) for name in names}
    files = {name: path for name, path in masks.items() if path is not None}
    if not files:
        raise DataError(f"{dataset.masks_folder}: no mask of any of the {len(names)} images")
    photographs: Mapping[str, Path] = {name: dataset.images[name] for name in names}
    folder = dataset.images_folder
    if images is not None:
        photographs, folder = _photographs(images)
    return Source(
        source, dataset.classes, files, photographs, folder, dataset.coding, dataset=dataset
    )


def _photographs(folder: Path) -> tuple[Mapping[str, Path], Path]:
    """Photographs by name, and the folder from which they are named."""
    if (folder / DATASET_FILE).exists():
        dataset = open_dataset(folder)
        return dataset.images, dataset.images_folder
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of the photographs")
    found = scan_images(folder)
    if not found.images:
        raise no_image(folder, found, "give another --images")
    return found.images, folder


def _label_maps(folder: Path) -> dict[str, Path]:
    """The PNG files of a folder and its sub-folders by name, but for pictures and scores."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() != ".png" or parts[0] in (OVERLAYS, SCORES) or is_hidden(path):
            continue
        files[composed(path.relative_to(folder).with_suffix("").as_posix())] = path
    return files


def _classes_of(source: Path, given: str | None) -> tuple[ClassSet, Coding]:
    if given is not None:
        return read_classes(given)
    for name in RECORDS:
        if (source / name).exists():
            record = read_json(source / name)
            if "classes" in record:
                return _class_set(record, source / name), CLASS_INDICES
    raise ConfigError(
        f"{source}: does not say what its classes are called; give --classes: names with commas, a "
        "file with a name in each line, the data set folder or the run folder"
    )


def read_classes(given: str) -> tuple[ClassSet, Coding]:
    """Classes as an option gives them, with the coding of a data set's masks.

    Args:
        given: Names with commas, a file with a name in each line, or a data set or run folder (or
            its dataset.yaml or model.json).

    Raises:
        HintSegError: None of these, or damaged.

    Example:
        >>> read_classes("grass, cow")[0].names
        ('grass', 'cow')
    """
    path = Path(given)
    if path.is_dir():
        known = [path / name for name in (DATASET_FILE, MODEL) if (path / name).exists()]
        if not known:
            raise ConfigError(f"--classes {given}: neither a data set folder nor a run folder")
        path = known[0]
    elif not path.is_file():
        if path.suffix in (".txt", ".yaml", ".yml", ".json", ".names") or "/" in given:
            raise ConfigError(f"--classes {given}: no such file or folder")
        return ClassSet(tuple(part.strip() for part in given.split(",") if part.strip())), Coding()
    if path.suffix in (".yaml", ".yml"):
        settings = read_settings(path)
        found = class_set_of(settings, path)
        return found, coding_of(settings, found, path)
    if path.suffix == ".json":
        return _class_set(read_json(path), path), CLASS_INDICES
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--classes {given}: cannot be read ({error})") from error
    return ClassSet(tuple(line.strip() for line in lines if line.strip())), CLASS_INDICES


def _class_set(record: Mapping[str, Any], path: Path) -> ClassSet:
    names, background = record.get("classes"), record.get("background")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: names no classes; give --classes")
    if background is not None and not isinstance(background, int):
        raise DataError(f"{path}: background: must be a number, got {background!r:.80}")
    return ClassSet(tuple(names), background)
