"""One stroke through one component, as a person would draw it with a few movements of the hand.

The stroke joins two far ends of the component's core by a path that keeps to the middle, is
smoothed like a hand's movement, and stays inside the component. Components are boolean windows;
points are (x, y) with the origin at the centre of its top-left pixel; depth is the distance
of a pixel's centre to the nearest centre outside, in pixels.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from hintseg.hints.scanlines import STILL, expanded

Window = Bool[np.ndarray, "rows columns"]
Depth = Float[np.ndarray, "rows columns"]
Points = Float[np.ndarray, "points 2"]

EIGHT = np.ones((3, 3), dtype=bool)
CORE = 0.5  # of the upper quartile of the depth: where a person would draw
TWIST = 0.1  # of the depth: how far a hand strays from the path
SMOOTHING = 0.05  # of the length of the path
NEAR_END = 0.85  # of the longest way: an end as good as the farthest
SPACING = 10.0  # pixels between the points of a stroke, within these numbers of points
FEWEST, MOST = 5, 30


def depth_of(inside: Window) -> Depth:
    """Distance of each pixel to the nearest outside; what surrounds the window is outside."""
    depth: Depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    return depth


def draw_stroke(depth: Depth, *, clearance: float, rng: np.random.Generator) -> Points:
    """A smooth stroke through most of the extent of one 8-connected component.

    Args:
        depth: Of the component, from `depth_of`.
        clearance: Depth that the stroke keeps to wherever its path does.
        rng: Decides ends and movements.

    Returns:
        5 to 30 points, more in thin and winding components, a single one in the tiniest. The line
        through them lies in the component.
    """
    path = _core_path(depth, rng)
    if len(path) < 2:
        return path
    dense = _resampled(path, max(2, round(_along(path)[-1]) + 1))
    need = min(clearance, float(_depth_at(depth, path).min()))
    smooth = _by_hand(dense, depth, rng)
    count = int(np.clip(round(_along(smooth)[-1] / SPACING), FEWEST, MOST))
    for share in (1.0, 0.7, 0.4, 0.1):  # nearer and nearer to the path, until it fits
        stroke = _resampled(share * smooth + (1 - share) * dense, count)
        if _depth_at(depth, walk(stroke)).min() >= need:
            return stroke
    return path  # between neighbours: cannot leave the component


def middle_piece(stroke: Points, fraction: float) -> Float[np.ndarray, "kept 2"]:
    """The middle piece of a stroke, of this fraction of its length; one point for 0."""
    along = _along(stroke)
    first, last = along[-1] * (1 - fraction) / 2, along[-1] * (1 + fraction) / 2
    corners = along[(along > first) & (along < last)]
    if last > first:
        return _at(stroke, np.array([first, *corners, last]))
    # The middle itself may fall on a corner between diagonal neighbours, that is into neither.
    positions = walk(stroke)
    gaps = np.hypot(*(positions - _at(stroke, np.array([first]))).T)
    return positions[[int(gaps.argmin())]]


def walk(stroke: Points) -> Float[np.ndarray, "positions 2"]:
    """One position in each pixel that a poly-line passes, in order; a touched corner is none."""
    index = np.arange(len(stroke), dtype=np.float64)
    cuts = [index]  # where the line changes pixel or direction: number of the segment + share of it
    for place in stroke.T:
        cell = np.floor(place + 0.5)
        segment, offset = expanded(np.abs(np.diff(cell)).astype(int))
        border = np.minimum(cell[:-1], cell[1:])[segment] + offset + 0.5
        cuts.append(segment + (border - place[segment]) / (place[segment + 1] - place[segment]))
    ordered = np.sort(np.concatenate(cuts))
    middle = ((ordered[1:] + ordered[:-1]) / 2)[np.diff(ordered) > STILL]
    return np.stack([np.interp(middle, index, place) for place in stroke.T], axis=1)


def _core_path(depth: Depth, rng: np.random.Generator) -> Points:
    """Path between two far ends of the core; neighbours on it are neighbours on a lattice.

    With a step of at most half the core's depth, each lattice point is deeper than the way to its
    neighbours, so that straight lines between them stay inside.
    """
    core = max(1.0, CORE * float(np.percentile(depth[depth > 0], 75)))
    step = max(1, int(core / 2))
    lattice = depth[step // 2 :: step, step // 2 :: step]
    rows, columns = _largest(lattice >= max(1.0, core - 0.71 * step if step > 1 else core))
    nodes = _longest_way(rows, columns, lattice[rows, columns], rng)
    path: Points = np.stack([columns[nodes], rows[nodes]], axis=1) * float(step) + step // 2
    return path


def _largest(cells: Window) -> tuple[Int[np.ndarray, " cells"], Int[np.ndarray, " cells"]]:
    """Rows and columns of the largest 8-connected part."""
    parts, _ = ndimage.label(cells, structure=EIGHT)
    sizes = np.bincount(parts.ravel())
    rows, columns = np.nonzero(parts == 1 + int(sizes[1:].argmax()))
    return rows, columns


def _longest_way(
    rows: Int[np.ndarray, " cells"],
    columns: Int[np.ndarray, " cells"],
    depth: Float[np.ndarray, " cells"],
    rng: np.random.Generator,
) -> list[int]:
    """Cells on the way between two far ends, by the deepest ground."""
    graph = _neighbours(rows, columns)
    begin = _far_end(graph, int(depth.argmax()), rng)
    end = _far_end(graph, begin, rng)
    shallow = float(depth.max()) / depth
    cost = graph.tocoo()
    cost.data = cost.data * (shallow[cost.row] * shallow[cost.col])
    _, before = dijkstra(cost.tocsr(), directed=False, indices=begin, return_predecessors=True)
    way = [end]
    while way[-1] != begin:
        way.append(int(before[way[-1]]))
    return way


def _neighbours(rows: Int[np.ndarray, " cells"], columns: Int[np.ndarray, " cells"]) -> csr_matrix:
    """Distances between 8-neighbours among the cells, each pair once."""
    index = np.full((rows.max() + 2, columns.max() + 3), -1)
    index[rows, columns + 1] = np.arange(len(rows))
    pairs, lengths = [], []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = index[rows + down, columns + 1 + across]
        cell = np.flatnonzero(other >= 0)
        pairs.append(np.stack([cell, other[cell]]))
        lengths.append(np.full(len(cell), np.hypot(down, across)))
    shape = (len(rows), len(rows))
    return coo_matrix((np.concatenate(lengths), np.concatenate(pairs, axis=1)), shape).tocsr()


def _far_end(graph: csr_matrix, start: int, rng: np.random.Generator) -> int:
    """One of the cells that are about as far away as any."""
    distance = dijkstra(graph, directed=False, indices=start)
    return int(rng.choice(np.flatnonzero(distance >= NEAR_END * distance.max())))


def _by_hand(dense: Points, depth: Depth, rng: np.random.Generator) -> Points:
    """A path smoothed and led slightly astray, like a hand's movement."""
    sigma = max(1.0, SMOOTHING * len(dense))
    noise = ndimage.gaussian_filter1d(rng.normal(size=dense.shape), 2 * sigma, axis=0)
    noise /= max(float(np.abs(noise).max()), 1e-9)
    room = ndimage.gaussian_filter1d(_depth_at(depth, dense), sigma)[:, None]
    smooth: Points = ndimage.gaussian_filter1d(dense, sigma, axis=0, mode="nearest")
    drawn: Points = smooth + TWIST * room * noise
    return drawn


def _resampled(points: Points, count: int) -> Float[np.ndarray, "{count} 2"]:
    """The same line by `count` points at equal distances along it."""
    return _at(points, np.linspace(0, _along(points)[-1], count))


def _at(
    points: Points, lengths: Float[np.ndarray, " positions"]
) -> Float[np.ndarray, "positions 2"]:
    """Positions at these lengths along the line."""
    along = _along(points)
    return np.stack([np.interp(lengths, along, points[:, axis]) for axis in (0, 1)], axis=1)


def _along(points: Points) -> Float[np.ndarray, " points"]:
    """Length of the line up to each of its points."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def _depth_at(depth: Depth, points: Points) -> Float[np.ndarray, " points"]:
    """Depth of the pixel that holds each point; 0 outside the window."""
    column, row = np.floor(points + 0.5).astype(int).T
    rows, columns = depth.shape
    known = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    found: Float[np.ndarray, " points"] = np.zeros(len(points))
    found[known] = depth[row[known], column[known]]
    return found
