"""What an evaluation counts, of any part of the images: counts of parts add up to those of all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from hintseg.data.coverage import Coverage
from hintseg.metrics import Evaluation
from hintseg.saliency import SaliencyTotals

Matrix = Int[np.ndarray, "_ _"]  # pixels; rows: truth; columns: prediction, none


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels and measures of some images, summed; whole numbers, so that any order gives them."""

    confusion: Matrix
    trimaps: Mapping[int, Matrix] = field(default_factory=dict)  # width in pixels -> near edges
    void: int = 0  # pixels of the masks that do not count
    images: int = 0
    saliency: SaliencyTotals | None = None  # where asked for

    @property
    def truth(self) -> Coverage:
        """Pixels of the masks by class, and void ones."""
        return Coverage(self.confusion.sum(axis=1), self.void)

    def record(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "images": self.images,
            "void": self.void,
            "confusion": self.confusion.tolist(),
            "trimaps": {str(width): band.tolist() for width, band in self.trimaps.items()},
            "saliency": None if self.saliency is None else self.saliency.record(),
        }


def counts_of(evaluation: Evaluation, saliency: SaliencyTotals | None = None) -> Counts:
    """The counts behind an evaluation."""
    return Counts(
        confusion=evaluation.metrics.confusion,
        trimaps={width: band.confusion for width, band in evaluation.trimaps.items()},
        void=evaluation.void,
        images=evaluation.count,
        saliency=saliency,
    )


def counts_from(record: Mapping[str, Any]) -> Counts:
    """The counts of `Counts.record`.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    saliency = None
    if record["saliency"] is not None:
        saliency = _added_saliency([record["saliency"]])
    return Counts(
        confusion=_matrix(record["confusion"]),
        trimaps={int(width): _matrix(band) for width, band in record["trimaps"].items()},
        void=int(record["void"]),
        images=int(record["images"]),
        saliency=saliency,
    )


def added(parts: Iterable[Counts]) -> Counts:
    """The counts of several parts of the images, of the same classes and options.

    Example:
        >>> import numpy as np
        >>> one = Counts(np.array([[3, 1, 0], [0, 4, 0]]), images=1)
        >>> total = added([one, one])
        >>> total.images, total.confusion.tolist()
        (2, [[6, 2, 0], [0, 8, 0]])
    """
    known = list(parts)
    salient = [part.saliency.record() for part in known if part.saliency is not None]
    return Counts(
        confusion=_sum([part.confusion for part in known]),
        trimaps={
            width: _sum([part.trimaps[width] for part in known]) for width in known[0].trimaps
        },
        void=sum(part.void for part in known),
        images=sum(part.images for part in known),
        saliency=_added_saliency(salient) if salient else None,
    )


def _added_saliency(records: list[dict[str, Any]]) -> SaliencyTotals:
    total = SaliencyTotals()
    for record in records:
        total.take(record)
    return total


def _sum(matrices: list[Matrix]) -> Matrix:
    total: Matrix = np.stack(matrices).sum(axis=0)
    return total


def _matrix(rows: object) -> Matrix:
    matrix: Matrix = np.array(rows, dtype=np.int64).reshape(-1, len(rows[0]))  # type: ignore[index]
    return matrix
