"""The settings of DeepLab-v2 (Chen et al. 2017, arXiv:1606.00915) as commonly retrained."""

DEEPLAB_V2 = {
    "train": {
        "backbone": "resnet101",
        "output_stride": 8,
        "steps": 20_000,
        "batch": 10,
        "crop": 321,
        "optimizer": "sgd",
        "lr": 2.5e-3,
        "pretrained_factor": 0.1,
        "bias_factor": 2.0,
        "weight_decay": 5e-4,
        "warmup": 0,
        "zoom": 1.0,
        "jitter": 0.0,
        "hue": 0.0,
        "freeze_norm": True,
    }
}

PRESETS = {"deeplab-v2": DEEPLAB_V2}
