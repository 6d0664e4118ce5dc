"""Label maps of other tools -> class indices: by value, by colour, by the file of each class."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hintseg.errors import DataError
from hintseg.formats.found import Numbers, Painted
from hintseg.hints.shapes import Size
from hintseg.images.label_maps import Colour, read_colours, read_values
from hintseg.structures import UNLABELLED, LabelMap

VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
VOID_VALUE = 255
VOC_VOID = (224, 224, 192)
VOID_NAMES = ("void", "ignore", "unlabeled", "unlabelled", "__ignore__")
"""Names in a list of colours that stand for pixels without a class."""


def by_values(
    path: Path, place: str, names: Mapping[int, str], *, nothing: int, without: Sequence[int] = ()
) -> Painted:
    """A map of values.

    Args:
        path: An indexed or grey file.
        place: What it is called in messages.
        names: Value -> class.
        nothing: What pixels without a class become: UNLABELLED in hints, VOID in masks.
        without: Values that stand for no class.
    """

    def read(numbers: Numbers, _: Size) -> LabelMap:
        return looked_up(read_values(path), names, numbers, nothing=nothing, without=without)

    return Painted(place, read)


def by_colours(
    path: Path, place: str, names: Mapping[str, Colour], *, nothing: int, void: Sequence[Colour]
) -> Painted:
    """A map of colours; arguments as before."""
    listed = {number_of(colour): name for name, colour in names.items()}
    without = [number_of(colour) for colour in void if number_of(colour) not in listed]

    def read(numbers: Numbers, _: Size) -> LabelMap:
        values = read_colours(path)
        return looked_up(values, listed, numbers, nothing=nothing, without=[*without, -1])

    return Painted(place, read)


def by_files(
    paths: Mapping[str, Path], place: str, *, nothing: int, rest: str | None = None
) -> Painted:
    """A map of which each class has a file of its own, where it is not 0.

    A pixel that two classes claim has none; one that nobody claims belongs to `rest`.
    """
    return Painted(place, partial(_stacked, paths, nothing=nothing, rest=rest))


def looked_up(
    values: Int[np.ndarray, "height width"],
    names: Mapping[int, str],
    numbers: Numbers,
    *,
    nothing: int,
    without: Sequence[int] = (),
) -> LabelMap:
    """Class indices of values; `nothing` for those of `without` and of classes not wanted.

    Raises:
        DataError: A value that no class has.
    """
    found, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    unknown = [
        (int(count), int(value))
        for value, count in zip(found, counts, strict=True)
        if int(value) not in names and int(value) not in without
    ]
    if unknown:
        count, value = max(unknown)
        more = f", and {len(unknown) - 1} other values" if len(unknown) > 1 else ""
        raise DataError(f"value {value} ({count} pixels{more}) is no class; list it by --classes")
    meant = [numbers.get(names.get(int(value), ""), nothing) for value in found]
    return np.array(meant, dtype=np.int16)[place].reshape(values.shape)


def number_of(colour: Colour) -> int:
    """A colour as `read_colours` has it."""
    return colour[0] | colour[1] << 8 | colour[2] << 16


def _stacked(
    paths: Mapping[str, Path], numbers: Numbers, _: Size, *, nothing: int, rest: str | None
) -> LabelMap:
    labels: LabelMap | None = None
    for name, path in paths.items():
        if name not in numbers:
            continue
        inside = read_values(path) > 0
        if labels is None:
            labels = np.full(inside.shape, UNLABELLED, dtype=np.int16)
            claimed = np.zeros(inside.shape, dtype=np.int16)
        if inside.shape != labels.shape:
            raise DataError(f"{path.name} has another size than the files of other classes")
        labels[inside] = numbers[name]
        claimed += inside
    if labels is None:
        raise DataError("none of its classes is wanted")
    labels[claimed == 0] = numbers.get(rest or "", nothing)
    labels[claimed > 1] = nothing
    return labels
