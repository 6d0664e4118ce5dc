"""Drawings: read, written, turned into weak labels, made as a person would draw them."""

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

__all__ = ["Brush", "rasterize", "read_labelme", "simulate_hints", "write_labelme"]
