"""The processes that train together: how many, which one, sums over all of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor

from hintseg.errors import RunError

OF_PEERS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


def ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process among those that train together."""
    return dist.get_rank() if ranks() > 1 else 0


def total(count: Tensor) -> Tensor:
    """The sum of a count over all ranks."""
    if ranks() > 1:
        count = count.clone()
        dist.all_reduce(count)
    return count


def divisor(count: Tensor) -> Tensor:
    """What a rank divides its sum by, for the mean over ranks to be the mean over all that count.

    Data-parallel training averages gradients over the ranks, whatever each of them counted.
    """
    return total(count).clamp(min=1) / ranks()


@contextmanager
def peers_named(remedy: str) -> Iterator[None]:
    """Where another process was killed or is out of reach, the block ends with a RunError.

    Torch says so by RuntimeError, with the place in its own sources.

    Raises:
        RunError: So it is.
    """
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        of_peers = isinstance(error, dist.DistError) or any(w in text.lower() for w in OF_PEERS)
        if ranks() == 1 or not of_peers:
            raise
        reason = re.sub(r"^\[[^]]*\] ?", "", text).split(". ")[0][:120]
        raise RunError(
            f"another process of this training ended or is out of reach ({reason}); {remedy}"
        ) from error
