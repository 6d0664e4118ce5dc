"""Embeddings -> segments and their prototypes."""
