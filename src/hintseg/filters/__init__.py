"""Gaussian filters over place and colour, or over any features."""

from hintseg.filters.bilateral import (
    GaussianFilter,
    bilateral_features,
    exact_filter,
    permutohedral_filter,
    position_features,
)

__all__ = [
    "GaussianFilter",
    "bilateral_features",
    "exact_filter",
    "permutohedral_filter",
    "position_features",
]
