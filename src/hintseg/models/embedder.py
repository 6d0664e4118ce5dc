"""Image -> embedding of every pixel -> scores of the classes."""

import math

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.heads import ConvNormAct, SkipHead

PAD_TO = 32  # sides become multiples of this, so that every stride divides them exactly


class Embedder(nn.Module):
    """A vector of length `dim` for every cell of 4 x 4 pixels; not normalised."""

    stride = SkipHead.stride

    def __init__(self, backbone: Backbone, *, dim: int = 64, width: int = 128) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SkipHead(backbone.channels, backbone.strides, width=width)
        self.project = nn.Conv2d(width, dim, 1)
        self.dim = dim

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim rows columns"]:
        """Embeddings at stride 4; images are raw colours in [0, 255] of any size.

        The image is padded at the bottom and right with the backbone's neutral colour to a
        multiple of 32, and the embedding cut back to ceil(side / 4): centres stay aligned.
        """
        height, width = images.shape[-2:]
        embeddings = self.bare(
            pad_to_stride(images.to(self.backbone.mean.dtype), self.backbone.mean)
        )
        return embeddings[..., : math.ceil(height / self.stride), : math.ceil(width / self.stride)]

    def bare(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim rows columns"]:
        """As `forward`, for sides that are multiples of 32: no padding and no cut.

        No size becomes a constant in it, so that a trace or an export takes images of any such
        size.
        """
        embeddings: Tensor = self.project(self.head(self.backbone(images)))
        return embeddings


class Segmenter(nn.Module):
    """An embedder and a classifier on top of it: what `train` makes and `predict` uses.

    Where `unit`, the classifier sees the direction of an embedding only, as prototypes do.
    """

    def __init__(
        self, embedder: Embedder, classes: int, *, unit: bool = False, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.embedder, self.unit = embedder, unit
        self.classifier = Classifier(embedder.dim, classes, dropout=dropout)

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes rows columns"]:
        """Class logits at stride 4."""
        return self.classify(self.embedder(images))

    def bare(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes rows columns"]:
        """As `forward`, for sides that are multiples of 32 (`Embedder.bare`)."""
        return self.classify(self.embedder.bare(images))

    @property
    def backbone(self) -> Backbone:
        """The part that starts from given weights."""
        return self.embedder.backbone

    def classify(
        self, embeddings: Float[Tensor, "batch dim rows columns"]
    ) -> Float[Tensor, "batch classes rows columns"]:
        """Class logits of embeddings."""
        logits: Tensor = self.classifier(F.normalize(embeddings) if self.unit else embeddings)
        return logits


class Classifier(nn.Sequential):
    """Embedding -> logits, the form of SPML's head (Ke et al. 2021) without its normalisation."""

    def __init__(self, dim: int, classes: int, *, dropout: float) -> None:
        super().__init__(
            ConvNormAct(dim, 2 * dim, 3), nn.Dropout(dropout), nn.Conv2d(2 * dim, classes, 1)
        )


def upsample(
    maps: Float[Tensor, "batch channels rows columns"], height: int, width: int, *, stride: int = 4
) -> Float[Tensor, "batch channels {height} {width}"]:
    """Bilinear with half-pixel centres from cells of `stride` pixels to pixels.

    The last cells may reach beyond the image (its sides need not be multiples of the stride).

    Example:
        >>> import torch
        >>> upsample(torch.tensor([[[[0.0, 1.0]]]]), 1, 8)
        tensor([[[[0.0000, 0.0000, 0.1250, 0.3750, 0.6250, 0.8750, 1.0000, 1.0000]]]])
    """
    rows, columns = maps.shape[-2:]
    full = F.interpolate(
        maps, size=(rows * stride, columns * stride), mode="bilinear", align_corners=False
    )
    return full[..., :height, :width]


def padded_stages(backbone: Backbone, images: Tensor) -> list[Tensor]:
    """Features of images, filled up at the bottom and right with the neutral colour."""
    fill = backbone.mean
    stages: list[Tensor] = backbone(pad_to_stride(images.to(fill.dtype), fill))
    return stages


def pad_to_stride(images: Tensor, fill: Tensor) -> Tensor:
    """Images with sides that are multiples of PAD_TO: filled up at the bottom and right."""
    height, width = images.shape[-2:]
    bottom, right = -height % PAD_TO, -width % PAD_TO
    if not bottom and not right:
        return images
    return F.pad(images - fill, (0, right, 0, bottom)) + fill
