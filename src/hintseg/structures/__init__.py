"""The values that travel between the layers; all frozen.

Frames: arrays are row-major (height, width); points are (x, y) in pixels with the origin at the
centre of the top-left pixel, so pixel (row r, column c) is centred on the point (c, r) and an
image covers [-0.5, width - 0.5] x [-0.5, height - 0.5]. Images are uint8 RGB. Label maps hold class
indices, UNLABELLED or VOID.

Those with tensors are loaded when they are first used: who reads images and writes label maps, as
the prediction with an ONNX file does, needs no torch.
"""

from typing import TYPE_CHECKING

from hintseg.lazy import on_first_use
from hintseg.structures.values import (
    MOST_CLASSES,
    REGIONS,
    UNLABELLED,
    VOID,
    ClassSet,
    Hints,
    Image,
    ImageMap,
    LabelMap,
    Sample,
    Shape,
    ShapeKind,
    WeakLabels,
    region_map,
)

if TYPE_CHECKING:
    from hintseg.structures.tensors import Batch, Prototypes, ScoreMaps, Segments

__all__ = [
    "MOST_CLASSES",
    "REGIONS",
    "UNLABELLED",
    "VOID",
    "Batch",
    "ClassSet",
    "Hints",
    "Image",
    "ImageMap",
    "LabelMap",
    "Prototypes",
    "Sample",
    "ScoreMaps",
    "Segments",
    "Shape",
    "ShapeKind",
    "WeakLabels",
    "region_map",
]
__getattr__ = on_first_use(
    __name__, dict.fromkeys(("Batch", "Prototypes", "ScoreMaps", "Segments"), "tensors")
)
