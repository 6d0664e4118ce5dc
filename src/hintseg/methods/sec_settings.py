"""What can be set of SEC; the numbers are those of Kolesnikov and Lampert 2016, as released."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from hintseg.methods.seeds import LocaliseSettings
from hintseg.methods.settings import Settings, Share

GRID = 41  # cells a side in the paper: what it says of its CRF in cells, in parts of a crop


class CRFSettings(Settings):
    """The dense CRF that constrains; its kernels are normalised symmetrically."""

    steps: int = Field(10, ge=0, description="of mean field")
    bilateral: float = Field(10.0, ge=0, description="weight of place and colour")
    sxy: float = Field(80 / 12 / GRID, gt=0, description="its sigma of the place, in crops")
    srgb: float = Field(13.0, gt=0, description="its sigma of the colour, in steps of 255")
    gaussian: float = Field(3.0, ge=0, description="weight of place alone")
    smooth: float = Field(3 / 12 / GRID, gt=0, description="its sigma, in crops")


class WalkSettings(Settings):
    """The random walk on embeddings that constrains."""

    steps: int = Field(8, ge=0)
    sharpness: float = Field(100.0, ge=0, description="of its transitions")


class SECSettings(Settings):
    """All of SEC."""

    seed: float = Field(1.0, ge=0, description="weight of the seeds")
    expand: float = Field(1.0, ge=0, description="weight of the sizes of classes")
    constrain: float = Field(1.0, ge=0, description="weight of the refiner")
    decay: Share = Field(0.996, description="of rank pooling, on 41 x 41 cells; 1: mean, 0: max")
    background_decay: Share = Field(0.999, description="the same for the background")
    refiner: Literal["crf", "walk"] = Field("crf", description="who draws the boundaries")
    crf: CRFSettings = CRFSettings()
    walk: WalkSettings = WalkSettings()
    localise: LocaliseSettings = LocaliseSettings()


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
