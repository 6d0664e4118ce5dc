"""How alike cells are, as what a random walk needs of it: one step of scores from cell to cell.

The n x n matrix is never squared. What is kept of it depends on its size: its upper half, only
what counts (CSR), or nothing (made anew in each step).

Shape shorthand: n cells (rows * columns), few classes; a state is (classes, cells).
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.cores import Spread
from hintseg.errors import ConfigError

SHARPEST = 1e30  # sharper changes nothing, and float32 ends at 3e38
POWER = 20  # the views are averaged before this power
DENSE_CELLS = 2**14  # up to here the upper half is stored: 512 MB in float32
MOST_KEPT = 0.1  # share of the transitions; a sparse matrix of more takes more memory to make
MOST_STORED = 2**25  # transitions; the same for very many cells
STORED_VALUES = 2**20  # of a block that is kept; read twice a step, the second time from the cache
TILE_VALUES = 2**18  # of a block that is dropped again; 1 MB stays in the cache

LANES = 8  # rows of blocks that any number of threads share

State = Float[Tensor, "classes cells"]
Transition = Callable[[State], State]
Blocks = Callable[[int], Iterable[tuple[int, Tensor]]]  # of a lane
Band = tuple[slice, slice]  # rows and columns


@runtime_checkable
class Affinity(Protocol):
    """How alike the cells of an image are."""

    @property
    def dtype(self) -> torch.dtype:
        """In which it is known; a walk computes in this or better."""
        ...

    def transition(self, run: Spread) -> Transition:
        """A step S -> S T of the walk; columns of T sum to one. `run` spreads work over threads."""
        ...


@torch.no_grad()
def embedding_affinity(
    embeddings: Float[Tensor, "views dim rows columns"],
    *,
    sharpness: float = 100.0,
    negligible: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> "EmbeddingAffinity":
    """Cells with similar embeddings are alike.

    With unit vectors e_i, the affinities of the views are averaged before the power 20,

        a_ij = mean over views of exp(sharpness / 20 * (e_i . e_j - 1)),   A_ij = a_ij^20,
        T_ij = A_ij / sum_i A_ij

    (Ahn & Kwak 2018, arXiv:1803.10464, section 3.3; on embeddings: Ke et al. 2021,
    arXiv:2105.00957, whose 20 * 5 is the default.) A below the smallest normal number is 0.

    Args:
        embeddings: Of any length, a zero vector being like nothing but itself. Mirrored views
            come mirrored back.
        sharpness: Fall of log A with 1 - cosine; 0 connects all cells alike.
        negligible: Affinities below this are dropped, apart from those of a cell to itself, and
            the others kept as a sparse matrix; 0 drops nothing. Where more than a tenth would be
            kept, and on devices other than the CPU, none is dropped.
        dtype: In which they are computed, if it is better than that of the embeddings.

    Raises:
        ConfigError: A number is out of range, or there is no view.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
        >>> affinity = embedding_affinity(embeddings, sharpness=100.0)
        >>> affinity.dtype
        torch.float32
    """
    if not 0 <= sharpness < math.inf:
        raise ConfigError(f"sharpness: must be finite and 0 or more, got {sharpness}")
    if not 0 <= negligible < 1:
        raise ConfigError(f"negligible: must be at least 0 and below 1, got {negligible}")
    if not len(embeddings):
        raise ConfigError("embeddings: need one view or more, got none")
    wide = torch.promote_types(torch.promote_types(embeddings.dtype, dtype), torch.float32)
    sharpness = min(sharpness, SHARPEST)
    scale = sharpness if len(embeddings) == 1 else sharpness / POWER
    units = F.normalize(embeddings.to(wide).flatten(2), dim=1).transpose(1, 2)
    return EmbeddingAffinity((units * math.sqrt(scale)).contiguous(), scale, negligible)


@dataclass(frozen=True, slots=True)
class EmbeddingAffinity:
    """The symmetric matrix A of all pairs of cells, made in tiles on demand.

    `closeness` is cheaper than A and rises with it: the exponent of A for one view, else the mean
    of the views' affinities.
    """

    vectors: Float[Tensor, "views cells dim"]  # unit vectors times the root of `scale`
    scale: float
    negligible: float

    @property
    def dtype(self) -> torch.dtype:
        """That of the vectors."""
        return self.vectors.dtype

    def transition(self, run: Spread) -> Transition:
        """The cheapest way to apply the transition."""
        return _transition(self, run)

    def __len__(self) -> int:
        return self.vectors.shape[1]

    def bands(self, values: int) -> Iterator[Band]:
        """Rows, and the columns from the first of them on: the upper half of A and a little."""
        first = 0
        while first < len(self):
            end = min(first + max(1, values // (len(self) - first)), len(self))
            yield slice(first, end), slice(first, len(self))
            first = end

    def blocks(self, bands: Iterable[Band]) -> Iterator[tuple[int, Float[Tensor, "some others"]]]:
        """First row and A of some bands."""
        for rows, columns in bands:
            yield rows.start, self.weights(self.closeness(rows, columns))

    def closeness(self, rows: slice, columns: slice) -> Float[Tensor, "some others"]:
        """Monotone stand-in for A."""
        exponents = (self._exponents(view, rows, columns) for view in self.vectors)
        if len(self.vectors) == 1:
            return next(exponents)
        total = next(exponents).exp_()
        for exponent in exponents:
            total += exponent.exp_()
        return total.div_(len(self.vectors))

    def _exponents(self, vectors: Tensor, rows: slice, columns: slice) -> Tensor:
        inner = torch.mm(vectors[rows], vectors[columns].T)
        exponents = inner.sub_(self.scale).clamp_(max=0)  # rounding must not grow with the scale
        first, end = max(rows.start, columns.start), min(rows.stop, columns.stop)
        own = torch.arange(first, end, device=inner.device)
        exponents[own - rows.start, own - columns.start] = 0  # also of zero vectors
        return exponents

    def weights(self, closeness: Tensor) -> Tensor:
        """A of a closeness, which is overwritten."""
        weights = closeness.exp_() if len(self.vectors) == 1 else closeness.pow_(POWER)
        # smaller numbers are subnormal: nothing beside 1, but many times slower on a CPU
        return F.threshold(weights, torch.finfo(weights.dtype).tiny, 0.0, inplace=True)

    def least_closeness(self) -> float:
        """Closeness at which A is `negligible`."""
        one = len(self.vectors) == 1
        return math.log(self.negligible) if one else self.negligible ** (1 / POWER)


def _transition(affinities: EmbeddingAffinity, run: Spread) -> Transition:
    """As a sparse matrix, stored or made anew."""
    on_cpu = affinities.vectors.device.type == "cpu"
    if affinities.negligible > 0 and on_cpu:
        sparse = _sparse(affinities)
        if sparse is not None:
            return sparse
    is_stored = len(affinities) <= DENSE_CELLS
    bands = list(affinities.bands(STORED_VALUES if is_stored else TILE_VALUES))
    count = min(LANES, len(bands)) if on_cpu else 1
    lanes = [bands[first::count] for first in range(count)]
    if not is_stored:
        return _dense(affinities, lambda lane: affinities.blocks(lanes[lane]), count, run)
    blocks = run(lambda lane: list(affinities.blocks(lanes[lane])), count)
    return _dense(affinities, lambda lane: blocks[lane], count, run)


def _dense(affinities: EmbeddingAffinity, blocks: Blocks, lanes: int, run: Spread) -> Transition:
    """S T = (S A) / (1 A), from the upper half of A, which is symmetric."""

    def times(state: State) -> State:
        first, *others = run(lambda lane: _times_symmetric(state, blocks(lane)), lanes)
        for other in others:
            first += other
        return first

    degree = times(affinities.vectors.new_ones(1, len(affinities)))
    return lambda state: times(state).div_(degree)


def _times_symmetric(state: State, blocks: Iterable[tuple[int, Tensor]]) -> State:
    """S A; each block serves twice, so that A is read half as often as it is large."""
    result = torch.zeros_like(state)
    for first, block in blocks:
        end = first + len(block)
        result[:, first:end].addmm_(state[:, first:], block.T)
        result[:, end:].addmm_(state[:, first:end], block[:, end - first :])
    return result


def _sparse(affinities: EmbeddingAffinity) -> Transition | None:
    """Transitions that count, or None if they are too many."""
    count = len(affinities)
    limit = affinities.least_closeness()
    most = min(MOST_KEPT * count**2, MOST_STORED)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    kept = 0
    for rows, columns in affinities.bands(TILE_VALUES):
        closeness = affinities.closeness(rows, columns)
        # ten times faster than torch's nonzero
        found = torch.from_numpy(np.flatnonzero((closeness >= limit).numpy()))
        row, column = found // closeness.shape[1], found % closeness.shape[1]
        above = column > row
        weights = affinities.weights(closeness.flatten()[found[above]])
        pairs.append((row[above] + rows.start, column[above] + rows.start, weights))
        kept += 2 * len(weights)
        if kept > most:
            return None
    row, column, weights = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return sparse_transition(row, column, weights, count)


def sparse_transition(row: Tensor, column: Tensor, weights: Tensor, count: int) -> Transition:
    """A step of the walk from the weights above the diagonal, sorted by row; 1 on the diagonal."""
    own = torch.arange(count, device=row.device)
    rows = torch.cat([column, own, row])
    order = rows.sort(stable=True).indices
    rows = rows[order]
    columns = torch.cat([row, own, column])[order].int()
    values = torch.cat([weights, weights.new_ones(count), weights])[order]
    starts = F.pad(torch.bincount(rows, minlength=count).cumsum(0), (1, 0)).int()
    values /= values.new_zeros(count).index_add_(0, rows, values)[rows]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(
            starts, columns, values, size=(count, count), check_invariants=False
        )
    return lambda state: (matrix @ state.T).T
