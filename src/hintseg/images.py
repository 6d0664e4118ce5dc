"""Files <-> arrays: photographs in, label maps in and out.

A photograph of any mode and orientation becomes uint8 RGB, upright. A label map is an indexed or
grey PNG, 8 bit with 255 or 16 bit with 65535 for "no class"; the reader is told what that means.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.files import replacing
from hintseg.structures import Image, LabelMap

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
UNDECLARED_VALUE = 255  # written where a pixel has no class; 65535 in 16-bit files
MAX_8BIT_CLASSES = 254
BAND_PIXELS = 2**18  # worked on at once where pixels are numbers with a fraction
TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


def read_image(path: Path) -> Image:
    """Read a photograph as uint8 RGB, upright (EXIF), transparency dropped.

    16-bit grey is scaled linearly from [0, 65535] to [0, 255].

    Raises:
        DataError: The file is missing, not an image, truncated or of a mode without a range.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            return _from_16_bit(np.asarray(upright), path)
        if upright.mode == "F":
            raise DataError(f"{path}: floating-point image without a known range; save it as 8 bit")
        return np.array(upright.convert("RGB"))


def is_image_name(path: Path) -> bool:
    """Whether a file is taken for a photograph, by its ending; hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a photograph, upright, without decoding it."""
    with _opened(path) as image:
        # Pillow turns the size of a TIFF before its pixels are read, that of other files after it.
        stored = getattr(image, "tag_v2", {})
        width = stored.get(ExifTags.Base.ImageWidth, image.width)
        height = stored.get(ExifTags.Base.ImageLength, image.height)
        turned = image.getexif().get(ExifTags.Base.Orientation) in TRANSPOSED
        return (width, height) if turned else (height, width)


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


def write_png(path: Path, image: PillowImage.Image) -> None:
    """Write an image under a temporary name, then rename it: a reader never sees half a file."""
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


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


class _Silence:
    """No warnings of Pillow's while any thread is inside.

    `catch_warnings` in several threads at once would leave the filters of one of them behind.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._filters = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()


_SILENCE = _Silence()  # large photographs and odd metadata are no error


@contextmanager
def _opened(path: Path) -> Iterator[PillowImage.Image]:
    """Pillow's image, with its many complaints turned into one DataError that names the file."""
    try:
        # An open file, not its name: Pillow maps files by name, and scrambles a turned TIFF then.
        with _SILENCE, path.open("rb") as file, PillowImage.open(file) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: {error.strerror}; give an image file that can be read") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image file; replace it or remove it") from error
    except PillowImage.DecompressionBombError as error:
        raise DataError(f"{path}: too large to open safely ({error}); cut it into parts") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise DataError(f"{path}: damaged image ({error}); replace it or remove it") from error


def _from_16_bit(values: np.ndarray, path: Path) -> Image:
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: values outside [0, 65535]; save it as 8 or 16 bit")
    grey = (values / 257.0).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
