"""The one thing that is needed of the metadata of photographs: which way up they are.

Pillow understands whole EXIF blocks, and gives up over one odd tag in them. Only the orientation is
looked for here; where it is not said properly, an image is upright.
"""

import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image as PillowImage

ORIENTATION = 274  # number of the tag
TRANSPOSED = (5, 6, 7, 8)  # orientations that swap height and width
EXIF_START = b"Exif\x00\x00"
MOST_ENTRIES = 2**12
_SHORT, _LONG = 3, 4  # types of numbers in TIFF
_TURN = PillowImage.Transpose
TURNS = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}
"""How Pillow turns an image of each orientation upright."""

IN_WORDS = {
    5: "mirror it along its main diagonal",
    6: "turn it by 90 degrees clockwise",
    7: "mirror it along its other diagonal",
    8: "turn it by 90 degrees counter-clockwise",
}
"""The same of those that swap height and width, for a person."""


def orientation_of(info: Mapping[Any, Any]) -> int:
    """The orientation, 1 to 8, in what Pillow has found beside the pixels; 1: upright."""
    block = info.get("exif") or _from_text(info.get("Raw profile type exif"))
    found = orientation_in(block) if isinstance(block, bytes) else None
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    if found is None:
        text = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
        stated = re.search(rb'tiff:Orientation(?:="|>)([1-8])', text)
        found = int(stated[1]) if stated else 1
    return found


def orientation_in(exif: bytes) -> int | None:
    """The orientation, 1 to 8, in an EXIF block; None where it does not say it properly."""
    while exif.startswith(EXIF_START):
        exif = exif[len(EXIF_START) :]
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (place,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, place)
        for entry in range(min(count, MOST_ENTRIES)):
            start = place + 2 + 12 * entry
            tag, kind, number = struct.unpack_from(order + "HHI", exif, start)
            if tag == ORIENTATION and kind in (_SHORT, _LONG) and number == 1:
                code = "H" if kind == _SHORT else "I"
                (value,) = struct.unpack_from(order + code, exif, start + 8)
                return value if 1 <= value <= 8 else None
    except struct.error:  # the block ends before it should
        return None
    return None


def upright(image: PillowImage.Image, orientation: int) -> PillowImage.Image:
    """An image of this orientation, turned; its metadata stay behind."""
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def turned(
    values: Shaped[np.ndarray, "rows columns channels"], orientation: int
) -> Shaped[np.ndarray, "height width channels"]:
    """The same for numbers."""
    if orientation in TRANSPOSED:
        values = values.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return values[:: -1 if down else 1, :: -1 if across else 1]


def _from_text(text: Any) -> bytes | None:  # noqa: ANN401 - whatever a file holds
    """The block in the text form that older programs write into PNG files: hexadecimal digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
