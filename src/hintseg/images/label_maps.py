"""Label maps <-> files and colours.

A label map is an indexed or grey PNG, 8 bit with 255 or 16 bit with 65535 for "no class"; the
reader is told what that means. A data set may code its maps in another way: see Coding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images.exif import orientation_of, upright
from hintseg.images.photographs import complaints, opened, write_png
from hintseg.structures import Image, LabelMap

UNDECLARED_VALUE = 255  # written where a pixel has no class; 65535 in 16-bit files
MAX_8BIT_CLASSES = 254
BAND_PIXELS = 2**18  # worked on at once where pixels are numbers with a fraction
NO_CLASS = -1  # in a coding
GREY_MODES = ("L", "1", "I", "I;16", "I;16B")
MANY = 64  # more colours than anyone lists: a photograph, or a mask that was compressed

Colour = tuple[int, int, int]  # red, green, blue


@dataclass(frozen=True, slots=True)
class Coding:
    """What the label maps of a data set hold where it is not class indices; both may be given.

    A colour file is read by `colours`, a grey one by `values`. An indexed file is read by the
    colours of its palette, without `colours` by its indices; a grey one without `values` by its
    shades of grey. What is not listed is an error.
    """

    values: Mapping[int, int] = field(default_factory=dict)  # value -> class index or NO_CLASS
    colours: Mapping[Colour, int] = field(default_factory=dict)  # the same of colours

    def __bool__(self) -> bool:
        return bool(self.values or self.colours)


CLASS_INDICES = Coding()
"""The coding of what hintseg writes, and of data sets that say nothing else."""


def read_label_map(
    path: Path, *, classes: int, undeclared: int, coding: Coding = CLASS_INDICES
) -> LabelMap:
    """Read a label map, upright (EXIF); no class becomes `undeclared`.

    Args:
        path: Indexed, grey or (with a coding) colour PNG.
        classes: Number of classes; any other index than these and 255 (65535) is an error.
        undeclared: UNLABELLED for hints, VOID for dense masks.
        coding: What other values and colours mean; transparent pixels have no class.

    Raises:
        DataError: Missing, broken, or a value or colour without a meaning.
    """
    with opened(path) as stored:
        stored.load()  # a TIFF is upright now, and says so no more
        orientation = 1 if stored.format == "TIFF" else orientation_of(stored.info)
        image, is_jpeg = upright(stored, orientation), stored.format == "JPEG"
    with complaints(path):
        try:
            labels = _labels(_pixels(image), coding, classes)
        except DataError as error:
            spoilt = "a JPEG file, which changes values and colours; save the map anew as PNG"
            raise DataError(f"{path}: {spoilt if is_jpeg else error}") from error
    return np.where(labels == NO_CLASS, undeclared, labels).astype(np.int16)


def read_values(path: Path) -> Int[np.ndarray, "height width"]:
    """The numbers in an indexed or grey file, upright, whatever they mean.

    Raises:
        DataError: Missing, broken, or a colour image.
    """
    pixels = _stored_pixels(path)
    if pixels.kind == "colour":
        raise DataError(f"{path}: {_refusal_of_colours(pixels.numbers[~pixels.clear])}")
    return pixels.numbers


def read_colours(path: Path) -> Int[np.ndarray, "height width"]:
    """The colours that are seen in a label map, upright: red + 256 green + 65536 blue.

    Transparent pixels are -1.

    Raises:
        DataError: Missing, broken, or no colours.
    """
    pixels = _stored_pixels(path)
    return np.where(pixels.clear, -1, pixels.colours())


def kind_of_map(path: Path) -> Literal["grey", "index", "colour"]:
    """What a label map holds: grey values, indices of a palette, or colours.

    Raises:
        DataError: Missing or broken.
    """
    return _stored_pixels(path).kind


def _stored_pixels(path: Path) -> "_Pixels":
    """The numbers of a file, upright."""
    with opened(path) as stored:
        stored.load()
        orientation = 1 if stored.format == "TIFF" else orientation_of(stored.info)
        return _pixels(upright(stored, orientation))


def indexed_colours(path: Path) -> UInt8[np.ndarray, "256 3"] | None:
    """The palette of an indexed file, black beyond its end; None if the file has none."""
    with opened(path) as image:
        return _palette_of(image) if image.mode == "P" else None


def has_class_palette(path: Path, *, classes: int) -> bool:
    """Whether a file is one of those that `write_label_map` writes for so many classes."""
    if classes > MAX_8BIT_CLASSES:
        with opened(path) as image:
            return image.mode in GREY_MODES[2:]
    found = indexed_colours(path)
    return found is not None and np.array_equal(found, palette(256))


@dataclass(frozen=True, slots=True)
class _Pixels:
    """What a label map file holds for each pixel: one number."""

    kind: Literal["grey", "index", "colour"]
    numbers: Int[np.ndarray, "height width"]  # of a colour: red + 256 green + 65536 blue
    clear: Bool[np.ndarray, "height width"]  # fully transparent: nothing is said
    top: int = UNDECLARED_VALUE  # largest value of the file's depth
    palette: UInt8[np.ndarray, "256 3"] | None = None

    def colours(self) -> Int[np.ndarray, "height width"]:
        """The colours that are seen, as numbers."""
        if self.palette is not None:
            return np.take(_packed(self.palette), self.numbers)
        if self.kind == "colour":
            return self.numbers
        if self.numbers.max(initial=0) > UNDECLARED_VALUE:
            raise DataError("16-bit values have no colour; list them under values: (docs/data.md)")
        return self.numbers * (255 if self.top == 1 else 1) * 0x10101

    def values(self, listed: Mapping[int, int]) -> Int[np.ndarray, "height width"]:
        """The values; of a file of one bit 0 and 255, unless 1 is a value that is listed."""
        white = 255 if self.top == 1 and 1 not in listed else 1
        return self.numbers * white


def _pixels(image: PillowImage.Image) -> _Pixels:
    """The numbers of an upright image; three equal channels are grey."""
    if image.mode == "F":
        raise DataError("floating-point pixels; a label map holds one class index per pixel")
    opaque = np.broadcast_to(np.False_, (image.height, image.width))
    if image.mode == "P":
        indices = np.asarray(image).astype(np.int32)
        return _Pixels("index", indices, opaque, palette=_palette_of(image))
    if image.mode in GREY_MODES:
        top = 1 if image.mode == "1" else 65535 if image.mode.startswith("I") else 255
        return _Pixels("grey", np.asarray(image).astype(np.int32), opaque, top)
    rgba = np.asarray(image.convert("RGBA"))
    clear = rgba[..., 3] == 0
    if (rgba[..., :1] == rgba[..., 1:3]).all():
        return _Pixels("grey", rgba[..., 0].astype(np.int32), clear)
    return _Pixels("colour", _packed(rgba), clear)


def _palette_of(image: PillowImage.Image) -> UInt8[np.ndarray, "256 3"]:
    known = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    return np.pad(known, ((0, 256 - len(known)), (0, 0)))


def _labels(pixels: _Pixels, coding: Coding, classes: int) -> Int[np.ndarray, "height width"]:
    """Class indices, or NO_CLASS."""
    if coding.colours and not (coding.values and pixels.kind == "grey"):
        listed = {_number(colour): meant for colour, meant in coding.colours.items()}
        return _translated(pixels.colours(), listed, pixels.clear, what="colour")
    if pixels.kind == "colour":
        raise DataError(_refusal_of_colours(pixels.numbers[~pixels.clear]))
    if coding.values:
        listed = dict(coding.values)
        return _translated(pixels.values(listed), listed, pixels.clear, what="value")
    return _indices(pixels, classes)


def _indices(pixels: _Pixels, classes: int) -> Int[np.ndarray, "height width"]:
    """The numbers as class indices; the largest of the file's depth is no class."""
    top = max(pixels.top, UNDECLARED_VALUE)
    without = pixels.clear | (pixels.numbers == top)
    labels = np.where(without, NO_CLASS, pixels.numbers)
    wrong = labels[~without & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        raise DataError(
            f"class index {wrong.min()} does not exist (classes are 0 to {classes - 1}, {top} is "
            "no class); correct the map, or say under values: in dataset.yaml what its values mean"
        )
    return labels


def _translated(
    numbers: Int[np.ndarray, "height width"],
    listed: Mapping[int, int],
    clear: Bool[np.ndarray, "height width"],
    *,
    what: Literal["value", "colour"],
) -> Int[np.ndarray, "height width"]:
    """What each number means; DataError for those that are not listed."""
    keys = np.array(sorted(listed), dtype=np.int32)
    meant = np.array([listed[key] for key in keys.tolist()], dtype=np.int32)
    place = np.searchsorted(keys, numbers).clip(max=len(keys) - 1)
    unknown = (keys[place] != numbers) & ~clear
    if unknown.any():
        raise DataError(_refusal_of_unlisted(numbers, unknown, what))
    return np.where(clear, NO_CLASS, meant[place])


def _refusal_of_unlisted(
    numbers: Int[np.ndarray, "height width"], unknown: Bool[np.ndarray, "height width"], what: str
) -> str:
    found, counts = np.unique(numbers[unknown], return_counts=True)
    most = found[counts.argmax()]
    row, column = np.argwhere(unknown & (numbers == most))[0].tolist()
    shown = str(most) if what == "value" else str(_colour(int(most)))
    key = "values" if what == "value" else "colors"
    where = f"{counts.max()} pixels, the first at x {column}, y {row}"
    one = found.size == 1
    which = f"{what} {shown}" if one else f"{found.size} {what}s, such as {shown}"
    text = f"{which} ({where}) {'is' if one else 'are'} not listed under {key}: in dataset.yaml; "
    if found.size > MANY:
        return text + (
            "so many come of compression or smooth scaling: save the map anew as PNG, with one "
            f"exact {what} per class"
        )
    return text + f"add {'it' if one else 'them'} there, for a class or for void"


def _refusal_of_colours(numbers: Int[np.ndarray, " pixels"]) -> str:
    found, counts = np.unique(numbers, return_counts=True)
    if found.size > MANY:
        return (
            f"a colour image with {found.size} colours; a label map holds one class index per "
            "pixel, or exact colours that are listed under colors: in dataset.yaml ("
            "compression and smooth scaling spoil them)"
        )
    most = [str(_colour(int(found[n]))) for n in counts.argsort()[::-1][:3]]
    return (
        f"a colour image with {found.size} colours, such as {' and '.join(most)}; a label map "
        "holds one class index per pixel: say which colour is which class under colors: in "
        f"dataset.yaml, such as colors: {{CLASS: {most[0]}}}"
    )


def _packed(pixels: UInt8[np.ndarray, "*shape channels"]) -> Int[np.ndarray, "*shape"]:
    """Colours as numbers."""
    wide = pixels.astype(np.int32)
    return wide[..., 0] | (wide[..., 1] << 8) | (wide[..., 2] << 16)


def _number(colour: Colour) -> int:
    return colour[0] | (colour[1] << 8) | (colour[2] << 16)


def _colour(number: int) -> list[int]:
    return [number & 255, (number >> 8) & 255, number >> 16]


def write_label_map(path: Path, labels: LabelMap, *, classes: int, note: str = "") -> None:
    """Write a label map as PNG with the palette of the classes, atomically; no class is 255.

    `note` says of what it was made (`images.note_in`).
    """
    if classes > MAX_8BIT_CLASSES:
        wide = labels.astype(np.int32)  # 65535 is no int16, and NumPy 2.5 says so
        values = np.where(wide < 0, 65535, wide).astype(np.uint16)
        write_png(path, PillowImage.fromarray(values), note=note)
        return
    image = PillowImage.fromarray(np.where(labels < 0, UNDECLARED_VALUE, labels).astype(np.uint8))
    image.putpalette(palette(256).tobytes())
    write_png(path, image, note=note)


def palette(count: int) -> UInt8[np.ndarray, "{count} 3"]:
    """Colours of the class indices: the VOC palette (bit-reversed indices), 255 light grey."""
    index = np.arange(count)
    colours = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    if count > UNDECLARED_VALUE:
        colours[UNDECLARED_VALUE] = (224, 224, 224)
    return colours


def colour_labels(labels: LabelMap) -> UInt8[np.ndarray, "height width 3"]:
    """A label map in the colours of its classes; UNLABELLED and VOID in light grey."""
    colours = palette(max(256, int(labels.max(initial=0)) + 1))
    return colours[np.where(labels < 0, UNDECLARED_VALUE, labels)]


def overlay(image: Image, labels: LabelMap, *, opacity: float = 0.55) -> Image:
    """The image with its labels laid over it in colour; pixels without a class stay as they are."""
    result = image.copy()
    step = max(1, BAND_PIXELS // max(1, image.shape[1]))
    for first in range(0, len(image), step):
        band = slice(first, first + step)
        labelled: Bool[np.ndarray, "height width 1"] = (labels[band] >= 0)[..., None]
        mixed = (1 - opacity) * image[band] + opacity * colour_labels(labels[band])
        result[band] = np.where(labelled, mixed.round().astype(np.uint8), image[band])
    return result
