"""Image -> which classes are in it, with the map of where that was seen."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.embedder import PAD_TO
from hintseg.structures import ClassSet

CELL = 8  # pixels of a side of the cells that seeds agree on
FINEST = 4  # stride of the finest stage that is of use for them


class TagClassifier(nn.Module):
    """One raw map per foreground class; its mean is the score of the tag.

    With f_k the coarsest features of the backbone and w_k^c the weights of a 1 x 1 convolution,

        M_c(x) = sum_k w_k^c f_k(x)          S_c = mean_x M_c(x)

    (Zhou et al. 2016, arXiv:1512.04150, section 2). The convolution has no bias: it would lift the
    whole map of a class, wherever the class is. The background of a data set is everything else
    and has no map.

    `foreground[i]` is the class index of map i; `stride` the pixels of an image per cell of a map.
    """

    def __init__(self, backbone: Backbone, classes: ClassSet, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.backbone = backbone
        self.foreground = classes.foreground
        self.stride = backbone.strides[-1]
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(backbone.channels[-1], len(self.foreground), 1, bias=False)

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch maps rows columns"]:
        """Raw maps; images are raw colours in [0, 255] of any size.

        The image is padded at the bottom and right with the backbone's neutral colour to a
        multiple of 32, and the maps cut back to ceil(side / stride): no cell is padding alone.
        """
        height, width = images.shape[-2:]
        maps: Tensor = self.classify(self.dropout(self._features(images)[-1]))
        return maps[..., : math.ceil(height / self.stride), : math.ceil(width / self.stride)]

    def cells(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim rows columns"]:
        """What the backbone sees, at CELL pixels a cell: stages of stride 4 and more, joined.

        Each stage has unit length at each of its places, then is brought to the common grid.
        """
        height, width = images.shape[-2:]
        whole = [(side + -side % PAD_TO) // CELL for side in (height, width)]
        stages = [
            F.interpolate(F.normalize(feature, dim=1), size=whole, mode="bilinear")
            for feature, stride in zip(self._features(images), self.backbone.strides, strict=True)
            if stride >= FINEST
        ]
        return torch.cat(stages, dim=1)[..., : math.ceil(height / CELL), : math.ceil(width / CELL)]

    def _features(self, images: Tensor) -> list[Tensor]:
        """Of the backbone, images padded at the bottom and right with its neutral colour."""
        height, width = images.shape[-2:]
        fill = self.backbone.mean
        padding = (0, -width % PAD_TO, 0, -height % PAD_TO)
        padded = F.pad(images.to(fill.dtype) - fill, padding) + fill
        features: list[Tensor] = self.backbone(padded)
        return features


def tag_scores(
    maps: Float[Tensor, "batch maps rows columns"],
) -> Float[Tensor, "batch maps"]:
    """Global average pooling: log-odds of every tag."""
    return maps.mean(dim=(2, 3))
