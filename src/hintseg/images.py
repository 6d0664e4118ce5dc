"""Files <-> arrays: photographs of any mode and orientation in, as uint8 RGB, upright; PNG out."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from hintseg.errors import DataError
from hintseg.files import replacing
from hintseg.image_files import NO_HEIC, is_heic, register_heic
from hintseg.structures import Image

NOTE = "hintseg"  # keyword of the text in a PNG
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


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a photograph, upright, without decoding it."""
    with _opened(path) as image:
        # Pillow turns the size of a TIFF before its pixels are read, that of other files after it.
        stored = getattr(image, "tag_v2", {})
        width = stored.get(ExifTags.Base.ImageWidth, image.width)
        height = stored.get(ExifTags.Base.ImageLength, image.height)
        turned = image.getexif().get(ExifTags.Base.Orientation) in TRANSPOSED
        return (width, height) if turned else (height, width)


def write_png(path: Path, image: PillowImage.Image, *, note: str = "") -> None:
    """Write an image under a temporary name, then rename it: a reader never sees half a file.

    `note` says of what it was made; it stands in the file as text that does not touch the pixels.
    """
    text = PngInfo()
    if note:
        text.add_text(NOTE, note)
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=text)


def note_in(path: Path) -> str:
    """The note that `write_png` has left in a file; empty for any other file, and for none."""
    try:
        with _opened(path) as image:
            return str(image.info.get(NOTE, ""))
    except DataError:
        return ""


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
    heic = register_heic()
    try:
        # An open file, not its name: Pillow maps files by name, and scrambles a turned TIFF then.
        with _SILENCE, path.open("rb") as file, PillowImage.open(file) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: {error.strerror}; give an image file that can be read") from error
    except UnidentifiedImageError as error:
        if not heic and is_heic(path):
            raise DataError(f"{path}: {NO_HEIC}") from error  # of this file, not of the job
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
