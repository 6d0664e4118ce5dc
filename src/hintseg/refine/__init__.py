"""Scores -> better scores: neighbours in the embedding or in the image agree."""
