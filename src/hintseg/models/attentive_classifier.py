"""A classifier of tags with features that say which cells look alike (SEAM)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.tag_classifier import TagClassifier
from hintseg.structures import ClassSet

WIDTHS = (64, 128)  # of the two stages, as released
DIM = 192


class AttentiveClassifier(TagClassifier):
    """Raw maps of the tags, and features for `refine.pixel_correlation` on the same cells.

    The features are the colours and the two stages before the last, each stage through a 1 x 1
    convolution and ReLU, joined and mixed by another (Wang et al. 2020, arXiv:2004.04581, section
    3.3, widths as released). Where not `through`, they give no gradient to the backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassSet,
        *,
        dropout: float = 0.5,
        through: bool = False,
    ) -> None:
        super().__init__(backbone, classes, dropout=dropout)
        self.through = through
        stages = zip(backbone.channels[-3:-1], WIDTHS, strict=True)
        self.project = nn.ModuleList(nn.Conv2d(c, w, 1, bias=False) for c, w in stages)
        self.mix = nn.Conv2d(3 + sum(WIDTHS), DIM, 1, bias=False)

    def both(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch maps rows columns"], Float[Tensor, "batch dim rows columns"]]:
        """Raw maps, and the features of their cells."""
        stages = self._features(images)
        maps = self._maps(stages[-1], images)
        seen = stages[-3:-1] if self.through else [stage.detach() for stage in stages[-3:-1]]
        size = maps.shape[-2:]
        whole = stages[-1].shape[-2:]  # with the cells of the padding
        views = [
            F.interpolate(layer(stage).relu(), size=whole, mode="bilinear")[
                ..., : size[0], : size[1]
            ]
            for layer, stage in zip(self.project, seen, strict=True)
        ]
        colours = (images.to(self.backbone.mean.dtype) - self.backbone.mean) / self.backbone.std
        small = F.interpolate(colours, size=size, mode="bilinear", antialias=True)
        return maps, self.mix(torch.cat([small, *views], dim=1))
