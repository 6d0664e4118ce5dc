"""Pairs of neighbouring cells, and affinities known for such pairs alone.

A pair is two flat indices of cells (row * columns + column). Every pair inside the image is there
once, those of the borders as well: AffinityNet's released code left them out, and with them a third
of the pairs of a small image.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.cores import Spread
from hintseg.errors import ConfigError
from hintseg.refine.affinity import Affinity, State, Transition, sparse_transition
from hintseg.refine.walks import walk

Pairs = Int[Tensor, "2 pairs"]
Number = float | int


def neighbour_pairs(rows: int, columns: int, *, radius: Number) -> Int[Tensor, "2 pairs"]:
    """All pairs of cells of a grid whose centres are less than `radius` cells apart, each once.

    Example:
        >>> neighbour_pairs(2, 2, radius=1.1)
        tensor([[0, 2, 0, 1],
                [1, 3, 2, 3]])
    """
    cells = torch.arange(rows * columns).reshape(rows, columns)
    found = [torch.zeros(2, 0, dtype=torch.int64)]
    for down, right in _half_disc(radius):
        if down >= rows or abs(right) >= columns:
            continue
        left, end = max(0, -right), columns - max(0, right)
        first = cells[: rows - down, left:end]
        second = cells[down:, left + right : end + right]
        found.append(torch.stack([first.flatten(), second.flatten()]))
    return torch.cat(found, dim=1)


def path_affinities(
    edges: Float[Tensor, "*batch rows columns"], pairs: Pairs
) -> Float[Tensor, "*batch pairs"]:
    """One minus the strongest edge between the two cells of each pair (Ahn et al. 2019, eq. 3).

    The path of a pair is the cells whose centres are less than one cell away from the line between
    both, inside the rectangle that they span; both ends belong to it.

    Args:
        edges: How much a cell looks like a boundary, 0 to 1.
        pairs: Of cells of this grid.

    Example:
        >>> import torch
        >>> path_affinities(torch.tensor([[0.0, 0.8, 0.1]]), torch.tensor([[0, 1], [2, 2]]))
        tensor([0.2000, 0.2000])
    """
    columns, flat = edges.shape[-1], edges.flatten(-2)
    apart = torch.stack([pairs[1] // columns - pairs[0] // columns, pairs[1] % columns])
    apart[1] -= pairs[0] % columns
    strongest = flat.new_zeros(*flat.shape[:-1], pairs.shape[1])
    offsets, member = torch.unique(apart, dim=1, return_inverse=True)
    for number, (down, right) in enumerate(offsets.T.tolist()):
        mine = (member == number).nonzero()[:, 0]
        steps = [row * columns + column for row, column in _path(down, right)]
        path = pairs[0, mine] + torch.tensor(steps, device=pairs.device)[:, None]
        strongest = strongest.index_copy(-1, mine, flat[..., path].amax(dim=-2))
    return 1 - strongest


@dataclass(frozen=True, slots=True)
class PairAffinity:
    """A symmetric affinity that is known for some pairs of cells; 1 between a cell and itself.

    Raises:
        ConfigError: `sharpness` is negative.
    """

    affinities: Float[Tensor, " pairs"]
    pairs: Int[Tensor, "2 pairs"]  # each once, in either order
    cells: int
    sharpness: float = 1.0  # a power

    @property
    def dtype(self) -> torch.dtype:
        """That of the affinities."""
        return self.affinities.dtype

    def transition(self, run: Spread) -> Transition:
        """The transition as a sparse matrix."""
        low, high = self.pairs.amin(dim=0), self.pairs.amax(dim=0)
        order = (low * self.cells + high).argsort()
        weights = _sharpened(self.affinities, self.sharpness)
        return sparse_transition(low[order], high[order], weights[order], self.cells)


@dataclass(frozen=True, slots=True)
class DenseAffinity:
    """A symmetric affinity of all cells, given as a matrix."""

    matrix: Float[Tensor, "cells cells"]
    sharpness: float = 1.0  # a power

    @property
    def dtype(self) -> torch.dtype:
        """That of the matrix."""
        return self.matrix.dtype

    def transition(self, run: Spread) -> Transition:
        """The transition as a matrix; a cell that nothing is like keeps its scores."""
        weights = _sharpened(self.matrix, self.sharpness)
        degree = weights.sum(dim=0)
        alone = degree == 0
        columns = weights / degree.where(~alone, 1.0) + torch.diag(alone.to(weights.dtype))

        def step(state: State) -> State:
            return state @ columns

        return step


def random_walk(
    scores: Float[Tensor, "classes rows columns"],
    affinities: Float[Tensor, "cells _"] | Float[Tensor, " affinities"],
    *,
    pairs: Pairs | None = None,
    beta: Number,
    steps: int,
) -> Float[Tensor, "classes rows columns"]:
    """Scores after a random walk over given affinities (Ahn and Kwak 2018, eqs. 3 and 4).

        T_ij = a_ij^beta / sum_i a_ij^beta,     S <- S T, `steps` times

    Every cell becomes a convex combination of cells. The transition is applied to the few score
    maps again and again: exact for any number of steps, and for pairs as sparse as they are.

    Args:
        scores: Maps of the classes in question, any values.
        affinities: Of all cells, symmetric; or of `pairs`, each once, where a cell has 1 with
            itself and cells of no pair have 0.
        pairs: The two cells of each affinity, if they are not of all cells.
        beta: The power; a large one leaves only what is much alike.
        steps: How often the transition is applied.

    Raises:
        ConfigError: The numbers do not fit each other or are out of range.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> affinities, pairs = torch.tensor([1.0, 0.0]), torch.tensor([[0, 1], [1, 2]])
        >>> random_walk(scores, affinities, pairs=pairs, beta=8, steps=1)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    if not 0 <= beta < math.inf:
        raise ConfigError(f"beta: must be finite and 0 or more, got {beta}")
    cells = scores.shape[-2] * scores.shape[-1]
    wide = affinities.detach().to(torch.promote_types(affinities.dtype, scores.dtype))
    affinity: Affinity
    if pairs is None:
        if affinities.shape != (cells, cells):
            shape = tuple(affinities.shape)
            raise ConfigError(
                f"affinities: scores have {cells} cells, so the matrix must be {cells} x {cells}; "
                f"got {shape}; give `pairs` for affinities of pairs"
            )
        affinity = DenseAffinity(wide, float(beta))
    else:
        _check_pairs(affinities, pairs, cells)
        affinity = PairAffinity(wide, pairs, cells, float(beta))
    return walk(scores, affinity, steps=steps)


def edge_walk(
    scores: Float[Tensor, "classes rows columns"],
    edges: Float[Tensor, "rows columns"],
    *,
    radius: Number = 5,
    beta: Number = 10,
    steps: int = 256,
) -> Float[Tensor, "classes rows columns"]:
    """Scores after a random walk that does not cross edges (Ahn et al. 2019, section 4.4).

    `random_walk` over the `path_affinities` of all pairs within the radius. The scores of a cell
    count as much as it is no edge: they are multiplied by 1 - edge before the walk.

    Example:
        >>> import torch
        >>> scores, edges = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[0.0, 0.0, 1.0]])
        >>> edge_walk(scores, edges, steps=64)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    pairs = neighbour_pairs(*edges.shape, radius=radius).to(edges.device)
    affinities = path_affinities(edges.detach(), pairs)
    return random_walk(scores * (1 - edges), affinities, pairs=pairs, beta=beta, steps=steps)


def _sharpened(affinities: Tensor, power: float) -> Tensor:
    """The power; rounding below 0 is no affinity."""
    return affinities.clamp(min=0) ** power


def _check_pairs(affinities: Tensor, pairs: Tensor, cells: int) -> None:
    if affinities.shape != pairs.shape[1:]:
        raise ConfigError(
            f"affinities: one for each of the {pairs.shape[1]} pairs is needed, got "
            f"{tuple(affinities.shape)}"
        )
    if pairs.numel() and not (int(pairs.min()) >= 0 and int(pairs.max()) < cells):
        raise ConfigError(
            f"pairs: name cells {int(pairs.min())} to {int(pairs.max())}; the scores have cells 0 "
            f"to {cells - 1}"
        )


def _half_disc(radius: Number) -> Iterator[tuple[int, int]]:
    """Offsets (down, right) nearer than the radius, one of every two opposite ones."""
    reach = math.ceil(radius)
    for down in range(reach + 1):
        for right in range(-reach, reach + 1):
            if (down > 0 or right > 0) and down**2 + right**2 < radius**2:
                yield down, right


def _path(down: int, right: int) -> list[tuple[int, int]]:
    """Cells (down, right) between a cell and another, both among them."""
    rows = range(min(0, down), max(0, down) + 1)
    columns = range(min(0, right), max(0, right) + 1)
    length = math.hypot(down, right)
    near = [(r, c) for r in rows for c in columns if abs(down * c - right * r) < length]
    return near or [(0, 0)]
