"""What is drawn on an image, as a browser sees and changes it: LabelMe files with a version.

A save names the version that it changes; if the file has become another meanwhile (a second
window, another program), nothing is written and the caller gets the file as it is now.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from hintseg.data.dataset import Dataset
from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError, HintSegError
from hintseg.files import read_bytes, relative_to, replacing, writing
from hintseg.hints.figures import read_bitmap, write_bitmap
from hintseg.hints.labelme import VERSION, labelme_problems
from hintseg.studio.painted import PAINTED, painted_entries, write_painted

NO_FILE = "none"  # version of a file that is not there
OWN_KEY = "hintseg"  # in a LabelMe file: what only we write
STANDARD = {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
MOST_SHAPES = 20_000


@dataclass(frozen=True, slots=True)
class Drawing:
    """The hints of one image as its LabelMe file has them, with all foreign keys of shapes."""

    version: str
    shapes: list[dict[str, Any]] = field(default_factory=list)
    flags: dict[str, bool] = field(default_factory=dict)
    done: bool = False  # its author says that nothing is missing
    problems: list[str] = field(default_factory=list)
    readable: bool = True  # False: the file has to be mended before anything can be saved

    def record(self) -> dict[str, Any]:
        """As a browser gets it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Change:
    """What a browser wants a drawing to be."""

    shapes: list[dict[str, Any]]
    flags: dict[str, bool]
    done: bool


class ConflictError(HintSegError):
    """The file is not the one that was to be changed; `current` is what it holds now."""

    def __init__(self, name: str, current: Drawing) -> None:
        super().__init__(f"{name}: the hints were changed elsewhere meanwhile; merge both")
        self.current = current


class Drawings:
    """Reads and saves the drawings of a data set."""

    def __init__(self) -> None:
        self._lock = Lock()  # between the look at a file and its replacement

    def read(self, dataset: Dataset, name: str) -> Drawing:
        """What is drawn and painted on an image; an empty drawing where there is no file."""
        path, painting = hint_file(dataset, name), dataset.partial_file(name)
        content, colours = _bytes(path), None if painting is None else _bytes(painting)
        version = version_of_bytes(content, colours)
        problems = [] if content is None else _problems(dataset, name, path)
        painted: list[dict[str, Any]] = []
        if painting is not None and colours is not None:
            try:
                painted = painted_entries(dataset, name, painting)
            except DataError as error:
                problems.append(str(error))
        if content is None:
            return Drawing(version, painted, problems=problems)
        document = _document(content)
        if document is None:
            return Drawing(version, problems=problems, readable=False)
        shapes = [shape for shape in document["shapes"] if isinstance(shape, dict)]
        flags = document.get("flags")
        ticked = {str(k): v is True for k, v in flags.items()} if isinstance(flags, dict) else {}
        return Drawing(version, [*painted, *shapes], ticked, _done(document), problems)

    def save(self, dataset: Dataset, name: str, change: Change, version: str) -> Drawing:
        """Write a changed drawing; gives it with its new version.

        Raises:
            ConflictError: The file has another version by now; nothing is written.
            DataError: The change would make the file unsound, or the file cannot be mended here.
            WriteError: The file cannot be written.
        """
        path = hint_file(dataset, name)
        with self._lock:
            current = self.read(dataset, name)
            if current.version != version:
                raise ConflictError(name, current)
            if not current.readable:
                raise DataError(current.problems[0] if current.problems else f"{path}: damaged")
            drawn, painted = _apart(change.shapes)
            _save_painted(dataset, name, painted, _apart(current.shapes)[1])
            change = replace(change, shapes=drawn)
            document = _changed(_document(_bytes(path) or b"") or {}, change, dataset, name)
            target = file_to_write(dataset, name)
            if _says_nothing(document) and target == path:
                with writing(path):
                    path.unlink(missing_ok=True)
            else:
                before = len(_problems(dataset, name, path)) if path.exists() else 0
                _write(target, document, dataset, name, allowed=before)
        return self.read(dataset, name)

    def add(self, dataset: Dataset, name: str, shapes: Sequence[dict[str, Any]]) -> Drawing:
        """Put shapes on top of whatever an image has now; errors as `save`."""
        now = self.read(dataset, name)
        change = Change([*now.shapes, *shapes], now.flags, done=now.done)
        return self.save(dataset, name, change, now.version)

    def take_away(self, dataset: Dataset, name: str, shapes: Sequence[dict[str, Any]]) -> Drawing:
        """Remove shapes as far as they are still there; errors as `save`."""
        now = self.read(dataset, name)
        kept = [shape for shape in now.shapes if shape not in shapes]
        return self.save(dataset, name, Change(kept, now.flags, done=now.done), now.version)

    def set_aside(self, dataset: Dataset, name: str, folder: Path) -> Drawing:
        """Move a hint file that cannot be used out of the way, so that drawing can begin anew.

        The file goes into `folder`, under a name that is free there; nothing is deleted.
        """
        with self._lock:
            for path in (dataset.json_file(name), dataset.partial_file(name)):
                if path is not None and path.exists() and _is_broken(dataset, name, path):
                    refuse_outside(dataset, path)
                    target = _free(folder / f"{name}{path.suffix}")
                    with writing(target):
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.move(path, target)
        return self.read(dataset, name)


def hint_file(dataset: Dataset, name: str) -> Path:
    """The LabelMe file of an image, or where it is to be.

    Raises:
        DataError: The data set has no such image: names are never paths.
    """
    if name not in dataset.images:
        raise DataError(f"{name}: no such image in {dataset.root}; reload the list")
    return dataset.json_file(name) or dataset.hints_folder / f"{name}.json"


def file_to_write(dataset: Dataset, name: str) -> Path:
    """Where the hints of an image are saved: always in the folder of the data set.

    A dataset.yaml of a stranger can name folders anywhere: they are read, and nothing else. Hints
    beside photographs elsewhere are saved into the data set's own folder of hints, which counts
    before them.

    Raises:
        DataError: That folder is elsewhere too.
    """
    first, own = hint_file(dataset, name), dataset.hints_folder / f"{name}.json"
    chosen = first if _is_inside(dataset, first) else own
    refuse_outside(dataset, chosen)
    return chosen


def refuse_outside(dataset: Dataset, path: Path) -> None:
    """DataError for a file that is not in the folder of the data set."""
    if not _is_inside(dataset, path):
        raise DataError(
            f"{path.parent}: lies outside of the data set, where the studio writes nothing; "
            "set hints: to a folder in it"
        )


def _is_inside(dataset: Dataset, path: Path) -> bool:
    return path.parent.resolve().is_relative_to(dataset.root.resolve())


def version_of_bytes(drawn: bytes | None, painted: bytes | None = None) -> str:
    """What tells one state of the hint files of an image from another."""
    if drawn is None and painted is None:
        return NO_FILE
    digest = hashlib.sha256(drawn or b"")
    if painted is not None:
        digest.update(b"\0painted\0" + painted)
    return digest.hexdigest()[:32]


def read_change(body: bytes) -> Change:
    """What a browser sent.

    Raises:
        DataError: It is no drawing.
    """
    try:
        content = parse_json(body, finite=True)
    except ValueError as error:
        raise DataError(f"the drawing is no JSON ({error}); reload the page") from error
    shapes = content.get("shapes") if isinstance(content, dict) else None
    flags = content.get("flags", {}) if isinstance(content, dict) else None
    sound = isinstance(shapes, list) and all(isinstance(shape, dict) for shape in shapes)
    if not sound or not isinstance(flags, dict) or len(shapes or ()) > MOST_SHAPES:
        raise DataError("the drawing must have shapes and flags; reload the page")
    ticked = {name: value is True for name, value in flags.items()}
    return Change([_grey(shape) for shape in shapes or []], ticked, content.get("done") is True)


def _apart(shapes: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Shapes of the LabelMe file, and those that stand for the painted hints."""
    painted = [shape for shape in shapes if shape.get(PAINTED) is True]
    return [shape for shape in shapes if shape.get(PAINTED) is not True], painted


def _save_painted(
    dataset: Dataset, name: str, shapes: list[dict[str, Any]], before: list[dict[str, Any]]
) -> None:
    if shapes == before:
        return
    path = dataset.partial_file(name) or dataset.hints_folder / f"{name}.png"
    refuse_outside(dataset, path)
    write_painted(dataset, path, dataset.size(name), shapes)


def _is_broken(dataset: Dataset, name: str, path: Path) -> bool:
    """Whether nothing can be saved to a hint file, or it belongs to an image of another size."""
    if path.suffix.lower() == ".json":
        content = _bytes(path)
        return content is None or _document(content) is None or bool(_problems(dataset, name, path))
    try:
        painted_entries(dataset, name, path)
    except DataError:
        return True
    return False


def _free(path: Path) -> Path:
    """A name that no file has yet: the name itself, or with a number."""
    taken = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in range(1, 10**6))
    return path if not path.exists() else next(other for other in taken if not other.exists())


def _grey(shape: dict[str, Any]) -> dict[str, Any]:
    """A bitmap that a browser has changed has four channels; other programs expect one."""
    mask = shape.get("mask")
    if not isinstance(mask, str) or not _has_colours(mask):
        return shape
    return {**shape, "mask": write_bitmap(read_bitmap(mask))}


def _has_colours(mask: str) -> bool:
    """Whether a PNG in base64 is of more than one channel, as its 26th byte says."""
    try:
        head = base64.b64decode(mask[:36])
    except ValueError:
        return False
    return len(head) > 25 and head[25] in (2, 4, 6)


def _bytes(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _document(content: bytes) -> dict[str, Any] | None:
    """A LabelMe file; None for anything else."""
    try:
        document = parse_json(content.decode("utf-8-sig"), finite=True)
    except ValueError:
        return None
    sound = isinstance(document, dict) and isinstance(document.get("shapes"), list)
    return document if sound else None


def _done(document: Mapping[str, Any]) -> bool:
    own = document.get(OWN_KEY)
    return isinstance(own, dict) and own.get("done") is True


def _changed(
    document: dict[str, Any], change: Change, dataset: Dataset, name: str
) -> dict[str, Any]:
    """The document with the new shapes, flags and mark; everything else of it stays."""
    if not document:
        path = hint_file(dataset, name)
        height, width = dataset.size(name)
        document = {
            "version": VERSION,
            "flags": {},
            "shapes": [],
            "imagePath": relative_to(dataset.images[name], path.parent),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
    kept = [shape for shape in document["shapes"] if not isinstance(shape, dict)]
    own = document.get(OWN_KEY)
    own = {**(own if isinstance(own, dict) else {}), "done": change.done}
    changed = {**document, "shapes": [*change.shapes, *kept], "flags": change.flags, OWN_KEY: own}
    if own == {"done": False}:
        del changed[OWN_KEY]
    return changed


def _says_nothing(document: Mapping[str, Any]) -> bool:
    """Whether a file would say no more than that it exists."""
    ticked = any(document["flags"].values())
    return not (document["shapes"] or ticked or set(document) - STANDARD)


def _write(
    path: Path, document: Mapping[str, Any], dataset: Dataset, name: str, *, allowed: int
) -> None:
    try:
        text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    except RecursionError as error:
        raise DataError(f"{name}: the drawing is nested too deeply; reload the page") from error
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
        problems = _problems(dataset, name, temporary)
        if len(problems) > allowed:  # those that it had before are shown, not refused
            raise DataError(problems[-1].replace(str(temporary), str(path)))


def _problems(dataset: Dataset, name: str, path: Path) -> list[str]:
    image = dataset.images[name].name
    return labelme_problems(path, dataset.classes, dataset.size(name), image=image)
