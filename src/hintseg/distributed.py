"""The processes that work together: how many, which one, sums over all of them."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
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


def gathered_texts(own: str, *, device: torch.device | str = "cpu") -> list[str]:
    """The texts of all ranks, in order of rank; each rank gives one and gets all.

    Args:
        own: Of this rank.
        device: Where the ranks exchange tensors.
    """
    if ranks() == 1:
        return [own]
    sent = torch.frombuffer(bytearray(own.encode() or b" "), dtype=torch.uint8).to(device)
    lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(ranks())]
    dist.all_gather(lengths, torch.tensor([len(own.encode())], device=device))
    longest = max(1, *(int(length) for length in lengths))
    every = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in lengths]
    dist.all_gather(every, F.pad(sent, (0, longest - len(sent))))
    cut = zip(every, lengths, strict=True)
    return [text[: int(length)].cpu().numpy().tobytes().decode() for text, length in cut]
