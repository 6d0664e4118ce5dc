"""Label maps <-> files and colours.

A label map is an indexed or grey PNG, 8 bit with 255 or 16 bit with 65535 for "no class"; the
reader is told what that means.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images import _opened, write_png
from hintseg.structures import Image, LabelMap

UNDECLARED_VALUE = 255  # written where a pixel has no class; 65535 in 16-bit files
MAX_8BIT_CLASSES = 254
BAND_PIXELS = 2**18  # worked on at once where pixels are numbers with a fraction


def read_label_map(path: Path, *, classes: int, undeclared: int) -> LabelMap:
    """Read a label map; the value 255 (65535 in 16 bit) becomes `undeclared`.

    Args:
        path: Indexed or grey PNG.
        classes: Number of classes; any other value than these and 255 is an error.
        undeclared: UNLABELLED for hints, VOID for dense masks.

    Raises:
        DataError: Missing, broken, a colour image, or a class index that does not exist.
    """
    with _opened(path) as image:
        if image.mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
            raise DataError(
                f"{path}: a label map holds one class index per pixel, this is {image.mode}; "
                "save it as an indexed or greyscale PNG"
            )
        values = np.asarray(image).astype(np.int32)
        top = 65535 if image.mode.startswith("I") else UNDECLARED_VALUE
    labels = np.where(values == top, undeclared, values)
    wrong = np.unique(labels[(labels >= classes) | ((labels < 0) & (labels != undeclared))])
    if wrong.size:
        raise DataError(
            f"{path}: class index {wrong[0]} does not exist (classes are 0 to {classes - 1}, "
            f"{top} is no class); correct the mask or dataset.yaml"
        )
    return labels.astype(np.int16)


def write_label_map(path: Path, labels: LabelMap, *, classes: int) -> None:
    """Write a label map as PNG with the palette of the classes, atomically; no class is 255."""
    if classes > MAX_8BIT_CLASSES:
        values = np.where(labels < 0, 65535, labels).astype(np.uint16)
        write_png(path, PillowImage.fromarray(values))
        return
    image = PillowImage.fromarray(np.where(labels < 0, UNDECLARED_VALUE, labels).astype(np.uint8))
    image.putpalette(palette(256).tobytes())
    write_png(path, image)


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
