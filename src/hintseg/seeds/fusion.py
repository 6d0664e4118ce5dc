"""Seeds of the marginals of a CRF and of a saliency map (RCA)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.structures import UNLABELLED

CONFLICT = 0.9  # two classes above it at one pixel contradict each other
SALIENT = 32 / 255  # saliency from which a pixel is no background that can be trusted
MISSED = 0.8  # marginal of a class above which a pixel is no background that can be trusted
LEAST = 0.01  # share of the image that has to be foreground: less is not believed at all


def fused_labels(
    marginals: Float[Tensor, "maps height width"],
    labels: Int[Tensor, " maps"],
    salient: Float[Tensor, "height width"],
    background: int,
) -> Int[Tensor, "height width"]:
    """The best of the classes and the background, where saliency and marginals do not disagree.

    The background counts 1 - saliency, a class its marginal; the highest wins. UNLABELLED are
    pixels where two of them are above 0.9, and pixels of the background that are salient (32/255)
    or at which a class has more than 0.8. An image of which less than 1 % is foreground gets no
    label at all, and so does one without maps (Zhou et al. 2022, arXiv:2203.09653, as released).

    Args:
        marginals: Of the classes that are in the image, each 0 to 1.
        labels: Class index of each.
        salient: How sure it is that a pixel is of any object, 0 to 1.
        background: Class index.

    Example:
        >>> import torch
        >>> marginals = torch.tensor([[[0.97, 0.30, 0.85, 0.01, 0.95]]])
        >>> salient = torch.tensor([[0.90, 0.20, 0.10, 0.00, 0.05]])
        >>> fused_labels(marginals, torch.tensor([3]), salient, background=0)
        tensor([[ 3, -1, -1,  0, -1]])
    """
    scores = torch.cat([1 - salient[None], marginals])
    classes = torch.cat([labels.new_tensor([background]), labels])
    best = scores.argmax(dim=0)
    doubtful = (scores > CONFLICT).sum(dim=0) > 1
    missed = (salient >= SALIENT) | (marginals > MISSED).any(dim=0)
    found = classes[best].where(~(doubtful | (best == 0) & missed), UNLABELLED)
    seen = ((found >= 0) & (found != background)).float().mean()
    return found if seen >= LEAST else torch.full_like(found, UNLABELLED)
