"""From maps of a classifier to seeds: pure functions."""

from hintseg.seeds.activation import (
    activation_maps,
    background_score,
    background_seeds,
    foreground_seeds,
    saliency_seeds,
    sum_views,
)
from hintseg.seeds.fusion import fused_labels

__all__ = [
    "activation_maps",
    "background_score",
    "background_seeds",
    "foreground_seeds",
    "fused_labels",
    "saliency_seeds",
    "sum_views",
]
