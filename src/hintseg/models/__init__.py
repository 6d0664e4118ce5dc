"""Networks: backbone, head, segmenter, classifier of tags; and how they lie on disk.

Each is loaded when it is first used: who asks this room whether scores are finite needs no timm.
"""

from typing import TYPE_CHECKING

from hintseg.lazy import on_first_use

if TYPE_CHECKING:
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

_HOMES = {
    "Backbone": "backbone",
    "Embedder": "embedder",
    "ModelDescription": "saved",
    "Segmenter": "embedder",
    "TagClassifier": "tag_classifier",
    "build_model": "saved",
    "load_model": "saved",
    "load_weights": "backbone",
    "save_model": "saved",
    "upsample": "embedder",
}


__getattr__ = on_first_use(__name__, _HOMES)
