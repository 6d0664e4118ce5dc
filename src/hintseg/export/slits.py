"""Polygons with holes as one ring, for formats that know no holes.

A slit without width leads from the outer ring to each hole and back, and from one polygon to the
next where an object has several. A slit is walked in both directions, so it has no area; a hole
runs against its outer ring, so it stays empty by either rule of filling.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from hintseg.export.contours import Corners, following
from hintseg.export.pieces import Piece, Polygon


def one_ring(polygons: Sequence[Polygon]) -> Corners:
    """All rings of some polygons as one, by slits to the nearest corner.

    Rings are taken from left to right, each joined by its leftmost corner to the nearest one of
    those before, so slits are short and hardly ever cross a hole.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
        >>> hole = np.array([[1, 1], [1, 3], [3, 3], [3, 1]])
        >>> one_ring([Polygon(square, (hole,))]).tolist()[:6]
        [[0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]]
    """
    outer = [polygon.outer for polygon in polygons]
    holes = [hole for polygon in polygons for hole in polygon.holes]
    first, *others = sorted([*outer, *holes], key=_leftmost)
    ring = first  # nothing lies left of an outer ring but another one
    for other in others:
        start = _leftmost_place(other)
        gaps = ring - other[start]
        nearest = int((gaps.astype(float) ** 2).sum(axis=1).argmin())
        turned = np.roll(other, -start, axis=0)
        loop = np.concatenate([turned, turned[:1], ring[nearest : nearest + 1]])
        ring = np.insert(ring, nearest + 1, loop, axis=0)
    moves: Bool[np.ndarray, " corners"] = (ring != following(ring)).any(axis=1)
    whole: Corners = ring[moves]  # between rings that touch a slit is no way at all
    return whole


def outlines(piece: Piece, *, whole: bool) -> list[Corners]:
    """The rings that stand for an object where a format has neither holes nor several polygons.

    Args:
        piece: The object.
        whole: As one ring, since its polygons touch; else one for each polygon.
    """
    groups = [piece.polygons] if whole else [(polygon,) for polygon in piece.polygons]
    return [one_ring(group) for group in groups]


def _leftmost_place(ring: Corners) -> int:
    return int(np.lexsort((ring[:, 1], ring[:, 0]))[0])


def _leftmost(ring: Corners) -> tuple[int, int]:
    x, y = ring[_leftmost_place(ring)].tolist()
    return x, y
