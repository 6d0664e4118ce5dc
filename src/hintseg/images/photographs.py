"""Files <-> arrays: photographs of any mode and orientation in, as uint8 RGB, upright; PNG out."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from hintseg.errors import DataError, HintSegError
from hintseg.files import regular, replacing
from hintseg.images.exif import TRANSPOSED, orientation_of, upright
from hintseg.images.files import NO_HEIC, is_heic, register_heic
from hintseg.images.reading import AS_STORED, Reading, Stored, chosen_channels, to_rgb
from hintseg.images.tiff import TiffImage, is_tiff, opened_tiff, stack_refusal
from hintseg.structures import Image

NOTE = "hintseg"  # keyword of the text in a PNG
DEEP_MODES = ("I", "F")  # as Pillow calls more than 8 bits
DECODERS = ("Jpeg", "Png", "Tiff", "WebP", "Bmp", "Gif", "Mpo", "Jpeg2K", "Avif", "Ppm", "Tga")
FORMATS = (
    *("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "JPEG2000", "AVIF", "HEIF"),
    *("PPM", "TGA"),  # they say least of what they are: asked last
)
"""Pillow's names of what may be a photograph or a label map; no other decoder sees a file."""
ALBUMS = ("MPO", "HEIF", "JPEG")  # formats in which more images than one are no series


def read_image(path: Path, reading: Reading = AS_STORED) -> Image:
    """Read a photograph as uint8 RGB, upright (EXIF), transparency dropped.

    Numbers of other depths than 8 bits are mapped by the range of the reading, else by the one that
    the file states, else linearly from [0, 65535].

    Raises:
        DataError: The file is missing, not an image, truncated, a stack of images, or holds numbers
            or channels of which more has to be known.
    """
    with complaints(path):
        stored = _photograph(path, reading)
        return stored if isinstance(stored, np.ndarray) else to_rgb(stored, reading)


def read_small(path: Path, side: int) -> Image | None:
    """A JPEG photograph decoded at a half, a quarter or an eighth, ten times faster than whole.

    Its longer side is `side` pixels or more. None for other formats and where nothing is saved:
    `read_image` reads those.
    """
    with opened(path) as image:
        if image.format != "JPEG" or image.mode != "RGB" or max(image.size) < 2 * side:
            return None
        whole = image.size
        factor = side / max(whole)
        image.draft("RGB", (round(whole[0] * factor), round(whole[1] * factor)))
        return np.array(upright(image, orientation_of(image.info)).convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a photograph, upright, without decoding it."""
    with complaints(path):
        if is_tiff(path):
            with opened_tiff(path) as tiff:
                return tiff.size
        with opened(path) as image:
            height, width = image.height, image.width
            return (width, height) if orientation_of(image.info) in TRANSPOSED else (height, width)


def image_orientation(path: Path) -> int:
    """The EXIF orientation of a photograph as stored, 1 to 8; 1: upright."""
    with complaints(path):
        if is_tiff(path):
            with opened_tiff(path) as tiff:
                return tiff.orientation
        with opened(path) as image:
            return orientation_of(image.info)


def checked_image(path: Path) -> tuple[tuple[int, int], int]:
    """Height and width, upright, and EXIF orientation of a photograph that can be read to its end.

    What its numbers mean is not asked. Of a JPEG all data are read, but few pixels are made.

    Raises:
        DataError: As `read_image`, but for files whose range has to be known.
    """
    with complaints(path):
        if not is_tiff(path):
            with opened(path) as image:
                if image.format == "JPEG":
                    size, orientation = (image.height, image.width), orientation_of(image.info)
                    image.draft(image.mode, (1, 1))
                    image.load()
                    return (size[::-1] if orientation in TRANSPOSED else size), orientation
        chosen_channels(_stored(path), None)
        return image_size(path), image_orientation(path)


def is_deep(path: Path) -> bool:
    """Whether a file holds other numbers than 8-bit ones, as its header says."""
    with complaints(path):
        if is_tiff(path):
            with opened_tiff(path) as tiff:
                return not tiff.is_photograph and tiff.page.dtype != np.uint8
        with opened(path) as image:
            return image.mode.startswith(DEEP_MODES)


def intensities(path: Path, channels: tuple[int, ...] | None, most: int) -> np.ndarray:
    """Numbers of some pixels of a photograph, evenly spread, in its own range."""
    with complaints(path):
        found = _stored(path)
        values = chosen_channels(found, channels).reshape(-1)
        return values[:: max(1, -(-values.size // most))]


def _photograph(path: Path, reading: Reading) -> Image | Stored:
    """What is a photograph already; else the numbers of the file."""
    if reading.channels is not None or reading.every_depth:
        return _stored(path)
    if is_tiff(path):
        with opened_tiff(path) as tiff:
            if not tiff.is_photograph:
                return _tiff_numbers(path, tiff)
        with opened(path) as image:  # which Pillow turns itself
            return np.array(image.convert("RGB"))
    with opened(path) as image:
        _refuse_stack(image)
        if image.mode.startswith(DEEP_MODES):
            return _numbers(image)
        return np.array(upright(image, orientation_of(image.info)).convert("RGB"))


def _stored(path: Path) -> Stored:
    """The numbers of a file as they are."""
    if is_tiff(path):
        with opened_tiff(path) as tiff:
            if not tiff.is_photograph:
                return _tiff_numbers(path, tiff)
        with opened(path) as image:
            return replace(_numbers(image), orientation=1)
    with opened(path) as image:
        _refuse_stack(image)
        return _numbers(image)


def _tiff_numbers(path: Path, tiff: TiffImage) -> Stored:
    """By tifffile; where it cannot undo a compression, by Pillow, if that keeps all numbers."""
    try:
        return tiff.stored()
    except ValueError as error:
        if tiff.channels > 1 and tiff.page.dtype != np.uint8:
            raise DataError(f"cannot be unpacked ({error}); save it without compression") from error
    with opened(path) as image:
        return replace(_numbers(image), orientation=1, stated=tiff.stated)


def _numbers(image: PillowImage.Image) -> Stored:
    """The numbers of an image that Pillow reads; palettes are looked up, inks mixed."""
    kept = ("L", "LA", "RGB", "RGBA")
    plain = image.mode in kept or image.mode.startswith(DEEP_MODES)
    image_ = image if plain else image.convert("RGB")
    values = np.asarray(image_)
    values = values[..., None] if values.ndim == 2 else values
    return Stored(values, orientation_of(image.info), alpha=image_.mode in ("LA", "RGBA"))


def _refuse_stack(image: PillowImage.Image) -> None:
    """Telephones put smaller copies and depth maps behind a photograph: these are none."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in ALBUMS:
        raise DataError(stack_refusal(f"{frames} frames"))


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
        with opened(path) as image:
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
def opened(path: Path) -> Iterator[PillowImage.Image]:
    """Pillow's image, with its many complaints turned into one DataError that names the file."""
    heic = register_heic()
    with complaints(path):
        try:
            # An open file, not its name: Pillow maps files by name, and scrambles turned TIFFs.
            with _SILENCE, regular(path).open("rb") as file, _decoded(file) as image:
                yield image
        except UnidentifiedImageError as error:
            if not heic and is_heic(path):
                raise DataError(f"{path}: {NO_HEIC}") from error  # of this file, not of the job
            raise


@contextmanager
def opened_png(content: bytes, place: Path) -> Iterator[PillowImage.Image]:
    """The same of a PNG that stands in another file."""
    with (
        complaints(place),
        _SILENCE,
        BytesIO(content) as file,
        PillowImage.open(file, formats=("PNG",)) as image,
    ):
        yield image


def _decoded(file: IO[bytes]) -> PillowImage.Image:
    """By one of the decoders for photographs: Pillow has others, of which some start programs."""
    _load_decoders()
    return PillowImage.open(file, formats=[name for name in FORMATS if name in PillowImage.OPEN])


@cache
def _load_decoders() -> None:
    for name in DECODERS:
        with suppress(ImportError):  # of a format that this Pillow does not know yet
            import_module(f"PIL.{name}ImagePlugin")


@contextmanager
def complaints(path: Path) -> Iterator[None]:
    """Whatever is wrong with one file is one DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image file; replace it or remove it") from error
    except OSError as error:
        if error.errno is None:  # of a decoder, not of the system
            raise DataError(_damaged(path, error)) from error
        raise DataError(f"{path}: {error.strerror}; give an image file that can be read") from error
    except PillowImage.DecompressionBombError as error:
        raise DataError(f"{path}: too large to open safely ({error}); cut it into parts") from error
    except DataError as error:
        text = str(error)
        raise (error if text.startswith(f"{path}: ") else DataError(f"{path}: {text}")) from error
    except (HintSegError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything for bytes that they did not expect
        raise DataError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return f"{path}: damaged image ({reason}); replace it or remove it"
