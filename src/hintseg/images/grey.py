"""Shares of 0 to 1 as grey PNG files of 8 bits."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images.photographs import opened, write_png
from hintseg.structures import Image

Shares = Float[np.ndarray, "_ _"]


def write_grey(path: Path, shares: Shares, *, note: str = "") -> None:
    """Write shares, rounded to steps of 1/255; those beyond 0 and 1 are taken for these.

    Raises:
        WriteError: The file cannot be written.
    """
    write_png(path, PillowImage.fromarray(_levels(shares)), note=note)


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


def grey_picture(shares: Shares) -> Image:
    """A picture of shares, from 0, black, to 1, white; what is beyond is clipped.

    Example:
        >>> import numpy as np
        >>> grey_picture(np.array([[0.0, 0.5, 1.5]]))[0].tolist()
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    return np.repeat(_levels(shares)[..., None], 3, axis=-1)


def _levels(shares: Shares) -> UInt8[np.ndarray, "_ _"]:
    levels: UInt8[np.ndarray, "_ _"] = (255 * np.clip(shares, 0, 1)).round().astype(np.uint8)
    return levels
