"""The outlines of pieces of a label map, exactly along the edges of their pixels.

Corners are (x, y) in pixels counted from the outer corner of the top-left pixel, so that they are
whole numbers: pixel (row r, column c) is the square from (c, r) to (c + 1, r + 1). The frame of
structures.py is half a pixel less.

Every edge between two pixels of different pieces belongs to the outline of both, in opposite
directions: a piece is always at the right hand, so that outer rings run clockwise on the screen
(their area by the shoelace formula is positive) and holes the other way round. Edges that lie in
one line between the same two pieces are one side. So both pieces see the same sides and the same
corners, which is what lets `arcs.py` simplify a border once for both.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

NONE = -1
"""A pixel that belongs to no piece; what lies around the image neither."""

RIGHT, DOWN, LEFT, UP = 0, 1, 2, 3  # turning right is the next one

PieceMap = Int[np.ndarray, "_ _"]
Corners = Int[np.ndarray, "_ 2"]
Sides = Int[np.ndarray, "_ 6"]  # piece, direction, x and y of its start, x and y of its end


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed line without crossing or touching itself, at the edge of one piece."""

    piece: int
    corners: Corners  # the last one is joined to the first

    @property
    def is_hole(self) -> bool:
        """Whether the piece lies around it."""
        return area_of(self.corners) < 0


def trace(pieces: PieceMap) -> list[Ring]:
    """The rings around and inside each piece.

    A piece of pixels that are joined by their edges (4-connected) has exactly one outer ring and a
    ring for each hole; where it touches itself at a corner the corner belongs to two of its rings.
    Corners at which three pieces meet are corners of all of them, even of one that runs straight
    on there.

    Args:
        pieces: The number of a piece for every pixel, or NONE.

    Returns:
        The rings, in the order of their topmost side.

    Example:
        >>> import numpy as np
        >>> [ring.corners.tolist() for ring in trace(np.array([[-1, 0], [-1, 0]]))]
        [[[1, 0], [2, 0], [2, 2], [1, 2]]]
    """
    sides = _sides(pieces)
    after = _following(sides, pieces.shape[1])
    starts = sides[:, 2:4]
    rings: list[Ring] = []
    done = np.zeros(len(sides), dtype=bool)
    for first in range(len(sides)):
        if done[first]:
            continue
        loop = [first]
        while (side := after[loop[-1]]) != first:
            loop.append(side)
        done[loop] = True
        rings += [Ring(int(sides[first, 0]), part) for part in _simple(starts[loop])]
    return rings


def area_of(corners: Corners) -> float:
    """Area inside a ring by the shoelace formula, negative if it runs anti-clockwise on a screen.

    Example:
        >>> import numpy as np
        >>> area_of(np.array([[0, 0], [3, 0], [3, 2], [0, 2]]))
        6.0
    """
    if len(corners) < 3:
        return 0.0
    x, y = corners.T.astype(np.float64)
    last = x[-1] * y[0] - y[-1] * x[0]
    return float(x[:-1] @ y[1:] - y[:-1] @ x[1:] + last) / 2


def following(corners: Corners) -> Corners:
    """The corner after each corner of a ring."""
    return np.concatenate([corners[1:], corners[:1]])


def junctions(pieces: PieceMap) -> Bool[np.ndarray, "_ _"]:
    """Corners at which a border ends: where three pieces meet, or two of them crosswise.

    The corners of the image count too, so that no simplification cuts them off.

    Returns:
        For every corner (y, x); one row and one column more than the image has.
    """
    a, b, c, d = _around(pieces)
    others = (b != a).astype(int) + ((c != a) & (c != b)) + ((d != a) & (d != b) & (d != c))
    found: Bool[np.ndarray, "_ _"] = (others >= 2) | ((a == d) & (b == c) & (a != b))
    found[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return found


def _around(pieces: PieceMap) -> tuple[PieceMap, PieceMap, PieceMap, PieceMap]:
    """The four pieces around each corner: upper left, upper right, lower left, lower right."""
    wide = np.pad(pieces, 1, constant_values=NONE)
    return wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]


def _sides(pieces: PieceMap) -> Sides:
    """All sides, each once for the piece at either hand, ordered from top to bottom."""
    wide = np.pad(pieces, 1, constant_values=NONE)
    level = _runs(wide[:-1, 1:-1], wide[1:, 1:-1])  # line y, from x to x; above, below
    steep = _runs(wide[1:-1, :-1].T, wide[1:-1, 1:].T)  # line x, from y to y; left, right
    y, x0, x1, above, below = level.T
    x, y0, y1, left, right = steep.T
    sides = np.concatenate(
        [
            np.stack([below, np.full_like(y, RIGHT), x0, y, x1, y], axis=1),
            np.stack([above, np.full_like(y, LEFT), x1, y, x0, y], axis=1),
            np.stack([left, np.full_like(x, DOWN), x, y0, x, y1], axis=1),
            np.stack([right, np.full_like(x, UP), x, y1, x, y0], axis=1),
        ]
    )
    return sides[sides[:, 0] >= 0]


def _runs(before: PieceMap, after: PieceMap) -> Int[np.ndarray, "runs 5"]:
    """Stretches of a line with the same two different pieces: line, start, end, both pieces."""
    differs = before != after
    same = np.zeros_like(differs)  # as the edge before it
    same[:, 1:] = (before[:, 1:] == before[:, :-1]) & (after[:, 1:] == after[:, :-1])
    line, start = np.nonzero(differs & ~same)
    is_last = differs.copy()
    is_last[:, :-1] &= ~same[:, 1:]
    end = np.nonzero(is_last)[1] + 1
    return np.stack([line, start, end, before[line, start], after[line, start]], axis=1)


def _following(sides: Sides, width: int) -> list[int]:
    """Which side continues each side, in the outline of the same piece.

    At a corner where a piece touches itself two sides arrive and two leave: each takes the one to
    the right, so that the line stays with the pixel that it runs around. Sides that arrive and
    leave at one corner are as many; ordered by corner and direction they pair up.
    """
    piece, direction = sides[:, 0].astype(np.int64), sides[:, 1]
    starts = sides[:, 3] * (width + 1) + sides[:, 2]
    ends = sides[:, 5] * (width + 1) + sides[:, 4]
    leaving = np.lexsort((direction, starts, piece))
    arriving = np.lexsort(((direction + 1) % 4, ends, piece))
    after = np.empty(len(sides), dtype=np.int64)
    after[arriving] = leaving
    result: list[int] = after.tolist()
    return result


def _simple(corners: Corners) -> list[Corners]:
    """A ring cut where it comes back to a corner, into rings that never do."""
    keys = [tuple(corner) for corner in corners.tolist()]
    if len(set(keys)) == len(keys):
        return [corners]
    rings: list[Corners] = []
    path: list[int] = []
    place: dict[tuple[int, ...], int] = {}
    for index, key in enumerate(keys):
        if key in place:
            start = place[key]
            rings.append(corners[path[start:]])
            for gone in path[start:]:
                del place[keys[gone]]
            del path[start:]
        place[key] = len(path)
        path.append(index)
    return [*rings, corners[path]]
