"""Drawings: read, written, turned into weak labels, made as a person would draw them."""

from hintseg.hints.decoupling import (
    body_and_detail,
    edge_of,
)
from hintseg.hints.labelme import (
    read_labelme,
    write_labelme,
)
from hintseg.hints.raster import (
    Brush,
    rasterize,
)
from hintseg.hints.simulate import (
    simulate_hints,
)

__all__ = [
    "Brush",
    "body_and_detail",
    "edge_of",
    "rasterize",
    "read_labelme",
    "simulate_hints",
    "write_labelme",
]
