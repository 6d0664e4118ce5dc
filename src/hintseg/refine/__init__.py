"""Scores -> better scores: neighbours in the embedding or in the image agree."""

from hintseg.refine.affinity import (
    embedding_affinity,
)
from hintseg.refine.correlation import (
    pixel_correlation,
)
from hintseg.refine.crf import (
    DEFAULT_PRESET,
    PRESETS,
    CrfPreset,
    dense_crf,
    dense_crf_labels,
    dense_crf_logits,
)
from hintseg.refine.pairs import (
    edge_walk,
    neighbour_pairs,
    path_affinities,
    random_walk,
)
from hintseg.refine.walks import (
    embedding_walk,
    walk,
)

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "CrfPreset",
    "dense_crf",
    "dense_crf_labels",
    "dense_crf_logits",
    "edge_walk",
    "embedding_affinity",
    "embedding_walk",
    "neighbour_pairs",
    "path_affinities",
    "pixel_correlation",
    "random_walk",
    "walk",
]
