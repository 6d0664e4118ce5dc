"""Spherical k-means on embedding and location, a whole batch at once.

Shape shorthand in this module: batch x pixels are the cells of one embedding, row-major.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.cores import spread


def locations(valid: Bool[Tensor, "batch rows columns"]) -> Float[Tensor, "batch rows columns 2"]:
    """(y, x) of every cell, evenly from -0.5 to 0.5 over the rows and columns in use.

    So padding shifts nothing; an axis of one cell lies at 0.
    """
    down = _evenly(valid.any(dim=2))[:, :, None]
    across = _evenly(valid.any(dim=1))[:, None, :]
    return torch.stack([down.expand(valid.shape), across.expand(valid.shape)], dim=-1)


def grid_partition(
    location: Float[Tensor, "batch rows columns 2"], side: int
) -> Int[Tensor, "batch rows columns"]:
    """The initial partition: side x side cells of a regular grid, number = row + side * column.

    Rows and columns are rounded positions, so those at the border are half as large.

    Example:
        >>> import torch
        >>> valid = torch.ones(1, 4, 4, dtype=torch.bool)
        >>> grid_partition(locations(valid), 2)[0]
        tensor([[0, 0, 2, 2],
                [0, 0, 2, 2],
                [1, 1, 3, 3],
                [1, 1, 3, 3]])
    """
    cell = ((location.clamp(-0.5, 0.5) + 0.5) * (side - 1)).round().long()
    return cell[..., 0] + side * cell[..., 1]


def with_location(
    embeddings: Float[Tensor, "*cells dim"], location: Float[Tensor, "*cells 2"]
) -> Float[Tensor, "*cells dim_and_2"]:
    """Directions [e; y, x] of unit embeddings, unit length: near in feature and in place."""
    return F.normalize(torch.cat([embeddings, location.to(embeddings.dtype)], dim=-1), dim=-1)


def spherical_kmeans(
    vectors: Float[Tensor, "batch pixels dim"],
    initial: Int[Tensor, "batch pixels"],
    valid: Bool[Tensor, "batch pixels"],
    *,
    count: int,
    iterations: int = 10,
) -> Int[Tensor, "batch pixels"]:
    """Refine an initial partition of unit vectors into at most `count` parts by cosine k-means.

    Each iteration: mean direction of every part, then every pixel to the nearest by dot product
    (Hwang et al. 2019, arXiv:1910.06962, section 3.1). Pixels that are not valid take no part; a
    part that is empty is never chosen. No gradient flows.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.1, 1.0]]])
        >>> start, valid = torch.tensor([[0, 1, 1, 1]]), torch.ones(1, 4, dtype=torch.bool)
        >>> spherical_kmeans(vectors, start, valid, count=2)
        tensor([[0, 1, 1, 1]])
    """
    if vectors.is_cuda:
        with torch.no_grad():
            return _refined(vectors, initial, valid, count, iterations)

    def one(image: int) -> Tensor:
        some = slice(image, image + 1)
        return _refined(vectors[some], initial[some], valid[some], count, iterations)

    return torch.cat(spread(one, len(vectors))) if len(vectors) else initial


def _refined(
    vectors: Float[Tensor, "batch pixels dim"],
    part: Int[Tensor, "batch pixels"],
    valid: Bool[Tensor, "batch pixels"],
    count: int,
    iterations: int,
) -> Int[Tensor, "batch pixels"]:
    for _ in range(iterations):
        sums, is_empty = _sums(vectors, part, valid, count)
        nearness = vectors @ F.normalize(sums, dim=2).mT
        part = nearness.masked_fill_(is_empty[:, None], -torch.inf).argmax(dim=2)
    return part


def _sums(
    vectors: Float[Tensor, "batch pixels dim"],
    part: Int[Tensor, "batch pixels"],
    valid: Bool[Tensor, "batch pixels"],
    count: int,
) -> tuple[Float[Tensor, "batch {count} dim"], Bool[Tensor, "batch {count}"]]:
    """Sum of the valid vectors of every part; which parts have none."""
    if vectors.is_cuda:  # additions in place come in any order there, a product is repeatable
        numbers = torch.arange(count, device=vectors.device)[:, None]
        chosen = (part[:, None] == numbers) & valid[:, None]
        return chosen.to(vectors.dtype) @ vectors, ~chosen.any(dim=2)
    batch, _, dim = vectors.shape
    first = torch.arange(batch)[:, None] * count
    place = (part + first).where(valid, batch * count).flatten()  # the last is for the others
    sums = vectors.new_zeros(batch * count + 1, dim).index_add_(0, place, vectors.flatten(0, 1))
    is_empty = torch.ones(batch * count + 1, dtype=torch.bool).index_fill_(0, place, value=False)
    return sums[:-1].view(batch, count, dim), is_empty[:-1].view(batch, count)


def _evenly(used: Bool[Tensor, "batch cells"]) -> Float[Tensor, "batch cells"]:
    """-0.5 ... 0.5 from the first to the last used cell of an axis."""
    size = used.shape[1]
    place = torch.arange(size, device=used.device)
    first = torch.where(used, place, size).amin(dim=1, keepdim=True)
    last = torch.where(used, place, -1).amax(dim=1, keepdim=True)
    span = (last - first).clamp(min=0)
    return torch.where(span > 0, (place - first) / span.clamp(min=1) - 0.5, 0.0)
