"""Over-segmentation of an image from its colours, and its files."""
