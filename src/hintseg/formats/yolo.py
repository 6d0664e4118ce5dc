"""YOLO folders (Ultralytics, Darknet): boxes, polygons and keypoints in text files, data.yaml.

A line is `class x y width height` (a box by its centre), `class x y x y ...` (a polygon), or with
`kpt_shape:` a box and keypoints; all as shares of width and height. The labels of
`images/A/B.jpg` are `labels/A/B.txt`, or `B.txt` beside the image.
(https://docs.ultralytics.com/datasets/)
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import DataError
from hintseg.files import is_folder, is_there
from hintseg.formats.classes import names_in_yaml, read_classes
from hintseg.formats.found import Drawn, Found, Request, Source
from hintseg.formats.pictures import Pictures
from hintseg.formats.reading import load_text, number, pairs
from hintseg.hints.labelme_shapes import show

SPLITS = ("train", "val", "test")
LISTS = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt")
NOT_LABELS = (*LISTS, "notes.txt", "train.txt", "val.txt", "test.txt", "readme.txt")


def read(request: Request) -> Source:
    """The images of a folder or of the data.yaml in it.

    Raises:
        DataError: No list of classes, or nothing that is labelled.
    """
    reader = _Folder(request)
    return reader.read()


@dataclass(slots=True)
class _Folder:
    """One YOLO folder."""

    request: Request
    names: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    values_each: int = 0  # of a keypoint: 2, or 3 with its visibility

    def read(self) -> Source:
        """What it says of its images."""
        home = self.request.source
        home = home.parent if home.is_file() else home
        self._configure(home)
        pictures = Pictures([self.request.images or home])
        labels = self._label_files(home)
        stems: dict[str, list[Path]] = {}
        for each_file in labels:
            stems.setdefault(each_file.stem, []).append(each_file)
        found, images = [], dict[Path, Found]()
        for image in pictures.files:
            path = _label_of(image, stems)
            place = self.request.place(path or image)
            each = Found(str(image), place, file=image)
            if path is not None:
                self._lines(each, path)
                labels.discard(path)
            found.append(each)
            images[image] = each
        for stray in sorted(labels):
            self.request.journal.leave("labels without their image", self.request.place(stray))
        return Source(
            found, self.names, folders=pictures.folders, splits=self._splits(home, images)
        )

    def _configure(self, home: Path) -> None:
        """The names of the classes, from data.yaml, a list beside the labels, or --classes."""
        given = self.request.source if self.request.source.is_file() else None
        files = [given] if given else sorted([*home.glob("*.yaml"), *home.glob("*.yml")])
        for path in files:
            place = self.request.place(path)
            content = _yaml(path, place)
            if isinstance(content, dict) and "names" in content:
                self.names, self.config = tuple(names_in_yaml(content, place)), content
                shape = content.get("kpt_shape")
                if isinstance(shape, list) and len(shape) == 2 and shape[1] in (2, 3):
                    self.values_each = shape[1]
                return
        lists = [path for name in LISTS for path in sorted(home.rglob(name))]
        if lists:
            self.names = read_classes(lists[0], self.request.place(lists[0])).names
        elif self.request.classes is not None:
            self.names = self.request.classes.names
        else:
            raise DataError(
                f"{self.request.name}: no data.yaml with names:, no classes.txt; list the classes "
                "in the order of their numbers by --classes"
            )

    def _label_files(self, home: Path) -> set[Path]:
        found = (path.resolve() for path in home.rglob("*.txt") if is_there(path))
        names = (*NOT_LABELS, *(f"{split}.txt" for split in SPLITS))
        return {path for path in found if path.name.lower() not in names}

    def _lines(self, found: Found, path: Path) -> None:
        with self.request.journal.leaving(found.place):
            for index, line in enumerate(load_text(path, found.place).splitlines(), 1):
                place = f"{found.place}: line {index}"
                with self.request.journal.leaving(place):
                    found.drawn += self._line(line.split(), place)

    def _line(self, words: list[str], place: str) -> list[Drawn]:
        if not words:
            return []
        label, values = self._label(words[0]), [number(word) for word in words[1:]]
        if max(map(abs, values), default=0) > 2:
            raise DataError("coordinates must be shares of width and height, 0 to 1")
        if self.values_each and len(values) >= 4:
            return [_box(label, values, place), *self._keypoints(label, values[4:], place)]
        if len(values) in (4, 5):
            if len(values) == 5:
                self.request.journal.leave("how sure a prediction is", place)
            return [_box(label, values, place)]
        if len(values) >= 6 and len(values) % 2 == 0:
            return [Drawn("polygon", label, pairs(values), place, relative=True)]
        raise DataError(f"neither a box nor a polygon: {len(values)} numbers after the class")

    def _label(self, word: str) -> str:
        found = number(word)
        if found != int(found) or not 0 <= found < len(self.names):
            raise DataError(f"class {show(word)} is not among the {len(self.names)} classes")
        return self.names[int(found)]

    def _keypoints(self, label: str, values: list[float], place: str) -> list[Drawn]:
        step = self.values_each
        if len(values) % step:
            raise DataError(f"keypoints of {step} numbers each do not make {len(values)} numbers")
        points = [values[index : index + step] for index in range(0, len(values), step)]
        return [
            Drawn("point", label, ((point[0], point[1]),), place, relative=True)
            for point in points
            if (point[2] > 0 if step == 3 else any(point))
        ]

    def _splits(self, home: Path, images: dict[Path, Found]) -> dict[str, list[str]]:
        splits: dict[str, list[str]] = {}
        for split in SPLITS:
            key = "valid" if split == "val" and "val" not in self.config else split
            given = self.config.get(key)
            for entry in given if isinstance(given, list) else [given]:
                if isinstance(entry, str) and entry:
                    splits.setdefault(split, []).extend(self._members(home, entry, images, split))
        return {split: names for split, names in splits.items() if names}

    def _members(self, home: Path, entry: str, images: dict[Path, Found], split: str) -> list[str]:
        """The images that an entry of data.yaml means: a folder, or a list of files."""
        top = self.config.get("path")
        roots = [home / top, home] if isinstance(top, str) else [home]
        tails = [entry, entry.removeprefix("../").removeprefix("../")]
        for place in (root / tail for root in roots for tail in tails):
            if is_folder(place):
                inside = place.resolve()
                return [each.image for path, each in images.items() if inside in path.parents]
            if place.suffix == ".txt" and is_there(place):
                lines = load_text(place, self.request.place(place)).split("\n")
                stems = {Path(line.strip().replace("\\", "/")).stem for line in lines}
                return [each.image for path, each in images.items() if path.stem in stems]
        self.request.journal.leave("a split whose folder is not there", f"{split}: {entry}")
        return []


def _box(label: str, values: list[float], place: str) -> Drawn:
    x, y, width, height = values[:4]
    corners = ((x - width / 2, y - height / 2), (x + width / 2, y + height / 2))
    return Drawn("box", label, corners, place, relative=True)


def _label_of(image: Path, stems: dict[str, list[Path]]) -> Path | None:
    """The labels of an image: in the folder `labels` for its `images`, or the nearest one."""
    candidates = stems.get(image.stem, [])
    parts = list(image.with_suffix(".txt").parts)
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == "images":
            twin = Path(*parts[:index], "labels", *parts[index + 1 :])
            if twin in candidates:
                return twin
    beside = image.with_suffix(".txt")
    if beside in candidates:
        return beside
    return candidates[0] if len(candidates) == 1 else None


def _yaml(path: Path, place: str) -> Any:  # noqa: ANN401
    try:
        return parse_yaml(load_text(path, place))
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{place}: not a YAML file ({reason})") from error
