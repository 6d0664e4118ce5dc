"""Bitmaps as lengths of runs, in the three codings that annotation tools use."""

from itertools import chain

import numpy as np
from jaxtyping import Bool, Int

Bitmap = Bool[np.ndarray, "_ _"]
Counts = Int[np.ndarray, " runs"]

WORD = 8  # bits of a value of Label Studio's brush
SIZES = (3, 7, 11, 16)  # bits for the length of a run, of which each run takes the fewest
LONGEST = 2**16  # run that 16 bits can say
CHANNELS = 4  # red, green, blue, opacity: all the same


def run_lengths(bits: Bool[np.ndarray, " pixels"]) -> Counts:
    """Lengths of runs, the first of which is of False (and may be 0).

    Example:
        >>> import numpy as np
        >>> run_lengths(np.array([1, 1, 0, 1], bool)).tolist()
        [0, 2, 1, 1]
    """
    changes = np.flatnonzero(np.diff(bits, prepend=False))
    return np.diff(changes, prepend=0, append=len(bits))


def coco_counts(inside: Bitmap, left: int, top: int, size: tuple[int, int]) -> str:
    """COCO's compressed `counts` of a bitmap that lies in an image of height and width `size`.

    Pixels go down the columns. A length is written as its difference to the one two runs before
    (from the fourth run on), in groups of five bits, lowest first; bit 6 says that more groups
    follow; 48 is added to make a letter (the format of pycocotools).

    Example:
        >>> import numpy as np
        >>> coco_counts(np.ones((2, 3), bool), 1, 0, (2, 5))
        '262'
    """
    height, width = size
    columns = np.zeros((inside.shape[1], height), dtype=bool)  # of its box, whole
    columns[:, top : top + len(inside)] = inside.T
    counts = run_lengths(columns.ravel())
    counts[0] += left * height
    rest = (width - left - inside.shape[1]) * height
    if len(counts) % 2:
        counts[-1] += rest
    elif rest:
        counts = np.append(counts, rest)
    differences = counts.copy()
    differences[3:] -= counts[1:-2]
    return "".join(map(_letters, differences.tolist()))


def _letters(number: int) -> str:
    """A signed number in letters of five bits, lowest first."""
    text = ""
    while True:
        group, number = number & 31, number >> 5
        is_last = number == (-1 if group & 16 else 0)
        text += chr(48 + group + (0 if is_last else 32))
        if is_last:
            return text


def cvat_counts(inside: Bitmap) -> str:
    """CVAT's `rle` of a bitmap in its own box: lengths along the rows, the first one outside.

    Example:
        >>> import numpy as np
        >>> cvat_counts(np.array([[1, 1], [0, 1]], bool))
        '0, 2, 1, 1'
    """
    return ", ".join(map(str, run_lengths(inside.ravel()).tolist()))


def brush_bytes(inside: Bitmap, left: int, top: int, size: tuple[int, int]) -> list[int]:
    """Label Studio's `rle` of a bitmap that lies in an image of height and width `size`.

    The image in four equal channels, 0 or 255, packed as thi.ng's rle-pack does: 32 bits for the
    number of values, 5 for the bits of a value less 1, 4 for each of the four sizes of lengths less
    1; then for each run a 1, the size (2 bits), the length less 1, and the value.

    Example:
        >>> import numpy as np
        >>> brush_bytes(np.ones((1, 1), bool), 0, 0, (1, 1))
        [0, 0, 0, 4, 57, 53, 124, 127, 224]
    """
    height, width = size
    rows = np.zeros((len(inside), width), dtype=bool)
    rows[:, left : left + inside.shape[1]] = inside
    counts = run_lengths(rows.ravel())
    counts[0] += top * width
    rest = (height - top - len(inside)) * width
    if len(counts) % 2:
        counts[-1] += rest
    elif rest:
        counts = np.append(counts, rest)
    head = [(height * width * CHANNELS, 32), (WORD - 1, 5), *((size - 1, 4) for size in SIZES)]
    runs = chain.from_iterable(
        _packed_run(length * CHANNELS, 255 * (place % 2))
        for place, length in enumerate(counts.tolist())
    )
    bits = "".join(f"{value:0{width}b}" for value, width in chain(head, runs))
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _packed_run(length: int, value: int) -> list[tuple[int, int]]:
    """(number, bits) of the parts of a run, cut where it is too long."""
    parts: list[tuple[int, int]] = []
    while length > 0:
        now = min(length, LONGEST)
        place = next(place for place, size in enumerate(SIZES) if now <= 2**size)
        parts += [(1, 1), (place, 2), (now - 1, SIZES[place]), (value, WORD)]
        length -= now
    return parts
