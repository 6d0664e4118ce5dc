"""Done images as masks: what the studio sees in them, and over it what was drawn."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError, HintSegError
from hintseg.files import replacing, write_text
from hintseg.images.label_maps import write_label_map
from hintseg.structures import LabelMap

MOST_ERRORS = 5  # that are told


@dataclass(frozen=True, slots=True)
class Exported:
    """How far an export is."""

    state: str = "none"  # running, finished
    done: int = 0
    total: int = 0
    folder: str = ""
    errors: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As a browser gets it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Exporter:
    """Writes masks in a thread of its own, one export at a time."""

    def __init__(self, folder: Path, mask_of: Callable[[Dataset, str], LabelMap]) -> None:
        self.folder, self._mask_of = folder, mask_of
        self.progress = Exported()
        self._thread: Thread | None = None
        self._stop = Event()

    def start(self, dataset: Dataset, names: Sequence[str]) -> None:
        """Write masks of images, beside those of an export before.

        Raises:
            ConfigError: An export is running, or there is no image.
        """
        if self._thread is not None and self._thread.is_alive():
            raise ConfigError("an export is running; wait for it")
        if not names:
            raise ConfigError("no such image: mark images as done first")
        self.progress = Exported("running", 0, len(names), str(self.folder))
        self._thread = Thread(target=self._work, args=(dataset, list(names)), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the image in work."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def zipped(self) -> Path:
        """All masks in one file.

        Raises:
            ConfigError: There is none yet.
        """
        masks = sorted(self.folder.rglob("*.png"))
        if not masks:
            raise ConfigError("no mask yet: export some first")
        target = self.folder.with_suffix(".zip")
        with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for path in [*masks, self.folder / "classes.txt"]:
                archive.write(path, path.relative_to(self.folder.parent))
        return target

    def _work(self, dataset: Dataset, names: list[str]) -> None:
        errors: list[str] = []
        self._try(errors, partial(self._names_of, dataset))
        for number, name in enumerate(names, 1):
            if self._stop.is_set():
                return
            self._try(errors, partial(self._write, dataset, name))
            self.progress = Exported(
                "running", number, len(names), str(self.folder), tuple(errors[:MOST_ERRORS])
            )
        self.progress = Exported(
            "finished", len(names), len(names), str(self.folder), tuple(errors[:MOST_ERRORS])
        )

    def _try(self, errors: list[str], work: Callable[[], None]) -> None:
        try:
            work()
        except (HintSegError, OSError) as error:
            errors.append(str(error))

    def _names_of(self, dataset: Dataset) -> None:
        text = "".join(f"{name}\n" for name in dataset.classes)
        write_text(self.folder / "classes.txt", text)

    def _write(self, dataset: Dataset, name: str) -> None:
        labels = self._mask_of(dataset, name)
        write_label_map(self.folder / f"{name}.png", labels, classes=len(dataset.classes))


def with_hints(seen: LabelMap | None, drawn: LabelMap) -> LabelMap:
    """What was seen, and over it what a person has drawn; without a prediction only that.

    Example:
        >>> with_hints(np.array([[0, 0]], np.int16), np.array([[-1, 2]], np.int16))
        array([[0, 2]], dtype=int16)
    """
    return drawn if seen is None else np.where(drawn >= 0, drawn, seen).astype(np.int16)
