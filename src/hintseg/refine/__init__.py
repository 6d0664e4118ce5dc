"""Scores -> better scores: neighbours in the embedding or in the image agree."""

from hintseg.refine.dense_crf import dense_crf, dense_crf_labels, dense_crf_logits
from hintseg.refine.random_walk import embedding_walk

__all__ = ["dense_crf", "dense_crf_labels", "dense_crf_logits", "embedding_walk"]
