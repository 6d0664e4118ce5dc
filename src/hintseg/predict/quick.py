"""A linear classifier of frozen features: what follows a stroke at once, while networks train.

Features of an image are computed once and kept; a stroke then costs one small linear system and one
matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.models.backbone import DEFAULT_BACKBONE, Backbone, load_weights
from hintseg.models.embedder import Embedder
from hintseg.regions.partition import lab_colours
from hintseg.structures import Image

STRIDE = 4  # pixels per cell
STAGES = (1, 2, 3)  # of an ImageNet backbone: strides 4, 8 and 16 of the default one
SHRINKAGE = 0.1  # share of a sphere in the covariance
OWN_SHARE = 0.5  # weight of the open image's hints of a class beside those of all other images
SURE = 0.99  # probability that half of the hinted cells reach at most
MOST = 300  # cells of a class that an image teaches
REGION_SHARE = 0.7  # of the mean of its region in the scores of a pixel

Features = Float[Tensor, "dim rows columns"]


class BackboneFeatures:
    """Features of an ImageNet network before any training: its stages and the colours, per cell.

    Each stage has unit length at every cell, so that none outweighs the others.
    """

    def __init__(self, name: str = DEFAULT_BACKBONE) -> None:
        self.backbone = Backbone(name).eval()
        load_weights(self.backbone, "imagenet")

    @torch.inference_mode()
    def __call__(self, image: Image) -> Features:
        """Features at stride 4 of a photograph at the size it is given in."""
        height, width = image.shape[:2]
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        padding = (0, -width % 32, 0, -height % 32)
        padded = F.pad(pixels, padding, mode="replicate")
        stages = self.backbone(padded)
        lab = torch.from_numpy(np.asarray(lab_colours(image))).permute(2, 0, 1)[None].float() / 50
        full = (padded.shape[-2] // STRIDE, padded.shape[-1] // STRIDE)
        parts = [_at(F.normalize(stages[index]), full) for index in STAGES]
        parts.append(F.avg_pool2d(F.pad(lab, padding, mode="replicate"), STRIDE))
        return torch.cat(parts, dim=1)[0, :, :rows, :columns]


class EmbeddingFeatures:
    """Features of a trained run: the directions of its embeddings."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    @torch.inference_mode()
    def __call__(self, image: Image) -> Features:
        """Features at stride 4 of a photograph at the size it is given in."""
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        device = next(self.embedder.parameters()).device
        return F.normalize(self.embedder(pixels.to(device)).float())[0].cpu()


@dataclass(frozen=True, slots=True)
class HintedCells:
    """Features of the cells of some image that have a label."""

    features: Float[Tensor, "cells dim"]
    labels: Int[Tensor, " cells"]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Scores that are linear in the features; classes without any hint never win."""

    weight: Float[Tensor, "classes dim"]
    bias: Float[Tensor, " classes"]

    @torch.inference_mode()
    def scores(self, features: Features) -> Float[Tensor, "classes rows columns"]:
        """Probabilities of the classes at every cell."""
        logits = torch.einsum("cd,dhw->chw", self.weight, features)
        return (logits + self.bias[:, None, None]).softmax(dim=0)


def hinted_cells(features: Features, labels: Int[Tensor, "rows columns"]) -> HintedCells:
    """The cells with a label; of each class at most `MOST`, evenly spread over its own."""
    flat = labels.flatten().long()
    places = []
    for label in sorted(set(flat.tolist())):
        found = (flat == label).nonzero()[:, 0]
        places += [found[:: -(-len(found) // MOST)]] if label >= 0 else []
    chosen = torch.cat(places) if places else flat.new_zeros(0)
    return HintedCells(features.flatten(1)[:, chosen].T.contiguous(), flat[chosen])


@torch.inference_mode()
def fit_head(
    own: HintedCells | None, others: Sequence[HintedCells], classes: int
) -> LinearHead | None:
    """Linear discriminant analysis (Fisher 1936).

    Classes are Gaussians of one covariance S, shrunk towards a sphere: w_c = S^-1 m_c and
    b_c = -1/2 m_c^T S^-1 m_c. The mean of a class is that of its hints on the open image and that
    of its hints on all others, `OWN_SHARE` of the first.

    Args:
        own: Hinted cells of the open image; None: it has none.
        others: Those of other images.
        classes: Number of classes.

    Returns:
        None where no cell has a label.

    Example:
        >>> cells = HintedCells(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 2]))
        >>> head = fit_head(cells, [], 3)
        >>> head.scores(cells.features.T[:, None]).argmax(dim=0)
        tensor([[0, 2]])
    """
    groups = [group for group in (own, *others) if group is not None and len(group.labels)]
    if not groups:
        return None
    x = torch.cat([group.features for group in groups])
    y = torch.cat([group.labels for group in groups])
    is_own = torch.zeros(len(y), dtype=torch.bool)
    is_own[: len(own.labels) if own is not None else 0] = True
    share = _weights(y, is_own, classes)
    mass = torch.zeros(classes).index_add_(0, y, share)
    means = torch.zeros(classes, x.shape[1]).index_add_(0, y, x * share[:, None])
    means /= mass.clamp(min=1e-9)[:, None]
    rest = (x - means[y]) * share[:, None].sqrt()
    spread = (rest.T @ rest) / mass.sum()
    sphere = torch.eye(x.shape[1], dtype=x.dtype) * (spread.diagonal().mean() + 1e-4)
    weight = torch.linalg.solve(torch.lerp(spread, sphere, SHRINKAGE).double(), means.T.double()).T
    bias = -0.5 * (weight * means).sum(dim=1)
    bias[mass == 0] = -torch.inf
    heat = _temperature(x @ weight.T.float() + bias.float(), y)
    return LinearHead(weight.float() / heat, bias.float() / heat)


def _temperature(
    logits: Float[Tensor, "cells classes"], y: Int[Tensor, " cells"]
) -> Float[Tensor, ""]:
    """By what logits are divided so that half of the hinted cells are no surer than `SURE`.

    A few cells fill few of the many dimensions: the spread is underestimated, and everything
    would be certain.
    """
    others = logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    margin = (logits.gather(1, y[:, None])[:, 0] - others).median()
    return margin.where(margin.isfinite(), 0.0).div(math.log(SURE / (1 - SURE))).clamp(min=1.0)


def quick_scores(
    features: Features, own: HintedCells | None, others: Sequence[HintedCells], classes: int
) -> Float[Tensor, "classes rows columns"] | None:
    """What hints say of an image: the mean of two heads, of its own hints and of all hints.

    The first knows what is what here, the second what else there may be. On MSRC-21 with a click
    per region the mean is better than either (benchmarks/quick_head.py).

    Args:
        features: Of the open image.
        own: Its hinted cells.
        others: Those of other images.
        classes: Number of classes.

    Returns:
        Probabilities of the classes; None where there is no hint at all.
    """
    heads = [fit_head(own, [], classes), fit_head(own, others, classes) if others else None]
    scores = [head.scores(features) for head in heads if head is not None]
    return torch.stack(scores).mean(dim=0) if scores else None


def _weights(y: Int[Tensor, " cells"], own: Tensor, classes: int) -> Float[Tensor, " cells"]:
    """Every class weighs the same; of it the open image has its share, if both have cells."""
    here = torch.bincount(y[own], minlength=classes).float()
    there = torch.bincount(y[~own], minlength=classes).float()
    share = torch.where(there == 0, 1.0, torch.where(here == 0, 0.0, OWN_SHARE))
    mine, theirs = share / here.clamp(min=1), (1 - share) / there.clamp(min=1)
    return torch.where(own, mine[y], theirs[y])


def _at(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def steadied(
    scores: Float[Tensor, "classes height width"],
    regions: Int[Tensor, "height width"],
    share: float = REGION_SHARE,
) -> Float[Tensor, "classes height width"]:
    """Scores drawn to the mean of their region, so that they end where colours do.

    Args:
        scores: Of an image at the resolution of its regions.
        regions: Number of the region of each pixel, from 0.
        share: Of the region's mean, 0 to 1.

    Example:
        >>> steadied(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[0, 0]]), share=0.5)
        tensor([[[0.2500, 0.7500]]])
    """
    flat, number = scores.flatten(1), regions.flatten().long()
    count = int(number.max()) + 1
    total = torch.zeros(len(flat), count).index_add_(1, number, flat)
    mean = total / torch.bincount(number, minlength=count).clamp(min=1)
    return torch.lerp(flat, mean[:, number], share).view_as(scores)
