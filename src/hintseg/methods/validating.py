"""The val split while a network trains: what its weights are worth, and which of them are kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hintseg.bootstrap import difference, image_counts
from hintseg.data.dataset import Dataset
from hintseg.engine.monitor import Validate
from hintseg.engine.run import Run
from hintseg.evaluation import predicted_pairs
from hintseg.methods.job import Job
from hintseg.metrics import Confusion, Evaluation, evaluate_pairs
from hintseg.models.saved import load_model
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor
from hintseg.predict.retrieval.index import PrototypeIndex

SHARES = ("miou", "pixel_accuracy")  # what a validation says


def validation(job: Job, model: nn.Module) -> Validate | None:
    """Metrics of the val split (at most `validate_images`, evenly spread), if it has masks."""
    if not validation_names(job.dataset, job.settings.validate_images):
        return None

    def validate() -> dict[str, Any]:
        metrics = evaluated_on_val(job, predictor_of(job, model)).metrics
        constant = best_constant(metrics.confusion, job.dataset.classes.names)
        return {**{name: getattr(metrics, name) for name in SHARES}, "constant": constant}

    return validate


def evaluated_on_val(job: Job[Any], predictor: Predictor, by: str = "classifier") -> Evaluation:
    """What it predicts of the images that are validated on, against their masks."""
    names = validation_names(job.dataset, job.settings.validate_images)
    pairs = predicted_pairs(predictor, job.dataset, names, options=PredictOptions(by=by))
    return evaluate_pairs(pairs, len(job.dataset.classes))


def predictor_of(
    job: Job, model: nn.Module, prototypes: Callable[[], PrototypeIndex] | None = None
) -> Predictor:
    """A network of this job, ready to predict at the size at which it is trained."""
    return Predictor(
        model,
        job.dataset.classes,
        size=job.settings.size,
        zoom=job.zoom,
        device=job.fabric.device,
        prototypes=prototypes,
    )


def best_constant(confusion: Confusion, names: Sequence[str]) -> dict[str, Any]:
    """What the most frequent class is worth when it is predicted everywhere.

    Example:
        >>> import numpy as np
        >>> best_constant(np.array([[0, 2, 0], [1, 5, 0]]), ("cow", "grass"))
        {'class': 'grass', 'miou': 0.375, 'pixel_accuracy': 0.75}
    """
    pixels = confusion.sum(axis=1)
    label, share = int(pixels.argmax()), float(pixels.max() / max(1, pixels.sum()))
    there = max(1, int((pixels > 0).sum()))
    return {"class": names[label], "miou": share / there, "pixel_accuracy": share}


def validation_names(dataset: Dataset, most: int) -> Sequence[str]:
    """The images of the val split that are validated on: those with masks, evenly spread."""
    if not dataset.has_split("val") or not most:
        return ()
    names = dataset.with_masks(dataset.names("val"))
    return names[:: max(1, -(-len(names) // most))]


def worth_of_best(job: Job, folder: Path, last: nn.Module) -> dict[str, Any]:
    """By how much the weights in `folder/best` are better on val than the last ones.

    The best of five validations on few images is the luckiest of them as well: the rate of learning
    falls to zero, and the last weights have seen the most. So those before them are taken only
    where chance does not explain the gap: the 95 % interval of a paired bootstrap over the images
    of the split (Efron and Tibshirani 1993) lies above zero ("surely").

    Returns:
        {"miou": of the best less that of the last, "interval": [low, high], "surely": bool}.
    """
    best = load_model(folder / "best")[0].to(job.fabric.device)
    one, other = (evaluated_on_val(job, predictor_of(job, model)) for model in (best, last))
    found = difference([image_counts(one)], [image_counts(other)])
    interval = [round(found.low, 4), round(found.high, 4)]
    return {"miou": round(found.mean, 4), "interval": interval, "surely": found.low > 0}


def no_better_than_constant(run: Run, stage: str, step: int) -> list[str]:
    """Says so where one class everywhere would be better on val (`beside_constant`).

    `step` is the number of steps after which the kept weights were validated.
    """
    told = [line for line in run.read_log() if line.get("stage") == stage and "val" in line]
    told = [line for line in told if line["step"] == step - 1]
    return beside_constant(told[-1]["val"]) if told else []


def beside_constant(scores: Mapping[str, Any]) -> list[str]:
    """A remark on a model that one class everywhere equals or beats in pixel accuracy.

    Where both have as many right pixels, the mIoU decides. It does not alone: that of one class is
    low wherever there are many, and would excuse a model that gives the ground away to all others.

    Args:
        scores: As validation gives them: `miou`, `pixel_accuracy`, and both of a `constant`.

    Example:
        >>> one = {"class": "soil", "miou": 0.04, "pixel_accuracy": 0.7}
        >>> beside_constant({"miou": 0.26, "pixel_accuracy": 0.8, "constant": one})
        []
        >>> beside_constant({"miou": 0.26, "pixel_accuracy": 0.3, "constant": one})[0][:52]
        "the model is no better on val than 'soil' everywhere"
    """
    constant = scores.get("constant")
    measures = ("pixel_accuracy", "miou")  # the first that differs decides
    if constant is None or [scores[m] for m in measures] > [constant[m] for m in measures]:
        return []
    return [
        f"the model is no better on val than {constant['class']!r} everywhere "
        f"(pixel accuracy {scores['pixel_accuracy']:.1%}, that alone "
        f"{constant['pixel_accuracy']:.1%}); look at the hints and the seeds, or train longer"
    ]
