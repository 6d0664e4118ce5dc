"""Rings with fewer corners: borders that two pieces share are simplified once, for both.

A ring is cut into arcs at the junctions of the map. An arc is brought into one direction before it
is simplified, so that the pieces at both sides get the same line: neighbours neither overlap nor
part. Ends of arcs stay where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from hintseg.export.contours import Corners, Ring, area_of, following
from hintseg.hints.scanlines import expanded

HALVINGS = 3  # of the tolerance of an arc, before it stays as it is

Junctions = Bool[np.ndarray, "_ _"]
Points = Int[np.ndarray, "points 2"]
Indices = Int[np.ndarray, " pairs"]


def simplified(rings: Sequence[Ring], ends: Junctions, tolerance: float) -> list[Ring]:
    """The rings with fewer corners; no skipped corner is farther from the new line than allowed.

    By Douglas and Peucker (1973): of an arc the corner farthest from the chord stays, if it is
    farther than the tolerance, and so on in both parts. A ring that would lose its area, or cross
    itself or another ring of its piece, is simplified less, and so are its neighbours where they
    share its arcs.

    Args:
        rings: As `contours.trace` gives them.
        ends: The corners at which arcs end (`contours.junctions`).
        tolerance: Largest distance in pixels of a skipped corner from the new line; 0 skips those
            on straight lines only.

    Example:
        >>> import numpy as np
        >>> from hintseg.export.contours import junctions, trace
        >>> stairs = np.tril(np.ones((6, 6), int)) - 1
        >>> [ring] = simplified(trace(stairs), junctions(stairs), 1.0)
        >>> ring.corners.tolist()
        [[0, 0], [6, 6], [0, 6]]
    """
    if tolerance <= 0:
        return [replace(ring, corners=without_straight(ring.corners)) for ring in rings]
    arcs, pieces, result = _Arcs(tolerance), _by_piece(rings), list(rings)
    cut = [[arcs.add(arc, ring.piece) for arc in _cut(ring.corners, ends)] for ring in rings]
    waiting = set(pieces)
    while waiting:
        refined: set[int] = set()
        for piece in sorted(waiting):
            lines = [arcs.ring(cut[index]) for index in pieces[piece]]
            wrong = unsound(lines, [rings[index].corners for index in pieces[piece]])
            for place, index in enumerate(pieces[piece]):
                result[index] = replace(rings[index], corners=lines[place])
                if place in wrong:
                    refined |= arcs.refine(cut[index])
        waiting = refined
    return result


def _by_piece(rings: Sequence[Ring]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for index, ring in enumerate(rings):
        found.setdefault(ring.piece, []).append(index)
    return found


@dataclass(frozen=True, slots=True)
class _Use:
    """An arc as part of a ring."""

    key: bytes
    is_turned: bool  # the ring runs through it in the other direction


class _Arcs:
    """All arcs of a map, each as simple as the pieces that share it allow."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._whole: dict[bytes, Corners] = {}
        self._lines: dict[bytes, Corners] = {}
        self._pieces: dict[bytes, set[int]] = {}
        self._level: dict[bytes, int] = {}

    def add(self, arc: Corners, piece: int) -> _Use:
        """Take in an arc of a ring of a piece."""
        directed, is_turned = _directed(arc)
        key = directed.tobytes()
        if key not in self._whole:
            self._whole[key], self._level[key], self._pieces[key] = directed, 0, set()
            self._lines[key] = directed[kept_corners(directed, self.tolerance)]
        self._pieces[key].add(piece)
        return _Use(key, is_turned)

    def ring(self, uses: Sequence[_Use]) -> Corners:
        """Arcs as they are now, end to end."""
        lines = [self._lines[use.key][:: -1 if use.is_turned else 1] for use in uses]
        return without_straight(np.concatenate([line[:-1] for line in lines]))

    def refine(self, uses: Sequence[_Use]) -> set[int]:
        """Halve the tolerance of some arcs, in the end to nothing; the pieces that have them.

        Rings whose arcs are whole are sound, so this comes to an end.
        """
        changed: set[int] = set()
        for key in {use.key for use in uses}:
            level = self._level[key] = self._level[key] + 1
            if level <= HALVINGS + 1:
                least = self.tolerance / 2**level if level <= HALVINGS else 0.0
                self._lines[key] = self._whole[key][kept_corners(self._whole[key], least)]
                changed |= self._pieces[key]
        return changed


def _cut(corners: Corners, ends: Junctions) -> list[Corners]:
    """A ring as lines from end to end; without any, as one that starts at its first corner."""
    cuts = np.flatnonzero(ends[corners[:, 1], corners[:, 0]])
    if not len(cuts):
        first = np.lexsort((corners[:, 1], corners[:, 0]))[0]  # the same for both pieces
        cuts = np.array([first])
    turned = np.concatenate([corners[cuts[0] :], corners[: cuts[0]]])
    places = [*(cuts - cuts[0]).tolist(), len(corners)]
    closed = np.concatenate([turned, turned[:1]])
    return [closed[a : b + 1] for a, b in pairwise(places)]


def _directed(arc: Corners) -> tuple[Corners, bool]:
    """The arc in the one of its directions that comes first, and whether that is the other one."""
    forwards, backwards = arc.tolist(), arc[::-1].tolist()
    return (arc[::-1], True) if forwards > backwards else (arc, False)


def unsound(rings: Sequence[Corners], before: Sequence[Corners]) -> set[int]:
    """Which rings of a piece have no area any more, touch themselves or cross another one.

    Args:
        rings: The outer ring and the holes.
        before: The same with all corners.

    Example:
        >>> import numpy as np
        >>> bow_tie = np.array([[0, 0], [4, 4], [4, 0], [0, 5]])
        >>> unsound([bow_tie], [np.array([[0, 0], [4, 0], [5, 1], [4, 4], [0, 5]])])
        {0}
    """
    areas = [area_of(ring) * area_of(whole) for ring, whole in zip(rings, before, strict=True)]
    empty = {place for place, area in enumerate(areas) if area <= 0}
    if all(len(ring) == len(whole) for ring, whole in zip(rings, before, strict=True)):
        return empty
    return empty | _crossing(rings)


def _crossing(rings: Sequence[Corners]) -> set[int]:
    """Rings with two sides that meet, other than at a common corner; of two rings: that cross."""
    start = np.concatenate(rings)
    end = np.concatenate([following(ring) for ring in rings])
    ring, side = expanded(np.array([len(corners) for corners in rings]))
    last = np.array([len(corners) - 1 for corners in rings])[ring]
    one, two = _near(np.minimum(start, end), np.maximum(start, end))
    apart = np.abs(side[one] - side[two])
    is_same = ring[one] == ring[two]
    a, b = _hands(start[one], end[one], start[two], end[two])
    c, d = _hands(start[two], end[two], start[one], end[one])
    across = np.maximum(a * b, c * d)
    in_line = (a == 0) & (b == 0) & _overlap(start, end, one, two)
    joined = (apart == 1) | (apart == last[one])
    wrong = np.where(is_same, (across <= 0) & ~joined, (across < 0) | in_line)
    return {*ring[one[wrong]].tolist(), *ring[two[wrong]].tolist()}


def _near(low: Points, high: Points) -> tuple[Indices, Indices]:
    """Pairs of sides whose upright boxes overlap, each once."""
    order = np.argsort(low[:, 0], kind="stable")
    beyond = np.searchsorted(low[order, 0], high[order, 0], side="right")
    one, offset = expanded(np.maximum(beyond - np.arange(len(order)) - 1, 0))
    two = order[one + 1 + offset]
    one = order[one]
    near = (low[one, 1] <= high[two, 1]) & (low[two, 1] <= high[one, 1])
    return one[near], two[near]


def _overlap(start: Points, end: Points, one: Indices, two: Indices) -> Bool[np.ndarray, " pairs"]:
    """Whether the boxes around two sides have more than a point in common."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    common = np.minimum(high[one], high[two]) - np.maximum(low[one], low[two])
    found: Bool[np.ndarray, " pairs"] = common.max(axis=1) > 0
    return found


def _hands(start: Points, end: Points, one: Points, two: Points) -> tuple[Indices, Indices]:
    """At which hand of a line each of two points is: -1 or 1, 0 on it."""
    along, first, second = end - start, one - start, two - start
    return (
        np.sign(along[:, 0] * first[:, 1] - along[:, 1] * first[:, 0]),
        np.sign(along[:, 0] * second[:, 1] - along[:, 1] * second[:, 0]),
    )


def kept_corners(line: Corners, tolerance: float) -> Bool[np.ndarray, " corners"]:
    """Which corners of a line stay (Douglas and Peucker 1973); its ends always do."""
    if len(line) == 2:  # most arcs are one side
        return np.ones(2, dtype=bool)
    kept = np.zeros(len(line), dtype=bool)
    kept[[0, -1]] = True
    places = line.astype(np.float64)
    waiting = [(0, len(line) - 1)]
    while waiting:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        distance = _distance(places[start + 1 : end], places[start], places[end])
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = start + 1 + farthest
            kept[middle] = True
            waiting += [(start, middle), (middle, end)]
    return kept


def _distance(
    points: Float[np.ndarray, "points 2"],
    start: Float[np.ndarray, "2"],
    end: Float[np.ndarray, "2"],
) -> Float[np.ndarray, " points"]:
    """From a segment, which may be a point."""
    along, away = end - start, points - start
    square = along @ along
    if square > 0:
        share = np.minimum(np.maximum(away @ along / square, 0), 1)
        away -= share[:, None] * along
    distance: Float[np.ndarray, " points"] = np.hypot(away[:, 0], away[:, 1])
    return distance


def without_straight(corners: Corners) -> Corners:
    """A ring without the corners at which it runs straight on, or back on itself."""
    while len(corners) > 2:
        after = following(corners) - corners
        before = np.concatenate([after[-1:], after[:-1]])
        turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        if turns.all():
            break
        corners = corners[turns]
    return corners
