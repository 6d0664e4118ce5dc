"""Random walk on embeddings: scores flow between cells that look alike.

The n x n transition is applied to the few score maps again and again and never squared. What is
kept of it depends on its size: all of it, only what counts (CSR), or nothing (made anew each step).

Shape shorthand: n cells (rows * columns), classes few; a state is (cells, classes).
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.errors import ConfigError

POWER = 20  # the views are averaged before this power
DENSE_CELLS = 12_000  # up to here the whole matrix is stored: 576 MB in float32
MOST_KEPT = 0.1  # share of the transitions from which on a sparse matrix is slower than a dense one
TILE_VALUES = 2**20  # transitions at work at a time: 4 MB stay in the cache

State = Float[Tensor, "cells classes"]
Transition = Callable[[State], State]


@torch.no_grad()
def embedding_walk(
    embeddings: Float[Tensor, "views dim rows columns"],
    scores: Float[Tensor, "classes rows columns"],
    *,
    steps: int = 64,
    sharpness: float = 100.0,
    fixed: Int[Tensor, "rows columns"] | None = None,
    negligible: float = 0.0,
) -> Float[Tensor, "classes rows columns"]:
    """Scores after a random walk between cells with similar embeddings.

    With unit vectors e_i, the affinities of the views are averaged before the power 20,

        a_ij = mean over views of exp(sharpness / 20 * (e_i . e_j - 1)),   A_ij = a_ij^20,
        T_ij = A_ij / sum_i A_ij,   S <- S T   (`steps` times)

    (Ahn & Kwak 2018, arXiv:1803.10464, section 3.3; on embeddings: Ke et al. 2021,
    arXiv:2105.00957, whose 2^6 steps and 20 * 5 are the defaults.) Columns of T sum to one: every
    cell becomes a convex combination of cells and no score leaves the range of its class. Many
    steps make each connected component constant, at its mean weighted by degree.

    Args:
        embeddings: Of any length, a zero vector being like nothing but itself. Mirrored views
            come mirrored back.
        scores: Maps of the classes in question, any values.
        steps: How often the transition is applied.
        sharpness: Fall of log A with 1 - cosine; 0 connects all cells alike.
        fixed: Class (index into `scores`) of the cells whose hint is known, negative elsewhere.
            Those cells are one-hot before the walk and after every step.
        negligible: Transitions with A below this are dropped, apart from those of a cell to
            itself, and the others kept as a sparse matrix; 0 drops nothing. Where more than a
            tenth would be kept, none is dropped.

    Returns:
        New scores in the dtype of `scores`; computed in float32 or better. Time grows with
        cells^2, as does memory up to 12 000 cells; beyond, transitions that are not sparse are
        made anew in every step, which is slow and takes next to no memory.

    Raises:
        ConfigError: A number is out of range or `fixed` names a class without scores.
    """
    _check(scores, steps, sharpness, fixed, negligible)
    if not steps or not scores.numel():
        return _hold(scores.flatten(1).T.clone(), fixed).T.reshape(scores.shape)
    dtype = torch.promote_types(torch.promote_types(embeddings.dtype, scores.dtype), torch.float32)
    state = _hold(scores.to(dtype).flatten(1).T.contiguous(), fixed)
    low, high = state.aminmax(dim=0)
    transition = _transition(_Affinities.of(embeddings.to(dtype), sharpness), negligible)
    for _ in range(steps):
        state = _hold(transition(state), fixed)
    state = state.clamp(low, high)  # rounding adds up over the steps
    return state.T.reshape(scores.shape).to(scores.dtype)


def _check(
    scores: Tensor, steps: int, sharpness: float, fixed: Tensor | None, negligible: float
) -> None:
    if steps < 0:
        raise ConfigError(f"steps: must be 0 or more, got {steps}")
    if not 0 <= sharpness < math.inf:
        raise ConfigError(f"sharpness: must be finite and 0 or more, got {sharpness}")
    if not 0 <= negligible < 1:
        raise ConfigError(f"negligible: must be at least 0 and below 1, got {negligible}")
    if fixed is not None and fixed.numel() and int(fixed.max()) >= len(scores):
        raise ConfigError(
            f"fixed: class {int(fixed.max())} has no scores; there are {len(scores)} maps"
        )


def _hold(state: State, fixed: Int[Tensor, "rows columns"] | None) -> State:
    """The state with the known cells one-hot, changed in place."""
    if fixed is not None and state.numel():
        known = fixed.flatten() >= 0
        state[known] = F.one_hot(fixed.flatten()[known].long(), state.shape[1]).to(state.dtype)
    return state


@dataclass(frozen=True, slots=True)
class _Affinities:
    """The symmetric matrix A of all pairs of cells, made in tiles on demand.

    `closeness` is cheaper than A and rises with it: the exponent of A for one view, else the mean
    of the views' affinities.
    """

    vectors: Float[Tensor, "views cells dim"]  # unit vectors times the root of `scale`
    scale: float

    @classmethod
    def of(
        cls, embeddings: Float[Tensor, "views dim rows columns"], sharpness: float
    ) -> "_Affinities":
        scale = sharpness if len(embeddings) == 1 else sharpness / POWER
        units = F.normalize(embeddings.flatten(2), dim=1).transpose(1, 2)
        return cls((units * math.sqrt(scale)).contiguous(), scale)

    def __len__(self) -> int:
        return self.vectors.shape[1]

    def tiles(self) -> Iterator[slice]:
        """Bands of rows that are made at a time."""
        step = max(1, TILE_VALUES // len(self))
        yield from (slice(i, min(i + step, len(self))) for i in range(0, len(self), step))

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
        return closeness.exp_() if len(self.vectors) == 1 else closeness.pow_(POWER)

    def least_closeness(self, negligible: float) -> float:
        """Closeness at which A is `negligible`."""
        return math.log(negligible) if len(self.vectors) == 1 else negligible ** (1 / POWER)

    def rows(self, rows: slice) -> Float[Tensor, "some cells"]:
        """Some rows of A."""
        return self.weights(self.closeness(rows, slice(0, len(self))))


def _transition(affinities: _Affinities, negligible: float) -> Transition:
    """The cheapest way to apply the transition."""
    if negligible > 0 and affinities.vectors.device.type == "cpu":
        sparse = _sparse(affinities, negligible)
        if sparse is not None:
            return sparse
    return _stored(affinities) if len(affinities) <= DENSE_CELLS else _recomputed(affinities)


def _stored(affinities: _Affinities) -> Transition:
    """All transitions in memory."""
    vectors, count = affinities.vectors, len(affinities)
    matrix = vectors.new_empty(count, count)
    degree = vectors.new_empty(count, 1)
    for rows in affinities.tiles():
        matrix[rows] = affinities.rows(rows)
        degree[rows] = matrix[rows].sum(dim=1, keepdim=True)
    return lambda state: (matrix @ state).div_(degree)


def _recomputed(affinities: _Affinities) -> Transition:
    """No transition in memory for longer than it is used."""

    def apply(state: State) -> State:
        result = torch.empty_like(state)
        for rows in affinities.tiles():
            weights = affinities.rows(rows)
            result[rows] = (weights @ state).div_(weights.sum(dim=1, keepdim=True))
        return result

    return apply


def _sparse(affinities: _Affinities, negligible: float) -> Transition | None:
    """Transitions that count, or None if they are too many."""
    count = len(affinities)
    limit = affinities.least_closeness(negligible)
    positions, values, kept = [], [], 0
    for rows in affinities.tiles():
        closeness = affinities.closeness(rows, slice(0, count))
        found = np.flatnonzero((closeness >= limit).numpy())
        kept += len(found)
        if kept > MOST_KEPT * count**2 + count:
            return None
        where = torch.from_numpy(found)
        positions.append(where + rows.start * count)
        values.append(affinities.weights(closeness.flatten()[where]))
    return _csr(torch.cat(positions), torch.cat(values), count)


def _csr(positions: Tensor, values: Tensor, count: int) -> Transition:
    """Rows that sum to one, times a state."""
    row, column = positions // count, (positions % count).int()
    starts = F.pad(torch.bincount(row, minlength=count).cumsum(0), (1, 0)).int()
    degree = values.new_zeros(count).index_add_(0, row, values)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        matrix = torch.sparse_csr_tensor(
            starts, column, values / degree[row], size=(count, count), check_invariants=False
        )
    return lambda state: matrix @ state
