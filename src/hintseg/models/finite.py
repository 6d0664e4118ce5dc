"""Whether the numbers of a model are finite: NaN in them makes labels that look like any others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from hintseg.errors import NotFiniteError

REMEDY = "train again with a lower learning rate (--set train.lr=...)"


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the first tensor that holds NaN or infinity; None if all are finite."""
    names = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    if not names:
        return None
    is_finite = torch.stack([tensors[name].isfinite().all() for name in names]).tolist()
    return next((n for n, is_fine in zip(names, is_finite, strict=True) if not is_fine), None)


def check_scores(scores: Tensor) -> None:
    """Raise NotFiniteError if scores or embeddings of an image are not all finite."""
    if not bool(scores.isfinite().all()):
        raise NotFiniteError(f"the model gives NaN or infinity, not scores; {REMEDY}")


@contextmanager
def scores_of(image: str) -> Iterator[None]:
    """Name the image in a NotFiniteError of the block."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(f"{image}: {error}") from error
