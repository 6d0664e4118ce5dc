"""Shares of 0 to 1 as grey PNG files of 8 bits."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images.photographs import opened, write_png

Shares = Float[np.ndarray, "_ _"]


def write_grey(path: Path, shares: Shares, *, note: str = "") -> None:
    """Write shares, rounded to steps of 1/255; those beyond 0 and 1 are taken for these.

    Raises:
        WriteError: The file cannot be written.
    """
    levels = (255 * np.clip(shares, 0, 1)).round().astype(np.uint8)
    write_png(path, PillowImage.fromarray(levels), note=note)


def read_grey(path: Path) -> Shares:
    """Read what `write_grey` wrote, float32.

    Raises:
        DataError: No such file, or no grey image of 8 bits.
    """
    with opened(path) as image:
        if image.mode != "L":
            raise DataError(f"{path}: is no grey image of 8 bits, but {image.mode}; make it again")
        levels = np.asarray(image)
    return levels.astype(np.float32) / np.float32(255)
