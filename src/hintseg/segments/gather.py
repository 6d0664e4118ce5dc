"""Prototypes of all ranks, with gradient."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.distributed import ranks, total
from hintseg.segments.memory import join
from hintseg.structures import Prototypes


def gather_prototypes(mine: Prototypes) -> tuple[Prototypes, int, int]:
    """The prototypes of all ranks in order of rank; where mine begin: segment, image.

    Images are numbered through all ranks. The gradient of every rank's loss reaches the prototypes
    of every other.
    """
    if ranks() == 1:
        return mine, 0, 0
    counts = _counts(mine)
    vectors = _gathered(mine.vectors, counts[:, 0], with_gradient=True)
    labels = _gathered(mine.label, counts[:, 0])
    images = _gathered(mine.image, counts[:, 0])
    sets = _gathered(mine.sets, counts[:, 0])
    tags = _gathered(mine.tags, counts[:, 1])
    absent = _gathered(mine.absent, counts[:, 1])
    parts = zip(vectors, labels, images, sets, tags, absent, strict=True)
    before = counts[: dist.get_rank()].sum(dim=0)
    return join([Prototypes(*part) for part in parts]), int(before[0]), int(before[1])


def gather_vectors(mine: Float[Tensor, "segments dim"]) -> tuple[Tensor, int]:
    """The vectors of all ranks in order of rank, with gradient, and where mine begin."""
    if ranks() == 1:
        return mine, 0
    counts = torch.stack(_all(torch.tensor(len(mine), device=mine.device))).cpu()
    vectors = torch.cat(_gathered(mine, counts, with_gradient=True))
    return vectors, int(counts[: dist.get_rank()].sum())


def _counts(mine: Prototypes) -> Tensor:
    """(segments, images) of every rank."""
    own = torch.tensor([len(mine), len(mine.tags)], device=mine.label.device)
    return torch.stack(_all(own)).cpu()


def _all(own: Tensor) -> list[Tensor]:
    """A tensor of one shape of every rank."""
    every = [torch.empty_like(own) for _ in range(ranks())]
    dist.all_gather(every, own)
    return every


class _Gather(torch.autograd.Function):
    """The rows of every rank; what each of them asks of mine is summed on the way back."""

    @staticmethod
    def forward(ctx: object, own: Tensor) -> Tensor:
        del ctx
        return torch.stack(_all(own))

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        del ctx
        (gradient,) = gradients
        return total(gradient.contiguous())[dist.get_rank()]


def _gathered(values: Tensor, counts: Tensor, *, with_gradient: bool = False) -> list[Tensor]:
    """The rows of every rank; sent padded to one length, since a gather needs equal shapes."""
    missing = int(counts.max()) - len(values)
    is_bool = values.dtype == torch.bool
    sent = values.to(torch.uint8) if is_bool else values
    sent = F.pad(sent, (*(0, 0) * (values.ndim - 1), 0, missing)).contiguous()
    every: list[Tensor] = list(_Gather.apply(sent)) if with_gradient else _all(sent)
    cut = [rows[:count] for rows, count in zip(every, counts.tolist(), strict=True)]
    return [rows.bool() for rows in cut] if is_bool else cut
