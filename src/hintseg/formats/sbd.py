"""Semantic Boundaries Dataset (Hariharan et al. 2011): masks of VOC's images in MATLAB files.

`benchmark_RELEASE/dataset/cls/NAME.mat` holds the structure GTcls, whose field Segmentation has the
indices of VOC's classes. With VOC 2012 it makes the 10 582 training images of the field: those of
VOC and all of SBD, less those on which VOC validates.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from hintseg.errors import DataError
from hintseg.formats.found import Numbers, Painted
from hintseg.formats.maps import VOC, VOID_VALUE, looked_up
from hintseg.hints.shapes import Size
from hintseg.structures import VOID, LabelMap

FOLDER = "cls"  # of the files with classes; `inst` has numbers of objects


def is_sbd(path: Path) -> bool:
    """Whether a file is one of SBD's masks, by its name and its folder.

    >>> is_sbd(Path("benchmark_RELEASE/dataset/cls/2008_000002.mat"))
    True
    """
    return path.suffix.lower() == ".mat" and path.parent.name == FOLDER


def by_segmentation(path: Path, place: str) -> Painted:
    """The mask in a file."""

    def read(numbers: Numbers, _: Size) -> LabelMap:
        names = dict(enumerate(VOC))
        return looked_up(
            read_segmentation(path), names, numbers, nothing=VOID, without=[VOID_VALUE]
        )

    return Painted(place, read)


def read_segmentation(path: Path) -> Int[np.ndarray, "height width"]:
    """The class indices in a file.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    from scipy.io import loadmat  # noqa: PLC0415 - heavy, and few need it

    try:
        content: dict[str, Any] = loadmat(path, variable_names=["GTcls"])
        values = content["GTcls"]["Segmentation"].item()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from error
    except Exception as error:  # scipy has no class of its own for what is damaged
        raise DataError(f"no mask of SBD, or damaged ({type(error).__name__})") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "ui":
        raise DataError("GTcls.Segmentation is no map of class indices")
    return values.astype(np.int64)
