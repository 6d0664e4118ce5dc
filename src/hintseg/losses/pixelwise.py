"""Losses that read every labelled pixel by itself."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def labelled_cross_entropy(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"]
) -> Float[Tensor, ""]:
    """Cross-entropy averaged over the labelled pixels of the batch ("partial cross-entropy").

        L = -1/|S| sum_{p in S} log softmax(logits_p)[label_p],   S = {p : label_p >= 0}

    (Tang et al. 2018, arXiv:1804.01346, eq. 3, first term.) UNLABELLED and VOID pixels take no
    part; a batch without any labelled pixel gives an exact 0 that can be differentiated.
    """
    counted = (labels >= 0).sum().clamp(min=1)
    known = labels.where(labels >= 0, -100)
    return F.cross_entropy(logits, known, ignore_index=-100, reduction="sum") / counted
