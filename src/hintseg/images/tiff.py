"""TIFF files as scientific cameras write them: many channels, deep numbers, pages.

Pillow reads photographs in TIFF; what it would misunderstand is read by tifffile. A file with more
than one image is a stack and is refused: which of them is meant is for a person to say.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from hintseg.errors import DataError
from hintseg.files import regular
from hintseg.images.exif import ORIENTATION, TRANSPOSED
from hintseg.images.reading import Range, Stored

_LOG, _NOWHERE = logging.getLogger("tifffile"), logging.NullHandler()
STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
MOST_CHANNELS = 16  # a last side of so few pixels is taken for channels, where pages are many
LEAST_SIDE = 17
MOST_NUMBERS, MOST_BYTES = 2**31, 2**32  # of an image in memory
_CHANNELS = "SC"  # tifffile's letters for them
_REDUCED, _IS_MASK = 1, 4  # bits of the tag NewSubfileType
_MIN, _MAX = 340, 341  # tags SMinSampleValue and SMaxSampleValue
_WHITE_IS_ZERO, _PALETTE = 0, 3
_ALPHA = (1, 2)  # values of the tag ExtraSamples


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF does, whatever its ending."""
    with regular(path).open("rb") as file:
        return file.read(4) in STARTS


@dataclass(frozen=True, slots=True)
class TiffImage:
    """The one image of a TIFF file, as its tags describe it."""

    pages: Any  # tifffile's series
    page: Any  # its first page
    order: str  # of the axes: "YX", "YXC" or "CYX"
    shape: tuple[int, ...]

    @property
    def height(self) -> int:
        """Rows as stored."""
        return self.shape[self.order.index("Y")]

    @property
    def width(self) -> int:
        """Columns as stored."""
        return self.shape[self.order.index("X")]

    @property
    def channels(self) -> int:
        """How many numbers a pixel has."""
        return self.shape[self.order.index("C")] if "C" in self.order else 1

    @property
    def orientation(self) -> int:
        """1 to 8, as EXIF's."""
        found = self.page.tags.get(ORIENTATION)
        value = 1 if found is None else found.value
        return int(value) if value in range(1, 9) else 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, upright."""
        flipped = self.orientation in TRANSPOSED
        return (self.width, self.height) if flipped else (self.height, self.width)

    @property
    def is_photograph(self) -> bool:
        """Whether Pillow understands it: 8 bits or fewer, in one page of one to four channels."""
        bits = self.page.bitspersample
        most = max(bits) if isinstance(bits, tuple) else bits
        is_plain = self.channels != 2 and self.channels <= 4 and len(self.pages.pages) == 1
        contig = self.channels == 1 or self.page.planarconfig == 1
        return bool(most <= 8 and is_plain and contig and self.page.sampleformat != 3)

    @property
    def alpha(self) -> bool:
        """Whether the last channel is transparency."""
        extra = tuple(self.page.extrasamples or ())
        return bool(extra) and extra[-1] in _ALPHA and self.channels in (2, 4)

    @property
    def stated(self) -> Range | None:
        """What is black and white, as the file says: by tags, or by an odd number of bits."""
        low, high = (self._number(tag) for tag in (_MIN, _MAX))
        if low is not None and high is not None and low < high:
            return low, high
        bits = self.page.bitspersample
        odd = isinstance(bits, int) and bits not in (8, 16, 32, 64)
        return (0.0, 2.0**bits - 1) if odd else None

    def _number(self, tag: int) -> float | None:
        found = self.page.tags.get(tag)
        value: Any = None if found is None else found.value
        first: Any = value[0] if isinstance(value, tuple) and value else value
        is_number = isinstance(first, int | float) and math.isfinite(first)
        return float(first) if is_number else None

    def stored(self) -> Stored:
        """Its numbers; ValueError where their compression needs what is not installed."""
        values = self.pages.asarray().reshape(self.shape)
        if self.order == "YX":
            values = values[..., None]
        elif self.order == "CYX":
            values = np.moveaxis(values, 0, 2)
        if self.page.photometric == _WHITE_IS_ZERO and values.dtype.kind == "u":
            values = np.iinfo(values.dtype).max - values
        return Stored(_numbers(values), self.orientation, self.alpha, self.stated)


@contextmanager
def opened_tiff(path: Path) -> Iterator[TiffImage]:
    """The one image of a file.

    Raises:
        DataError: It holds several, or none of two sides.
    """
    import tifffile  # noqa: PLC0415 - takes time to load, and few need it

    _LOG.addHandler(_NOWHERE)  # what it finds odd is no news; added once
    with regular(path).open("rb") as opened, tifffile.TiffFile(opened) as file:
        series = [some for some in file.series if not _is_aside(some.keyframe)]
        if not series:
            raise DataError("holds no image")
        pages = sum(len(some.pages) for some in series)
        axes, shape = _without_ones(series[0].axes, series[0].shape)
        order = _order(axes, shape)
        if order is None or len(series) > 1:
            raise DataError(stack_refusal(f"{pages} pages" if pages > 1 else f"axes {axes}"))
        _refuse_bomb(shape, series[0].keyframe)
        yield TiffImage(series[0], series[0].keyframe, order, shape)


def _refuse_bomb(shape: tuple[int, ...], page: Any) -> None:  # noqa: ANN401
    """DataError for an image that would take more memory than any that is meant to be read."""
    numbers = math.prod(shape)
    size = numbers * (page.dtype.itemsize if page.dtype is not None else 1)
    if numbers > MOST_NUMBERS or size > MOST_BYTES:
        sides = " x ".join(map(str, shape))
        raise DataError(f"too large to open safely ({sides} numbers); cut it into parts")


def stack_refusal(what: str) -> str:
    """Why a file of several images is not read, and what to do."""
    return (
        f"a stack ({what}), not one image; save each image as a file of its own (of a stack whose "
        "pages are channels of one image: as one image with channels)"
    )


def _is_aside(page: Any) -> bool:  # noqa: ANN401 - tifffile's
    """Whether a page is a smaller copy of another one, or a mask of transparency."""
    kind = int(page.subfiletype or 0)
    return bool(kind & (_REDUCED | _IS_MASK))


def _without_ones(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The axes but for those of length one; both sides of the image stay."""
    kept = [i for i, axis in enumerate(axes) if shape[i] != 1 or axis in "YX"]
    return "".join(axes[i] for i in kept), tuple(int(shape[i]) for i in kept)


def _order(axes: str, shape: tuple[int, ...]) -> str | None:
    """The axes as rows, columns and channels; None where there is another one."""
    named = "".join("C" if axis in _CHANNELS else axis for axis in axes)
    if named in ("YX", "YXC", "CYX"):
        return named
    # An array of rows, columns and channels that was saved without a word: a page for each row.
    if len(shape) == 3 and named.endswith("YX") and shape[2] <= MOST_CHANNELS:
        return "YXC" if min(shape[:2]) >= LEAST_SIDE else None
    return None


def _numbers(values: Shaped[np.ndarray, "height width channels"]) -> np.ndarray:
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * 255
    if values.dtype.kind not in "iuf":
        raise DataError(f"holds {values.dtype} numbers; save real ones")
    return values
