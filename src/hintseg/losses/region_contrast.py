"""Regions against the memory of all classes (RCA; Zhou et al. 2022, arXiv:2203.09653)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def region_contrast_loss(
    regions: Float[Tensor, "regions dim"],
    labels: Int[Tensor, " regions"],
    memory: Float[Tensor, "known dim"],
    memory_labels: Int[Tensor, " known"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, " regions"]:
    """InfoNCE of each region with every embedding of its class (Zhou et al. 2022, eq. 4).

        l = -mean_{m of the class} log[ exp(e.m / t) / (exp(e.m / t) + sum_{others} exp(e.o / t)) ]

    All vectors are taken by their direction. Computed by log-sum-exp: the clamp of the released
    code takes the gradient from what is easy. Exactly 0 for a region whose class is not in memory.

    Example:
        >>> import torch
        >>> known = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> loss = region_contrast_loss(known[:1], torch.tensor([0]), known, torch.tensor([0, 1]))
        >>> loss.round(decimals=3)
        tensor([0.])
    """
    e, m = F.normalize(regions, dim=1), F.normalize(memory, dim=1)
    logits = e @ m.T / temperature
    same = labels[:, None] == memory_labels
    others = logits.masked_fill(same, -torch.inf)
    rest = torch.logsumexp(
        torch.cat([others, others.new_full((len(others), 1), -torch.inf)], dim=1), dim=1
    )
    terms = F.softplus((rest[:, None] - logits).clamp(min=-1e4)) * same
    return terms.sum(dim=1) / same.sum(dim=1).clamp(min=1)


def mixed_contrast_loss(
    regions: Float[Tensor, "regions dim"],
    labels: Int[Tensor, " regions"],
    partner: Int[Tensor, " regions"],
    share: Float[Tensor, " regions"],
    memory: Float[Tensor, "known dim"],
    memory_labels: Int[Tensor, " known"],
) -> Float[Tensor, ""]:
    """Mean over the regions of the contrast of mixtures: each is of two classes by its shares.

    With e = share e_a + (1 - share) e_b: share l_a(e) + (1 - share) l_b(e). Exactly 0 without
    regions or memory. (As released it is summed over the images of a device, so that its weight
    depends on the batch.)
    """
    if not len(regions) or not len(memory):
        return regions.sum() * 0
    mixed = share[:, None] * regions + (1 - share[:, None]) * regions[partner]
    one = region_contrast_loss(mixed, labels, memory, memory_labels)
    other = region_contrast_loss(mixed, labels[partner], memory, memory_labels)
    return (share * one + (1 - share) * other).mean()
