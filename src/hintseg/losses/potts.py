"""Affinity between neighbours on the grid of pixels: local, cheap and exact."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (rows, columns); each pair of pixels once

Weights = Float[Tensor, "batch 1 _ _"]
Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class GridAffinity:
    """W of the 8 neighbours of every pixel."""

    weights: Sequence[Weights]  # of the pairs of each entry of NEIGHBOURS
    sums: Float[Tensor, "batch 1 height width"]

    def __call__(
        self, values: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """W v."""
        return _filtered(self.weights, values)


def grid_affinity(
    images: UInt8[Tensor, "batch 3 height width"],
    kept: Bool[Tensor, "batch height width"],
    *,
    srgb: float,
) -> GridAffinity:
    """Affinity of the neighbours p, q with colours I in [0, 255].

        W_pq = exp(-|I_p - I_q|^2 / (2 srgb^2)) / |p - q|

    (the sparse Potts model, Boykov and Jolly 2001). With `hintseg.losses.energy.crf_loss` the share
    of it that a labelling cuts: a length of the boundary that is short along edges of the image.

    Example:
        >>> import torch
        >>> images = torch.zeros(1, 3, 2, 4, dtype=torch.uint8)
        >>> images[..., 2:] = 255  # black at the left, white at the right
        >>> affinity = grid_affinity(images, torch.ones(1, 2, 4, dtype=torch.bool), srgb=30.0)
        >>> halves = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 1.0, 1.0]] * 2]])
        >>> (halves * affinity(1 - halves)).sum().item() < 1e-6  # nothing is cut
        True
    """
    weights = [_pair_weights(images.float(), kept, step, srgb) for step in NEIGHBOURS]
    return GridAffinity(weights, _filtered(weights, torch.ones_like(images[:, :1]).float()))


def _pair_weights(
    colours: Tensor, kept: Tensor, step: tuple[int, int], srgb: float
) -> Float[Tensor, "batch 1 _ _"]:
    one, other = _windows(colours.shape[-2:], step)
    squares = (colours[:, :, *one] - colours[:, :, *other]).square().sum(dim=1, keepdim=True)
    both = (kept[:, *one] & kept[:, *other])[:, None]
    return torch.exp(-squares / (2 * srgb**2)) * both / math.hypot(*step)


def _windows(size: Sequence[int], step: tuple[int, int]) -> tuple[Window, Window]:
    """The pixels that have a neighbour at this step, and these neighbours."""
    (height, width), (down, across) = size, step
    rows = slice(0, max(0, height - down)), slice(down, height)
    columns = slice(0, max(0, width - abs(across))), slice(abs(across), width)
    if across < 0:
        columns = columns[1], columns[0]
    return (rows[0], columns[0]), (rows[1], columns[1])


def _filtered(weights: Sequence[Weights], values: Tensor) -> Tensor:
    total = torch.zeros_like(values)
    for step, weight in zip(NEIGHBOURS, weights, strict=True):
        one, other = _windows(values.shape[-2:], step)
        total[:, :, *one] += weight * values[:, :, *other]
        total[:, :, *other] += weight * values[:, :, *one]
    return total
