"""Embeddings -> segments and their prototypes."""

from hintseg.segments.kmeans import (
    grid_partition,
    spherical_kmeans,
)
from hintseg.segments.memory import (
    MemoryBank,
)
from hintseg.segments.prototypes import (
    find_segments,
    mean_directions,
    propagate_labels,
    unit_cells,
)

__all__ = [
    "MemoryBank",
    "find_segments",
    "grid_partition",
    "mean_directions",
    "propagate_labels",
    "spherical_kmeans",
    "unit_cells",
]
