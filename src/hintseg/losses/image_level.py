"""Losses that read what is known of an image as a whole."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.losses.means import mean_of_all


def tag_loss(
    scores: Float[Tensor, "images classes"],
    present: Bool[Tensor, "images classes"],
    absent: Bool[Tensor, "images classes"],
) -> Float[Tensor, ""]:
    """Multi-label soft margin, averaged over the (image, class) pairs K whose answer is known.

        L = -1/|K| sum_{(n, c) in K} [ y_nc log sigma(S_nc) + (1 - y_nc) log(1 - sigma(S_nc)) ]

    with y = 1 where the class is known to be present, 0 where it is known to be absent. With every
    tag known that is the loss of the classifier of Ahn and Kwak 2018 (arXiv:1803.10464). A pair
    that is neither (nobody said so) has no term and no gradient; a batch without any known pair
    gives an exact 0 that can be differentiated.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[4.0, -4.0, 0.0]])
        >>> present = torch.tensor([[True, False, False]])
        >>> absent = torch.tensor([[False, True, False]])
        >>> round(tag_loss(scores, present, absent).item(), 3)
        0.018
    """
    known = present | absent
    terms = F.binary_cross_entropy_with_logits(scores, present.to(scores.dtype), reduction="none")
    return mean_of_all(terms, known)
