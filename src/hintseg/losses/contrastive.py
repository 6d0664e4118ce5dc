"""Pixel-to-segment contrast: one loss for every relation, in memory of pixels + segments.

Both losses are a log-ratio of two sums over segments, one attracting and one repelling; `sweep`
makes them.
"""

import math
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from hintseg.errors import ConfigError, UnknownNameError
from hintseg.losses.sweep import PairSweep, PairTable

Reduction = Literal["mean", "sum"]
Context = Any  # what autograd hands to a function has no public type


def segment_contrastive_loss(  # noqa: PLR0913 (seven tensors describe a relation)
    embeddings: Float[Tensor, "pixels dim"],
    prototypes: Float[Tensor, "segments dim"],
    own: Int[Tensor, " pixels"],
    pixel_group: Int[Tensor, " pixels"],
    segment_group: Int[Tensor, " segments"],
    attract: Bool[Tensor, "groups groups"],
    repel: Bool[Tensor, "groups groups"],
    *,
    concentration: float,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""]:
    """Pull each pixel to the segments that attract it, push it from those that repel it.

        L_i = -log( sum_{A_i} s_ij / (sum_{A_i} s_ij + sum_{R_i} s_ij) ),  s_ij = exp(kappa e_i.p_j)

    R_i are the repelling segments without the pixel's own; A_i the attracting ones without the
    pixel's own, or its own alone when no other attracts (Ke, Hwang, Yu 2021, arXiv:2105.00957;
    Hwang et al. 2019, arXiv:1910.06962). A pixel counts if any segment attracts it. Memory
    grows with pixels + segments. Half precision is computed, and returned, in float32.

    Args:
        embeddings: One vector per pixel, usually of unit length.
        prototypes: One vector per segment, usually of unit length; they receive gradients as well.
        own: Segment of each pixel; -1 for none.
        pixel_group: Row of the tables of each pixel; -1: the pixel does not count.
        segment_group: Column of the tables of each segment; -1: the segment is on neither side.
        attract: Which segments a pixel is pulled to.
        repel: Which segments a pixel is pushed from.
        concentration: kappa, the inverse of a temperature, above 0; any size is safe.
        reduction: The mean or the sum over the pixels that count; an exact 0 that can be
            differentiated if there are none.

    Raises:
        ConfigError: A concentration that is not a positive number, or an unknown reduction.

    Example:
        >>> import torch
        >>> pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> own = torch.tensor([0, 1])
        >>> pixel_group, segment_group = torch.tensor([0, 1]), torch.tensor([0, 1, 1])
        >>> same = torch.eye(2, dtype=torch.bool)
        >>> case = pixels, prototypes, own, pixel_group, segment_group, same, ~same
        >>> round(segment_contrastive_loss(*case, concentration=6.0).item(), 3)
        0.049
    """
    relation = PairTable(own.clamp(min=-1), pixel_group, segment_group, attract, repel)
    return _reduced(embeddings, prototypes, relation, concentration, reduction)


def own_segment_loss(  # noqa: PLR0913 (six tensors describe a relation)
    embeddings: Float[Tensor, "pixels dim"],
    prototypes: Float[Tensor, "segments dim"],
    own: Int[Tensor, " pixels"],
    pixel_group: Int[Tensor, " pixels"],
    segment_group: Int[Tensor, " segments"],
    repel: Bool[Tensor, "groups groups"],
    *,
    concentration: float,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""]:
    """Pull each pixel to its own segment alone, push it from those that repel it.

        L_i = -log( s_i,own / (s_i,own + sum_{R_i} s_ij) ),  s_ij = exp(kappa e_i.p_j)

    The plain form of SegSort (Hwang et al. 2019, arXiv:1910.06962). A pixel counts if its
    own segment has a group. All else as in `segment_contrastive_loss`.

    Raises:
        ConfigError: A concentration that is not a positive number, or an unknown reduction.

    Example:
        >>> import torch
        >>> pixels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> own, group = torch.tensor([0, 1]), torch.zeros(3, dtype=torch.long)
        >>> repel = torch.ones(1, 1, dtype=torch.bool)
        >>> case = pixels, prototypes, own, group[:2], group, repel
        >>> round(own_segment_loss(*case, concentration=6.0).item(), 3)
        0.177
    """
    relation = PairTable(own.clamp(min=-1), pixel_group, segment_group, None, repel)
    return _reduced(embeddings, prototypes, relation, concentration, reduction)


def _reduced(
    embeddings: Tensor,
    prototypes: Tensor,
    relation: PairTable,
    concentration: float,
    reduction: Reduction,
) -> Tensor:
    if not (concentration > 0 and math.isfinite(concentration)):
        raise ConfigError(f"concentration: must be a positive number, got {concentration}")
    if reduction not in ("mean", "sum"):
        raise UnknownNameError("reduction", reduction, ("mean", "sum"))
    wide = torch.promote_types(embeddings.dtype, prototypes.dtype)
    wide = torch.promote_types(wide, torch.float32)
    inputs = embeddings.to(wide), prototypes.to(wide)
    needed = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    total: Tensor
    total, count = _SumOfLosses.apply(*inputs, relation, concentration, needed)
    return total / count.clamp(min=1) if reduction == "mean" else total


class _SumOfLosses(torch.autograd.Function):
    """Sum over the pixels and their count; the gradients are made on the way and only kept."""

    @staticmethod
    def forward(
        ctx: Context,
        embeddings: Tensor,
        prototypes: Tensor,
        relation: PairTable,
        concentration: float,
        needed: bool,
    ) -> tuple[Tensor, Tensor]:
        sweep = PairSweep(embeddings, prototypes, relation, concentration, needed)
        sweep.run()
        if needed:
            ctx.save_for_backward(sweep.pixel_gradient, sweep.segment_gradient)
        total, count = sweep.losses.sum(), sweep.counts.sum()
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        scaled = (
            scale * gradient if needed else None
            for gradient, needed in zip(gradients, ctx.needs_input_grad[:2], strict=True)
        )
        return *scaled, None, None, None
