"""Maps of a transformed image are the transformed maps: the losses of SEAM.

Wang et al. 2020 (arXiv:2004.04581), as released. Maps are those of foreground classes, of shape
(batch, maps, rows, columns), already zero for classes that are not tags: noise of absent classes
would else be stretched to 1.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

SMALLEST = 1e-5
HARDEST = 0.2  # share of the differences that count
LOWEST = 0.25  # share of the cells that must be empty

Maps = Float[Tensor, "batch maps rows columns"]


@dataclass(frozen=True, slots=True)
class View:
    """A transformation of images that maps undergo exactly: cut, mirror, another size.

    Attributes:
        scale: Of the sides.
        flip: Mirrored.
        shift: Cells (down, right) that are cut off at the top and left.
    """

    scale: float = 1.0
    flip: bool = False
    shift: tuple[int, int] = (0, 0)

    def images(
        self, images: Shaped[Tensor, "batch 3 height width"], stride: int
    ) -> Float[Tensor, "batch 3 _ _"]:
        """Transformed images; at other sizes, sides that are multiples of the stride."""
        down, right = (stride * cells for cells in self.shift)
        seen = self._turned(images[..., down:, right:].float())
        if self.scale == 1:
            return seen
        size = [max(1, round(side * self.scale / stride)) * stride for side in seen.shape[-2:]]
        return F.interpolate(seen, size=size, mode="bilinear", antialias=True)

    def maps(self, maps: Maps, size: tuple[int, int]) -> Float[Tensor, "batch maps _ _"]:
        """Maps of the images as they would be of the transformed ones, on a grid of that size."""
        seen = self._turned(maps[..., self.shift[0] :, self.shift[1] :])
        if seen.shape[-2:] == size:
            return seen
        return F.interpolate(seen, size=size, mode="bilinear", antialias=True)

    def _turned(self, values: Tensor) -> Tensor:
        return values.flip(-1) if self.flip else values


def normalised(maps: Maps) -> Maps:
    """Maps from 0 to 1: (ReLU(M) - min) / (max - min) over the cells, never below 0.

    Clamped: as released, where an object fills the image, values fall below zero and the background
    score (1 - v)^24 explodes.

    Example:
        >>> import torch
        >>> normalised(torch.tensor([[[[-1.0, 1.0, 2.0]]]])).round(decimals=3)
        tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    positive = maps.relu()
    low, high = positive.amin(dim=(2, 3), keepdim=True), positive.amax(dim=(2, 3), keepdim=True)
    return ((positive - low - SMALLEST).relu() / (high - low + SMALLEST)).clamp(max=1)


def with_background(maps: Maps) -> Float[Tensor, "batch channels rows columns"]:
    """A map of everything else before the others: one minus the highest of them."""
    highest = (
        maps.amax(dim=1, keepdim=True)
        if maps.shape[1]
        else maps.new_zeros(maps.shape[0], 1, *maps.shape[2:])
    )
    return torch.cat([1 - highest, maps], dim=1)


def strongest_only(
    maps: Float[Tensor, "batch channels rows columns"],
) -> Float[Tensor, "batch channels rows columns"]:
    """The background and, of the others, only the highest in each cell; values stay as they are."""
    others = maps[:, 1:]
    if not others.shape[1]:
        return maps
    kept = others * (others == others.amax(dim=1, keepdim=True))
    return torch.cat([maps[:, :1], kept], dim=1)


def equivariance_loss(
    first: Maps, second: Maps, present: Bool[Tensor, "batch maps"]
) -> Float[Tensor, ""]:
    """Mean of |first - second| over the maps of present classes; exactly 0 without any.

    As released, the mean is over all classes; that is this times the share of present ones.
    """
    apart = (first - second).abs().mean(dim=(2, 3)) * present
    return apart.sum() / present.sum().clamp(min=1)


def hardest_mean(
    differences: Float[Tensor, "batch ..."], share: float = HARDEST
) -> Float[Tensor, ""]:
    """Mean of the largest values of each image, then over the images (online hard mining).

    Example:
        >>> import torch
        >>> hardest_mean(torch.tensor([[0.0, 1.0, 3.0, 2.0]]), share=0.5)
        tensor(2.5000)
    """
    flat = differences.flatten(1)
    count = int(share * flat.shape[1])
    return flat.topk(max(1, count), dim=1).values.mean()


def cross_loss(
    raw: Float[Tensor, "batch channels rows columns"],
    refined: Float[Tensor, "batch channels rows columns"],
    *,
    detach: bool,
    share: float = HARDEST,
) -> Float[Tensor, ""]:
    """Refined maps of one view agree with the raw ones of the other, where they agree least.

    Args:
        raw: With background; what is not the highest in a cell counts as 0.
        refined: With background, on the same cells.
        detach: The raw maps are a target only, as released.
        share: Of the differences of an image that count.
    """
    target = strongest_only(raw.detach() if detach else raw)
    return hardest_mean((target - refined).abs(), share)


def emptiness_loss(maps: Maps, share: float = LOWEST) -> Float[Tensor, ""]:
    """The lowest cells of an image hold no class: their mean of max_c M_c (not in the paper)."""
    if not maps.shape[1]:
        return maps.sum()
    highest = maps.amax(dim=1).flatten(1)
    count = max(1, int(share * highest.shape[1]))
    return highest.topk(count, dim=1, largest=False).values.mean()
