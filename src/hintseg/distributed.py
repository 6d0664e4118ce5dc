"""The processes that work together: how many, which one, sums over all of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
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


def gathered_rows(own: Tensor, *, device: torch.device | str = "cpu") -> list[Tensor]:
    """The rows of all ranks, in order of rank, whatever their numbers; no gradient.

    Args:
        own: Of this rank; all ranks give the same type, and the same shape but for the first side.
        device: Where the ranks exchange tensors; the result is where `own` is.
    """
    if ranks() == 1:
        return [own]
    is_bool = own.dtype == torch.bool
    sent = (own.to(torch.uint8) if is_bool else own).to(device)
    lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(ranks())]
    dist.all_gather(lengths, torch.tensor([len(own)], device=device))
    counts = [int(length) for length in lengths]
    missing = max(1, *counts) - len(own)
    sent = F.pad(sent, (*(0, 0) * (own.ndim - 1), 0, missing)).contiguous()
    every = [torch.empty_like(sent) for _ in counts]
    dist.all_gather(every, sent)
    cut = [rows[:count].to(own.device) for rows, count in zip(every, counts, strict=True)]
    return [rows.bool() for rows in cut] if is_bool else cut


def gathered_texts(own: str, *, device: torch.device | str = "cpu") -> list[str]:
    """The texts of all ranks, in order of rank; each rank gives one and gets all.

    Args:
        own: Of this rank.
        device: Where the ranks exchange tensors.
    """
    sent = torch.from_numpy(np.frombuffer(own.encode(), np.uint8).copy())
    return [text.numpy().tobytes().decode() for text in gathered_rows(sent, device=device)]
