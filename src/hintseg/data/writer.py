"""Write a data set folder (docs/data.md): what simulated hints, photo scenes and imports share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from hintseg.data.dataset import DATASET_FILE, DatasetFile, dump_settings
from hintseg.errors import DataError
from hintseg.files import relative_to, write_text
from hintseg.hints.labelme import write_labelme
from hintseg.images.label_maps import write_label_map
from hintseg.images.photographs import write_png
from hintseg.structures import ClassSet, Hints, Image, LabelMap


def refuse_content(folder: Path) -> None:
    """Raise DataError where a folder to write has content, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists already; choose another --out or delete it")


@dataclass(frozen=True, slots=True)
class DatasetWriter:
    """A data set that is being written; complete after `finish`, which writes dataset.yaml last."""

    root: Path
    classes: ClassSet

    def image(self, name: str, image: Image) -> Path:
        """Write images/NAME.png."""
        file = self.root / "images" / f"{name}.png"
        write_png(file, PillowImage.fromarray(image))
        return file

    def mask(self, name: str, labels: LabelMap) -> None:
        """Write masks/NAME.png."""
        write_label_map(self.root / "masks" / f"{name}.png", labels, classes=len(self.classes))

    def hints(self, name: str, hints: Hints, *, image: Path, size: tuple[int, int]) -> None:
        """Write hints/NAME.json for an image file of height and width `size`."""
        file = self.root / "hints" / f"{name}.json"
        place = relative_to(image, file.parent)
        write_labelme(file, hints, self.classes, image_path=place, size=size)

    def finish(self, splits: Mapping[str, Sequence[str]], **keys: Any) -> None:  # noqa: ANN401
        """Write the split files and dataset.yaml; `keys` are further ones of it."""
        for split, names in splits.items():
            text = "".join(f"{name}\n" for name in names)
            write_text(self.root / "splits" / f"{split}.txt", text)
        background = self.classes.background
        settings = DatasetFile(
            classes=list(self.classes.names),
            background=None if background is None else self.classes.names[background],
            splits={split: f"splits/{split}.txt" for split in splits},
            **keys,
        )
        dump_settings(self.root / DATASET_FILE, settings)
