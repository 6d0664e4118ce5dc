"""Strokes and polygons -> flat pixel indices, by horizontal spans.

Points are (x, y) with the origin at the centre of the top-left pixel; a pixel belongs to a figure
if its centre does. Each convex piece of a figure meets a row of pixel centres in one interval;
all intervals are computed at once and then filled.
"""

import numpy as np
from jaxtyping import Float, Int

from hintseg.hints.shapes import SLACK, Size

STILL = 1e-9  # of a pixel: no movement

Points = Float[np.ndarray, "points 2"]
Ends = Float[np.ndarray, "segments 2"]
Kept = Float[np.ndarray, "kept 2"]
Pixels = Int[np.ndarray, " pixels"]
Rows = Int[np.ndarray, " spans"]
Bounds = Float[np.ndarray, " spans"]


def stroke_pixels(points: Points, radius: float, size: Size) -> Pixels:
    """Pixels within `radius` of a poly-line (of one point: a disc), and those it passes through.

    The latter are 8-connected, so that even a stroke without width never breaks.

    Args:
        points: Corners of the line.
        radius: Half the width, in pixels.
        size: Height and width of the image; the rest is cut off.

    Returns:
        Indices into the flattened image; some come twice.
    """
    start, end = (points, points) if len(points) == 1 else (points[:-1], points[1:])
    start, end = _clipped(start, end, radius + 1, size)
    return np.concatenate([_capsules(start, end, radius, size), _lines(start, end, size)])


def polygon_pixels(points: Points, size: Size) -> Pixels:
    """Pixels with their centre inside a polygon (even-odd rule); at least one on the image.

    A centre on a left or upper edge is inside, on a right or lower edge outside.

    Args:
        points: Corners of the polygon, closed by itself.
        size: Height and width of the image; the rest is cut off.

    Returns:
        Indices into the flattened image, each once.
    """
    x, rows = _crossings(points, size)
    order = np.lexsort((x, rows))
    x, rows = x[order], rows[order]  # an even number on each row: they pair up as they come
    first, after = np.ceil(x[::2]), np.ceil(x[1::2])
    inside = _filled(rows[::2], first, after - 1, size)
    return inside if inside.size else _pixel_at(points.mean(axis=0, keepdims=True), size)


def _clipped(start: Ends, end: Ends, margin: float, size: Size) -> tuple[Kept, Kept]:
    """The parts of the segments within `margin` pixels of the image (Liang and Barsky, 1984)."""
    height, width = size
    low, high = np.array([-margin, -margin]), np.array([width, height]) - 1 + margin
    step = end - start
    still = np.abs(step) < STILL
    safe = np.where(still, 1.0, step)
    enter, leave = (low - start) / safe, (high - start) / safe
    enter, leave = np.minimum(enter, leave), np.maximum(enter, leave)
    beside = still & ((start < low) | (start > high))
    enter = np.where(still, 0.0, enter).max(axis=1).clip(min=0.0)[:, None]
    leave = np.where(still, 1.0, leave).min(axis=1).clip(max=1.0)[:, None]
    kept = (enter <= leave)[:, 0] & ~beside.any(axis=1)
    return (start + enter * step)[kept], np.where(leave < 1, start + leave * step, end)[kept]


def _lines(start: Ends, end: Ends, size: Size) -> Pixels:
    """Pixels passed at steps of at most one pixel along the longer axis."""
    steps = np.ceil(np.abs(end - start).max(axis=1)).astype(int) + 1
    segment, step = expanded(steps)
    fraction = (step / np.maximum(steps - 1, 1)[segment])[:, None]
    return _pixel_at(start[segment] * (1 - fraction) + end[segment] * fraction, size)


def _pixel_at(points: Points, size: Size) -> Pixels:
    """The pixel that holds each point; points on the very border count as inside."""
    height, width = size
    extent = np.array([width, height])
    near = ((points >= -0.5 - SLACK) & (points <= extent - 0.5 + SLACK)).all(axis=1)
    column, row = np.floor(points[near] + 0.5).clip(0, extent - 1).astype(np.int64).T
    pixels: Pixels = row * width + column
    return pixels


def _capsules(start: Ends, end: Ends, radius: float, size: Size) -> Pixels:
    """Pixels within `radius` of each segment: on a row, the interval over two discs and a band."""
    top = np.ceil(np.minimum(start, end)[:, 1] - radius).clip(0, size[0]).astype(int)
    bottom = np.floor(np.maximum(start, end)[:, 1] + radius).clip(-1, size[0] - 1).astype(int)
    segment, offset = expanded(np.maximum(bottom - top + 1, 0))
    rows = top[segment] + offset
    start, end = start[segment], end[segment]
    parts = [_disc(start, rows, radius), _disc(end, rows, radius), _band(start, end, rows, radius)]
    low = np.min([part[0] for part in parts], axis=0)
    high = np.max([part[1] for part in parts], axis=0)
    return _filled(rows, np.ceil(low), np.floor(high), size)


def _disc(centre: Ends, rows: Rows, radius: float) -> tuple[Bounds, Bounds]:
    """Where each row meets a disc; (inf, -inf) where it does not."""
    square = radius**2 - (rows - centre[:, 1]) ** 2
    half = np.sqrt(np.maximum(square, 0.0))
    missed = square < 0
    return np.where(missed, np.inf, centre[:, 0] - half), np.where(
        missed, -np.inf, centre[:, 0] + half
    )


def _band(start: Ends, end: Ends, rows: Rows, radius: float) -> tuple[Bounds, Bounds]:
    """Where each row meets the rectangle beside a segment; (inf, -inf) where it does not."""
    step = end - start
    length = np.hypot(step[:, 0], step[:, 1])
    along = step / np.where(length < STILL, 1.0, length)[:, None]
    down = rows - start[:, 1]
    # With u = x - start, inside is 0 <= along_x u + along_y down <= length
    # and -radius <= along_y u - along_x down <= radius.
    zero = np.zeros_like(length)
    one = _strip(along[:, 0], along[:, 1] * down, zero, length)
    two = _strip(along[:, 1], -along[:, 0] * down, zero - radius, zero + radius)
    low, high = np.maximum(one[0], two[0]), np.minimum(one[1], two[1])
    missed = (low > high) | (length < STILL)  # then the two discs say it all
    return (
        np.where(missed, np.inf, start[:, 0] + low),
        np.where(missed, -np.inf, start[:, 0] + high),
    )


def _strip(slope: Bounds, offset: Bounds, low: Bounds, high: Bounds) -> tuple[Bounds, Bounds]:
    """All u with low <= slope * u + offset <= high."""
    flat = np.abs(slope) < 1e-12
    safe = np.where(flat, 1.0, slope)
    ends = (low - offset) / safe, (high - offset) / safe
    everywhere = (low <= offset) & (offset <= high)
    return (
        np.where(flat, np.where(everywhere, -np.inf, np.inf), np.minimum(*ends)),
        np.where(flat, np.where(everywhere, np.inf, -np.inf), np.maximum(*ends)),
    )


def _crossings(points: Points, size: Size) -> tuple[Bounds, Rows]:
    """Where the edges of a polygon cross rows of pixel centres: x and row of each crossing.

    An edge from y0 to y1 crosses the rows with y0 <= row < y1, so that corners count once.
    """
    start, end = points, np.roll(points, -1, axis=0)
    upper = np.where((start[:, 1] <= end[:, 1])[:, None], start, end)
    lower = np.where((start[:, 1] <= end[:, 1])[:, None], end, start)
    top = np.ceil(upper[:, 1]).clip(0, size[0]).astype(int)
    after = np.ceil(lower[:, 1]).clip(0, size[0]).astype(int)
    edge, offset = expanded(after - top)
    rows = top[edge] + offset
    upper, lower = upper[edge], lower[edge]
    share = (rows - upper[:, 1]) / (lower[:, 1] - upper[:, 1])
    return upper[:, 0] + share * (lower[:, 0] - upper[:, 0]), rows


def expanded(counts: Int[np.ndarray, " items"]) -> tuple[Pixels, Pixels]:
    """(item, 0), (item, 1), ... as often as each item counts."""
    item = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return item, np.arange(len(item)) - first


def _filled(rows: Rows, first: Bounds, last: Bounds, size: Size) -> Pixels:
    """Flat indices of the pixels from `first` to `last` (both included) on each row."""
    width = size[1]
    first, last = first.clip(0, width).astype(np.int64), last.clip(-1, width - 1).astype(np.int64)
    span, offset = expanded(np.maximum(last - first + 1, 0))
    pixels: Pixels = rows[span] * width + first[span] + offset
    return pixels
