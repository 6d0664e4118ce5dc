"""Image -> embeddings -> scores: backbone (timm), head, embedder, segmenter."""
