"""Label layers of napari (TIFF, Zarr, NumPy, PNG): 0 is unlabelled, 1 the first class."""

from hintseg.formats.found import Request, Source
from hintseg.formats.layers import Numbering, read_layers


def read(request: Request) -> Source:
    """The layers of a file or folder; DataError where there is none."""
    return read_layers(request, Numbering(first=1, unlabelled=0))
