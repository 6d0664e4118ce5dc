"""Where a model is in doubt: which image, and which place of it, a person should look at next."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SPOT = 0.08  # side of the window whose mean doubt counts, as a share of the longer side


@dataclass(frozen=True, slots=True)
class Doubt:
    """How doubtful an image is, and its most doubtful place."""

    mean: float  # 0 to 1
    x: float  # of the place, as shares of width and height
    y: float


def doubt_map(scores: Float[Tensor, "classes rows columns"]) -> Float[Tensor, "rows columns"]:
    """One minus the margin between the best two classes (Scheffer et al. 2001): 0 sure, 1 a tie.

    Example:
        >>> import torch
        >>> doubt_map(torch.tensor([[[1.0, 0.5, 0.6]], [[0.0, 0.5, 0.4]]]))
        tensor([[0.0000, 1.0000, 0.8000]])
    """
    if len(scores) < 2:
        return torch.zeros(scores.shape[1:])
    best = scores.topk(2, dim=0).values
    margin: Tensor = best[0] - best[1]
    return 1 - margin


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
