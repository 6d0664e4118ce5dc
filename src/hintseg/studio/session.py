"""What one server holds: the data set, its drawings, pictures, predictions and trainings."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from hintseg.data.check.image import Problem
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, HintSegError
from hintseg.images.label_maps import palette
from hintseg.methods import METHODS
from hintseg.predict.doubt import Doubt
from hintseg.studio.classes import add_class, finish_renaming, remove_class, rename_class
from hintseg.studio.drawings import Change, Drawing, Drawings, hint_file
from hintseg.studio.exporting import Exporter
from hintseg.studio.opening import mend, take_in
from hintseg.studio.pictures import WHOLE, Pictures
from hintseg.studio.ranking import Ranking
from hintseg.studio.seeing import Seeing
from hintseg.studio.trainer import FOLDER, Trainer

EXPORTED = {"done": "done", "hinted": "hints", "all": ""}  # what a summary has to say of an image


class Session:
    """One data set that is worked on; every method may be called from any thread."""

    def __init__(self, root: Path, run: Path | None = None, train_options: tuple = ()) -> None:
        self.root = root.resolve()
        finish_renaming(self.root)
        self.dataset = open_dataset(self.root)
        self.drawings, self.pictures = Drawings(), Pictures()
        self.seeing = Seeing(self.pictures)
        self.trainer = Trainer(self.root, train_options)
        self.ranking = Ranking(self.seeing)
        self._summaries: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._lock, self._seen_run, self._trouble = Lock(), run, ""
        self._broken, self._moved = "", dict[str, str | None]()
        self.exporter = Exporter(self.root / FOLDER / "masks", self.seeing.mask)
        self.id = id_of(self.root)
        if run is not None:
            self.seeing.use(run, self.dataset)
        self.look_for_model()

    def start(self) -> None:
        """Begin to rank."""
        self.ranking.follow(self.dataset)
        self.ranking.start()

    def close(self) -> None:
        """End what works in the background; a training goes on."""
        self.ranking.stop()
        self.exporter.close()

    def facts(self) -> dict[str, Any]:
        """What the page asks for first."""
        classes, colours = self.dataset.classes, palette(len(self.dataset.classes) + 1)
        return {
            "state": "ready",
            "id": self.id,
            "name": self.root.name,
            "root": str(self.root),
            "classes": [
                {"name": name, "colour": _hex(colours[index + (classes.background is None)])}
                for index, name in enumerate(classes)
            ],
            "background": classes.background,
            "images": len(self.dataset.images),
            "whole": WHOLE,
            "run": "" if self.seeing.run is None else self.seeing.run.name,
            "generation": self.seeing.generation,
            "ranked": self.ranking.known,
            "related": self.seeing.relatives.known,
            "methods": list(METHODS),
            "trouble": self._trouble,
            "broken": self._broken,
            "writable": is_writable(self.dataset.hints_folder),
            "export": self.exporter.progress.record(),
            "training": self.trainer.progress().record(),
        }

    def images(self) -> list[dict[str, Any]]:
        """The list of images, read anew from the disk."""
        with self._lock:
            try:
                self.dataset = open_dataset(self.root)
            except HintSegError as error:
                self._broken = str(error)
                raise
            self._broken = ""
            self.ranking.follow(self.dataset)
            return [self.summary(name) for name in self.dataset.images]

    def summary(self, name: str) -> dict[str, Any]:
        """What the list shows of an image."""
        doubt = self.ranking.of(name)
        return {"name": name, **self._hints_of(name), "doubt": doubt and _doubt(doubt)}

    def facts_of(self, name: str) -> dict[str, Any]:
        """Size and hints of an image that is opened."""
        height, width = self._size(name)
        return {"name": name, "height": height, "width": width, **self.read(name).record()}

    def read(self, name: str) -> Drawing:
        """The drawing of an image."""
        return self.drawings.read(self.dataset, name)

    def save(self, name: str, change: Change, version: str) -> Drawing:
        """Change the drawing of an image; errors as `Drawings.save`."""
        self.ranking.pause()
        drawing = self.drawings.save(self.dataset, name, self._followed(change), version)
        self.seeing.saved(name)
        return drawing

    def add_class(self, name: str) -> None:
        """Add a class behind the others; DataError where it cannot be one."""
        with self._lock:
            add_class(self.root, name)
            self._reopen()

    def rename_class(self, old: str, new: str) -> int:
        """Rename a class, its hints too; images whose hints changed. Errors as `rename_class`."""
        with self._lock:
            changed = rename_class(self.dataset, old, new)
            self._moved[old] = new
            self._moved.pop(new, None)
            self._reopen()
            return changed

    def remove_class(self, name: str, into: str | None) -> int:
        """Remove a class; images whose hints changed. Errors as `classes.remove_class`."""
        with self._lock:
            changed = remove_class(self.dataset, name, into)
            self._moved[name] = into
            self._reopen()
            return changed

    def mend(self, text: str) -> None:
        """Write dataset.yaml anew; errors as `opening.mend`."""
        with self._lock:
            mend(self.root, text)
            self._reopen()

    def take_in(self, name: str, content: bytes) -> str:
        """Add a photograph to the data set; errors as `opening.take_in`."""
        folder = self.dataset.images_folder
        if not folder.resolve().is_relative_to(self.root):
            raise DataError(f"{folder}: lies outside the data set; put images there by hand")
        return take_in(folder, name, content)

    def label_places(self, places: Sequence[tuple[str, int]], label: str) -> list[dict[str, Any]]:
        """Make similar places hints of a class; what was added where.

        Raises:
            DataError: No such class, image or region.
        """
        self.dataset.classes.index(label)
        added: dict[str, list[dict[str, Any]]] = {}
        for name, region in places:
            hint_file(self.dataset, name)
            entry = self.seeing.relatives.entry(self.dataset, name, region, label)
            added.setdefault(name, []).append(entry)
        for name, shapes in added.items():
            self.drawings.add(self.dataset, name, shapes)
        return [{"name": name, "shapes": shapes} for name, shapes in added.items()]

    def take_back(self, added: Sequence[tuple[str, list[dict[str, Any]]]]) -> None:
        """Remove again what `label_places` has added."""
        for name, shapes in added:
            self.drawings.take_away(self.dataset, name, shapes)

    def set_aside(self, name: str) -> Drawing:
        """Move a hint file that is broken into `studio/aside`, so that drawing can begin anew."""
        hint_file(self.dataset, name)
        return self.drawings.set_aside(self.dataset, name, self.root / FOLDER / "aside")

    def told(self, problem: Problem) -> dict[str, str]:
        """A problem that `check` has found, and the image that it belongs to, if any."""
        return {
            "severity": problem.severity,
            "text": str(problem),
            "name": self._image_of(problem.file) or "",
        }

    def _image_of(self, file: str) -> str | None:
        dataset, path = self.dataset, Path(file)
        for folder in (dataset.hints_folder, dataset.images_folder, dataset.masks_folder):
            if path.is_relative_to(folder):
                return dataset.find(path.relative_to(folder).with_suffix("").as_posix())
        return None

    def export(self, which: str) -> None:
        """Begin to write masks of done, of hinted or of all images; errors as `Exporter.start`."""
        if which not in EXPORTED:
            raise ConfigError(f"export {which!r}: choose {', '.join(EXPORTED)}")
        facts = {name: self._hints_of(name) for name in self.dataset.images}
        key = EXPORTED[which]
        names = [name for name, known in facts.items() if not key or known[key]]
        self.exporter.start(self.dataset, names)

    def _reopen(self) -> None:
        """Classes have changed."""
        self.dataset = open_dataset(self.root)
        self._summaries.clear()
        self._broken, self._seen_run = "", None
        self.seeing.forget()
        self.ranking.follow(self.dataset)

    def _followed(self, change: Change) -> Change:
        """A change by a page that does not yet know of a class with another name."""
        if not self._moved:
            return change
        known = set(self.dataset.classes)
        shapes, flags = [], dict[str, bool]()
        for shape in change.shapes:
            label = self._name_now(str(shape.get("label")), known)
            if label is not None:
                shapes.append({**shape, "label": label} if label != shape.get("label") else shape)
        for name, ticked in change.flags.items():
            label = self._name_now(name, known)
            if label is not None:
                flags[label] = ticked or flags.get(label, False)
        return Change(shapes, flags, done=change.done)

    def _name_now(self, name: str, known: set[str]) -> str | None:
        """What a class is called by now; None: it is gone."""
        seen = set[str]()
        label: str | None = name
        while label is not None and label not in known and label in self._moved:
            if label in seen:
                break
            seen.add(label)
            label = self._moved[label]
        return label

    def look_for_model(self) -> None:
        """See with the newest finished run, once it is there."""
        newest = self.trainer.newest_finished()
        if newest is None or newest == self._seen_run:
            return
        self._seen_run = newest
        try:
            self.seeing.use(newest, self.dataset)
            self._trouble = ""
        except HintSegError as error:
            self._trouble = str(error)

    def _size(self, name: str) -> tuple[int, int]:
        hint_file(self.dataset, name)  # refuses what is no image of the data set
        return self.dataset.size(name)

    def _hints_of(self, name: str) -> Mapping[str, Any]:
        """Number and classes of the hints; read again when the file has changed."""
        painted = self.dataset.partial_file(name)
        drawn, colours = _state(hint_file(self.dataset, name)), painted and _state(painted)
        if drawn is None and colours is None:
            return {"hints": 0, "classes": [], "done": False, "problems": 0}
        state = drawn, colours, len(self.dataset.classes)
        known = self._summaries.get(name)
        if known is None or known[0] != state:
            known = state, _summed_up(self.read(name))
            self._summaries[name] = known
        return known[1]


def id_of(root: Path) -> str:
    """What tells one data set from another that is served at the same address."""
    return hashlib.sha256(str(root).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def is_writable(folder: Path) -> bool:
    """Whether hints can be written, as far as permissions tell."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK)


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


def _summed_up(drawing: Drawing) -> dict[str, Any]:
    drawn = {str(shape.get("label")) for shape in drawing.shapes}
    ticked = {name for name, value in drawing.flags.items() if value}
    return {
        "hints": len(drawing.shapes) + len(ticked),
        "classes": sorted(drawn | ticked),
        "done": drawing.done,
        "problems": len(drawing.problems),
    }


def _doubt(doubt: Doubt) -> dict[str, float]:
    return {"mean": round(doubt.mean, 4), "x": round(doubt.x, 4), "y": round(doubt.y, 4)}


def _hex(colour: Any) -> str:  # noqa: ANN401 - three numbers
    return "#" + "".join(f"{int(value):02x}" for value in colour)
