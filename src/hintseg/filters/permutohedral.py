"""The permutohedral lattice as sparse matrices (Adams, Baek, Davis 2010).

The lattice is (d + 1) A*_d: points of d + 1 coordinates that sum to zero, where a vertex has
coordinates that are all equal modulo d + 1. That remainder k and d quotients, with the number of
the image in front, are packed into one integer, the key of the vertex. The corners of a simplex
have the remainders 0 to d.

Shape shorthand: d features, n points, m vertices, d + 1 axes and corners.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import scipy.sparse
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.cores import spread
from hintseg.errors import ConfigError

LARGEST_KEY = 2**62  # still an int64 with a step more
DIRECT_KEYS = 8  # places in a table for each key; where more would be needed, keys are sorted
FAR = 2**12  # cells from the origin; beyond, float32 is too coarse for a place within a cell
CHUNK = 2**15  # points that a thread works on at a time
ROUNDING = 32  # units of the last place: what subtraction may leave of zero

Table = Float[Tensor, "_ channels"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Matrix:
    """A sparse matrix, row after row."""

    column: Int[Tensor, " entries"]
    weight: Float[Tensor, " entries"]
    start: Int[Tensor, " _"]  # of each row among the entries, and behind them their number

    def times(self, table: Table) -> Table:
        """Product with a dense table."""
        # Sums over bags are faster than products with torch's sparse matrices, and keep their order
        # on a GPU as well.
        return F.embedding_bag(
            self.column,
            table.contiguous(),
            self.start,
            mode="sum",
            per_sample_weights=self.weight.to(table.dtype),
            include_last_offset=True,
        )


@dataclass(frozen=True, slots=True)
class Lattice:
    """K = slice . blurs . splat, less what a pixel gives itself, its rows and columns scaled."""

    splat: Matrix  # vertices x pixels
    blurs: tuple[Matrix, ...]  # vertices x vertices, symmetric, in the order of application
    beside: Int[Tensor, "axes 2 vertices"]  # the same: the next and the last vertex along each axis
    slice: Matrix  # pixels x vertices: the transpose of `splat`
    pixels: Int[Tensor, " points"]  # those that are points
    own: Float[Tensor, " pixels"] | None  # the diagonal, to be left out; None: it stays
    left: Float[Tensor, " pixels"] | None = None  # factors of the rows and of the columns
    right: Float[Tensor, " pixels"] | None = None

    @property
    def scale(self) -> float:
        """What makes a point on a vertex among vertices give itself 1; the first blur has it."""
        return _scale(len(self.beside))

    def times(self, rows: Table) -> Table:
        """K times a table with a row for each pixel."""
        given = rows if self.right is None else rows * self.right.to(rows.dtype)[:, None]
        table = self.splat.times(given)
        for blur in self.blurs:
            table = blur.times(table)
        taken = self.slice.times(table)
        if self.own is not None:
            taken = taken - self.own.to(rows.dtype)[:, None] * given
        return taken if self.left is None else taken * self.left.to(rows.dtype)[:, None]

    def transposed(self) -> "Lattice":
        """K^T: the same but for the order of the axes, and factors in each other's place."""
        blurs, beside = self.blurs[::-1], self.beside.flip(0)
        return replace(self, blurs=blurs, beside=beside, left=self.right, right=self.left)

    def scaled(self, left: Float[Tensor, " pixels"], right: Float[Tensor, " pixels"]) -> "Lattice":
        """K with rows times `left` and columns times `right`."""
        return replace(self, left=left, right=right)

    def row_sums(self, count: int) -> Float[Tensor, " pixels"]:
        """K 1; an exact 0 where only rounding is left of what others give."""
        everything = replace(self, own=None).times(self.slice.weight.new_ones(count, 1))[:, 0]
        if self.own is None:
            return everything
        others = everything - self.own
        noise = ROUNDING * torch.finfo(others.dtype).eps * everything
        return others.where(others > noise, 0)


def _scale(axes: int) -> float:
    return 1 / (1 + 2.0 ** (1 - axes))


def build_lattice(
    points: Float[Tensor, "dim points"],
    pixels: Int[Tensor, " points"],
    images: Int[Tensor, " points"],
    count: int,
    *,
    without_own: bool,
) -> Lattice:
    """The lattice around some points, one or more.

    Args:
        points: Features in units of their sigmas.
        pixels: Row of each point in the tables of values, ascending.
        images: Number of its image: points of different images share no vertex.
        count: Rows of the tables; those of no point get and give nothing.
        without_own: Whether the diagonal of the kernel is left out.

    Raises:
        ConfigError: Points that are not finite, or too far apart for their keys.
    """
    quotients, rank, weights = _in_parts(_simplices, points)
    keys, steps = _keys(quotients, rank, images)
    corner, beside = _numbered(keys, steps)
    own = None
    if without_own:
        own = weights.new_zeros(count)
        own[pixels] = _scale(len(rank)) * _own(corner, weights, rank, beside)
    blurs = _spread(lambda axis: _blur(*beside[axis], like=weights), len(beside), weights)
    blurs[0] = replace(blurs[0], weight=_scale(len(rank)) * blurs[0].weight)
    sliced = _slice(corner, weights, pixels, count)
    splat = _transposed(sliced, beside.shape[2])
    return Lattice(splat, tuple(blurs), beside, sliced, pixels, own)


def _in_parts(
    work: Callable[..., tuple[Tensor, ...]], *tables: Float[Tensor, "_ points"] | Tensor
) -> tuple[Tensor, ...]:
    """What a function of the points makes of these tables, their columns taken part by part."""
    count = tables[0].shape[1]
    parts = -(-count // CHUNK)
    bounds = [count * part // max(1, parts) for part in range(parts + 1)]
    slices = [slice(*ends) for ends in pairwise(bounds)]
    made = _spread(lambda i: work(*(table[:, slices[i]] for table in tables)), parts, tables[0])
    return tuple(torch.cat(parts, dim=-1) for parts in zip(*made, strict=True))


def _spread(work: Callable[[int], T], count: int, like: Tensor) -> list[T]:
    """The parts of some work, on a CPU by threads that meet once."""
    return [work(i) for i in range(count)] if like.is_cuda else spread(work, count)


def _simplices(
    points: Float[Tensor, "dim points"],
) -> tuple[Int[Tensor, "axes points"], Int[Tensor, "axes points"], Float[Tensor, "axes points"]]:
    """The simplex around each point: its corner 0, the order of the axes, and the weights.

    Returns:
        Quotients of the corner with remainder 0; rank of each coordinate's distance to that corner,
        0 the largest; barycentric weight of each corner (Adams et al., section 3.1).
    """
    elevated = _elevated(points)
    axes = len(elevated)
    nearest = (elevated / axes).round_()
    total = nearest.sum(dim=0)
    apart = elevated - nearest * axes
    rank = torch.zeros_like(apart, dtype=torch.int8)
    for axis in range(axes - 1):
        later = apart[axis] < apart[axis + 1 :]
        rank[axis] += later.sum(dim=0, dtype=torch.int8)
        rank[axis + 1 :] += ~later
    # The nearest remainder-0 points need not sum to zero: the outermost coordinates move by one.
    rank += total.to(torch.int8)
    moved = (rank < 0).to(torch.int8) - (rank > axes - 1).to(torch.int8)
    rank += moved * axes
    nearest += moved
    order = rank.long()
    inside = (elevated - nearest * axes) / axes
    falling = torch.empty_like(inside).scatter_(0, axes - 1 - order, inside)
    weights = falling.clone()
    weights[1:] -= falling[:-1]
    weights[0] += 1 - falling[-1]
    return nearest.long(), order, weights.to(points.dtype)


def _elevated(points: Float[Tensor, "dim points"]) -> Float[Tensor, "axes points"]:
    """The points in the hyperplane of the lattice, scaled so that the blur has unit variance."""
    dim = len(points)
    scale = [(dim + 1) * math.sqrt(2 / 3 / ((i + 1) * (i + 2))) for i in range(dim)]
    scaled = points * points.new_tensor(scale)[:, None]
    largest = float(scaled.abs().max())
    if not math.isfinite(largest):
        raise ConfigError("features: must be finite, got NaN or infinity")
    if largest > FAR * (dim + 1):
        scaled = scaled.double()
    elevated = scaled.new_empty(dim + 1, points.shape[1])
    behind = torch.zeros_like(scaled[0])
    for axis in range(dim, 0, -1):
        elevated[axis] = behind - axis * scaled[axis - 1]
        behind = behind + scaled[axis - 1]
    elevated[0] = behind
    return elevated


@dataclass(frozen=True, slots=True)
class _Steps:
    """How keys change from vertex to vertex."""

    multipliers: tuple[int, ...]  # of the quotients of all axes; the last follows from the others
    bound: int  # above all keys

    def along(self, axis: int) -> tuple[int, int]:
        """What a step along an axis (+1 for all coordinates, -d for this one) adds to a key.

        For a remainder below d, and for d, after which comes 0.
        """
        axes, own = len(self.multipliers), self.multipliers[axis]
        return 1 - axes * own, 1 - axes + axes * (sum(self.multipliers) - own)


def _keys(
    quotients: Int[Tensor, "axes points"], rank: Int[Tensor, "axes points"], images: Tensor
) -> tuple[Int[Tensor, "axes points"], _Steps]:
    """Key of each corner of the simplices; no two vertices nor their neighbours share one."""
    axes = len(quotients)
    first = quotients[:-1].amin(dim=1) - 2  # a corner may be one lower, and its neighbour two
    spans = (quotients[:-1].amax(dim=1) + 2 - first).tolist()
    whole = math.prod(spans)
    multipliers = [math.prod(spans[axis + 1 :]) for axis in range(axes - 1)] + [0]
    steps = _Steps(tuple(multipliers), axes * whole * (int(images.max()) + 1))
    if steps.bound > LARGEST_KEY:
        raise ConfigError(
            "features: the pixels are too many sigmas apart for the lattice (places on it: "
            f"{steps.bound:.1e}, at most {LARGEST_KEY:.1e}); take larger sigmas or fewer images"
        )
    base = images * whole
    for axis in range(axes - 1):
        base = base + (quotients[axis] - first[axis]) * multipliers[axis]
    # Corner k is one quotient lower on the k axes of the highest rank.
    multiplier = quotients.new_tensor(multipliers)[:, None].expand_as(rank)
    lower = torch.empty_like(rank).scatter_(0, axes - 1 - rank, multiplier)
    keys = torch.empty_like(rank)
    for corner in range(axes):
        keys[corner] = base * axes + corner
        base = base - lower[corner]
    return keys, steps


def _numbered(
    keys: Int[Tensor, "axes points"], steps: _Steps
) -> tuple[Int[Tensor, "axes points"], Int[Tensor, "axes 2 vertices"]]:
    """Numbers of the vertices with these keys; for each axis those of the next and the last one.

    A neighbour that is not there has the number of vertices for its own.
    """
    if steps.bound <= DIRECT_KEYS * keys.numel():
        there = torch.zeros(steps.bound, dtype=torch.bool, device=keys.device)
        there[keys.flatten()] = True
        vertices = there.nonzero()[:, 0]
        # what is never read of so large a table is not written either
        number = torch.empty_like(there, dtype=torch.int32)
        number[vertices] = torch.arange(len(vertices), dtype=torch.int32, device=keys.device)
        beside = _next_to(vertices, steps)
        return number[keys], number[beside].where(there[beside], len(vertices))
    # pixels in a row mostly share their corners: so they need not be sorted one by one
    short, place = torch.unique_consecutive(keys.flatten(), return_inverse=True)
    vertices, number = torch.unique(short, return_inverse=True)
    return number.int()[place].view_as(keys), _find(vertices, _next_to(vertices, steps))


def _next_to(vertices: Int[Tensor, " vertices"], steps: _Steps) -> Int[Tensor, "axes 2 vertices"]:
    """Keys one step on and one step back along each axis."""
    axes = len(steps.multipliers)
    remainder = vertices % axes
    beside = []
    for axis in range(axes):
        within, wrapping = steps.along(axis)
        on = vertices + torch.where(remainder < axes - 1, within, wrapping)
        back = vertices - torch.where(remainder > 0, within, wrapping)
        beside.append(torch.stack([on, back]))
    return torch.stack(beside)


def _find(vertices: Int[Tensor, " vertices"], keys: Int[Tensor, "*keys"]) -> Int[Tensor, "*keys"]:
    place = torch.searchsorted(vertices, keys).clamp_(max=len(vertices) - 1)
    return place.where(vertices[place] == keys, len(vertices)).int()


def _blur(plus: Tensor, minus: Tensor, *, like: Tensor) -> Matrix:
    """(1/2, 1, 1/2) along one axis; a neighbour that is not there has nothing to give."""
    own = torch.arange(len(plus), dtype=plus.dtype, device=plus.device)
    column = torch.stack([own, plus, minus], dim=1)
    there = column < len(plus)
    weight = like.new_tensor([1, 0.5, 0.5]).expand_as(column)
    start = F.pad(there.sum(dim=1).cumsum(0, dtype=column.dtype), (1, 0))
    return Matrix(column[there], weight[there], start)


def _slice(
    corner: Int[Tensor, "axes points"],
    weights: Float[Tensor, "axes points"],
    pixels: Int[Tensor, " points"],
    count: int,
) -> Matrix:
    """Pixels x vertices; a pixel that is no point has an empty row."""
    entries = corner.new_zeros(count + 1)
    entries[pixels + 1] = len(corner)
    start = entries.cumsum(0, dtype=corner.dtype)
    return Matrix(corner.T.flatten(), weights.T.flatten(), start)


def _transposed(matrix: Matrix, columns: int) -> Matrix:
    if matrix.column.is_cuda:
        return _transposed_by_sorting(matrix, columns)
    rows = len(matrix.start) - 1
    parts = (matrix.weight.numpy(), matrix.column.numpy(), matrix.start.numpy())
    turned = scipy.sparse.csr_array(parts, shape=(rows, columns)).tocsc()  # counts, sorts nothing
    column, weight, start = map(torch.from_numpy, (turned.indices, turned.data, turned.indptr))
    return Matrix(column, weight, start)


def _transposed_by_sorting(matrix: Matrix, columns: int) -> Matrix:
    order = matrix.column.argsort(stable=True)
    rows = torch.arange(len(matrix.start) - 1, dtype=torch.int32, device=order.device)
    row = rows.repeat_interleave(matrix.start.diff())[order]
    entries = torch.bincount(matrix.column, minlength=columns)
    start = F.pad(entries.cumsum(0, dtype=torch.int32), (1, 0))
    return Matrix(row, matrix.weight[order], start)


def _own(
    corner: Int[Tensor, "axes points"],
    weights: Float[Tensor, "axes points"],
    rank: Int[Tensor, "axes points"],
    beside: Int[Tensor, "axes 2 vertices"],
) -> Float[Tensor, " points"]:
    """Diagonal of slice . blurs . splat.

    The blurs lead from corner k of a simplex to corner k + l by one step along each of l axes,
    those of the ranks d - k, d - k - 1, ..., or by one step back along each of the others: all axes
    together lead nowhere. Each step halves the weight, and each vertex on the way has to be there.
    """
    forth, back = (_ways(sides).to(weights) for sides in beside.unbind(1))

    def part(corner: Tensor, weights: Tensor, rank: Tensor) -> tuple[Tensor]:
        return (_own_part(corner, weights, rank, forth, back),)

    return _in_parts(part, corner, weights, rank)[0]


def _own_part(
    corner: Int[Tensor, "axes points"],
    weights: Float[Tensor, "axes points"],
    rank: Int[Tensor, "axes points"],
    forth: Float[Tensor, "codes vertices"],
    back: Float[Tensor, "codes vertices"],
) -> Float[Tensor, " points"]:
    axes, vertices = len(corner), forth.shape[1]
    bit = (2 ** torch.arange(axes, device=rank.device))[:, None].expand_as(rank)
    of_rank = torch.empty_like(rank).scatter_(0, rank, bit * vertices)  # what it adds to a place
    forth, back = forth.flatten(), back.flatten()
    total = weights.square().sum(dim=0)
    for start in range(axes):
        ahead = behind = corner[start].long()
        taken = torch.zeros_like(total)
        for steps in range(1, axes + 1):
            ahead = ahead + of_rank[(axes - start - steps) % axes]
            behind = behind + of_rank[(axes - 1 - start + steps) % axes]
            half = 0.5**steps
            taken.addcmul_(weights[(start + steps) % axes], forth[ahead], value=half)
            taken.addcmul_(weights[(start - steps) % axes], back[behind], value=half)
        total.addcmul_(weights[start], taken)
    return total


def _ways(neighbours: Int[Tensor, "axes vertices"]) -> Bool[Tensor, "codes vertices"]:
    """Whether each vertex can take one step along each axis in a set, in their order.

    Bit a of the code of a set stands for axis a.
    """
    count = neighbours.shape[1]
    ends = [torch.arange(count, device=neighbours.device)]
    for neighbour in neighbours:  # sets with this axis as the last
        step = F.pad(neighbour.long(), (0, 1), value=count)
        ends += [step[end] for end in ends]
    return torch.stack(ends) < count
