"""Provisional."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hintseg.bilateral import GaussianFilter


@torch.no_grad()
def mean_field(
    logits: Float[Tensor, "batch classes height width"],
    pairwise: Sequence[tuple[float, GaussianFilter]],
    *,
    steps: int,
) -> Float[Tensor, "batch classes height width"]:
    """Q."""
    state = logits.softmax(dim=1)
    for _ in range(steps):
        message = sum(weight * affinity(state) for weight, affinity in pairwise)
        state = (logits + message).softmax(dim=1)
    return state
