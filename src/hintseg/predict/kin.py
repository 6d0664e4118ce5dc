"""Regions of a data set that look like one region, by frozen features: no model has to be trained.

With a trained model `predict.retrieval` compares segments of its embedding; here regions of the
colours are compared, so that it works before any training and answers at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

MOST_PER_IMAGE = 3  # answers: many pictures tell more than many places of one


@dataclass(frozen=True, slots=True)
class Kin:
    """A region of an image, and how like it is to the one that was asked for."""

    name: str  # of the image
    region: int
    likeness: float  # cosine of the mean features less those of all regions, in [-1, 1]


def region_vectors(
    features: Float[Tensor, "dim rows columns"], regions: Int[Tensor, "height width"]
) -> Float[Tensor, "regions dim"]:
    """The mean feature of each region; 0 where a region is smaller than a cell.

    Args:
        features: Per cell of the image.
        regions: Number of the region of each pixel, at any resolution.

    Example:
        >>> features = torch.tensor([[[1.0, 3.0, 5.0]]])
        >>> region_vectors(features, torch.tensor([[0, 0, 1]])).tolist()
        [[2.0], [5.0]]
    """
    size = (features.shape[1], features.shape[2])
    at = F.interpolate(regions[None, None].float(), size=size, mode="nearest-exact")
    number, count = at.flatten().long(), int(regions.max()) + 1
    total = torch.zeros(count, len(features)).index_add_(0, number, features.flatten(1).T)
    return total / torch.bincount(number, minlength=count).clamp(min=1)[:, None]


def nearest_regions(
    asked: Float[Tensor, " dim"], banks: Mapping[str, Float[Tensor, "_ dim"]], top: int
) -> list[Kin]:
    """The regions that are most like one, nearest first, at most `MOST_PER_IMAGE` of an image.

    What all regions share says nothing: their mean is taken away before the cosine.

    Args:
        asked: Mean feature of a region.
        banks: Those of the regions of each image to look in; all-0 ones are no region.
        top: How many to find.

    Example:
        >>> banks = {"a": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "b": torch.tensor([[0.9, 0.1]])}
        >>> found = nearest_regions(torch.tensor([1.0, 0.0]), banks, 2)
        >>> [(kin.name, kin.region) for kin in found]
        [('a', 0), ('b', 0)]
    """
    names = [name for name, bank in banks.items() if len(bank)]
    if not names or top < 1:
        return []
    every = torch.cat([banks[name] for name in names]).float()
    is_region = every.abs().sum(dim=1) > 0
    middle = every[is_region].mean(dim=0) if bool(is_region.any()) else every.mean(dim=0)
    likeness = F.normalize(every - middle) @ F.normalize(asked.float() - middle, dim=0)
    likeness[~is_region] = -torch.inf
    places = [(name, region) for name in names for region in range(len(banks[name]))]
    found: list[Kin] = []
    taken: dict[str, int] = {}
    for index in likeness.argsort(descending=True).tolist():
        name, region = places[index]
        if len(found) == top or not bool(is_region[index]):
            break
        if taken.get(name, 0) < MOST_PER_IMAGE:
            taken[name] = taken.get(name, 0) + 1
            found.append(Kin(name, region, float(likeness[index])))
    return found
