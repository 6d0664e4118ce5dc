"""Losses of one mask as a whole: how well it overlaps with another."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.losses.means import mean_of_all

Amounts = Float[Tensor, "batch *dims"]
Counted = Bool[Tensor, "batch *dims"]


def iou_loss(
    logits: Amounts,
    masks: Amounts,
    *,
    counted: Counted | None = None,
) -> Float[Tensor, ""]:
    """One less the soft intersection over union, the mean over images.

        L = mean over images of 1 - (sum p g + 1) / (sum p + sum g - sum p g + 1),   p = sigmoid(s)

    (Wei et al. 2020, arXiv:2008.11048, section 3.4, with the 1 of the released code, which makes it
    0 for an empty mask that nothing is found in.)

    Args:
        logits: s, of one mask for each image.
        masks: g, 0 to 1.
        counted: Pixels that count; None: all. An image without any gives 0.

    Example:
        >>> import torch
        >>> masks = torch.tensor([[0.0, 1.0, 1.0, 1.0]])
        >>> round(iou_loss(torch.tensor([[-20.0, -20.0, 20.0, 20.0]]), masks).item(), 3)
        0.25
    """
    found, wanted = logits.sigmoid(), masks
    if counted is not None:
        found, wanted = found.where(counted, 0.0), masks.where(counted, 0.0)
    both = (found * wanted).flatten(1).sum(dim=1)
    either = found.flatten(1).sum(dim=1) + wanted.flatten(1).sum(dim=1) - both
    return (1 - (both + 1) / (either + 1)).mean()


def soft_cross_entropy(
    logits: Amounts,
    amounts: Amounts,
    *,
    counted: Counted,
) -> Float[Tensor, ""]:
    """Binary cross-entropy with amounts of 0 to 1, averaged over what counts on all ranks.

        L = -1/|C| sum_{p in C} [t_p log sigmoid(s_p) + (1 - t_p) log (1 - sigmoid(s_p))]

    An exact 0 that can be differentiated where none counts.

    Example:
        >>> import torch
        >>> first = torch.tensor([[True, False]])
        >>> round(soft_cross_entropy(torch.zeros(1, 2), torch.ones(1, 2), counted=first).item(), 3)
        0.693
    """
    losses = F.binary_cross_entropy_with_logits(logits, amounts, reduction="none")
    return mean_of_all(losses, counted)
