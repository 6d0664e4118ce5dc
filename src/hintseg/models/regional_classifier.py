"""A classifier of tags that looks up what regions of all classes look like elsewhere (RCA)."""

import math
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.tag_classifier import TagClassifier
from hintseg.structures import ClassSet

WIDTH, TOWER = 128, 32  # channels of the coarse head, and of the tower of each class
RELEASED_SCALE = 2.0  # sim / 10 * 20, tied to 10 centroids of 20 classes

Images = UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
Attention = Literal["softmax", "released"]


class RegionalClassifier(TagClassifier):
    """Coarse maps of the features, fine maps of features joined with remembered centroids.

    Zhou et al. 2022 (arXiv:2203.09653, section 3.3). `centroids` are a buffer that the learner
    fills, and so part of the weights; until then the context is zero. The towers of the classes are
    one grouped convolution. `forward` gives the fine maps.
    """

    centroids: Tensor
    known: Tensor

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassSet,
        *,
        centroids: int,
        dropout: float = 0.5,
        attention: Attention = "softmax",
    ) -> None:
        super().__init__(backbone, classes, dropout=dropout)
        self.attention = attention
        self.dim, count = backbone.channels[-1], len(self.foreground)
        del self.classify
        self.coarse = nn.Sequential(
            *_convolutions([self.dim, WIDTH, WIDTH, WIDTH]), nn.Conv2d(WIDTH, count, 1, bias=False)
        )
        self.query = nn.Conv2d(self.dim, self.dim, 1)
        self.key, self.value = nn.Linear(self.dim, self.dim), nn.Linear(self.dim, self.dim)
        self.join = nn.Conv2d(2 * self.dim, self.dim, 1)
        tower = TOWER * count
        self.fine = nn.Sequential(
            *_convolutions([self.dim, tower]),
            *_convolutions([tower, tower, tower], groups=count),
            nn.Conv2d(tower, count, 1, groups=count, bias=False),
        )
        self.embed = nn.Sequential(
            nn.Conv2d(self.dim, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, self.dim, 1)
        )
        self.register_buffer("centroids", torch.zeros(count * centroids, self.dim))
        self.register_buffer("known", torch.zeros(count * centroids, dtype=torch.bool))

    def forward(self, images: Images) -> Float[Tensor, "batch maps rows columns"]:
        """Raw fine maps."""
        return self.looks(images)[1]

    def looks(self, images: Images) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse maps, fine maps and embeddings of the cells."""
        features = self._features(images)[-1]
        rows, columns = (math.ceil(side / self.stride) for side in images.shape[-2:])
        seen = self.dropout(features[..., :rows, :columns])
        fine: Tensor = self.fine(self.join(torch.cat([seen, self.context(seen)], dim=1)))
        return self.coarse(seen), fine, self.embed(seen)

    def context(
        self, features: Float[Tensor, "batch dim rows columns"]
    ) -> Float[Tensor, "batch dim rows columns"]:
        """What the centroids that are known say of each cell, by attention."""
        if not bool(self.known.any()):
            return torch.zeros_like(features)
        centroids = self.centroids[self.known]
        keys, values = self.key(centroids), self.value(centroids)
        alike = torch.einsum("bdrc,kd->bkrc", self.query(features), keys)
        if self.attention == "softmax":
            weights = (alike / math.sqrt(self.dim)).softmax(dim=1)
        else:
            weights = RELEASED_SCALE * alike
        return torch.einsum("bkrc,kd->bdrc", weights, values)

    def remember(
        self, centroids: Float[Tensor, "classes kinds dim"], known: Bool[Tensor, "classes kinds"]
    ) -> None:
        """Centroids of the classes, and which of them there are."""
        self.centroids.copy_(centroids.flatten(0, 1))
        self.known.copy_(known.flatten())


def class_regions(
    coarse: Float[Tensor, "batch maps rows columns"],
) -> Bool[Tensor, "batch maps rows columns"]:
    """Cells in which the probability of a class is above its mean over the image."""
    shares = coarse.softmax(dim=1)
    return shares > shares.mean(dim=(2, 3), keepdim=True)


def region_means(
    embeddings: Float[Tensor, "batch dim rows columns"],
    regions: Bool[Tensor, "batch maps rows columns"],
) -> Float[Tensor, "batch maps dim"]:
    """Mean embedding of each region; zeros of an empty one."""
    sums = torch.einsum("bdrc,bmrc->bmd", embeddings, regions.to(embeddings.dtype))
    return sums / regions.sum(dim=(2, 3))[..., None].clamp(min=1)


def _convolutions(widths: list[int], *, groups: int = 1) -> list[nn.Module]:
    """3 x 3 convolutions and ReLUs, which keep the size of what passes (He et al. 2015).

    The default of torch would make it fifteen times smaller over three layers, and short trainings
    would leave the maps of many classes where they began.
    """
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        layer = nn.Conv2d(inside, outside, 3, padding=1, groups=groups)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU()]
    return layers
