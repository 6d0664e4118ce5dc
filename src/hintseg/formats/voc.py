"""PASCAL VOC folders and what was made in their form: boxes, masks, ScribbleSup, What's the Point.

- `Annotations/*.xml`: boxes in pixels counted from 1, the last one included; polygons of other
  tools; scribbles of ScribbleSup (https://arxiv.org/abs/1604.05144: `polygon`, `tag`, `point`).
- `SegmentationClass/*.png`: class indices with 255 for void, or the colours of a `labelmap.txt`.
- `pascal_2012_scribble/*.png`: ScribbleSup's strokes as they were painted for regularised losses
  (https://arxiv.org/abs/1803.09569), 255 without a label.
- What's the Point (https://arxiv.org/abs/1506.02106): JSON, image -> list of x, y, cls (1 to 20).
- SBD: `cls/*.mat` (sbd.py).

All may lie in one folder: what is found of an image is joined, and of several masks that of VOC
itself counts. The train split is the longest that is listed: `trainaug.txt` before `train.txt`; it
is VOC's and SBD's without VOC's val where SBD is there without such a list.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hintseg.errors import DataError
from hintseg.formats.classes import ClassList, read_classes
from hintseg.formats.found import Drawn, Found, Painted, Request, Source
from hintseg.formats.maps import (
    VOC,
    VOC_VOID,
    VOID_NAMES,
    VOID_VALUE,
    by_colours,
    by_values,
)
from hintseg.formats.reading import load_json, load_text, load_xml, number, size_of
from hintseg.formats.sbd import by_segmentation, is_sbd
from hintseg.hints.shapes import Point
from hintseg.images.label_maps import Colour
from hintseg.structures import UNLABELLED, VOID

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAPS = ("SegmentationClass", "SegmentationClassAug", "SegmentationClassRaw")
STROKES = ("pascal_2012_scribble",)
CONTEXT = "pascal_2010"  # of ScribbleSup: the classes of PASCAL-Context
AUGMENTED = ("trainaug", "train_aug")
MAIN, MORE = "_main.json", "_supp.json"  # of What's the Point: one person's clicks, and others'
OTHER_MAPS = ("SegmentationObject",)
LABELMAP = "labelmap.txt"
SETS = ("Segmentation", "Main")


def read(request: Request) -> Source:
    """What a folder, one XML file or one JSON file of points says.

    Raises:
        DataError: Nothing of VOC's form.
        MissingExtraError: There are XML files, and defusedxml is not installed.
    """
    reader = _Folder(request)
    reader.read()
    if not reader.found:
        left = "; ".join(request.journal.left)
        raise DataError(
            f"{request.name}: neither XML of VOC nor {MAPS[0]} nor points{left and f' ({left})'}; "
            "choose the format that it has"
        )
    folders = sorted(request.source.rglob("JPEGImages")) if request.source.is_dir() else []
    home = request.source if request.source.is_dir() else request.source.parent
    return Source(
        list(reader.found.values()),
        reader.class_names(),
        folders=folders or [home],
        splits=reader.splits(),
        maps=reader.maps,
    )


@dataclass(slots=True)
class _Folder:
    """One source of VOC's form; what is found is kept by the name of the image."""

    request: Request
    found: dict[str, Found] = field(default_factory=dict)
    maps: set[Path] = field(default_factory=set)
    indexed: bool = False  # label maps or points, whose numbers are those of VOC's classes
    augmented: set[str] = field(default_factory=set)  # images of SBD

    def read(self) -> None:
        """Read all files."""
        source = self.request.source
        files = [source] if source.is_file() else sorted(source.rglob("*"), key=_rank)
        labelmap = self._labelmap(files)
        for path in files:
            ending, place = path.suffix.lower(), self.request.place(path)
            folders = {part for part in path.relative_to(source).parts[:-1]}
            with self.request.journal.leaving(place):
                if ending in (".xml", ".mat") and CONTEXT in folders:
                    raise DataError("of PASCAL-Context, whose classes are others")
                if ending == ".xml":
                    self._xml(path, place)
                elif ending == ".json":
                    self._points(path, place)
                elif is_sbd(path):
                    self._sbd(path, place)
                elif ending == ".png" and folders & {*STROKES}:
                    self._strokes(path, place)
                elif ending == ".png" and folders & {*OTHER_MAPS}:
                    self.maps.add(path.resolve())
                    raise DataError("numbers of objects, which are no classes")
                elif ending == ".png" and folders & {*MAPS}:
                    self.maps.add(path.resolve())
                    self._map(path, place, labelmap)

    def class_names(self) -> tuple[str, ...]:
        """The classes in their order: those of the labelmap, or of VOC, where they can be meant."""
        labelmap = self._labelmap(sorted(self.request.source.rglob(LABELMAP)))
        if labelmap is not None:
            return tuple(name for name in labelmap.names if name.casefold() not in VOID_NAMES)
        drawn = {each.label for found in self.found.values() for each in found.drawn}
        if self.indexed:
            return self._indexed_names()
        return tuple(name for name in VOC if name in drawn) if drawn <= {*VOC} else ()

    def splits(self) -> dict[str, list[str]]:
        """The lists of ImageSets; SBD adds to the train split."""
        lists = {split: self._listed(split) for split in ("train", "val", "test", *AUGMENTED)}
        longer = max((lists.pop(name) for name in AUGMENTED), key=len)
        if longer:
            lists["train"] = longer
        elif lists["train"] and self.augmented:
            lists["train"] = sorted({*lists["train"], *self.augmented} - {*lists["val"]})
        found = {
            split: [self.found[stem].image for stem in stems if stem in self.found]
            for split, stems in lists.items()
        }
        return {split: names for split, names in found.items() if names}

    def _listed(self, split: str) -> list[str]:
        """The names in the list of a split; a line may hold the paths of image and mask."""
        for name in SETS:
            for folder in sorted(self.request.source.rglob(f"ImageSets/{name}")):
                path = folder / f"{split}.txt"
                if path.is_file():
                    lines = load_text(path, self.request.place(path)).split("\n")
                    return [Path(line.split()[0]).stem for line in lines if line.strip()]
        return []

    def _labelmap(self, files: list[Path]) -> ClassList | None:
        for path in files:
            if path.name == LABELMAP:
                return read_classes(path, self.request.place(path))
        return None

    def _of(self, stem: str, place: str) -> Found:
        return self.found.setdefault(stem, Found(stem, place))

    def _xml(self, path: Path, place: str) -> None:
        root = load_xml(path, place)
        if root.tag != "annotation":
            raise DataError(f"no annotation of VOC: it is a {root.tag!r}")
        found = self._of(path.stem, place)
        named = (root.findtext("filename") or "").strip()
        found.image, found.also = (named or path.stem), (path.stem,)
        size = root.find("size")
        if size is not None:
            found.size = size_of(size.findtext("height"), size.findtext("width"))
        for index, thing in enumerate(root.findall("object")):
            with self.request.journal.leaving(f"{place}: object[{index}]"):
                found.drawn += self._object(thing, f"{place}: object[{index}]")
        for index, thing in enumerate(root.findall("polygon")):
            with self.request.journal.leaving(f"{place}: polygon[{index}]"):
                found.drawn.append(_scribble(thing, f"{place}: polygon[{index}]"))

    def _object(self, thing: "Element", place: str) -> Iterator[Drawn]:
        label = (thing.findtext("name") or "").strip()
        if (thing.findtext("deleted") or "").strip() == "1":
            raise DataError("an object that was deleted")
        for _ in thing.findall("part"):
            self.request.journal.leave("a box of a part of an object", place)
        polygon, box = thing.find("polygon"), thing.find("bndbox")
        corners = () if polygon is None else _corners(polygon)
        if corners:
            yield Drawn("polygon", label, corners, place)
        elif box is not None:
            left, top, right, bottom = (
                number(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")
            )
            first = (max(left - 1, 0.0), max(top - 1, 0.0))
            yield Drawn("box", label, (first, (right, bottom)), place)
        else:
            raise DataError("an object without a box")

    def _sbd(self, path: Path, place: str) -> None:
        self.augmented.add(path.stem)
        self.indexed = True
        found = self._of(path.stem, place)
        if found.mask is not None:
            raise DataError("a second mask of one image: VOC's own counts")
        found.mask = by_segmentation(path, place)

    def _strokes(self, path: Path, place: str) -> None:
        self.indexed = True
        self.maps.add(path.resolve())
        names = dict(enumerate(self._indexed_names()))
        found = self._of(path.stem, place)
        found.hints = by_values(path, place, names, nothing=UNLABELLED, without=[VOID_VALUE])

    def _points(self, path: Path, place: str) -> None:
        if path.name.endswith(MORE) and path.with_name(path.name.replace(MORE, MAIN)).is_file():
            raise DataError("further clicks of What's the Point; those of *_main.json count")
        content = load_json(path, place)
        if not isinstance(content, dict) or not all(map(_is_clicks, content.values())):
            raise DataError("no points of What's the Point: image -> list of x, y, cls")
        self.indexed = True
        names = self._indexed_names()
        for stem, clicks in content.items():
            found = self._of(str(stem), place)
            for index, click in enumerate(clicks):
                where = f"{place}: {stem}[{index}]"
                with self.request.journal.leaving(where):
                    number_ = number(click["cls"])
                    if not 0 <= number_ < len(names):
                        raise DataError(f"cls {number_:g} is no class (0 to {len(names) - 1})")
                    centre = (number(click["x"]) + 0.5, number(click["y"]) + 0.5)
                    found.drawn.append(Drawn("point", names[int(number_)], (centre,), where))

    def _map(self, path: Path, place: str, labelmap: ClassList | None) -> None:
        found = self._of(path.stem, place)
        if found.mask is not None:
            raise DataError("a second label map of one image")
        if labelmap is not None and labelmap.colours:
            found.mask = _coloured(path, place, labelmap)
            return
        self.indexed = True
        names = dict(enumerate(self._indexed_names()))
        found.mask = by_values(path, place, names, nothing=VOID, without=[VOID_VALUE])

    def _indexed_names(self) -> tuple[str, ...]:
        return VOC if self.request.classes is None else self.request.classes.names


def _rank(path: Path) -> tuple[int, Path]:
    """VOC's own masks before those that others made of the same images."""
    return (int(path.suffix == ".mat" or path.parent.name in MAPS[1:]), path)


def _coloured(path: Path, place: str, labelmap: ClassList) -> Painted:
    void: list[Colour] = [VOC_VOID]
    void += [each for name, each in labelmap.colours.items() if name.casefold() in VOID_NAMES]
    names = {n: c for n, c in labelmap.colours.items() if n.casefold() not in VOID_NAMES}
    return by_colours(path, place, names, nothing=VOID, void=void)


def _is_clicks(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(
        isinstance(each, dict) and {"x", "y", "cls"} <= each.keys() for each in value
    )


def _scribble(thing: "Element", place: str) -> Drawn:
    """A stroke of ScribbleSup: pixels counted from 0."""
    label = (thing.findtext("tag") or "").strip()
    points = tuple(
        (number(each.findtext("X")) + 0.5, number(each.findtext("Y")) + 0.5)
        for each in thing.findall("point")
    )
    if len(points) == 1:
        return Drawn("point", label, points, place)
    return Drawn("scribble", label, points, place)


def _corners(polygon: "Element") -> tuple[Point, ...]:
    """`pt` with x and y, or x1, y1, x2, y2, ... as other tools write them."""
    points = polygon.findall("pt")
    if points:
        return tuple((number(each.findtext("x")), number(each.findtext("y"))) for each in points)
    corners: list[Point] = []
    while (x := polygon.findtext(f"x{len(corners) + 1}")) is not None:
        corners.append((number(x), number(polygon.findtext(f"y{len(corners) + 1}"))))
    return tuple(corners)
