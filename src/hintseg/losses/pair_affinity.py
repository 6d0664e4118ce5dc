"""What teaches affinities between neighbouring cells, and displacements towards centroids.

AffinityNet (Ahn and Kwak 2018, arXiv:1803.10464, section 3.2) and IRNet (Ahn et al. 2019,
arXiv:1904.05044, sections 4.2 and 4.3). A pair is two flat indices of cells (row * columns +
column); `hintseg.refine.neighbour_pairs` gives those within a radius.

Shape shorthand: a batch may stand before every shape; pairs are the same in all its images.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMALLEST = 1e-5  # added in the logarithms and to the counts, as released

Pairs = Int[Tensor, "2 pairs"]


def pair_affinities(
    features: Float[Tensor, "*batch dim rows columns"], pairs: Pairs
) -> Float[Tensor, "*batch pairs"]:
    """How alike the two cells of each pair are, 0 to 1: exp(-mean over channels |F_i - F_j|).

    (Ahn and Kwak 2018, eq. 1, with the mean of the released code.)

    Example:
        >>> import torch
        >>> features = torch.tensor([[[0.0, 0.0, 1.0]]])
        >>> pair_affinities(features, torch.tensor([[0, 1], [1, 2]]))
        tensor([1.0000, 0.3679])
    """
    cells = features.flatten(-2)
    distance = (cells[..., pairs[0]] - cells[..., pairs[1]]).abs()
    return (-distance.mean(dim=-2)).exp()


def pair_affinity_loss(
    affinities: Float[Tensor, "*batch pairs"],
    pairs: Pairs,
    labels: Int[Tensor, "*batch rows columns"],
    *,
    background: int | None = 0,
    ignored: int | None = 255,
) -> Float[Tensor, ""]:
    """Cells of one class attract, of two classes repel; the three kinds of pairs have equal say.

        L = 1/4 mean_bg -log(a + e) + 1/4 mean_fg -log(a + e) + 1/2 mean_other -log(1 + e - a)

    with e = 1e-5, over pairs of two background cells, of two cells of one other class, and of two
    classes (Ahn and Kwak 2018, eq. 8). Each mean is over all images, and exactly 0
    where it has no pair.

    Args:
        affinities: 0 to 1.
        pairs: Of cells.
        labels: Classes; below zero (UNLABELLED, VOID) or `ignored`: the cell has no pair.
        background: The class whose pairs are counted apart; None: all are foreground.
        ignored: A further value without a class, as void in mask files; None: there is none.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 1, -1]])
        >>> pairs = torch.tensor([[0, 1], [1, 2]])
        >>> pair_affinity_loss(torch.tensor([1.0, 0.5]), pairs, labels).round(decimals=2)
        tensor(5.7600)
    """
    first, second, known = _ends(labels, pairs, ignored)
    same = known & (first == second)
    is_background = first == (UNHEARD_OF if background is None else background)
    attract, repel = -(affinities + SMALLEST).log(), -(1 + SMALLEST - affinities).log()
    return (
        _mean(attract, same & is_background) / 4
        + _mean(attract, same & ~is_background) / 4
        + _mean(repel, known & ~same) / 2
    )


def displacement_loss(
    displacements: Float[Tensor, "*batch 2 rows columns"],
    pairs: Pairs,
    labels: Int[Tensor, "*batch rows columns"],
    *,
    background: int | None = 0,
) -> Float[Tensor, ""]:
    """Cells of one thing point to one place; background cells point alike.

        L = 1/2 mean_fg |D_i - D_j - (x_j - x_i)| + 1/2 mean_bg |D_i - D_j|

    the mean over pairs of equal labels and both coordinates (Ahn et al. 2019, eqs. 6 and 7), D and
    x as (row, column) in cells. Each mean is exactly 0 where it has no pair.

    Example:
        >>> import torch
        >>> to_first = torch.tensor([[[0.0, 0.0]], [[0.0, -1.0]]])
        >>> displacement_loss(to_first, torch.tensor([[0], [1]]), torch.tensor([[3, 3]]))
        tensor(0.)
    """
    first, second, known = _ends(labels, pairs, None)
    same = known & (first == second)
    is_background = first == (UNHEARD_OF if background is None else background)
    columns = labels.shape[-1]
    rows_apart = pairs[1] // columns - pairs[0] // columns
    columns_apart = pairs[1] % columns - pairs[0] % columns
    offsets = torch.stack([rows_apart, columns_apart]).to(displacements)
    cells = displacements.flatten(-2)
    apart = cells[..., pairs[0]] - cells[..., pairs[1]]
    wrong_centre = (apart - offsets).abs().mean(dim=-2)
    unequal = apart.abs().mean(dim=-2)
    return _mean(wrong_centre, same & ~is_background) / 2 + _mean(unequal, same & is_background) / 2


UNHEARD_OF = -(2**31)  # no label is this


def _ends(labels: Tensor, pairs: Tensor, ignored: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Labels of both cells of each pair, and whether both are known."""
    cells = labels.flatten(-2)
    first, second = cells[..., pairs[0]], cells[..., pairs[1]]
    known = (first >= 0) & (second >= 0)
    if ignored is not None:
        known &= (first != ignored) & (second != ignored)
    return first, second, known


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    total: Tensor = (values * chosen).sum()
    return total / (chosen.sum().to(total.dtype) + SMALLEST)
