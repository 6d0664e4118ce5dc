"""DensePose-COCO (Gueler et al. 2018, http://densepose.org): parts of bodies, by points and masks.

A COCO JSON (`densepose_coco_2014_train.json`, `..._minival.json`) whose persons also have
`dp_masks`, a bitmap of 256 x 256 for each of 14 parts, and `dp_x`, `dp_y`, `dp_I`, points on 24
pieces of the surface, both in 256ths of the box. Points are hints; masks are dense: persons without
parts, and what of a person has no part, are void, all else is background.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.errors import DataError
from hintseg.formats.found import Drawn, Found, Numbers, Painted, Request, Source
from hintseg.formats.reading import entries, load_json, numbers_in, pairs, size_of
from hintseg.formats.rle import coco_bitmap
from hintseg.hints.scanlines import polygon_pixels
from hintseg.hints.shapes import Size
from hintseg.structures import VOID, LabelMap

PARTS = (
    *("torso", "right hand", "left hand", "left foot", "right foot"),
    *("right upper leg", "left upper leg", "right lower leg", "left lower leg"),
    *("left upper arm", "right upper arm", "left lower arm", "right lower arm", "head"),
)
BACKGROUND = "background"
SURFACES = (1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14)
"""The part, counted from 1, of each of the 24 pieces of the surface."""

SIDE = 256  # of the frame in which points and masks are kept, laid on the box
SPLITS = {"train": "train", "minival": "val", "valminusminival": "valminusminival", "test": "test"}


def read(request: Request) -> Source:
    """The persons of a JSON file, or of all DensePose files in a folder.

    Raises:
        DataError: None, or a damaged one.
    """
    source, found, splits = request.source, list[Found](), dict[str, list[str]]()
    files = [source] if source.is_file() else sorted(source.rglob("*.json"))
    for path in files:
        place = request.place(path)
        with request.journal.leaving(place):
            mine = _file(request, load_json(path, place), place)
            found += mine
            splits.setdefault(_split_of(path), []).extend(each.image for each in mine)
    if not found:
        left = "; ".join(request.journal.left)
        raise DataError(f"{request.name}: no JSON of DensePose{left and f' ({left})'}")
    known = {split: names for split, names in splits.items() if split}
    home = source if source.is_dir() else source.parent
    return Source(found, (BACKGROUND, *PARTS), folders=[home], splits=known)


def _split_of(path: Path) -> str:
    return SPLITS.get(path.stem.rpartition("_")[2], "")


def _file(request: Request, content: Any, place: str) -> list[Found]:  # noqa: ANN401
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError("not a COCO file: it needs a list of images")
    images, persons = dict[Any, Found](), dict[Any, list[Mapping[str, Any]]]()
    for index, each in enumerate(entries(content, "images", place)):
        if isinstance(each, dict) and isinstance(each.get("file_name"), str):
            size = size_of(each.get("height"), each.get("width"))
            where = f"{place}: images[{index}]"
            images[str(each.get("id"))] = Found(each["file_name"], where, size=size)
    for index, each in enumerate(entries(content, "annotations", place)):
        where = f"{place}: annotations[{index}]"
        with request.journal.leaving(where):
            image = str(each.get("image_id")) if isinstance(each, dict) else ""
            if image not in images:
                raise DataError("an annotation without its image")
            persons.setdefault(image, []).append(each)
            images[image].drawn += _points(each, where)
    for image, found in images.items():
        mine = persons.get(image, [])
        if any(each.get("dp_masks") for each in mine):
            found.mask = Painted(found.place, partial(_mask, mine))
    return list(images.values())


def _points(person: Mapping[str, Any], place: str) -> Iterator[Drawn]:
    """The points of a person, in pixels of the image."""
    if not person.get("dp_I"):
        return
    left, top, width, height = _box(person)
    xs, ys, surfaces = (numbers_in(person.get(key)) for key in ("dp_x", "dp_y", "dp_I"))
    if not len(xs) == len(ys) == len(surfaces):
        raise DataError("dp_x, dp_y and dp_I differ in length")
    for x, y, surface in zip(xs, ys, surfaces, strict=True):
        if not 1 <= surface <= len(SURFACES):
            raise DataError(f"dp_I {surface:g} is no piece of the surface (1 to {len(SURFACES)})")
        point = (left + x * width / SIDE, top + y * height / SIDE)
        yield Drawn("point", PARTS[SURFACES[int(surface) - 1] - 1], (point,), place)


def _box(person: Mapping[str, Any]) -> tuple[float, float, float, float]:
    numbers = numbers_in(person.get("bbox"))
    if len(numbers) != 4 or min(numbers[2:]) <= 0:
        raise DataError("a person without a box of x, y, width and height")
    left, top, width, height = numbers
    return left, top, width, height


def _mask(persons: Sequence[Mapping[str, Any]], numbers: Numbers, size: Size) -> LabelMap:
    """Background, persons as void, and on these their parts."""
    labels: LabelMap = np.full(size, numbers.get(BACKGROUND, VOID), dtype=np.int16)
    for person in persons:
        labels[_outline(person, size)] = VOID
    for person in persons:
        masks = person.get("dp_masks") or []
        if len(masks) > len(PARTS):
            raise DataError(f"dp_masks has {len(masks)} entries; there are {len(PARTS)} parts")
        for part, mask in zip(PARTS, masks, strict=False):
            if mask:
                _paint(labels, mask, _box(person), numbers.get(part, VOID))
    return labels


def _outline(person: Mapping[str, Any], size: Size) -> np.ndarray:
    """The pixels of a person."""
    segmentation = person.get("segmentation")
    inside = np.zeros(size, dtype=bool)
    if isinstance(segmentation, dict):
        return coco_bitmap(segmentation, size)
    for polygon in segmentation or []:
        corners = np.array(pairs(numbers_in(polygon)), dtype=np.float64)
        if len(corners) >= 3:
            inside.ravel()[polygon_pixels(corners - 0.5, size)] = True
    return inside


def _paint(
    labels: LabelMap, mask: Mapping[str, Any], box: tuple[float, float, float, float], label: int
) -> None:
    """Lay the bitmap of a part on the box of its person, each pixel by its centre."""
    left, top, width, height = box
    bitmap = coco_bitmap(dict(mask), (SIDE, SIDE))
    rows = np.floor((np.arange(labels.shape[0]) + 0.5 - top) * SIDE / height).astype(int)
    columns = np.floor((np.arange(labels.shape[1]) + 0.5 - left) * SIDE / width).astype(int)
    inside = [np.flatnonzero((at >= 0) & (at < SIDE)) for at in (rows, columns)]
    part = bitmap[np.ix_(rows[inside[0]], columns[inside[1]])]
    there = np.ix_(*inside)
    labels[there] = np.where(part, label, labels[there])
