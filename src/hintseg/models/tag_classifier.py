"""Image -> which classes are in it, with the map of where that was seen."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.embedder import PAD_TO, padded_stages
from hintseg.structures import ClassSet

CELL = 8  # pixels of a side of the cells that seeds agree on
SALIENT_STRIDE = 8  # of the features whose gradient tells how salient a place is
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
        return self._maps(self._features(images)[-1], images)

    def saliency(
        self,
        images: Float[Tensor, "batch 3 height width"],
        chosen: Bool[Tensor, " maps"],
    ) -> Float[Tensor, "batch rows columns"]:
        """How much the scores of the chosen maps depend on each place: max_k |d S / d f_k(x)|.

        S is the sum of their scores, f the last features at stride 8 or finer; a 3 x 3 median takes
        single peaks away (Simonyan et al. 2014, arXiv:1312.6034; as the background cue of
        Kolesnikov and Lampert 2016, arXiv:1603.06098). No saliency of another source is used.
        """
        fine = max(i for i, s in enumerate(self.backbone.strides) if s <= SALIENT_STRIDE)
        with torch.enable_grad():  # through the image: the first stages may be frozen
            features = self._features(images.detach().clone().requires_grad_())
            scores = tag_scores(self._maps(features[-1], images))[:, chosen].sum()
            (gradient,) = torch.autograd.grad(scores, features[fine])
        stride = self.backbone.strides[fine]
        rows, columns = (math.ceil(side / stride) for side in images.shape[-2:])
        return _median(gradient.abs().amax(dim=1)[:, :rows, :columns])

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

    def pooled(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Mean of the coarsest features of an image: what its scores are made of."""
        rows, columns = (math.ceil(side / self.stride) for side in images.shape[-2:])
        return self._features(images)[-1][..., :rows, :columns].mean(dim=(2, 3))

    def _maps(self, coarsest: Tensor, images: Tensor) -> Tensor:
        """Of the coarsest features, without those of padding alone."""
        maps: Tensor = self.classify(self.dropout(coarsest))
        rows, columns = (math.ceil(side / self.stride) for side in images.shape[-2:])
        return maps[..., :rows, :columns]

    def _features(self, images: Tensor) -> list[Tensor]:
        """Of the backbone, images padded at the bottom and right with its neutral colour."""
        return padded_stages(self.backbone, images)


def tag_scores(
    maps: Float[Tensor, "batch maps rows columns"],
) -> Float[Tensor, "batch maps"]:
    """Global average pooling: log-odds of every tag."""
    return maps.mean(dim=(2, 3))


def _median(maps: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch rows columns"]:
    """Of 3 x 3 cells; the border is repeated."""
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    return windows.median(dim=-1).values[:, 0]
