"""One memory for retrieval of several: of the images that many threads or ranks have looked at."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from hintseg.distributed import gathered_rows, ranks
from hintseg.predict.retrieval.index import ARRAYS, PrototypeIndex


def joined(parts: Sequence[PrototypeIndex]) -> PrototypeIndex:
    """The segments of all parts in their order; there is at least one, and all are cut alike."""
    first = np.cumsum([0, *(len(part.names) for part in parts)])[:-1]
    images = [part.image + np.int32(start) for part, start in zip(parts, first, strict=True)]
    return replace(
        parts[0],
        vectors=np.concatenate([part.vectors for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        image=np.concatenate(images),
        box=np.concatenate([part.box for part in parts]),
        names=tuple(name for part in parts for name in part.names),
    )


def gathered_index(
    own: PrototypeIndex, names: tuple[str, ...], device: torch.device
) -> PrototypeIndex:
    """The segments of all ranks, as one process would have them.

    Args:
        own: Of the images that this rank has looked at: every so many-th of `names`.
        names: All images.
        device: Where the ranks exchange tensors.
    """
    if ranks() == 1:
        return own
    rows = {
        key: [part.numpy() for part in gathered_rows(torch.from_numpy(array), device=device)]
        for key, array in ((key, getattr(own, key)) for key in ARRAYS)
    }
    places = [part * len(rows["image"]) + rank for rank, part in enumerate(rows["image"])]
    image = np.concatenate(places).astype(np.int32)
    order = np.argsort(image, kind="stable")
    return replace(
        own,
        vectors=np.concatenate(rows["vectors"])[order],
        label=np.concatenate(rows["label"])[order],
        image=image[order],
        box=np.concatenate(rows["box"])[order],
        names=names,
    )
