"""Two decoders that look at each other: body and detail of objects, and the objects themselves.

Source: Wei et al., "Label Decoupling Framework for Salient Object Detection", CVPR 2020
(arXiv:2008.11048), section 3.3, the feature interaction network.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hintseg.errors import ConfigError
from hintseg.models.backbone import Backbone
from hintseg.models.embedder import PAD_TO
from hintseg.models.heads import ConvNormAct
from hintseg.structures import ClassSet

STRIDE = 4  # pixels per cell of the maps
Cells = Float[Tensor, "batch rows columns"]
Level = Float[Tensor, "batch dim _ _"]


class Round(NamedTuple):
    """Logits of the maps after an iteration."""

    first: Cells  # the body, or what takes its place
    second: Cells  # the detail, or what takes its place
    object: Cells


class TwoBranch(nn.Module):
    """Backbone, two decoders, the encoder between them, and three heads.

    Each feature of the backbone from stride 4 on is projected for either branch. A decoder walks
    from the coarsest to the finest: D_l = cbr(p_l + u_l + up(D_{l+1})), cbr being convolution,
    batch norm and ReLU. The encoder takes both results in and gives the feedback u of each level,
    for either branch its own; in the first iteration there is none. Decoders and heads are the same
    in all iterations.

    Raises:
        ConfigError: The backbone has no feature at stride 4, or none coarser; or the classes are
            not a background and an object.
    """

    def __init__(
        self, backbone: Backbone, classes: ClassSet, *, dim: int = 64, iterations: int = 2
    ) -> None:
        super().__init__()
        if len(classes) != 2 or classes.background is None:
            raise ConfigError(
                f"classes: a background and an object are needed, got {', '.join(classes.names)}"
            )
        self.backbone, self.iterations = backbone, iterations
        self.foreground = 1 - classes.background
        self.taps = [i for i, stride in enumerate(backbone.strides) if stride >= STRIDE]
        strides = [backbone.strides[tap] for tap in self.taps]
        if len(strides) < 2 or strides[0] != STRIDE:
            raise ConfigError(
                f"the backbone has features at strides {list(backbone.strides)}, the decoders need "
                f"one at stride {STRIDE} and a coarser one; choose another network"
            )
        channels = [backbone.channels[tap] for tap in self.taps]
        self.first, self.second = _Branch(channels, dim), _Branch(channels, dim)
        self.encoder = _Interaction(strides, dim) if iterations > 1 else None
        self.heads = nn.ModuleList([nn.Conv2d(dim, 1, 3, padding=1) for _ in range(2)])
        self.object = nn.Sequential(ConvNormAct(2 * dim, dim, 3), nn.Conv2d(dim, 1, 3, padding=1))

    def forward(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 2 rows columns"]:
        """Class logits at stride 4: 0 for the background, the log-odds of the object for it."""
        found = self.rounds(images)[-1].object
        order = [torch.zeros_like(found), found]
        return torch.stack(order if self.foreground == 1 else order[::-1], dim=1)

    def rounds(
        self, images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]
    ) -> list[Round]:
        """The maps of all iterations at stride 4; images are raw colours in [0, 255] of any size.

        The image is padded at the bottom and right with the backbone's neutral colour to a
        multiple of 32, and the maps cut back to ceil(side / 4).
        """
        height, width = (math.ceil(side / STRIDE) for side in images.shape[-2:])
        features = self._features(images)
        branches = (self.first, self.second)
        levels = [branch.project(features) for branch in branches]
        feedback: Sequence[Sequence[Tensor | None]] = [[None] * len(self.taps)] * 2
        found: list[Round] = []
        decoded: list[Tensor] = []
        for _ in range(self.iterations):
            if decoded and self.encoder is not None:
                feedback = self.encoder(torch.cat(decoded, dim=1))
            decoded = [
                branch.decode(own, given)
                for branch, own, given in zip(branches, levels, feedback, strict=True)
            ]
            first, second = (head(part) for head, part in zip(self.heads, decoded, strict=True))
            whole = self.object(torch.cat(decoded, dim=1))
            found.append(Round(*(m[:, 0, :height, :width] for m in (first, second, whole))))
        return found

    def _features(self, images: Tensor) -> list[Tensor]:
        """Of stride 4 and more, fine to coarse."""
        height, width = images.shape[-2:]
        fill = self.backbone.mean
        padding = (0, -width % PAD_TO, 0, -height % PAD_TO)
        features = self.backbone(F.pad(images.to(fill.dtype) - fill, padding) + fill)
        return [features[tap] for tap in self.taps]


class _Branch(nn.Module):
    """One decoder with its projections of the features."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            [nn.Sequential(ConvNormAct(c, dim, 1), ConvNormAct(dim, dim, 3)) for c in channels]
        )
        self.steps = nn.ModuleList([ConvNormAct(dim, dim, 3) for _ in channels])

    def project(self, features: Sequence[Tensor]) -> list[Level]:
        """P of every level, fine to coarse."""
        pairs = zip(self.projections, features, strict=True)
        return [projection(feature) for projection, feature in pairs]

    def decode(self, levels: Sequence[Level], feedback: Sequence[Tensor | None]) -> Level:
        """D of the finest level."""
        decoded: Tensor | None = None
        for step, own, given in reversed(list(zip(self.steps, levels, feedback, strict=True))):
            total = own if given is None else own + given
            if decoded is not None:
                total = total + F.interpolate(decoded, size=own.shape[-2:], mode="bilinear")
            decoded = step(total)
        assert decoded is not None
        return decoded


class _Interaction(nn.Module):
    """What both branches have found -> feedback for every level of either."""

    def __init__(self, strides: Sequence[int], dim: int) -> None:
        super().__init__()
        self.halves = [coarse > fine for fine, coarse in pairwise(strides)]
        self.down = nn.ModuleList(
            [ConvNormAct(dim if i else 2 * dim, dim, 3) for i in range(len(strides))]
        )
        self.first = nn.ModuleList([ConvNormAct(dim, dim, 3) for _ in strides])
        self.second = nn.ModuleList([ConvNormAct(dim, dim, 3) for _ in strides])

    def forward(self, decoded: Float[Tensor, "batch joined rows columns"]) -> list[list[Level]]:
        """Feedback for the first and the second branch, fine to coarse."""
        levels = [self.down[0](decoded)]
        for halves, step in zip(self.halves, list(self.down)[1:], strict=True):
            pooled = F.max_pool2d(levels[-1], 2) if halves else levels[-1]
            levels.append(step(pooled))
        return [
            [give(level) for give, level in zip(branch, levels, strict=True)]
            for branch in (self.first, self.second)
        ]
