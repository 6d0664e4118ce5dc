"""COCO JSON (https://cocodataset.org/#format-data): objects, keypoints, stuff, panoptic PNGs.

Polygons and boxes count from the corner of the top-left pixel. What has a segmentation is taken by
it, else by its box; keypoints are clicks of the class. Label maps lie in a folder beside the file:
`NAME/` of panoptic numbers (red + 256 green + 65536 blue), `NAME_pixelmaps/` of category numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.errors import DataError
from hintseg.files import is_there
from hintseg.formats.found import Drawn, Found, Numbers, Painted, Request, Source
from hintseg.formats.reading import entries, load_json, numbers_in, pairs, size_of
from hintseg.formats.rle import coco_bitmap
from hintseg.hints.labelme_shapes import show
from hintseg.hints.shapes import Size
from hintseg.images.label_maps import read_values
from hintseg.images.photographs import read_image
from hintseg.structures import VOID, LabelMap

SPLITS = ("train", "val", "test")


def read(request: Request) -> Source:
    """The images of one JSON file, or of all in a folder.

    Raises:
        DataError: No COCO file, or a damaged one.
    """
    files = _files(request.source)
    if not files:
        raise DataError(f"{request.name}: holds no JSON file; give one of COCO's")
    parts = []
    for path in files:
        place = request.place(path)
        content = load_json(path, place)
        if len(files) > 1 and not _is_coco(content):
            request.journal.leave("no COCO file: it has no images", place)
            continue
        parts.append(_Part(request, path, content))
    found = [each for part in parts for each in part.read()]
    classes = list(dict.fromkeys(name for part in parts for name in part.categories.values()))
    return Source(
        found,
        classes,
        folders=[request.source if request.source.is_dir() else request.source.parent],
        splits=_splits(parts),
        maps={path for part in parts for path in part.maps},
    )


def _files(source: Path) -> list[Path]:
    return [source] if source.is_file() else sorted(source.rglob("*.json"))


def _is_coco(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def _splits(parts: list["_Part"]) -> dict[str, list[str]]:
    """By the names of the files or of their folders; none where these do not all say it."""
    splits: dict[str, list[str]] = {}
    for part in parts:
        split = _split_of(part.path)
        if split is None:
            return {}
        splits.setdefault(split, []).extend(part.names)
    return splits if len(splits) > 1 else {}


def _split_of(path: Path) -> str | None:
    words = f"{path.parent.name} {path.stem}".lower().replace("valid", "val")
    found = [split for split in SPLITS if split in words]
    return found[0] if len(found) == 1 else None


@dataclass(slots=True)
class _Part:
    """One JSON file."""

    request: Request
    path: Path
    content: dict[str, Any]
    categories: dict[Any, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    maps: set[Path] = field(default_factory=set)
    _images: dict[Any, Found] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """How the file is called in messages."""
        return self.request.place(self.path)

    def read(self) -> list[Found]:
        """What it says of its images."""
        if not _is_coco(self.content):
            raise DataError(f"{self.place}: not a COCO file: it needs a list of images")
        self.categories = self._categories()
        for index, image in enumerate(entries(self.content, "images", self.place)):
            self._image(f"{self.place}: images[{index}]", image)
        for index, each in enumerate(entries(self.content, "annotations", self.place)):
            place = f"{self.place}: annotations[{index}]"
            with self.request.journal.leaving(place):
                self._annotation(place, each)
        self._pixelmaps()
        self.names = [found.image for found in self._images.values()]
        return list(self._images.values())

    def _categories(self) -> dict[Any, str]:
        categories: dict[Any, str] = {}
        listed = entries(self.content, "categories", self.place)
        for index, each in enumerate(listed):
            place = f"{self.place}: categories[{index}]"
            if not isinstance(each, dict) or not isinstance(each.get("id"), int):
                self.request.journal.leave("a category without a number", place)
                continue
            name = str(each.get("name") or "").strip()
            if each["id"] in categories:
                self.request.journal.leave("a second category of one number", place)
            elif not name:
                self.request.journal.leave("a category without a name", place)
            else:
                if name in categories.values():
                    self.request.journal.change("categories of one name are one class", place)
                categories[each["id"]] = name
        return categories

    def _image(self, place: str, image: Any) -> None:  # noqa: ANN401
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            self.request.journal.leave("an image without file_name", place)
            return
        number = image.get("id")
        if not isinstance(number, int | str):
            self.request.journal.leave("an image without a number", place)
        elif number in self._images:
            self.request.journal.leave("a second image of one number", place)
        else:
            size = size_of(image.get("height"), image.get("width"))
            self._images[number] = Found(image["file_name"], place, size=size)

    def _annotation(self, place: str, each: Any) -> None:  # noqa: ANN401
        if not isinstance(each, dict):
            raise DataError(f"an annotation must be an object, got {show(each)}")
        number = each.get("image_id")
        found = self._images.get(number) if isinstance(number, int | str) else None
        if found is None:
            raise DataError("an annotation without its image")
        if "segments_info" in each:
            self._panoptic(place, each, found)
        elif "category_id" not in each and "caption" in each:
            raise DataError("a caption; only what names a class is a hint")
        else:
            label = self._label(each.get("category_id"))
            found.drawn += self._shapes(place, each, label, found.size)

    def _label(self, number: object) -> str:
        if not isinstance(number, int) or number not in self.categories:
            raise DataError(f"category {show(number)} is not among the categories")
        return self.categories[number]

    def _shapes(
        self, place: str, each: dict[str, Any], label: str, size: Size | None
    ) -> Iterator[Drawn]:
        """The shapes of one annotation: its segmentation, else its box, and its keypoints."""
        segmentation, some = each.get("segmentation"), False
        if isinstance(segmentation, dict) and segmentation:
            bitmap = partial(coco_bitmap, segmentation, size or _stated_size(segmentation))
            yield Drawn("mask", label, ((0.0, 0.0),), place, bitmap=bitmap)
            some = True
        elif isinstance(segmentation, list):
            for index, polygon in enumerate(segmentation):
                part = f"{place}.segmentation[{index}]"
                with self.request.journal.leaving(part):
                    yield Drawn("polygon", label, pairs(numbers_in(polygon)), part)
                    some = True
        elif segmentation:
            self.request.journal.leave("a segmentation of no known kind", place)
        clicks = list(self._keypoints(place, each.get("keypoints"), label))
        yield from clicks
        box = each.get("bbox")
        if not some and box:
            yield _box(place, box, label)
        elif box:
            self.request.journal.leave("a box whose segmentation says more", place)
        elif not some and not clicks:
            raise DataError("neither segmentation nor box nor keypoints")

    def _keypoints(self, place: str, value: object, label: str) -> Iterator[Drawn]:
        if not value:
            return
        numbers = numbers_in(value)
        if len(numbers) % 3:
            self.request.journal.leave("keypoints that are not x, y, visibility by turns", place)
            return
        for index in range(0, len(numbers), 3):
            x, y, visible = numbers[index : index + 3]
            if visible > 0:
                part = f"{place}.keypoints[{index // 3}]"
                # COCO counts keypoints in pixels from 0; a place is the middle of its pixel
                yield Drawn("point", label, ((x + 0.5, y + 0.5),), part)

    def _panoptic(self, place: str, each: dict[str, Any], found: Found) -> None:
        name = each.get("file_name")
        if not isinstance(name, str) or not name:
            raise DataError("a panoptic annotation without file_name")
        path = self._map_file(name)
        segments = {}
        for segment in entries(each, "segments_info", place):
            if isinstance(segment, dict) and isinstance(segment.get("id"), int):
                segments[segment["id"]] = self._label(segment.get("category_id"))
        if found.mask is not None:
            raise DataError("a second panoptic annotation of one image")
        self.maps.add(path.resolve())
        found.mask = Painted(self.request.place(path), partial(_panoptic_map, path, segments))

    def _map_file(self, name: str) -> Path:
        """The file of a panoptic map, in a folder called as the JSON file or beside it."""
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or ":" in name:
            raise DataError(f"file_name {show(name)} leads out of the folder")
        folder = self.path.parent
        for place in (folder / self.path.stem, folder, self.request.images):
            if place is not None and is_there(place.joinpath(*parts)):
                return place.joinpath(*parts)
        raise DataError(f"panoptic map {show(name)} is missing")

    def _pixelmaps(self) -> None:
        """Maps of category numbers beside the file."""
        folder = self.path.parent / f"{self.path.stem}_pixelmaps"
        if not folder.is_dir():
            return
        by_stem = {Path(found.image).stem: found for found in self._images.values()}
        for path in sorted(folder.rglob("*.png")):
            self.maps.add(path.resolve())
            found, place = by_stem.get(path.stem), self.request.place(path)
            if found is None:
                self.request.journal.leave("a map without its image", place)
            elif found.mask is None:
                found.mask = Painted(place, partial(_category_map, path, self.categories))


def _stated_size(segmentation: dict[str, Any]) -> Size:
    stated = segmentation.get("size")
    size = size_of(*stated) if isinstance(stated, list) and len(stated) == 2 else None
    if size is None:
        raise DataError("RLE without a size, of an image without one")
    return size


def _box(place: str, box: object, label: str) -> Drawn:
    numbers = numbers_in(box)
    if len(numbers) != 4:
        raise DataError(f"a box needs x, y, width and height, got {len(numbers)} numbers")
    x, y, width, height = numbers
    return Drawn("box", label, ((x, y), (x + width, y + height)), place)


def _panoptic_map(path: Path, segments: Mapping[int, str], numbers: Numbers, _: Size) -> LabelMap:
    colours = read_image(path).astype(np.int32)
    values = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    return _looked_up(values, segments, numbers)


def _category_map(path: Path, categories: Mapping[Any, str], numbers: Numbers, _: Size) -> LabelMap:
    return _looked_up(read_values(path), categories, numbers)


def _looked_up(values: np.ndarray, names: Mapping[Any, str], numbers: Numbers) -> LabelMap:
    """Class indices of numbers that have a name; the others are VOID."""
    found, place = np.unique(values, return_inverse=True)
    wanted = [numbers.get(names.get(int(value), ""), VOID) for value in found]
    return np.array(wanted, dtype=np.int16)[place].reshape(values.shape)
