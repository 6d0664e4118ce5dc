"""A folder of label maps, each made once.

The folder says in one file with which model and options its label maps were made; it never mixes
them. Each label map says in a text of its own, beside the pixels, of what content it was made:
whatever happens to other files or to the job, it is taken for finished for this content only. A
list of the finished ones could be lost, half-written, or written by two processes at once.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError, NotFiniteError, WriteError
from hintseg.files import read_json, remove_parts, write_json
from hintseg.images.label_maps import has_class_palette, overlay, write_label_map
from hintseg.images.photographs import note_in, write_png
from hintseg.structures import ClassSet, Image, LabelMap

OVERLAYS, SCORES = "overlays", "scores"
STALE = 3600.0  # seconds after which a half-written file is no running process's


class Labelling(NamedTuple):
    """An image, its labels and, where they are wanted, how sure they are."""

    image: Image
    labels: LabelMap
    scores: Float[np.ndarray, "_ _"] | None = None  # probability of the label of each pixel


@dataclass
class Outcome:
    """What became of the images."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # finished by an earlier call
    failed: dict[Path, str] = field(default_factory=dict)  # image -> why

    def record(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {
            "written": [str(path) for path in self.written],
            "skipped": [str(path) for path in self.skipped],
            "failed": {str(path): why for path, why in self.failed.items()},
        }

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what another process has done, by its record."""
        self.written += map(Path, record["written"])
        self.skipped += map(Path, record["skipped"])
        self.failed |= {Path(path): why for path, why in record["failed"].items()}


@dataclass(frozen=True)
class LabelFolder:
    """Where label maps go as NAME.png; overlays/NAME.png and scores/NAME.png where wanted."""

    out: Path
    record: Mapping[str, Any]  # model and options
    classes: int
    overlays: bool
    scores: bool = False
    outcome: Outcome = field(default_factory=Outcome)

    def add(
        self,
        name: str,
        file: Path,
        content: Callable[[], str],
        label: Callable[[], Labelling],
    ) -> None:
        """Write the labels of one image, unless that is done; they come last, as the sign of it.

        Args:
            name: Of the label map.
            file: The image file that the outcome names.
            content: Gives the digest of what is labelled.
            label: Gives image, labels and scores; a DataError of either, or a NotFiniteError, is
                noted in the outcome.
        """
        target, picture = self.out / f"{name}.png", self.out / OVERLAYS / f"{name}.png"
        sure = self.out / SCORES / f"{name}.png"
        try:
            note = self._note_of(content())
            wanted = [target, *[picture] * self.overlays, *[sure] * self.scores]
            if all(note_in(path) == note for path in wanted):
                self.outcome.skipped.append(file)
                return
            _refuse_foreign(target, self.classes)
            image, labels, scores = label()
        except (DataError, NotFiniteError) as error:
            named = isinstance(error, DataError)
            self.outcome.failed[file] = str(error) if named else f"{file}: {error}"
            return
        self._check_there()
        if self.overlays:
            write_png(picture, PillowImage.fromarray(overlay(image, labels)), note=note)
        if scores is not None:
            write_png(sure, PillowImage.fromarray(as_bytes(scores)), note=note)
        for path in {picture, sure}.difference(wanted):
            if note_in(path) not in ("", note):
                path.unlink()  # it shows what is no more
        write_label_map(target, labels, classes=self.classes, note=note)
        self.outcome.written.append(target)

    def _check_there(self) -> None:
        """Label maps in a folder that does not say how they were made could not be gone on with."""
        if not self.out.is_dir():
            raise WriteError(
                f"{self.out}: was removed while label maps were written; run the same command again"
            )

    def _note_of(self, content: str) -> str:
        made_of = json.dumps(self.record, sort_keys=True) + content
        return hashlib.sha256(made_of.encode()).hexdigest()


def as_bytes(scores: Float[np.ndarray, "_ _"]) -> UInt8[np.ndarray, "_ _"]:
    """Probabilities as grey values: 255 is 1."""
    return (scores * 255).round().clip(0, 255).astype(np.uint8)


def _refuse_foreign(target: Path, classes: int) -> None:
    """Old label maps are replaced; a photograph of somebody's is not."""
    if not target.exists() or note_in(target):
        return
    try:
        is_label_map = has_class_palette(target, classes=classes)
    except DataError:  # no image at all
        return
    if not is_label_map:
        raise DataError(f"{target}: is no label map of hintseg's; move it or choose another --out")


def refuse_folder_of(files: Iterable[Path], out: Path, names: Iterable[str]) -> None:
    """Label maps beside photographs of the same names would replace them or be taken for them.

    Raises:
        ConfigError: `out`, a sub-folder to write to or its folder of overlays or scores holds one
            of the files, or the overlay of an image would have the place of a label map.
    """
    folders = {folder.resolve() for folder in {file.parent for file in files}}
    inner = {Path(name).parent for name in names}
    targets = {(out / OVERLAYS).resolve(), (out / SCORES).resolve(), out.resolve()}
    if folders & targets.union((out / folder).resolve() for folder in inner):
        raise ConfigError(f"{out}: holds the images themselves; choose another --out")
    for taken in (OVERLAYS, SCORES):
        if any(folder.parts[:1] == (taken,) for folder in inner):
            raise ConfigError(
                f"{out}: images lie in a sub-folder called {taken}, the name of the folder of "
                "pictures; rename it"
            )


def claim(out: Path, record: Mapping[str, Any], classes: ClassSet, *, file: str) -> None:
    """Say in the folder with what its files are made, and what their classes are called.

    Raises:
        ConfigError: `out` is a file, or holds label maps that were made otherwise.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out must be a folder")
    if out.exists():
        remove_parts(out, older=STALE)
    told = {"classes": list(classes.names), "background": classes.background}
    if (out / file).exists():
        before = read_json(out / file)
        if {key: value for key, value in before.items() if key not in told} != record:
            raise ConfigError(
                f"{out}: holds predictions of another model or other options; choose another "
                "--out or delete it"
            )
        if before == {**record, **told}:
            return
    elif any(out.glob("*.png")) and not (out / file).exists():  # another process may be first
        raise ConfigError(
            f"{out}: holds PNG files that are not known as predictions ({file} is missing); "
            "choose another --out"
        )
    write_json(out / file, {**record, **told})


def digest_of_file(path: Path) -> str:
    """Hash of all bytes of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
