"""Networks: backbone, head, segmenter, classifier of tags; and how they lie on disk."""

from hintseg.models.backbone import (
    Backbone,
    load_weights,
)
from hintseg.models.embedder import (
    Embedder,
    Segmenter,
    upsample,
)
from hintseg.models.saved import (
    ModelDescription,
    build_model,
    load_model,
    save_model,
)
from hintseg.models.tag_classifier import (
    TagClassifier,
)

__all__ = [
    "Backbone",
    "Embedder",
    "ModelDescription",
    "Segmenter",
    "TagClassifier",
    "build_model",
    "load_model",
    "load_weights",
    "save_model",
    "upsample",
]
