"""Losses that read every labelled pixel by itself."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.distributed import divisor
from hintseg.losses.means import mean_of_all
from hintseg.structures import UNLABELLED


def labelled_cross_entropy(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"]
) -> Float[Tensor, ""]:
    """Cross-entropy averaged over the labelled pixels of all ranks ("partial cross-entropy").

        L = -1/|S| sum_{p in S} log softmax(logits_p)[label_p],   S = {p : label_p >= 0}

    (Tang et al. 2018, arXiv:1804.01346, eq. 3, first term.) UNLABELLED and VOID pixels take no
    part; a batch without any labelled pixel gives an exact 0 that can be differentiated.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 4, 1, 3)
        >>> round(labelled_cross_entropy(logits, torch.tensor([[[2, -1, -2]]])).item(), 3)
        1.386
    """
    counted = divisor((labels >= 0).sum())
    known = labels.where(labels >= 0, -100)
    return F.cross_entropy(logits, known, ignore_index=-100, reduction="sum") / counted


def absent_class_loss(
    logits: Float[Tensor, "batch classes height width"],
    labels: Int[Tensor, "batch height width"],
    absent: Bool[Tensor, "batch classes"],
) -> Float[Tensor, ""]:
    """What tags say of a pixel without a label: which classes it is not.

        L = -1/|U| sum_{p in U} log sum_{c not absent} softmax(logits_p)[c]

    over the UNLABELLED pixels U of images with an absent class: the negative logarithm of the
    probability that the hints allow (learning from partial labels, Jin & Ghahramani, NIPS 2002,
    "Learning with multiple labels", eq. 4). An exact 0 that can be differentiated without any.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2, 1, 2)
        >>> absent = torch.tensor([[False, True]])
        >>> round(absent_class_loss(logits, torch.tensor([[[-1, -1]]]), absent).item(), 3)
        0.693
    """
    said = absent & ~absent.all(dim=1, keepdim=True)  # that no class is possible says nothing
    counted = (labels == UNLABELLED) & said.any(dim=1)[:, None, None]
    possible = logits.masked_fill(said[:, :, None, None], -torch.inf)
    losses = logits.logsumexp(dim=1) - possible.logsumexp(dim=1)
    return mean_of_all(losses, counted)
