"""Tensors of labels and colours on the grid of cells, by the rules of `resize.py`."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from hintseg.structures import VOID


def pool_labels(
    labels: Int[Tensor, "batch height width"], stride: int
) -> Int[Tensor, "batch rows columns"]:
    """Labels of cells of stride x stride pixels, by the rules of `resize_labels` ("labelled wins").

    The last cells may reach beyond the image; what lies there has no vote.
    """
    height, width = labels.shape[-2:]
    padded = F.pad(labels, (0, -width % stride, 0, -height % stride), value=VOID)
    cells = padded.unfold(1, stride, stride).unfold(2, stride, stride).flatten(3)
    votes = (cells[..., :, None] == cells[..., None, :]).sum(dim=-1)
    size = int(labels.max()) + 1 if labels.numel() else 1
    rank = votes * (size + 1) + (size - cells)  # most votes first, then the smaller class
    best = rank.where(cells >= 0, -1).argmax(dim=-1, keepdim=True)
    known = cells.gather(-1, best).squeeze(-1)
    return known.where(known >= 0, cells.amax(dim=-1))  # UNLABELLED is above VOID


def pool_images(
    images: UInt8[Tensor, "batch 3 height width"],
    kept: Bool[Tensor, "batch height width"],
    stride: int,
) -> tuple[UInt8[Tensor, "batch 3 rows columns"], Bool[Tensor, "batch rows columns"]]:
    """Raw colours of cells of stride x stride pixels, averaged over their kept pixels.

    Also which cells have any; the colour of the others is black. The last cells may reach beyond
    the image.
    """
    height, width = images.shape[-2:]
    padding = (0, -width % stride, 0, -height % stride)
    valid = F.pad(kept[:, None].float(), padding)
    share = F.avg_pool2d(valid, stride)
    colours = F.avg_pool2d(F.pad(images.float(), padding) * valid, stride)
    mean = colours / share.where(share > 0, 1.0)
    return mean.round().to(torch.uint8), share[:, 0] > 0
