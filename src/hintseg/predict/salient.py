"""Predictions of a background and objects: their saliency maps, and masks at a threshold."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from hintseg.errors import ConfigError
from hintseg.predict.options import PredictOptions
from hintseg.predict.prediction import Prediction
from hintseg.saliency import normalised
from hintseg.structures import ClassSet

THRESHOLD = 0.5  # that of the most probable class


def saliency_of(prediction: Prediction, options: PredictOptions) -> Float[np.ndarray, "_ _"]:
    """The saliency map of a prediction, stretched to 0 to 1 where the options say so."""
    saliency = prediction.saliency()
    return normalised(saliency) if options.normalise else saliency


def with_threshold(prediction: Prediction, options: PredictOptions) -> Prediction:
    """The same prediction, its labels cut out of its saliency map."""
    background = prediction.classes.background
    assert background is not None, "`check_two` was asked"
    threshold = THRESHOLD if options.threshold is None else options.threshold
    is_object = saliency_of(prediction, options) >= threshold
    labels = np.where(is_object, 1 - background, background).astype(prediction.labels.dtype)
    return replace(prediction, labels=labels)


def check_two(classes: ClassSet) -> None:
    """Raise ConfigError unless the classes are a background and one of objects."""
    if len(classes) != 2 or classes.background is None:
        raise ConfigError(
            "threshold and normalise are for a model of a background and one class; this one has "
            f"{', '.join(classes.names)}"
        )
