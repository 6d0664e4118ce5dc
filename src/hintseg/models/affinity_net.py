"""Image -> features whose differences say which cells belong together; and where edges are."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.embedder import PAD_TO, padded_stages

WIDTHS = (64, 128, 256)  # of AffinityNet, the coarsest stage last
EDGE_WIDTH, EDGE_GROUPS = 32, 4
ARROW_WIDTHS = (64, 128, 256, 256, 256)  # of the displacement branch, the finest stage first
LEAST_STAGES = len(WIDTHS)
LAST_GAIN = 4.0  # of the last layer's initial weights, as released

Images = UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]


class AffinityNet(nn.Module):
    """Features of cells of 8 x 8 pixels, of which `losses.pair_affinities` are made.

    The three coarsest stages of the backbone, each through a 1 x 1 convolution and ELU, joined and
    mixed by another (Ahn and Kwak 2018, arXiv:1803.10464, section 3.2; widths as released).
    """

    stride = 8

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        stages = zip(backbone.channels[-3:], WIDTHS, strict=True)
        self.project = nn.ModuleList(nn.Conv2d(c, w, 1, bias=False) for c, w in stages)
        self.mix = nn.Conv2d(sum(WIDTHS), sum(WIDTHS), 1, bias=False)
        for layer in self.project:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        nn.init.xavier_uniform_(self.mix.weight, gain=LAST_GAIN)

    def forward(self, images: Images) -> Float[Tensor, "batch dim rows columns"]:
        """Features at stride 8; images are raw colours in [0, 255] of any size."""
        stages = padded_stages(self.backbone, images)[-3:]
        size = _grid(images, self.stride, padded=True)
        joined = torch.cat(
            [
                F.elu(_resized(layer(stage), size))
                for layer, stage in zip(self.project, stages, strict=True)
            ],
            dim=1,
        )
        return _cut(F.elu(self.mix(joined)), images, self.stride)


class BoundaryNet(nn.Module):
    """Edges between cells of 4 x 4 pixels, and how far away each cell's centroid is.

    IRNet (Ahn et al. 2019, arXiv:1904.05044, section 4.1; widths as released): two branches on a
    backbone that is not trained.
    """

    stride = 4

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.backbone.freeze(0, norm=True)
        self.edge_stages = nn.ModuleList(
            _normed(channels, EDGE_WIDTH, EDGE_GROUPS) for channels in backbone.channels
        )
        self.edge = nn.Conv2d(EDGE_WIDTH * len(backbone.channels), 1, 1)
        count = len(backbone.channels)
        widths = (count * ARROW_WIDTHS[:1] + ARROW_WIDTHS)[-count:]
        self.arrow_stages = nn.ModuleList(
            _normed(channels, width, 16)
            for channels, width in zip(backbone.channels, widths, strict=True)
        )
        self.fuse = nn.ModuleList(
            _normed(fine + coarse, fine, 16) for fine, coarse in pairwise(widths)
        )
        self.arrow = nn.Conv2d(widths[0], 2, 1, bias=False)

    def forward(
        self, images: Images
    ) -> tuple[Float[Tensor, "batch 1 rows columns"], Float[Tensor, "batch 2 rows columns"]]:
        """Logits of edges, and displacements as (down, right) in cells; both at stride 4."""
        with torch.no_grad():
            stages = padded_stages(self.backbone, images)
        size = _grid(images, self.stride, padded=True)
        seen = zip(self.edge_stages, stages, strict=True)
        edges = self.edge(torch.cat([_resized(layer(stage), size) for layer, stage in seen], dim=1))
        arrows = self.arrow(_resized(self._fused(stages), size))
        return _cut(edges, images, self.stride), _cut(arrows, images, self.stride)

    def _fused(self, stages: list[Tensor]) -> Tensor:
        """From the coarsest stage to the finest."""
        views = [layer(stage) for layer, stage in zip(self.arrow_stages, stages, strict=True)]
        fused: Tensor = views[-1]
        for view, layer in zip(reversed(views[:-1]), reversed(self.fuse), strict=True):
            fused = layer(torch.cat([view, _resized(fused, view.shape[-2:])], dim=1))
        return fused


def _grid(images: Tensor, stride: int, *, padded: bool) -> tuple[int, int]:
    """Rows and columns of cells, with those of the padding or without."""
    height, width = (side + (-side % PAD_TO if padded else 0) for side in images.shape[-2:])
    return math.ceil(height / stride), math.ceil(width / stride)


def _cut(maps: Tensor, images: Tensor, stride: int) -> Tensor:
    """Without the cells of the padding."""
    rows, columns = _grid(images, stride, padded=False)
    return maps[..., :rows, :columns]


def _resized(maps: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _normed(inside: int, outside: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 1, bias=False), nn.GroupNorm(groups, outside), nn.ReLU()
    )
