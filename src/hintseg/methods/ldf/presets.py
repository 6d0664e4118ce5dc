"""The published settings of LDF (Wei et al. 2020, arXiv:2008.11048), as released."""

from collections.abc import Mapping
from typing import Any

# DUTS-TR: 10 553 images, batches of 32, 48 epochs and 40. Images are warped to 352 x 352
# there; here the longer side is brought to 352 and the random view is a square of it. The sides of
# the batches are those of the release, 224 to 352. First convolution and batch norms are trained no
# more there than here. The rate rises and falls step by step, not by epochs.
_DUTS: Mapping[str, Any] = {
    "train": {
        "backbone": "resnet50",
        "output_stride": 32,
        "dim": 64,
        "size": 352,
        "crop": 352,
        "scale": [1.0, 1.14],
        "zoom": 1.0,
        "steps": 15_830,
        "batch": 32,
        "optimizer": "sgd",
        "nesterov": True,
        "momentum": 0.9,
        "lr": 0.05,
        "pretrained_factor": 0.1,
        "weight_decay": 5e-4,
        "warmup": 0,
        "jitter": 0.0,
        "hue": 0.0,
        "freeze": 1,
        "freeze_norm": True,
        "checkpoint_every": 1000,
        "validate_every": 2000,
    },
    "ldf": {
        "sizes": [0.6364, 0.7273, 0.8182, 0.9091, 1.0],
        "fine_steps": 13_192,
        "gamma": 0.5,
        "iterations": 2,
        "schedule": "triangular",
    },
}
_AS_RELEASED: Mapping[str, Any] = {**_DUTS, "ldf": {**_DUTS["ldf"], "released": True}}
_AS_PUBLISHED: Mapping[str, Any] = {**_DUTS, "ldf": {**_DUTS["ldf"], "gamma": 1.0}}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "duts": _DUTS,
    "duts-as-released": _AS_RELEASED,  # with the blur that leaves body outside of the mask
    "duts-as-published": _AS_PUBLISHED,  # with a linear body
}
