"""Files of tensors with a checksum of every byte: a flipped bit is found, and never a weight.

The format safetensors has none. The checksum stands in the header of the file itself, under
`sha256`: that of all bytes of the file, with zeros in its own place. A file without one, of an
earlier hintseg, is taken as it is.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

SEAL = "sha256"
EMPTY = "0" * 64
MOST_HEADER = 100_000_000  # bytes, as safetensors allows
_PLACE = re.compile(rb'"sha256":"(.{64})"', re.DOTALL)

Write = Callable[[dict[str, str]], None]


class SealError(ValueError):
    """The bytes of a file are not those that were written."""


def sealed(path: Path, write: Write, metadata: Mapping[str, str] | None = None) -> None:
    """Have a safetensors file written, then put the checksum into its header.

    Args:
        path: The file.
        write: Writes it, with the metadata that it is given.
        metadata: Of the file.
    """
    write({**(metadata or {}), SEAL: EMPTY})
    place, found = _sum_of(path)
    assert place is not None, "the metadata have a place for it"
    with path.open("r+b") as file:
        file.seek(place)
        file.write(found.encode())
        file.flush()
        os.fsync(file.fileno())  # before its name says that it is there: the power may fail


def check_seal(path: Path) -> None:
    """Raise SealError where the bytes of a file do not give its checksum; OSError as `open`."""
    place, found = _sum_of(path)
    if place is None:
        return
    with path.open("rb") as file:
        file.seek(place)
        stated = file.read(len(EMPTY)).decode("ascii", "replace")
    if stated != found:
        raise SealError("its bytes have changed since it was written: the checksum does not fit")


def _sum_of(path: Path) -> tuple[int | None, str]:
    """Where the checksum stands in a file, None: nowhere, and what it should be."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        header = file.read(size) if size <= MOST_HEADER else b""
        place = _PLACE.search(header)
        if place is None:
            return None, ""
        digest.update(length + header[: place.start(1)] + EMPTY.encode() + header[place.end(1) :])
        while part := file.read(2**20):
            digest.update(part)
    return 8 + place.start(1), digest.hexdigest()
