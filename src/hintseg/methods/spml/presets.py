"""The published settings of SPML and SegSort, by name; the default settings need no name.

Numbers of Ke et al. 2021 (arXiv:2105.00957) and Hwang et al. 2019 (arXiv:1910.06962) as in their
released code. `-as-released` also keeps what that code did against its own description: the
classifier's weight follows the annotation's, pseudo labels are never used for scribbles and
points (the classifier is trained on the hints again), feature affinity is never computed.
"""

from collections.abc import Mapping
from typing import Any

Preset = Mapping[str, Mapping[str, Any]]

# New layers learn ten times as fast as the backbone (base rate 3e-3), biases twice as fast; the
# stem and the first stage stay as they are.
_TRAIN: Mapping[str, Any] = {
    "backbone": "resnet101",
    "output_stride": 8,
    "dim": 64,
    "steps": 30_000,
    "batch": 16,
    "crop": 512,
    "optimizer": "sgd",
    "lr": 0.03,
    "pretrained_factor": 0.1,
    "bias_factor": 2.0,
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "power": 0.9,
    "warmup": 100,
    "freeze": 2,
    "freeze_norm": True,
    "scale": [0.5, 1.5],
    "zoom": 1.0,
    "jitter": 0.0,
    "hue": 0.0,
    "checkpoint_every": 1000,
    "validate_every": 5000,
}
_CLASSIFY: Mapping[str, Any] = {"steps": 4000, "lr": 0.03, "frozen": True, "scale": [0.5, 2.0]}
_NONE: Mapping[str, float] = {
    "annotation": 0.0,
    "cooccurrence": 0.0,
    "similarity": 0.0,
    "affinity": 0.0,
}
# What is not of these papers stays off, whatever the defaults.
_PLAIN: Mapping[str, Any] = {
    "absent": 0.0,
    "pixels": None,
    "detach": True,
    "spread": False,
    "localise": {"agreement": {"rounds": 0}},
}


def _voc(weight: float, cooccurrence: float, concentration: float, rounds: list[str]) -> Preset:
    return {
        "train": {**_TRAIN, "size": 512},
        "spml": {
            **_PLAIN,
            "relations": {
                **_NONE,
                "annotation": weight,
                "cooccurrence": cooccurrence,
                "similarity": 0.1,
            },
            "concentrations": {
                "annotation": 6.0,
                "cooccurrence": concentration,
                "similarity": 16.0,
            },
            "grid": 6,
            "iterations": 10,
            "memory": 2,
            "regions": {"count": 100},
            "classifier": 1.0,
            "relabel": {"rounds": rounds, "confidence": 0.0},
            "classify": _CLASSIFY,
            "retrieval": {"grid": 12},
        },
    }


def _as_released(preset: Preset, *, relabel: bool) -> Preset:
    own = dict(preset["spml"])
    own["classifier"] = own["relations"]["annotation"]
    own["relations"] = {**own["relations"], "affinity": 0.0}
    if not relabel:
        own["relabel"] = {**own["relabel"], "steps": 0, "confidence": 1.0}
    return {**preset, "spml": own}


_TAG = _voc(0.3, 0.3, 8.0, ["classifier", "retrieval", "classifier"])
_BOX = _voc(0.3, 0.3, 8.0, ["classifier"])
_SCRIBBLE = _voc(1.0, 0.5, 12.0, ["classifier"])
_POINT = _voc(0.1, 0.1, 8.0, ["classifier"])
_DENSEPOSE: Preset = {
    "train": {**_TRAIN, "size": 640, "dim": 32, "steps": 45_000},
    "spml": {
        **_voc(1.0, 0.0, 8.0, ["classifier"])["spml"],
        "relations": {**_NONE, "annotation": 1.0, "similarity": 0.1, "affinity": 0.5},
        "concentrations": {"annotation": 6.0, "similarity": 16.0, "affinity": 12.0},
        "grid": 12,
        "memory": 0,
        "located": False,
        "retrieval": {"grid": 24},
    },
}
_SEGSORT: Preset = {
    "train": {
        **_TRAIN,
        "dim": 32,
        "steps": 30_000,
        "batch": 8,
        "crop": 336,
        "lr": 0.02,
        "scale": [0.5, 2.0],
    },
    "spml": {
        **_PLAIN,
        "labels": "masks",
        "relations": {**_NONE, "annotation": 1.0},
        "concentrations": {"annotation": 10.0},
        "grid": 5,
        "memory": 2,
        "relabel": {"rounds": []},
    },
}
_UNSUPERVISED: Preset = {
    "train": {**_SEGSORT["train"], "steps": 10_000},
    "spml": {
        **_PLAIN,
        "relations": {**_NONE, "similarity": 1.0},
        "concentrations": {"similarity": 10.0},
        "classifier": 0.0,
        "plain": True,
        "across": True,
        "located": False,
        "grid": 1,
        "iterations": 0,
        "memory": 0,
        "relabel": {"rounds": []},
        "retrieval": {"masks": True},
    },
}

PRESETS: Mapping[str, Preset] = {
    "voc-tag": _TAG,
    "voc-box": _BOX,
    "voc-scribble": _SCRIBBLE,
    "voc-point": _POINT,
    "densepose-point": _DENSEPOSE,
    "voc-tag-as-released": _as_released(_TAG, relabel=True),
    "voc-box-as-released": _as_released(_BOX, relabel=True),
    "voc-scribble-as-released": _as_released(_SCRIBBLE, relabel=False),
    "voc-point-as-released": _as_released(_POINT, relabel=False),
    "densepose-point-as-released": _as_released(_DENSEPOSE, relabel=True),
    "segsort": _SEGSORT,
    "segsort-plain": {**_SEGSORT, "spml": {**_SEGSORT["spml"], "plain": True}},
    "segsort-unsupervised": _UNSUPERVISED,
}
