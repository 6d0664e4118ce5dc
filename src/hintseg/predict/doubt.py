"""Where a model is in doubt: which image, and which place of it, a person should look at next."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

SPOT = 0.08  # side of the window whose mean doubt counts, as a share of the longer side


@dataclass(frozen=True, slots=True)
class Doubt:
    """How doubtful an image is, and its most doubtful place."""

    mean: float  # 0 to 1
    x: float  # of the place, as shares of width and height
    y: float


def labels_and_doubt(
    scores: Float[Tensor, "classes rows columns"],
) -> tuple[Int[Tensor, "rows columns"], Float[Tensor, "rows columns"]]:
    """The best class, and one minus its margin before the second (Scheffer et al. 2001).

    Doubt is 0 where one class has all, 1 where two are equal.

    Example:
        >>> import torch
        >>> labels, doubt = labels_and_doubt(torch.tensor([[[1.0, 0.5, 0.4]], [[0.0, 0.5, 0.6]]]))
        >>> labels, doubt
        (tensor([[0, 0, 1]]), tensor([[0.0000, 1.0000, 0.8000]]))
    """
    first, second = scores[0], torch.zeros_like(scores[0])
    labels = torch.zeros(first.shape, dtype=torch.int64)
    for label in range(1, len(scores)):  # passes over maps: ten times faster than topk across them
        better = scores[label] > first
        second = torch.maximum(second, torch.minimum(scores[label], first))
        first = torch.maximum(first, scores[label])
        labels.masked_fill_(better, label)
    return labels, 1 - (first - second)


def disagreement(
    one: Float[Tensor, "classes rows columns"], other: Float[Tensor, "classes rows columns"]
) -> Float[Tensor, "rows columns"]:
    """Half the sum of the absolute differences of two distributions: 0 the same, 1 disjoint.

    Example:
        >>> import torch
        >>> disagreement(torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[[0.5]], [[0.5]]]))
        tensor([[0.5000]])
    """
    difference: Tensor = (one - other).abs().sum(dim=0)
    return difference / 2


def summed_up(doubt: Float[Tensor, "rows columns"]) -> Doubt:
    """The mean doubt of an image, and the middle of its most doubtful window.

    Example:
        >>> import torch
        >>> doubt = torch.zeros(25, 50)
        >>> doubt[10:13, 40:43] = 1.0
        >>> found = summed_up(doubt)
        >>> round(found.x, 2), round(found.y, 2)
        (0.83, 0.46)
    """
    rows, columns = doubt.shape
    window = max(1, round(SPOT * max(rows, columns)) // 2 * 2 + 1)
    near = doubt[None, None]
    for _ in range(2):  # the second time decides between windows that hold the same
        near = F.avg_pool2d(near, window, stride=1, padding=window // 2)
    place = int(near.argmax())
    return Doubt(
        float(doubt.mean()),
        (place % columns + 0.5) / columns,
        (place // columns + 0.5) / rows,
    )
