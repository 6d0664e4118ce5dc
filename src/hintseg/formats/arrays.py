"""Label images of programs that count in arrays: TIFF, PNG, NumPy, Zarr, HDF5; one plane each."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Int

from hintseg.errors import DataError, MissingExtraError
from hintseg.images.label_maps import read_values

MOST_PIXELS = 2**30
PLAIN = (".png", ".bmp", ".gif")
ENDINGS = (*PLAIN, ".tif", ".tiff", ".npy", ".h5", ".hdf5", ".zarr")

Plane = Int[np.ndarray, "height width"]


def read_plane(path: Path) -> Plane:
    """The numbers in a file, or in a Zarr folder.

    Raises:
        DataError: Damaged, not one plane, no whole numbers.
        MissingExtraError: h5py or zarr is needed.
    """
    ending = path.suffix.lower()
    if ending in PLAIN:
        return read_values(path)
    readers = {".npy": _numpy, ".h5": _hdf5, ".hdf5": _hdf5, ".zarr": _zarr}
    try:
        return _plane(readers.get(ending, _tiff)(path))
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # readers of stranger's files raise anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"damaged, or no {ending[1:].upper()} file ({reason})") from error


def _plane(values: Any) -> Plane:  # noqa: ANN401
    """One plane of whole numbers; sides of length 1 do not count."""
    sides = [side for side in values.shape if side != 1]
    if len(sides) > 2:
        raise DataError(f"{' x '.join(map(str, values.shape))} numbers; save each plane by itself")
    if np.prod(values.shape, dtype=np.float64) > MOST_PIXELS:
        raise DataError(f"{' x '.join(map(str, values.shape))} numbers are too many")
    found = np.asarray(values[...])
    found = found.squeeze() if len(sides) == 2 else found.reshape(found.shape[:2])
    if found.dtype.kind not in "iub":
        raise DataError(f"numbers of type {found.dtype}; whole numbers are needed")
    if found.size and (found.min() < 0 or found.max() > 65535):
        raise DataError(f"values of {found.min()} to {found.max()}; classes are 1 to 65535")
    return found.astype(np.int32)


def _numpy(path: Path) -> Any:  # noqa: ANN401
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _tiff(path: Path) -> Any:  # noqa: ANN401
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if len(file.series) > 1 or np.prod(series.shape, dtype=np.float64) > MOST_PIXELS:
            raise DataError("several images, or one too large; save each plane by itself")
        return series.asarray()


def _hdf5(path: Path) -> Any:  # noqa: ANN401
    h5py = load_h5py()
    with h5py.File(path, "r") as file:
        found: list[Any] = []
        file.visititems(
            lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None
        )
        if len(found) != 1:
            raise DataError(f"{len(found)} data sets; one with the labels is needed")
        return _plane(found[0])


def _zarr(path: Path) -> Any:  # noqa: ANN401
    try:
        import zarr  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("zarr", extra="formats", purpose="reading Zarr") from error
    item = zarr.open(str(path), mode="r")
    for _ in range(4):  # OME-Zarr: labels/NAME/0 holds the finest plane
        if hasattr(item, "shape"):
            return item
        keys = sorted(item.keys())
        named = [key for key in ("labels", "0") if key in keys] or keys
        if len(named) != 1:
            raise DataError(f"{len(keys)} arrays; one with the labels is needed")
        item = item[named[0]]
    raise DataError("no array in it")


def load_h5py() -> Any:  # noqa: ANN401
    """The package; MissingExtraError where it is not installed."""
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("h5py", extra="formats", purpose="reading HDF5") from error
    return h5py
