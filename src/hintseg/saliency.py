"""Maps of salient objects against masks: the measures of that field, and where the errors are.

A saliency map holds for each pixel, from 0 to 1, how sure it is that an object is there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from hintseg.errors import ConfigError

__all__ = [
    "SaliencyFigures",
    "SaliencyTotals",
    "error_by_distance",
    "normalised",
    "saliency_figures",
]

Saliency = Float[np.ndarray, "_ _"]  # height, width; a function may see several sizes
Mask = Bool[np.ndarray, "_ _"]
Curve = Float[np.ndarray, " 256"]  # at the thresholds 255/255, 254/255, ... 0

LEVELS = 256
TINY = float(np.spacing(1.0))
UNIT = 2.0**40  # sums of measures are whole numbers of 1 / UNIT: exact for 8 million images
REACH = 30  # pixels from the edge up to which errors are told apart


@dataclass(frozen=True, slots=True)
class SaliencyFigures:
    """Means over images; all from 0 to 1, and the more the better but for `mae`."""

    mae: float  # mean absolute error
    max_f: float  # F-measure (beta^2 = 0.3) at the best of 256 thresholds, one for all images
    mean_f: float  # the mean over the thresholds
    adaptive_f: float  # at twice the mean of each map
    max_e: float  # enhanced-alignment measure, likewise
    mean_e: float
    adaptive_e: float
    s: float  # structure measure
    weighted_f: float  # F-measure of errors weighted by their places (beta = 1)

    def record(self) -> dict[str, float]:
        """The figures by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def saliency_figures(pairs: Iterable[tuple[Saliency, Mask]]) -> SaliencyFigures:
    """Compare saliency maps with masks.

    Sources: F with beta^2 = 0.3, Achanta et al., CVPR 2009; E, Fan et al., IJCAI 2018
    (arXiv:1805.10421); S with alpha = 0.5, Fan et al., ICCV 2017 (arXiv:1708.00786); weighted F,
    Margolin et al., CVPR 2014. The values are those of the package pysodmetrics where its inputs
    are the same: it stretches every map to the full range first, which is `normalised` here.

    Raises:
        ConfigError: No pair, or a map that is not of the size of its mask.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[False, True, True], [False, True, True]])
        >>> figures = saliency_figures([(mask.astype(float), mask)])
        >>> figures.mae, figures.max_f, figures.adaptive_f
        (0.0, 1.0, 1.0)
    """
    totals = SaliencyTotals()
    for saliency, mask in pairs:
        totals.add(saliency, mask)
    return totals.figures()


class SaliencyTotals:
    """Sums over images, so that no map has to be kept.

    The sums are the same in whatever order and parts the images come: measures are rounded to a
    multiple of 2^-40 and added up as whole numbers.
    """

    def __init__(self, reach: int = REACH) -> None:
        self._images = 0
        self._single = np.zeros(5, dtype=np.int64)  # mae, adaptive F and E, S, weighted F
        self._curves = np.zeros((2, LEVELS), dtype=np.int64)  # of F, of E
        self._errors = np.zeros((2, reach))
        self._pixels = np.zeros((2, reach), dtype=np.int64)

    def add(self, saliency: Saliency, mask: Mask) -> None:
        """One more image; ConfigError where the sizes differ."""
        _check(saliency, mask)
        exact = saliency.astype(np.float64)
        found, wrong = _counts(exact, mask)
        threshold = min(2 * float(exact.mean()), 1.0)
        is_found = exact >= threshold
        there, size = int(mask.sum()), mask.size
        hits, misses = np.array([(is_found & mask).sum()]), np.array([(is_found & ~mask).sum()])
        single = (
            np.abs(exact - mask).mean(),
            _f_measures(hits, misses, there)[0],
            _e_measures(hits, misses, there, size)[0],
            _s_measure(exact, mask),
            _weighted_f(exact, mask),
        )
        self._single += _whole(np.array(single))
        self._curves[0] += _whole(_f_measures(found, wrong, there))
        self._curves[1] += _whole(_e_measures(found, wrong, there, size))
        errors, pixels = error_by_distance(saliency, mask, reach=self._errors.shape[1])
        self._errors += errors * pixels
        self._pixels += pixels
        self._images += 1

    def figures(self) -> SaliencyFigures:
        """The means; ConfigError without any image."""
        if not self._images:
            raise ConfigError("saliency: no image to compare; give at least one")
        images = self._images * UNIT
        mae, adaptive_f, adaptive_e, s, weighted = (self._single / images).tolist()
        f, e = self._curves / images
        return SaliencyFigures(
            mae=mae,
            max_f=float(f.max()),
            mean_f=float(f.mean()),
            adaptive_f=adaptive_f,
            max_e=float(e.max()),
            mean_e=float(e.mean()),
            adaptive_e=adaptive_e,
            s=s,
            weighted_f=weighted,
        )

    def record(self) -> dict[str, Any]:
        """The sums behind `figures` as plain values, for `take`."""
        single, curves = self._single.tolist(), self._curves.tolist()
        return {"images": self._images, "single": single, "curves": curves}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add the images of another's record; they are in no figure by distance."""
        self._images += record["images"]
        self._single += np.array(record["single"], dtype=np.int64)
        self._curves += np.array(record["curves"], dtype=np.int64)

    @property
    def by_distance(self) -> tuple[Float[np.ndarray, "2 reach"], Int[np.ndarray, "2 reach"]]:
        """As `error_by_distance`, over all pixels of all images; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return self._errors / self._pixels, self._pixels.copy()


def _whole(measures: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """In multiples of 1 / UNIT."""
    return np.rint(measures * UNIT).astype(np.int64)


def normalised(saliency: Saliency) -> Saliency:
    """A map stretched so that its least value is 0 and its greatest 1; a flat one stays.

    The custom of published evaluations. It hides how sure a map is: of one that has found nothing
    it makes one that is sure of something.

    Example:
        >>> import numpy as np
        >>> normalised(np.array([[0.2, 0.3, 0.4]])).round(2)
        array([[0. , 0.5, 1. ]])
    """
    low, high = saliency.min(initial=np.inf), saliency.max(initial=-np.inf)
    if not high > low:
        return saliency
    stretched: Saliency = (saliency - low) / (high - low)
    return stretched


def error_by_distance(
    saliency: Saliency, mask: Mask, *, reach: int = REACH
) -> tuple[Float[np.ndarray, "2 reach"], Int[np.ndarray, "2 reach"]]:
    """Mean absolute error of the pixels at each distance from the edge of the mask.

    Row 0 is of pixels outside of the mask, row 1 of those inside. Column k is of distances from
    k + 1 up to k + 2 pixels to the nearest pixel on the other side: column 0 touches the edge.
    Pixels farther away than `reach`, and those of an empty or full mask, are in none.

    Returns:
        Mean errors, 0 where there is no pixel, and the numbers of pixels.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[False, False, True, True]])
        >>> errors, pixels = error_by_distance(np.array([[0.0, 0.5, 1.0, 1.0]]), mask, reach=2)
        >>> errors
        array([[0.5, 0. ],
               [0. , 0. ]])
    """
    _check(saliency, mask)
    sums, pixels = np.zeros((2, reach)), np.zeros((2, reach), dtype=np.int64)
    if mask.any() and not mask.all():
        # Numba comes with it, which most evaluations do not need.
        from hintseg.hints.distances import squared_distances  # noqa: PLC0415

        wrong = np.abs(saliency.astype(np.float64) - mask)
        for side, where in enumerate((~mask, mask)):
            steps = np.sqrt(squared_distances(where)[where]).astype(np.int64) - 1
            near = steps < reach
            sums[side] = np.bincount(steps[near], wrong[where][near], minlength=reach)
            pixels[side] = np.bincount(steps[near], minlength=reach)
    return sums / np.maximum(pixels, 1), pixels


def _check(saliency: Saliency, mask: Mask) -> None:
    if saliency.shape != mask.shape or not mask.size:
        raise ConfigError(
            f"saliency map is {saliency.shape}, mask is {mask.shape}; give maps of equal size"
        )


def _counts(
    saliency: Saliency, mask: Mask
) -> tuple[Int[np.ndarray, " 256"], Int[np.ndarray, " 256"]]:
    """Pixels inside and outside of the mask that are at or above each threshold, high to low."""
    levels = (saliency * (LEVELS - 1)).astype(np.uint8)
    inside = np.bincount(levels[mask], minlength=LEVELS)[::-1].cumsum()
    outside = np.bincount(levels[~mask], minlength=LEVELS)[::-1].cumsum()
    return inside, outside


def _f_measures(
    hits: Int[np.ndarray, " n"], wrong: Int[np.ndarray, " n"], there: int, *, beta2: float = 0.3
) -> Float[np.ndarray, " n"]:
    """(1 + b) P R / (b P + R) = (1 + b) hits / (b there + found), of counts; b is beta^2."""
    whole = np.maximum(beta2 * there + hits + wrong, TINY)
    measures: Float[np.ndarray, " n"] = (1 + beta2) * hits / whole
    return measures


def _e_measures(
    hits: Int[np.ndarray, " n"], wrong: Int[np.ndarray, " n"], there: int, size: int
) -> Float[np.ndarray, " n"]:
    """Sum over pixels of (1 + 2 a b / (a^2 + b^2))^2 / 4, by N - 1.

    a and b are prediction and truth less their means, each with two values: four kinds of pixels.
    """
    found = hits + wrong
    if there in (0, size):
        kept: Float[np.ndarray, " n"] = (found if there else size - found) / max(size - 1, 1)
        return kept
    mean_found, mean_there = found / size, there / size
    kinds = {
        (1, 1): hits,
        (1, 0): wrong,
        (0, 1): there - hits,
        (0, 0): size - there - wrong,
    }
    total: Float[np.ndarray, " n"] = np.zeros(len(hits))
    for (is_found, is_there), pixels in kinds.items():
        a, b = is_found - mean_found, is_there - mean_there
        total += pixels * (1 + 2 * a * b / (a * a + b * b + TINY)) ** 2 / 4
    return total / (size - 1)


def _s_measure(saliency: Saliency, mask: Mask, *, alpha: float = 0.5) -> float:
    """Alpha times what objects and background look like, and the rest how the parts agree."""
    if mask.all():
        return float(saliency.mean())
    if not mask.any():
        return 1 - float(saliency.mean())
    share = float(mask.mean())
    of_object = share * _evenness(saliency[mask])
    of_ground = (1 - share) * _evenness(1 - saliency[~mask])
    return max(0.0, alpha * (of_object + of_ground) + (1 - alpha) * _region_score(saliency, mask))


def _evenness(values: Float[np.ndarray, " pixels"]) -> float:
    """2 mean / (mean^2 + 1 + deviation): 1 where all is 1."""
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + deviation + TINY)


def _region_score(saliency: Saliency, mask: Mask) -> float:
    """Structural similarity of the four parts around the centroid of the mask, by their areas."""
    centre = np.argwhere(mask).mean(axis=0).round().astype(int) + 1
    row, column = int(centre[0]), int(centre[1])
    score = 0.0
    for rows in (slice(0, row), slice(row, None)):
        for columns in (slice(0, column), slice(column, None)):
            part = mask[rows, columns]
            if part.size:
                likeness = _similarity(saliency[rows, columns], part.astype(np.float64))
                score += part.size / mask.size * likeness
    return score


def _similarity(one: Saliency, other: Saliency) -> float:
    """4 m n cov / ((m^2 + n^2) (var + var)), m and n the means; 1 where both are flat."""
    m, n, degrees = float(one.mean()), float(other.mean()), max(one.size - 1, 1)
    spread = float(((one - m) ** 2).sum() + ((other - n) ** 2).sum()) / degrees
    above = 4 * m * n * float(((one - m) * (other - n)).sum()) / degrees
    below = (m * m + n * n) * spread
    if above == 0:
        return 1.0 if below == 0 else 0.0
    return above / (below + TINY)


def _weighted_f(saliency: Saliency, mask: Mask) -> float:
    """Harmonic mean of recall and precision of weighted errors; 0 for an empty mask.

    An error inside counts no more than the errors around it (Gaussian of sigma 5 in 7 x 7 pixels);
    one outside counts up to twice, the more the farther from the object (half of it at 5 pixels).
    """
    if not mask.any():
        return 0.0
    error = np.abs(saliency - mask)
    distance, nearest = ndimage.distance_transform_edt(~mask, return_indices=True)
    carried = error[tuple(nearest)]  # outside: the error of the nearest pixel of the object
    bell = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
    bell /= bell.sum()
    around = ndimage.correlate1d(carried, bell, axis=0, mode="constant")
    around = ndimage.correlate1d(around, bell, axis=1, mode="constant")
    inside = np.minimum(error, around)[mask]
    outside = (error * (2 - np.exp(np.log(0.5) / 5 * distance)))[~mask]
    hits = inside.size - inside.sum()
    recall, precision = 1 - inside.mean(), hits / (hits + outside.sum() + TINY)
    return float(2 * recall * precision / (recall + precision + TINY))
