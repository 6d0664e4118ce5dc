"""The published settings of the regularised losses for scribbles on VOC.

Numbers of the two releases of Tang et al. (ECCV 2018, arXiv:1803.09569), which have the CRF term
only. Weights of normalised cut, kernel cut and entropy were never released.
"""

from collections.abc import Mapping
from typing import Any

# Released weights of the CRF term are 1e-9 and depend on crop and kernel; these act alike
# (hintseg.losses.energy.converted_weight, over the photographs of MSRC-21 in views of such size).
_VOC: Mapping[str, Any] = {
    "size": 500,
    "optimizer": "sgd",
    "pretrained_factor": 0.1,
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "power": 0.9,
    "warmup": 0,
    "zoom": 1.0,
    "jitter": 0.0,
    "hue": 0.0,
    "freeze_norm": True,
    "checkpoint_every": 1000,
    "validate_every": 5000,
}
_RESNET101: Mapping[str, Any] = {  # the Caffe release: two trainings, lambda 1e-8 at the crop
    "train": {
        **_VOC,
        "backbone": "resnet101",
        "output_stride": 8,
        "steps": 10_000,
        "batch": 10,
        "crop": 321,
        "lr": 1.5e-3,
        "bias_factor": 2.0,
        "scale": [0.5, 1.5],
    },
    "regularized": {
        "energy": "crf",
        "absent": 0.0,
        "weight": 2.9,
        "kernel": {"sxy": 80 / 321, "srgb": 13.0},
        "start": 0.0,
        "ramp": 0.0,
        "first": {"steps": 20_000, "lr": 2.5e-3},
    },
}
_MOBILENET: Mapping[str, Any] = {  # the PyTorch release: one training, lambda 2e-9 at half the crop
    "train": {
        **_VOC,
        "backbone": "mobilenetv2_100",
        "output_stride": 16,
        "steps": 52_910,  # 60 epochs of 10 582 images
        "batch": 12,
        "crop": 513,
        "lr": 0.07,
        "bias_factor": 1.0,
        "scale": [0.5, 2.0],
    },
    "regularized": {
        "energy": "crf",
        "absent": 0.0,
        "weight": 1.8,  # 0.15 as converted, times 12: there the batch divides cross-entropy twice
        "kernel": {"sxy": 100 / 513, "srgb": 15.0},
        "start": 0.0,
        "ramp": 0.0,
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "voc-scribble": _RESNET101,
    "voc-scribble-mobilenet": _MOBILENET,
}
