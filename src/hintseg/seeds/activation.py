"""From the maps of a classifier to seeds: the pixels that surely show a class.

The order is fixed, since thresholds depend on it: the raw maps of all views are brought to one grid
and summed, then cut at zero and divided by their maximum, once.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.structures import UNLABELLED

EPSILON = 1e-5
ROUNDING = 1e-3  # of a pixel: an edge of a box this near to that of a pixel is taken as the same

Maps = Float[Tensor, "maps height width"]


def sum_views(
    views: Sequence[Float[Tensor, "maps _ _"]], mirrored: Sequence[bool], size: tuple[int, int]
) -> Maps:
    """Raw maps of several views of one image, on one grid, summed.

    Args:
        views: Maps whose cells cover the image exactly, at any number of cells.
        mirrored: Whether a view was of the mirror image; its maps are turned back.
        size: Rows and columns of the result.

    Example:
        >>> import torch
        >>> view = torch.tensor([[[1.0, 0.0]]])
        >>> sum_views([view, view.flip(-1)], [False, True], (1, 2))
        tensor([[[2., 0.]]])
    """
    total: Tensor = views[0].new_zeros(len(views[0]), *size)
    for maps, flip in zip(views, mirrored, strict=True):
        turned = maps.flip(-1) if flip else maps
        total = total + F.interpolate(
            turned[None], size=size, mode="bilinear", align_corners=False
        ).squeeze(0)
    return total


def activation_maps(
    raw: Maps, present: Bool[Tensor, " maps"]
) -> tuple[Maps, Float[Tensor, " maps"]]:
    """Class activation maps in [0, 1], and the raw peak of each.

        M_c <- y_c ReLU(M_c);  M_c <- M_c / (max_x M_c + 1e-5)

    (Ahn and Kwak 2018, arXiv:1803.10464, section 4.1.) A class that is not known to be present has
    a map of zeros. The peak is the maximum before the division: how sure the classifier is; at or
    below zero the map is empty.

    Example:
        >>> import torch
        >>> maps, peaks = activation_maps(torch.tensor([[[-1.0, 2.0, 4.0]]]), torch.tensor([True]))
        >>> maps.round(decimals=2), peaks
        (tensor([[[0.0000, 0.5000, 1.0000]]]), tensor([4.]))
    """
    positive = raw.relu() * present[:, None, None]
    peaks = raw.flatten(1).amax(dim=1)
    highest = positive.flatten(1).amax(dim=1)[:, None, None]
    return positive / (highest + EPSILON), peaks


def box_normalised(
    maps: Maps, labels: Int[Tensor, " maps"], boxes: Float[Tensor, "boxes 5"]
) -> Maps:
    """Maps of the classes that have boxes: in [0, 1] inside each box, zero outside of all of them.

    Inside a box the map is divided by its maximum there; where boxes of one class overlap, the
    greater value stands. Maps of classes without a box stay as they are.

    Args:
        maps: Not below zero.
        labels: Class index of each map.
        boxes: x0, y0, x1, y1, class in pixels of the maps; 0 is the outer edge of the first. A
            pixel that an edge cuts is inside.
    """
    boxed = (labels[:, None] == boxes[:, 4].to(labels.dtype)).any(dim=1)
    result = maps.masked_fill(boxed[:, None, None], 0)
    for label, rows, columns in _extents(boxes):
        for row in (labels == label).nonzero().flatten().tolist():
            inside = maps[row, rows, columns]
            normal = inside / (inside.max() + EPSILON)
            result[row, rows, columns] = torch.maximum(result[row, rows, columns], normal)
    return result


def in_front(maps: Maps, labels: Int[Tensor, " maps"], boxes: Float[Tensor, "boxes 5"]) -> Maps:
    """Maps scaled down where a smaller box of another class lies: what is small stands in front.

        M_c(x) <- M_c(x) sqrt(min_k A_k(x) / A_c(x))

    A_c(x) is the area of the smallest box of class c around pixel x, the whole image for a class
    without a box; the root is the ratio of the sides. That the smaller of two boxes is in front is
    the rule of Khoreva et al. 2017 (arXiv:1603.07485, section 3.1); here it weighs against maps.
    """
    if not len(maps):
        return maps
    whole = maps[0].numel()
    areas = torch.full_like(maps, whole)
    for row, label in enumerate(labels.tolist()):
        mine = boxes[boxes[:, 4] == label]
        if len(mine):
            areas[row] = torch.inf
        for box, (_, rows, columns) in zip(mine, _extents(mine), strict=True):
            area = (box[2] - box[0]) * (box[3] - box[1])
            areas[row, rows, columns] = areas[row, rows, columns].clamp(max=area)
    smallest = areas.amin(dim=0).clamp(max=whole)  # outside of all boxes: no infinity
    return maps * (smallest / areas).sqrt()


def box_masks(
    labels: Int[Tensor, " classes"], boxes: Float[Tensor, "boxes 5"], size: tuple[int, int]
) -> Bool[Tensor, "classes height width"]:
    """Where the boxes of each of the classes are; a pixel that an edge cuts is inside."""
    cover = torch.zeros(len(labels), *size, dtype=torch.bool)
    for label, rows, columns in _extents(boxes):
        for row in (labels == label).nonzero().flatten().tolist():
            cover[row, rows, columns] = True
    return cover


def certain_seeds(
    possible: Bool[Tensor, "classes height width"], labels: Int[Tensor, " classes"]
) -> Int[Tensor, "height width"]:
    """The class of every pixel at which only one is possible; UNLABELLED elsewhere."""
    if not len(labels):
        return labels.new_full(possible.shape[1:], UNLABELLED)
    single = possible.sum(dim=0) == 1
    return labels[possible.int().argmax(dim=0)].where(single, UNLABELLED)


def background_score(maps: Maps, exponent: float) -> Float[Tensor, "height width"]:
    """(1 - max_c M_c)^exponent (Ahn and Kwak 2018, eq. 2); 1 where there is no map.

    A small exponent favours the background, a large one suppresses it.

    Example:
        >>> import torch
        >>> background_score(torch.tensor([[[0.5, 1.0]]]), exponent=2.0)
        tensor([[0.2500, 0.0000]])
    """
    if not len(maps):
        return maps.new_ones(maps.shape[1:])
    return (1 - maps.amax(dim=0)).clamp(min=0) ** exponent


def foreground_seeds(
    maps: Maps, labels: Int[Tensor, " maps"], *, threshold: float, margin: float
) -> Int[Tensor, "height width"]:
    """The class of the best map where it reaches `threshold` and leads by `margin`.

    UNLABELLED elsewhere. A single map leads everywhere.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.9, 0.6, 0.2]], [[0.1, 0.5, 0.1]]])
        >>> foreground_seeds(maps, torch.tensor([4, 7]), threshold=0.5, margin=0.2)
        tensor([[ 4, -1, -1]])
    """
    if not len(maps):
        return labels.new_full(maps.shape[1:], UNLABELLED)
    best, place = maps.max(dim=0)
    sure = best >= threshold
    if len(maps) > 1:
        sure &= best - maps.topk(2, dim=0).values[1] >= margin
    return labels[place].where(sure, UNLABELLED)


def background_seeds(
    maps: Maps, *, threshold: float, exponent: float
) -> Bool[Tensor, "height width"]:
    """Where the background score reaches its own threshold.

    Its own, not that of the foreground: max(m, (1 - m)^6) is never below 0.22, so one threshold for
    both would either leave no pixel out or hardly let one in.

    Example:
        >>> import torch
        >>> background_seeds(torch.tensor([[[0.1, 0.9]]]), threshold=0.5, exponent=2.0)
        tensor([[ True, False]])
    """
    return background_score(maps, exponent) >= threshold


def saliency_seeds(
    saliency: Float[Tensor, "height width"], share: float
) -> Bool[Tensor, "height width"]:
    """The least salient `share` of the pixels (Kolesnikov and Lampert 2016: a tenth is background).

    Pixels as salient as the first one beyond the share are left out: an image that is equally
    salient everywhere has no such seeds.

    Example:
        >>> import torch
        >>> saliency_seeds(torch.tensor([[0.1, 0.4, 0.8, 0.9]]), 0.25)
        tensor([[ True, False, False, False]])
    """
    values = saliency.flatten().sort().values
    beyond = math.floor(share * len(values))
    if beyond >= len(values):
        return torch.ones_like(saliency, dtype=torch.bool)
    return saliency < values[beyond]


def _extents(boxes: Float[Tensor, "boxes 5"]) -> list[tuple[int, slice, slice]]:
    """Class, rows and columns of each box, with all pixels that it touches."""
    left, top = (boxes[:, :2] + ROUNDING).floor().int().T.tolist()
    right, bottom = (boxes[:, 2:4] - ROUNDING).ceil().int().T.tolist()
    rows, columns = map(slice, top, bottom), map(slice, left, right)
    return list(zip(boxes[:, 4].int().tolist(), rows, columns, strict=True))
