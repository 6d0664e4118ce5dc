"""Prediction and truth -> one confusion matrix over all images -> metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from hintseg.errors import ConfigError
from hintseg.structures import LabelMap

Confusion = Int[np.ndarray, "classes classes"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a confusion matrix says; shares in [0, 1], NaN where a class or everything is absent."""

    confusion: Confusion  # rows: truth, columns: prediction; pixels
    iou: Float[np.ndarray, " classes"]
    accuracy: Float[np.ndarray, " classes"]  # share of the pixels of each class that was found

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in truth or prediction."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that occur in the truth of the share found."""
        return _mean(self.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels labelled rightly."""
        return float(_share(np.trace(self.confusion), self.confusion.sum()))


def confusion_of(
    predicted: LabelMap,
    truth: LabelMap,
    classes: int,
    *,
    where: Bool[np.ndarray, "height width"] | None = None,
) -> Confusion:
    """Pixels by (true class, predicted class); pixels whose truth is VOID or UNLABELLED are left out.

    Raises:
        ConfigError: The two maps differ in size.
    """
    if predicted.shape != truth.shape:
        raise ConfigError(f"prediction is {predicted.shape}, truth is {truth.shape}; sizes must agree")
    counted = truth >= 0 if where is None else (truth >= 0) & where
    pairs = truth[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def metrics_of(confusion: Confusion) -> Metrics:
    """IoU_c = TP_c / (TP_c + FP_c + FN_c), from one matrix summed over the whole split.

    A class with pixels in neither truth nor prediction has no IoU (NaN) and does not count in the mean.
    """
    hits = np.diag(confusion)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return Metrics(confusion, _share(hits, true + predicted - hits), _share(hits, true))


def near_boundary(truth: LabelMap, width: int) -> Bool[np.ndarray, "height width"]:
    """The trimap: pixels within `width` pixels of a pixel of another label (Kohli et al. 2009).

    Boundaries to VOID count too; the border of the image does not.
    """
    edge = np.zeros(truth.shape, dtype=bool)
    down, across = truth[1:] != truth[:-1], truth[:, 1:] != truth[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    if not edge.any():
        return edge
    distance = ndimage.distance_transform_edt(~edge)
    near: Bool[np.ndarray, "height width"] = distance < width
    return near


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a split as a whole, in its trimaps, and of every image alone."""

    metrics: Metrics
    trimaps: dict[int, Metrics]  # width in pixels -> metrics of the pixels that near a boundary
    images: dict[str, Confusion]


def evaluate(
    pairs: Iterable[tuple[str, LabelMap, LabelMap]], classes: int, *, trimaps: Sequence[int] = ()
) -> Evaluation:
    """Evaluate (name, prediction, truth) triples; nothing but counts is kept of them."""
    total = np.zeros((classes, classes), dtype=np.int64)
    bands = {width: total.copy() for width in trimaps}
    images = {}
    for name, predicted, truth in pairs:
        images[name] = confusion_of(predicted, truth, classes)
        total += images[name]
        for width, band in bands.items():
            band += confusion_of(predicted, truth, classes, where=near_boundary(truth, width))
    return Evaluation(
        metrics_of(total), {width: metrics_of(band) for width, band in bands.items()}, images
    )


def _share(part: np.ndarray, whole: np.ndarray) -> Float[np.ndarray, "..."]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / np.asarray(whole, dtype=np.float64))


def _mean(values: Float[np.ndarray, " classes"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
