"""Run lengths of other tools -> bitmaps: COCO (columns), CVAT (rows), Label Studio (bit stream).

A bitmap of a stranger's file is only made after its size was compared with that of the image.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from hintseg.errors import DataError
from hintseg.formats.found import Bitmap
from hintseg.hints.labelme_shapes import show
from hintseg.hints.shapes import Size

Counts = Int[np.ndarray, " runs"]
MOST_RUN = 2**40
MOST_PIXELS = 2**28
OFFSET, SHIFT, MORE, SIGN = 48, 5, 32, 16  # of COCO's text: 5 bits a character, "more", sign


def coco_counts(text: str) -> Counts:
    """The run lengths in the text of a compressed RLE of COCO.

    Each number is written in digits of 5 bits, the lowest first, a character being 48 + digit (+ 32
    where more digits follow); the last digit has the sign. From the fourth number on it is the
    difference to the number two places before (https://github.com/cocodataset/cocoapi, maskApi.h).

    Raises:
        DataError: Other characters, a number that is cut short or too large.

    Example:
        >>> coco_counts("52203").tolist()  # 5, 2, 2, then 2 + 0 and 2 + 3
        [5, 2, 2, 2, 5]
    """
    if not text:
        return np.zeros(0, dtype=np.int64)
    try:
        letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - OFFSET
    except UnicodeEncodeError as error:
        raise DataError("RLE holds letters that none has") from error
    if (letters < 0).any() or (letters > 63).any() or letters[-1] & MORE:
        raise DataError("RLE is damaged or cut short")
    ends = np.flatnonzero((letters & MORE) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise DataError("RLE holds a run longer than any image")
    place = np.arange(len(letters)) - np.repeat(starts, lengths)
    values = np.add.reduceat((letters & 31) << (SHIFT * place), starts)
    values -= np.where(letters[ends] & SIGN, np.int64(1) << (SHIFT * lengths), 0)
    for first in (1, 2):  # sums of every other number, the first one alone
        values[first::2] = np.cumsum(values[first::2])
    return values


def coco_bitmap(segmentation: dict, size: Size) -> Bitmap:
    """The bitmap of a COCO RLE: runs of 0 and 1 by turns, down the columns, from the left.

    Args:
        segmentation: `counts` as a list or as text, `size` as [height, width].
        size: What the image is said to have.

    Raises:
        DataError: It does not fit.

    Example:
        >>> coco_bitmap({"counts": [1, 2, 3], "size": [3, 2]}, (3, 2)).astype(int).tolist()
        [[0, 0], [1, 0], [1, 0]]
    """
    stated = segmentation.get("size")
    if stated != [size[0], size[1]]:
        raise DataError(f"RLE of size {show(stated)} does not fit its image of {list(size)}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        runs = coco_counts(counts)
    elif isinstance(counts, list):
        runs = _runs(counts)
    else:
        raise DataError("RLE without counts")
    return _fill(runs, size[0] * size[1]).reshape(size[1], size[0]).T


def row_bitmap(counts: list, size: Size) -> Bitmap:
    """The bitmap of runs of 0 and 1 by turns along the rows, from the top (CVAT).

    Example:
        >>> row_bitmap([1, 2, 3], (2, 3)).astype(int).tolist()
        [[0, 1, 1], [0, 0, 0]]
    """
    return _fill(_runs(counts), size[0] * size[1]).reshape(size)


def brush_bitmap(content: Any, size: Size) -> Bitmap:  # noqa: ANN401 - whatever a file holds
    """The bitmap of a brush of Label Studio: where the last of four channels is not 0.

    The bytes are a bit stream, the highest bit first (rle-pack of
    https://github.com/thi-ng/umbrella): number of words (32 bits), bits of a word - 1 (5), four
    widths - 1 of lengths (4 each), then until all words are there: 1 bit that says whether a word
    repeats, 2 bits that choose the width, a length - 1 of that width, and one word, or as many as
    the length says.

    Raises:
        DataError: It does not fit an image of that size.
    """
    if not isinstance(content, list):
        raise DataError("brush RLE must be a list of bytes")
    try:
        packed = np.frombuffer(bytes(content), dtype=np.uint8)
    except (TypeError, ValueError) as error:
        raise DataError("brush RLE must be a list of bytes") from error
    _refuse_bomb(size[0] * size[1])
    words = _words(np.unpackbits(packed), 4 * size[0] * size[1])
    return words.reshape(*size, 4)[..., 3] > 0


def _refuse_bomb(pixels: int) -> None:
    """A few run lengths can stand for more pixels than there is memory."""
    if pixels > MOST_PIXELS:
        raise DataError(f"RLE of {pixels} pixels, more than any image has that is read")


def _words(bits: UInt8[np.ndarray, " bits"], expected: int) -> UInt8[np.ndarray, " words"]:
    number, width = _integer(bits, 0, 32), _integer(bits, 32, 5) + 1
    if number != expected or width != 8:
        raise DataError(
            f"brush RLE of {number} words of {width} bits does not fit its image, which needs "
            f"{expected} of 8"
        )
    widths = [_integer(bits, 37 + 4 * index, 4) + 1 for index in range(4)]
    words = np.zeros(number, dtype=np.uint8)
    at, done = 53, 0
    while done < number:
        repeats, width = _integer(bits, at, 1), widths[_integer(bits, at + 1, 2)]
        length = _integer(bits, at + 3, width) + 1
        at += 3 + width
        stored = 8 if repeats else 8 * length
        if at + stored > len(bits) or done + length > number:
            raise DataError("brush RLE is damaged or cut short")
        words[done : done + length] = np.packbits(bits[at : at + stored])
        at, done = at + stored, done + length
    return words


def _integer(bits: UInt8[np.ndarray, " bits"], start: int, width: int) -> int:
    found = bits[start : start + width]
    if len(found) < width:
        raise DataError("brush RLE is damaged or cut short")
    return int("".join(map(str, found.tolist())), 2)


def _runs(counts: list) -> Counts:
    try:
        runs = np.array(counts, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError("RLE must be a list of run lengths") from error
    if runs.ndim != 1 or not (np.isfinite(runs).all() and (runs == np.floor(runs)).all()):
        raise DataError("RLE must be a list of run lengths")
    return runs.clip(-1, MOST_RUN).astype(np.int64)


def _fill(runs: Counts, pixels: int) -> Bool[np.ndarray, " pixels"]:
    _refuse_bomb(pixels)
    if (runs < 0).any() or (runs > pixels).any() or runs.sum() != pixels:
        raise DataError(
            f"RLE of {int(runs.clip(-1, MOST_RUN).sum())} pixels does not fit its box of {pixels}"
        )
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
