"""Scores -> better scores: neighbours in the embedding or in the image agree."""

from hintseg.refine.affinity import embedding_affinity
from hintseg.refine.crf import dense_crf, dense_crf_labels, dense_crf_logits
from hintseg.refine.walk import embedding_walk, walk

__all__ = [
    "dense_crf",
    "dense_crf_labels",
    "dense_crf_logits",
    "embedding_affinity",
    "embedding_walk",
    "walk",
]
