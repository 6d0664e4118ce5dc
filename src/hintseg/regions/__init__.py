"""Over-segmentation of an image from its colours, and its files."""

from hintseg.regions.partition import (
    edge_map,
    image_regions,
    regions_from_edges,
    spread_labels,
)

__all__ = ["edge_map", "image_regions", "regions_from_edges", "spread_labels"]
