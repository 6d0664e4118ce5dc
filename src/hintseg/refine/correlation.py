"""Pixel correlation: scores of a cell become those of the cells that look like it (SEAM)."""

from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-5  # added to lengths and sums, as released


def pixel_correlation(
    scores: Float[Tensor, "batch classes rows columns"],
    features: Float[Tensor, "batch dim rows columns"],
) -> Float[Tensor, "batch classes rows columns"]:
    """Scores averaged over all cells, weighted by the positive cosine of the features.

        A_ij = ReLU(theta_i . theta_j),     S_j <- sum_i S_i A_ij / sum_i A_ij

    with theta = f / (|f| + 1e-5) and 1e-5 added to the sum (Wang et al. 2020, arXiv:2004.04581,
    eq. 6, without the residual, as released). Columns sum to one: scores stay in their range. A
    cell without features gets zeros. Differentiable in both; memory grows with cells^2.

    Example:
        >>> import torch
        >>> features = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
        >>> scores = torch.tensor([[[[1.0, 0.0, 0.3]]]])
        >>> pixel_correlation(scores, features).round(decimals=3)
        tensor([[[[0.5000, 0.5000, 0.3000]]]])
    """
    cells = features.flatten(2)
    theta = cells / (cells.norm(dim=1, keepdim=True) + SMALLEST)
    alike = (theta.transpose(1, 2) @ theta).relu()
    columns = alike / (alike.sum(dim=1, keepdim=True) + SMALLEST)
    refined: Tensor = (scores.flatten(2) @ columns).reshape(scores.shape)
    return refined
