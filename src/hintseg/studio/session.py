"""What one server holds: the data set, its drawings, pictures, predictions and trainings."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from hintseg.data.dataset import DATASET_FILE, open_dataset, read_settings
from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import DataError, HintSegError
from hintseg.files import read_text, write_text
from hintseg.images.label_maps import palette
from hintseg.predict.doubt import Doubt
from hintseg.structures import ClassSet
from hintseg.studio.drawings import Change, Drawing, Drawings, hint_file
from hintseg.studio.pictures import WHOLE, Pictures
from hintseg.studio.ranking import Ranking
from hintseg.studio.seeing import Seeing
from hintseg.studio.trainer import Trainer


class Session:
    """One data set that is worked on; every method may be called from any thread."""

    def __init__(self, root: Path, run: Path | None = None, train_options: tuple = ()) -> None:
        self.root = root.resolve()
        self.dataset = open_dataset(self.root)
        self.drawings, self.pictures = Drawings(), Pictures()
        self.seeing = Seeing()
        self.trainer = Trainer(self.root, train_options)
        self.ranking = Ranking(self.seeing)
        self._summaries: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._lock, self._seen_run, self._trouble = Lock(), run, ""
        if run is not None:
            self.seeing.use(run, self.dataset)
        self.look_for_model()

    def start(self) -> None:
        """Begin to rank."""
        self.ranking.start(self.dataset)

    def close(self) -> None:
        """End what works in the background; a training goes on."""
        self.ranking.stop()

    def facts(self) -> dict[str, Any]:
        """What the page asks for first."""
        classes, colours = self.dataset.classes, palette(len(self.dataset.classes) + 1)
        return {
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
            "trouble": self._trouble,
            "training": self.trainer.progress().record(),
        }

    def images(self) -> list[dict[str, Any]]:
        """The list of images, read anew from the disk."""
        with self._lock:
            self.dataset = open_dataset(self.root)
            self.ranking.start(self.dataset)
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
        return self.drawings.save(self.dataset, name, change, version)

    def add_class(self, name: str) -> None:
        """Add a class behind the others; what was written in dataset.yaml besides stays.

        Raises:
            DataError: It cannot be a class.
        """
        with self._lock:
            path = self.root / DATASET_FILE
            known = read_settings(path).classes
            try:
                ClassSet((*known, name))
            except HintSegError as error:
                raise DataError(str(error)) from error
            content = parse_yaml(read_text(path))
            content["classes"] = [*known, name]
            write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
            self.dataset = open_dataset(self.root)
            self.seeing.forget()

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
        path = hint_file(self.dataset, name)
        try:
            facts = path.stat()
            state = facts.st_mtime_ns, facts.st_size, len(self.dataset.classes)
        except OSError:
            painted = self.dataset.partial_file(name) is not None
            return {"hints": int(painted), "classes": [], "done": False, "problems": 0}
        known = self._summaries.get(name)
        if known is None or known[0] != state:
            known = state, _summed_up(self.read(name))
            self._summaries[name] = known
        return known[1]


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
