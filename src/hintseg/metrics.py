"""Prediction and truth -> one confusion matrix over all images -> metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import ndimage

from hintseg.data.coverage import Coverage
from hintseg.errors import ConfigError
from hintseg.structures import LabelMap

__all__ = [
    "Evaluation",
    "Metrics",
    "confusion_of",
    "evaluate_pairs",
    "metrics_of",
    "near_boundary",
]

Confusion = Int[np.ndarray, "classes classes+1"]  # rows: truth; columns: prediction, none


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a confusion matrix says; shares in [0, 1], NaN where a class or everything is absent."""

    confusion: Confusion  # pixels
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
    """Pixels by (true class, predicted class); where the truth is negative, nothing counts.

    The last column counts pixels that the prediction leaves without a class: they are missed.

    Raises:
        ConfigError: The two maps differ in size.

    Example:
        >>> import numpy as np
        >>> truth, found = np.array([[0, 1, -2]]), np.array([[0, 0, 1]])
        >>> confusion_of(found, truth, 2)
        array([[1, 0, 0],
               [1, 0, 0]])
    """
    if predicted.shape != truth.shape:
        raise ConfigError(
            f"prediction is {predicted.shape}, truth is {truth.shape}; sizes must agree"
        )
    counted = truth >= 0 if where is None else (truth >= 0) & where
    found = predicted[counted].astype(np.int64)  # the number of classes may not fit its own kind
    found[found < 0] = classes
    pairs = truth[counted].astype(np.int64) * (classes + 1) + found
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def metrics_of(confusion: Confusion) -> Metrics:
    """IoU_c = TP_c / (TP_c + FP_c + FN_c), from one matrix summed over the whole split.

    A class with pixels in neither truth nor prediction has no IoU (NaN) and does not count in the
    mean.

    Example:
        >>> import numpy as np
        >>> metrics = metrics_of(np.array([[3, 1, 0], [0, 4, 0]]))
        >>> metrics.iou.round(2), round(metrics.miou, 3)
        (array([0.75, 0.8 ]), 0.775)
    """
    hits = np.diagonal(confusion)
    true, predicted = confusion.sum(axis=1), confusion[:, :-1].sum(axis=0)
    return Metrics(confusion, _share(hits, true + predicted - hits), _share(hits, true))


def near_boundary(truth: LabelMap, width: int) -> Bool[np.ndarray, "height width"]:
    """The trimap: pixels within `width` pixels of a pixel of another label (Kohli et al. 2009).

    Boundaries to VOID count too; the border of the image does not.

    Example:
        >>> import numpy as np
        >>> near_boundary(np.array([[0, 0, 0, 1, 1]]), 1)
        array([[False, False,  True,  True, False]])
    """
    near = np.zeros(truth.shape, dtype=bool)
    positive = truth.astype(np.int64) - truth.min(initial=0) + 1
    for label, window in enumerate(ndimage.find_objects(positive), start=1):
        if window is None:
            continue
        # The pixel of another label that is nearest to one of these lies at most one step outside.
        rows, columns = (slice(max(0, s.start - 1), s.stop + 1) for s in window)
        inside = positive[rows, columns] == label
        if not inside.all():
            near[rows, columns] |= inside & (ndimage.distance_transform_edt(inside) <= width)
    return near


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a split as a whole, in its trimaps, and of every image alone."""

    metrics: Metrics
    trimaps: dict[int, Metrics]  # width in pixels -> metrics of the pixels that near a boundary
    images: dict[str, Confusion]  # empty where they were not asked for
    void: int = 0  # pixels of the truth that do not count
    count: int = 0  # of images

    @property
    def truth(self) -> Coverage:
        """Pixels of the masks by class, and void ones."""
        return Coverage(self.metrics.confusion.sum(axis=1), self.void)


def evaluate_pairs(
    pairs: Iterable[tuple[str, LabelMap, LabelMap]],
    classes: int,
    *,
    trimaps: Sequence[int] = (),
    each: bool = True,
) -> Evaluation:
    """Evaluate (name, prediction, truth) triples; nothing but counts is kept of them.

    Without `each` none is kept of single images, so that memory does not grow with their number.

    Example:
        >>> import numpy as np
        >>> truth = np.array([[0, 0, 1, 1]])
        >>> evaluate_pairs([("a", np.array([[0, 0, 0, 1]]), truth)], 2).metrics.pixel_accuracy
        0.75
    """
    if any(width < 1 for width in trimaps):
        raise ConfigError(f"trimap: widths are 1 pixel or more, got {min(trimaps)}")
    total = np.zeros((classes, classes + 1), dtype=np.int64)
    bands = {width: total.copy() for width in trimaps}
    images, void, count = {}, 0, 0
    for name, predicted, truth in pairs:
        void += int((truth < 0).sum())
        count += 1
        confusion = confusion_of(predicted, truth, classes)
        total += confusion
        if each:
            images[name] = confusion
        for width in bands:
            near = near_boundary(truth, width)
            bands[width] += confusion_of(predicted, truth, classes, where=near)
    found = {width: metrics_of(band) for width, band in bands.items()}
    return Evaluation(metrics_of(total), found, images, void, count)


def _share(part: ArrayLike, whole: ArrayLike) -> Float[np.ndarray, "..."]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.asarray(part) / np.asarray(whole, dtype=np.float64))


def _mean(values: Float[np.ndarray, " classes"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
