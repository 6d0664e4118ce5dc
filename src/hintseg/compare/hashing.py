"""Hashes by which runs are found: of hints wherever they lie, of all that decides a training."""

import hashlib
import json

import numpy as np

from hintseg.data.dataset import Dataset
from hintseg.methods.config import Config
from hintseg.structures import Hints


def hints_hash(hinted: Dataset, digest: str) -> str:
    """Hash of a data set with the hints of its train split, as they are understood.

    The files themselves name the photographs by paths that depend on where the files lie.

    Args:
        hinted: Has the hints.
        digest: Of the data set that they were drawn for: classes, splits and masks.
    """
    total = hashlib.sha256(digest.encode())
    for name in hinted.hinted_names():
        total.update(name.encode("utf-8", "surrogatepass") + hash_of(hinted.hints(name)))
    return total.hexdigest()


def hash_of(hints: Hints) -> bytes:
    """Hash of the hints of one image.

    Example:
        >>> from hintseg.structures import Hints, Shape
        >>> one = Hints((Shape("point", 0, ((1.0, 2.0),)),))
        >>> hash_of(one) == hash_of(Hints((Shape("point", 0, ((1.0, 2.0),)),))) != hash_of(Hints())
        True
    """
    said = [(shape.kind, shape.label, shape.points) for shape in hints.shapes]
    total = hashlib.sha256(repr((said, sorted(hints.flags))).encode())
    for bitmap in [hints.partial, *(shape.bitmap for shape in hints.shapes)]:
        if bitmap is not None:
            total.update(f"{bitmap.shape}".encode() + np.ascontiguousarray(bitmap).tobytes())
    return total.digest()


def training_key(hints: str, config: Config) -> str:
    """Hash of all that decides a training: hints and masks, method, settings, seed."""
    text = json.dumps({**config.dump(), "data": hints}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
