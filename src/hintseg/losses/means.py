"""Means over what counts, where some images, classes or pixels have no say."""

from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.distributed import divisor


def mean_of_all(values: Float[Tensor, "*any"], counted: Bool[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Over what counts on all ranks; without any an exact 0 that can be differentiated."""
    return values.where(counted, 0.0).sum() / divisor(counted.sum())


def mean_of_rows(
    values: Float[Tensor, "rows columns"], counted: Bool[Tensor, "rows columns"]
) -> Float[Tensor, " rows"]:
    """Over what counts of each row; 0 where nothing does."""
    return values.where(counted, 0.0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
