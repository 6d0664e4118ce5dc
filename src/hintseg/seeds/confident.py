"""Labels that are sure enough to teach which cells belong together."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.seeds.activation import background_score
from hintseg.structures import UNLABELLED

Maps = Float[Tensor, "maps height width"]


def confident_of_maps(
    maps: Maps,
    labels: Int[Tensor, " maps"],
    background: int,
    *,
    low: float,
    high: float,
) -> Int[Tensor, "height width"]:
    """Classes that win against a generous background, background that wins when it is stingy.

    With b = (1 - max_c M_c)^e: a pixel is foreground where its map wins against b at e = `low`,
    background where b wins at e = `high`; elsewhere UNLABELLED (Ahn and Kwak 2018,
    arXiv:1803.10464, section 3.2).

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.9, 0.2, 0.0]]])
        >>> confident_of_maps(maps, torch.tensor([3]), 0, low=4.0, high=24.0)
        tensor([[ 3, -1,  0]])
    """
    if not len(maps):
        return labels.new_full(maps.shape[1:], background)
    best, place = maps.max(dim=0)
    found = labels[place].where(best > background_score(maps, float(low)), UNLABELLED)
    empty = background_score(maps, float(high)) > best
    return torch.where(empty, background, found)
