"""What a difference between two sets of predictions is worth: paired bootstrap over the images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from hintseg.metrics import Evaluation

ImageCounts = Int64[np.ndarray, "images 3 classes"]
"""For every image and class: pixels that are rightly found, that it has, that are predicted."""

ROUNDS = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean over seeds of the mIoU of one method less that of another."""

    mean: float
    low: float  # 95 % of the resampled test sets give between low and high
    high: float
    by_seed: tuple[float, ...]  # paired

    @property
    def beyond_images(self) -> bool:
        """Whether other test images would have said the same."""
        return self.low > 0 or self.high < 0

    @property
    def within_seeds(self) -> bool:
        """Whether seeds move it by as much as it is: half their range, or a change of sign.

        Of one seed nothing is known, so that it counts as within.
        """
        if len(self.by_seed) < 2:
            return True
        half_range = (max(self.by_seed) - min(self.by_seed)) / 2
        return min(self.by_seed) <= 0 <= max(self.by_seed) or abs(self.mean) <= half_range


def difference(
    one: Sequence[ImageCounts], other: Sequence[ImageCounts], *, rounds: int = ROUNDS, seed: int = 0
) -> Difference:
    """Of two methods, by the counts of the same images for each seed, in the same order.

    Every round draws as many images as there are, with replacement, the same for both methods and
    all seeds, and takes the mIoU over all drawn pixels; the interval is that of percentiles (Efron
    and Tibshirani 1993).

    Args:
        one: Counts of its runs.
        other: Those of the other method.
        rounds: Resampled test sets.
        seed: Decides which.

    Example:
        >>> import numpy as np
        >>> good = np.array([[[9, 9], [9, 9], [9, 9]]] * 5)
        >>> bad = np.array([[[5, 5], [9, 9], [9, 9]]] * 5)
        >>> found = difference([good], [bad])
        >>> round(found.mean, 3), found.beyond_images, found.within_seeds
        (0.615, True, True)
    """
    images = one[0].shape[0]
    assert all(counts.shape == one[0].shape for counts in (*one, *other)), "the same images"
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=rounds)
    resampled = _resampled(one, drawn) - _resampled(other, drawn)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    pairs = zip(one, other, strict=False)
    by_seed = tuple(miou_of(a.sum(axis=0)) - miou_of(b.sum(axis=0)) for a, b in pairs)
    whole = np.mean([miou_of(a.sum(axis=0)) for a in one])
    mean = float(whole - np.mean([miou_of(b.sum(axis=0)) for b in other]))
    return Difference(mean, float(low), float(high), by_seed)


def counts_of(confusion: Int64[np.ndarray, "classes predicted"]) -> Int64[np.ndarray, "3 classes"]:
    """Of one image: pixels rightly found, of the truth, and predicted, by class.

    Example:
        >>> import numpy as np
        >>> counts_of(np.array([[3, 1, 0], [0, 4, 2]]))
        array([[3, 4],
               [4, 6],
               [3, 5]])
    """
    predicted = confusion[:, :-1].sum(axis=0)
    return np.stack([np.diagonal(confusion), confusion.sum(axis=1), predicted])


def image_counts(evaluation: Evaluation) -> ImageCounts:
    """Of all images of an evaluation that kept them, in its order."""
    return np.stack([counts_of(confusion) for confusion in evaluation.images.values()])


def miou_of(counts: Int64[np.ndarray, "3 classes"]) -> float:
    """Mean IoU over the classes that occur, from pixels found, of the truth, and predicted.

    >>> import numpy as np
    >>> round(miou_of(np.array([[3, 4, 0], [4, 6, 0], [3, 5, 0]])), 3)
    0.661
    """
    return float(_mious(counts[None].astype(np.float64))[0])


def _resampled(
    runs: Sequence[ImageCounts], drawn: Int64[np.ndarray, "rounds images"]
) -> Float[np.ndarray, " rounds"]:
    """Mean over runs of the mIoU of each resampled test set."""
    total: Float[np.ndarray, " rounds"] = np.zeros(len(drawn))
    for counts in runs:
        flat = counts.reshape(len(counts), -1).astype(np.float64)
        total += _mious((drawn @ flat).reshape(len(drawn), 3, -1))
    return total / len(runs)


def _mious(counts: Float[np.ndarray, "rounds 3 classes"]) -> Float[np.ndarray, " rounds"]:
    hits, union = counts[:, 0], counts[:, 1] + counts[:, 2] - counts[:, 0]
    shown = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits), where=shown)
    mean: Float[np.ndarray, " rounds"] = iou.sum(axis=1) / np.maximum(1, shown.sum(axis=1))
    return mean
