"""Label images of programs that count in arrays: TIFF, PNG, NumPy, Zarr, HDF5; one plane each."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Int

from hintseg.errors import DataError, MissingExtraError
from hintseg.images.label_maps import read_values

MOST_PIXELS = 2**28
PLAIN = (".png", ".bmp", ".gif")
ENDINGS = (*PLAIN, ".tif", ".tiff", ".npy", ".h5", ".hdf5", ".zarr")

CODECS = (
    *("bytes", "endian", "transpose", "crc32c", "zlib", "gzip", "blosc", "zstd", "lz4", "bz2"),
    *("lzma", "delta", "packbits", "shuffle", "sharding_indexed", "default", "morton"),
)
"""Of Zarr, which unpack numbers and do nothing else."""

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
        refuse_elsewhere(found[0])
        return _plane(found[0])


def _zarr(path: Path) -> Any:  # noqa: ANN401
    try:
        import zarr  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("zarr", extra="formats", purpose="reading Zarr") from error
    item = zarr.open(str(path), mode="r")
    for _ in range(4):  # OME-Zarr: labels/NAME/0 holds the finest plane
        if hasattr(item, "shape"):
            refuse_odd_codecs(item)
            return item
        keys = sorted(item.keys())
        named = [key for key in ("labels", "0") if key in keys] or keys
        if len(named) != 1:
            raise DataError(f"{len(keys)} arrays; one with the labels is needed")
        item = item[named[0]]
    raise DataError("no array in it")


def refuse_odd_codecs(item: Any) -> None:  # noqa: ANN401 - an array of either format of Zarr
    """DataError for an array whose chunks are decoded by anything but unpacking numbers.

    Among the codecs that Zarr knows is `pickle`, which runs whatever a file says.
    """
    if item.dtype.kind not in "iub":
        raise DataError(f"numbers of type {item.dtype}; whole numbers are needed")
    if hasattr(item, "metadata"):
        described = item.metadata.to_dict()
        codecs = [described.get(key) for key in ("codecs", "compressor", "filters")]
    else:  # before Zarr 3
        codecs = [item.compressor, item.filters]
    for codec in _codecs_in(codecs):
        if codec not in CODECS:
            raise DataError(
                f"is packed by {codec!r:.40}, which is not read; save it by zlib or blosc"
            )


def _codecs_in(described: Any) -> Iterator[str]:  # noqa: ANN401
    """The names of codecs, those inside of others too."""
    if isinstance(described, Mapping):
        for key in ("id", "name"):
            if key in described:
                yield str(described[key]).removeprefix("numcodecs.")
        for value in described.values():
            yield from _codecs_in(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from _codecs_in(value)
    elif hasattr(described, "to_dict"):
        yield from _codecs_in(described.to_dict())
    elif hasattr(described, "get_config"):
        yield from _codecs_in(described.get_config())


def refuse_elsewhere(item: Any) -> None:  # noqa: ANN401 - a data set of HDF5
    """DataError for numbers that HDF5 would fetch from another file, which can be any."""
    if item.external or item.is_virtual:
        raise DataError("its numbers lie in another file; save it as one file")


def load_h5py() -> Any:  # noqa: ANN401
    """The package; MissingExtraError where it is not installed."""
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("h5py", extra="formats", purpose="reading HDF5") from error
    return h5py
