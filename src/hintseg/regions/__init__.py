"""Over-segmentation of an image from its colours, and its files."""

from hintseg.regions.growing import grow_labels
from hintseg.regions.partition import (
    edge_map,
    image_regions,
    regions_from_edges,
)

__all__ = ["edge_map", "grow_labels", "image_regions", "regions_from_edges"]
