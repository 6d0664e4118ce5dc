"""The processes that train together: how many, which one, sums over all of them."""

import torch.distributed as dist
from torch import Tensor


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
