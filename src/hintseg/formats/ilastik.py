"""ilastik: label images where 0 is unlabelled (PNG, TIFF, NumPy, HDF5), and projects (.ilp).

In a project the labels of image n are blocks with a place, and the classes have names
(https://www.ilastik.org, Pixel Classification).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataError
from hintseg.formats.arrays import MOST_PIXELS, load_h5py, refuse_elsewhere
from hintseg.formats.found import Found, Numbers, Painted, Request, Source
from hintseg.formats.layers import Numbering, read_layers
from hintseg.formats.maps import looked_up
from hintseg.hints.shapes import Size
from hintseg.structures import UNLABELLED, LabelMap

WORKFLOWS = ("PixelClassification", "PixelClassification01", "AutocontextClassification")


def read(request: Request) -> Source:
    """The labels of projects, or of label images; DataError where there is neither."""
    source = request.source
    projects = [source] if source.is_file() else sorted(source.rglob("*.ilp"))
    projects = [path for path in projects if path.suffix.lower() == ".ilp"]
    if not projects:
        return read_layers(request, Numbering(first=1, unlabelled=0))
    found, classes = list[Found](), dict[str, None]()
    for path in projects:
        with request.journal.leaving(request.place(path)):
            for each, names in _lanes(path, request.place(path)):
                found.append(each)
                classes |= dict.fromkeys(names)
    if not found:
        reasons = "; ".join(request.journal.left)
        raise DataError(f"{request.name}: no labels of Pixel Classification ({reasons})")
    return Source(found, tuple(classes), folders=[projects[0].parent])


@dataclass(frozen=True, slots=True)
class _Block:
    """A part of the labels of an image: rows, columns, numbers of classes."""

    top: int
    left: int
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class _Lane:
    """The labels of one image."""

    blocks: tuple[_Block, ...]
    names: dict[int, str]

    def __call__(self, numbers: Numbers, size: Size) -> LabelMap:
        """Class indices, or UNLABELLED."""
        plane = np.zeros(size, dtype=np.int32)
        for block in self.blocks:
            height, width = block.values.shape
            part = plane[block.top : block.top + height, block.left : block.left + width]
            if part.shape != block.values.shape:
                raise DataError(f"labels reach out of the image of {size[1]} x {size[0]} pixels")
            np.copyto(part, block.values, where=block.values > 0)
        return looked_up(plane, self.names, numbers, nothing=UNLABELLED, without=[0])


def _lanes(path: Path, place: str) -> Iterator[tuple[Found, tuple[str, ...]]]:
    """The images of a project with their labels, and the classes."""
    h5py = load_h5py()
    try:
        with h5py.File(path, "r") as file:
            flow = next((file[name] for name in WORKFLOWS if name in file), None)
            if flow is None or "LabelSets" not in flow:
                raise DataError(f"no project of Pixel Classification ({', '.join(file)[:80]})")
            names = tuple(_text(name) for name in flow.get("LabelNames", ()))
            infos = file.get("Input Data/infos", {})
            _refuse_links(file)
            for index, key in enumerate(sorted(flow["LabelSets"])):
                lane = infos.get(f"lane{index:04}/Raw Data") if infos else None
                where = f"{place}: LabelSets/{key}"
                yield _lane(flow["LabelSets"][key], lane, names, where), names
    except DataError:
        raise
    except Exception as error:  # HDF5 raises anything for bytes that it did not expect
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"damaged, or no project of ilastik ({reason})") from error


def _refuse_links(file: Any) -> None:  # noqa: ANN401
    """DataError for a project that leads into other files."""
    h5py, found = load_h5py(), []
    file.visit_links(lambda name: found.append(name) if _is_external(file, name, h5py) else None)
    if found:
        raise DataError(f"refused, {found[0]:.80} leads into another file; save it as one file")


def _is_external(file: Any, name: str, h5py: Any) -> bool:  # noqa: ANN401
    return isinstance(file.get(name, getlink=True), h5py.ExternalLink)


def _lane(blocks: Any, lane: Any, names: tuple[str, ...], place: str) -> Found:  # noqa: ANN401
    keys = ("filePath", "nickname")
    texts = [_text(lane[key][()]) for key in keys if lane is not None and key in lane]
    axes = _axes(_text(lane["axistags"][()]) if lane is not None and "axistags" in lane else "")
    parts = [_block(blocks[key], axes) for key in sorted(blocks)]
    numbers = {number: name for number, name in enumerate(names, 1)}
    for part in parts:
        for value in np.unique(part.values[part.values > 0]).tolist():
            numbers.setdefault(value, str(value))
    painted = Painted(place, _Lane(tuple(parts), numbers)) if parts else None
    image, *also = texts or [""]
    return Found(image, place, also=tuple(also), hints=painted)


def _axes(text: str) -> tuple[int, int]:
    """Which axes are y and x; the first two where it does not say."""
    try:
        keys = [axis["key"] for axis in parse_json(text)["axes"]]
        return keys.index("y"), keys.index("x")
    except (ValueError, LookupError, TypeError):
        return 0, 1


def _block(block: Any, axes: tuple[int, int]) -> _Block:  # noqa: ANN401
    if isinstance(block, str) or not hasattr(block, "shape"):
        raise DataError("a block of labels that is none")
    refuse_elsewhere(block)
    if np.prod(block.shape, dtype=np.float64) > MOST_PIXELS or block.dtype.kind not in "iu":
        raise DataError(f"labels of {' x '.join(map(str, block.shape))} {block.dtype}; too many")
    values = np.asarray(block[...])
    spans = re.findall(r"(\d+):(\d+)", _text(block.attrs["blockSlice"]))
    others = [axis for axis in range(values.ndim) if axis not in axes]
    if len(spans) != values.ndim or any(values.shape[axis] != 1 for axis in others):
        raise DataError("labels of several planes; only those of single images can be taken")
    plane = np.moveaxis(values, axes, (0, 1)).reshape(values.shape[axes[0]], values.shape[axes[1]])
    top, left = (int(spans[axis][0][:12]) for axis in axes)
    return _Block(top, left, plane.astype(np.int32))


def _text(value: Any) -> str:  # noqa: ANN401
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
