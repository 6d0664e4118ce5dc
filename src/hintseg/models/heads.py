"""From a pyramid of features to one map at stride 4: context pyramid, then skip connections."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hintseg.errors import ConfigError
from hintseg.models.depthwise import DilatedDepthwise


class ConvNormAct(nn.Sequential):
    """Convolution that keeps the size, batch norm, ReLU; depthwise-separable where `separable`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, separable: bool = False
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        if separable:
            layers: list[nn.Module] = [
                DilatedDepthwise(
                    inputs,
                    inputs,
                    kernel,
                    padding=padding,
                    dilation=dilation,
                    groups=inputs,
                    bias=False,
                ),
                nn.BatchNorm2d(inputs),
                nn.Conv2d(inputs, outputs, 1, bias=False),
            ]
        else:
            conv = nn.Conv2d(
                inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False
            )
            layers = [conv]
        super().__init__(*layers, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ContextPyramid(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2018, arXiv:1802.02611).

    A 1 x 1 view, one dilated 3 x 3 view per rate, and the mean over the map, joined by a 1 x 1
    convolution.
    """

    def __init__(self, inputs: int, width: int, *, rates: Sequence[int]) -> None:
        super().__init__()
        self.reduce = ConvNormAct(inputs, width, 1)
        self.views = nn.ModuleList(
            [ConvNormAct(width, width, 3, dilation=rate, separable=True) for rate in rates]
        )
        self.mean = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True))
        self.join = ConvNormAct(width * (len(rates) + 1), width, 1)

    def forward(
        self, features: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs height width"]:
        """Features that have seen their surroundings."""
        local = self.reduce(features)
        views = [local, *(view(local) for view in self.views)]
        whole: Tensor = self.mean(features.mean(dim=(2, 3)))[:, :, None, None]
        joined: Tensor = self.join(torch.cat(views, dim=1))
        return joined + whole


class SkipHead(nn.Module):
    """Context at the coarsest stride, refined step by step by the finer features down to stride 4.

    Each step follows DeepLab-v3+ (Chen et al. 2018, arXiv:1802.02611): upsample, put a thin,
    normalised projection of the finer feature beside it, convolve. Thin and normalised, since raw
    fine features are larger than the context and would drown it.
    """

    stride = 4

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 128,
        skip_width: int = 32,
        rates: Sequence[int] = (1, 2, 4),
    ) -> None:
        super().__init__()
        self.taps = _taps(strides, self.stride)  # feature indices, coarse to fine
        self.context = ContextPyramid(channels[-1], width, rates=rates)
        self.skips = nn.ModuleList([ConvNormAct(channels[tap], skip_width, 1) for tap in self.taps])
        self.refine = nn.ModuleList([ConvNormAct(width + skip_width, width, 3) for _ in self.taps])
        self.width = width

    def forward(
        self, features: Sequence[Float[Tensor, "batch _ _ _"]]
    ) -> Float[Tensor, "batch width rows columns"]:
        """One map at stride 4."""
        merged: Tensor = self.context(features[-1])
        for tap, skip, refine in zip(self.taps, self.skips, self.refine, strict=True):
            size = features[tap].shape[-2:]
            merged = F.interpolate(merged, size=size, mode="bilinear", align_corners=False)
            merged = refine(torch.cat([merged, skip(features[tap])], dim=1))
        return merged


def _taps(strides: Sequence[int], finest: int) -> tuple[int, ...]:
    """The last feature of each stride finer than the coarsest and no finer than `finest`."""
    last = {stride: index for index, stride in enumerate(strides)}
    taps = [last[s] for s in sorted(last, reverse=True) if finest <= s < max(strides)]
    if not taps or strides[taps[-1]] != finest:
        raise ConfigError(
            f"the backbone has features at strides {sorted(last)}, the head needs one at stride "
            f"{finest} and a coarser one; choose another network"
        )
    return tuple(taps)
