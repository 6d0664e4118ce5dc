"""Cells -> segments -> prototypes."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.segments.kmeans import (
    grid_partition,
    locations,
    spherical_kmeans,
    with_location,
)
from hintseg.structures import UNLABELLED, VOID, Segments


def find_segments(
    embeddings: Float[Tensor, "batch dim rows columns"],
    labels: Int[Tensor, "batch rows columns"],
    regions: Int[Tensor, "batch rows columns"],
    *,
    grid: int,
    iterations: int = 10,
) -> tuple[Segments, Float[Tensor, "pixels 2"]]:
    """Segments of a batch, and the locations of their pixels.

    K-means on [embedding; location] from a grid x grid partition of each image, then cut: a segment
    has one image, one label and one region (Ke et al. 2021, arXiv:2105.00957, section 3.2). Cells
    whose label is VOID are left out.

    Example:
        >>> import torch
        >>> embeddings = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
        >>> labels, regions = torch.full((1, 6, 6), -1), torch.zeros(1, 6, 6, dtype=torch.long)
        >>> segments, locations = find_segments(embeddings, labels, regions, grid=2)
        >>> len(segments), tuple(locations.shape)
        (4, (36, 2))
    """
    valid = labels != VOID
    location = locations(valid)
    cells = unit_cells(embeddings.detach())
    part = spherical_kmeans(
        with_location(cells, location).flatten(1, 2),
        grid_partition(location, grid).flatten(1),
        valid.flatten(1),
        count=grid * grid,
        iterations=iterations,
    )
    segments = cut(part.view_as(labels), labels, regions)
    return segments, location.flatten(0, 2)[segments.kept]


def unit_cells(
    embeddings: Float[Tensor, "batch dim rows columns"],
) -> Float[Tensor, "batch rows columns dim"]:
    """Embeddings as directions, in float32: what segments and relations see.

    Example:
        >>> import torch
        >>> unit_cells(torch.tensor([[[[3.0]], [[4.0]]]]))
        tensor([[[[0.6000, 0.8000]]]])
    """
    return F.normalize(embeddings.float(), dim=1).permute(0, 2, 3, 1)


def cut(
    part: Int[Tensor, "batch rows columns"],
    labels: Int[Tensor, "batch rows columns"],
    regions: Int[Tensor, "batch rows columns"],
) -> Segments:
    """The distinct combinations of image, part, label and region; VOID cells left out."""
    kept = (labels.flatten() != VOID).nonzero()[:, 0]
    image = torch.arange(len(labels), device=labels.device)[:, None, None].expand_as(labels)
    keys = [image, part, labels - UNLABELLED, regions.clamp(min=0)]  # all at least 0
    columns = torch.stack([key.flatten()[kept] for key in keys])
    sizes = [int(column.max()) + 1 if len(kept) else 1 for column in columns]
    number = columns[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        number = number * size + column
    distinct, member = torch.unique(number, return_inverse=True)
    rest, region = distinct // sizes[3], distinct % sizes[3]
    rest, label = rest // sizes[2], rest % sizes[2] + UNLABELLED
    return Segments(kept=kept, member=member, image=rest // sizes[1], label=label, region=region)


def mean_directions(
    vectors: Float[Tensor, "pixels dim"], member: Int[Tensor, " pixels"], count: int
) -> Float[Tensor, "{count} dim"]:
    """Unit-length mean of the vectors of each segment, with gradient; zero for an empty one.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
        >>> mean_directions(vectors, torch.tensor([0, 1, 1]), 2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    sums = vectors.new_zeros(count, vectors.shape[1])
    return F.normalize(sums.index_add(0, member, vectors), dim=1)


def propagate_labels(
    vectors: Float[Tensor, "segments dim"],
    label: Int[Tensor, " segments"],
    image: Int[Tensor, " segments"],
    *,
    classes: int,
    nearest: int = 1,
    threshold: float = 0.95,
) -> Bool[Tensor, "segments classes"]:
    """Labels that each segment takes over from the nearest labelled segments of its own image.

    A labelled segment among the `nearest` by dot product hands on its label if the product is at
    least `threshold` (feature affinity, Ke et al. 2021, section 3.3). A labelled segment finds
    itself. A segment that finds none has an empty set: it is unresolved.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.99, 0.14], [0.0, 1.0]])
        >>> label, image = torch.tensor([1, -1, -1]), torch.tensor([0, 0, 0])
        >>> propagate_labels(vectors, label, image, classes=2)  # the third is like nothing known
        tensor([[False,  True],
                [False,  True],
                [False, False]])
    """
    sets = torch.zeros(len(label), classes, dtype=torch.bool, device=vectors.device)
    known = (label >= 0).nonzero()[:, 0]
    if not len(known):
        return sets
    with torch.no_grad():
        nearness = vectors @ vectors[known].T
        nearness = nearness.where(image[:, None] == image[known], -torch.inf)
        value, place = nearness.topk(min(nearest, len(known)), dim=1)
        segment, which = (value >= threshold).nonzero(as_tuple=True)
        sets[segment, label[known[place[segment, which]]]] = True
    return sets
