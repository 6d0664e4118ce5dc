"""A label map -> the objects that a person would correct: crumbs dropped, outlines simplified."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from skimage import measure

from hintseg.export.arcs import simplified
from hintseg.export.contours import NONE, Corners, PieceMap, Ring, junctions, trace
from hintseg.structures import UNLABELLED, LabelMap

EDGES, CORNERS = 1, 2  # by what pixels of one piece are joined, in the words of scikit-image


@dataclass(frozen=True, slots=True)
class Polygon:
    """An outer ring and the holes in it; corners are (x, y) from the corner of the first pixel."""

    outer: Corners
    holes: tuple[Corners, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """One object: a connected piece of a class, or all that an image has of it.

    Pixels that touch at a corner only are of one piece, but of two polygons: so each polygon is
    sound by the rules of geographers, and a thin diagonal thing does not fall apart.
    """

    label: int  # class index
    polygons: tuple[Polygon, ...]
    left: int
    top: int
    inside: Bool[np.ndarray, "_ _"]  # its pixels, in its box
    score: float | None = None  # mean probability of its pixels, 0 to 1

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return int(np.count_nonzero(self.inside))


class Crumbs(NamedTuple):
    """What was too small."""

    pieces: int = 0
    pixels: int = 0

    def plus(self, other: "Crumbs") -> "Crumbs":
        """Both together."""
        return Crumbs(self.pieces + other.pieces, self.pixels + other.pixels)


def without_crumbs(labels: LabelMap, smallest: int) -> tuple[LabelMap, Crumbs]:
    """The label map without connected pieces of fewer pixels than `smallest`.

    What lies in the midst of one other class gets that class, so that it leaves no hole; what lies
    between two, or beside pixels without a class, has no class any more.

    Example:
        >>> import numpy as np
        >>> labels = np.zeros((3, 5), np.int16)
        >>> labels[1, 1], labels[:, 4] = 1, 2
        >>> without_crumbs(labels, 2)[0][1].tolist()
        [0, 0, 0, 0, 2]
    """
    numbers = _connected(labels.clip(UNLABELLED), CORNERS)
    is_small = np.bincount(numbers[numbers >= 0]) < smallest
    is_crumb = (numbers >= 0) & np.append(is_small, False)[numbers]
    count = int(np.count_nonzero(is_small))
    if not count:
        return labels, Crumbs()
    spots = _connected(is_crumb.astype(np.int32) - 1, CORNERS) + 1
    filling = _around(spots, np.where(is_crumb, UNLABELLED, labels))
    kept = np.where(is_crumb, filling[spots], labels).astype(labels.dtype)
    return kept, Crumbs(count, int(np.count_nonzero(is_crumb)))


def _around(spots: PieceMap, labels: LabelMap) -> Int[np.ndarray, " spots"]:
    """For each spot the one class that all of its neighbours have, else UNLABELLED."""
    count = int(spots.max()) + 1
    low, high = np.full(count, np.iinfo(np.int32).max), np.full(count, UNLABELLED)
    for one, two in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for here, there in ((one, two), (two, one)):
            border = (spots[here] > 0) & (spots[there] == 0)
            np.minimum.at(low, spots[here][border], labels[there][border])
            np.maximum.at(high, spots[here][border], labels[there][border])
    return np.where(low == high, high, UNLABELLED)


def pieces_of(
    labels: LabelMap,
    *,
    kept: Collection[int],
    whole_classes: bool = False,
    tolerance: float = 0.0,
    scores: Float[np.ndarray, "_ _"] | None = None,
) -> tuple[Piece, ...]:
    """The objects of a label map, by class and from top to bottom.

    With tolerance 0 the pixels with their centre inside the polygons are exactly those of the
    piece; `inside` is so always.

    Args:
        labels: Class indices; negative values are nothing.
        kept: Classes of which there shall be objects.
        whole_classes: One object for all that there is of a class, not one for each piece.
        tolerance: How far outlines may be from the edges of the pixels, in pixels.
        scores: Probability of the class of each pixel.

    Example:
        >>> import numpy as np
        >>> labels = np.zeros((4, 6), np.int16)
        >>> labels[1:3, 2:5] = 1
        >>> [piece] = pieces_of(labels, kept=[1])
        >>> piece.polygons[0].outer.tolist(), piece.area
        ([[2, 1], [5, 1], [5, 3], [2, 3]], 6)
    """
    wanted = np.where(np.isin(labels, list(kept)), labels, NONE)
    parts = _connected(wanted, EDGES)
    objects = wanted if whole_classes else _connected(wanted, CORNERS)
    rings = simplified(trace(parts), junctions(parts), tolerance)
    owner = np.full(int(parts.max(initial=NONE)) + 2, NONE)  # the last one for NONE
    owner[parts] = objects
    polygons: dict[int, list[Polygon]] = {}
    for part, polygon in enumerate(_polygons(rings, len(owner) - 1)):
        polygons.setdefault(int(owner[part]), []).append(polygon)
    found = []
    for number, window in enumerate(ndimage.find_objects(objects + 1)):
        if window is None:
            continue
        inside = objects[window] == number
        place = np.unravel_index(int(inside.argmax()), inside.shape)
        found.append(
            Piece(
                label=int(labels[window][place]),
                polygons=tuple(polygons[number]),
                left=window[1].start,
                top=window[0].start,
                inside=inside,
                score=None if scores is None else float(scores[window][inside].mean()),
            )
        )
    return tuple(sorted(found, key=lambda piece: piece.label))


def _connected(labels: LabelMap, by: int) -> PieceMap:
    """Numbers of the connected pieces of equal labels; NONE where the label is NONE."""
    label: Callable[..., PieceMap] = measure.label
    return label(labels + 1, background=0, connectivity=by) - 1


def _polygons(rings: Sequence[Ring], count: int) -> list[Polygon]:
    """The polygon of each part: it has one outer ring."""
    outer: dict[int, Corners] = {}
    holes: list[list[Corners]] = [[] for _ in range(count)]
    for ring in rings:
        if ring.is_hole:
            holes[ring.piece].append(ring.corners)
        else:
            outer[ring.piece] = ring.corners
    return [Polygon(outer[part], tuple(holes[part])) for part in range(count)]
