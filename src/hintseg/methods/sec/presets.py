"""The published settings of SEC (Kolesnikov and Lampert 2016, arXiv:1603.06098)."""

from collections.abc import Mapping
from typing import Any

# The crop holds the whole image, as published; mirror images are seen as well, which were not.
# VGG-16 is at stride 32 with skip connections to stride 4, not dilated to stride 8.
_VOC_TAG: Mapping[str, Any] = {
    "train": {
        "backbone": "vgg16",
        "output_stride": 32,
        "size": 321,
        "crop": 321,
        "scale": [1.0, 1.0],
        "zoom": 1.0,
        "steps": 8000,
        "batch": 15,
        "optimizer": "sgd",
        "lr": 1e-2,
        "pretrained_factor": 0.1,
        "bias_factor": 2.0,
        "weight_decay": 5e-4,
        "momentum": 0.9,
        "warmup": 0,
        "jitter": 0.0,
        "hue": 0.0,
        "checkpoint_every": 1000,
        "validate_every": 2000,
    },
    "sec": {
        "localise": {
            "steps": 8000,
            "lr_factor": 1.0,
            "scale": [1.0, 1.0],
            "scales": [1.0],
            "flip": False,
            "threshold": 0.2,
            "margin": 0.0,
            "background": "saliency",
            "saliency": 0.1,
            "agreement": {"rounds": 0},
        },
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"voc-tag": _VOC_TAG}
