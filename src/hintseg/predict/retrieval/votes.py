"""Labels by retrieval: a segment takes the majority label of the nearest known segments.

Prototypes of labelled images are the memory; an image is cut into segments, and each votes with
its nearest neighbours (Hwang et al. 2019, arXiv:1910.06962, section 3.3; Ke et al. 2021,
arXiv:2105.00957).
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.models.embedder import Embedder, Segmenter
from hintseg.models.finite import check_scores, scores_of
from hintseg.pooling import pool_labels
from hintseg.predict.retrieval.index import PrototypeIndex
from hintseg.predict.tiles import tiled_scores
from hintseg.predict.views import STRIDE
from hintseg.resize import resize_image
from hintseg.segments.prototypes import find_segments, mean_directions, unit_cells
from hintseg.structures import VOID, Image, LabelMap, Segments

GRID = 12  # an image is cut from a partition of GRID x GRID
ITERATIONS = 10
NEIGHBOURS = 20  # that vote

Labelled = tuple[str, Image, LabelMap]  # name, image, labels


def vote_shares(
    labels: Int[np.ndarray, "queries found"], classes: int
) -> Float[np.ndarray, "queries {classes}"]:
    """Share of the neighbours of each query that have each class; float32, sums to 1.

    Without any neighbour all classes share alike.
    """
    count, found = labels.shape
    if not found:
        return np.full((count, classes), 1 / classes, np.float32)
    cells = labels + classes * np.arange(count)[:, None]
    votes = np.bincount(cells.ravel(), minlength=count * classes).reshape(count, classes)
    shares: np.ndarray = votes.astype(np.float32) / np.float32(found)
    return shares


def segment_whole(
    embeddings: Float[Tensor, "1 dim rows columns"],
    *,
    grid: int,
    iterations: int,
) -> tuple[Segments, Float[Tensor, "segments dim"]]:
    """All cells of one image as segments, and their prototypes.

    Labels do not cut: an image that is asked about has none.
    """
    every = torch.zeros_like(embeddings[:, 0], dtype=torch.long)
    segments, _ = find_segments(embeddings, every, every, grid=grid, iterations=iterations)
    pixels = unit_cells(embeddings).flatten(0, 2)
    return segments, mean_directions(pixels, segments.member, len(segments))


def retrieved_scores(
    embedder: Embedder,
    index: PrototypeIndex,
    images: Float[Tensor, "1 3 height width"],
    *,
    classes: int,
    exclude_image: int | None = None,
    neighbours: int = NEIGHBOURS,
) -> Float[Tensor, "1 {classes} rows columns"]:
    """Votes for the classes at stride 4; every cell sums to 1, cells of a segment are alike."""
    return voted_scores(
        embedder(images), index, classes=classes, exclude_image=exclude_image, neighbours=neighbours
    )


def combined_scores(
    model: Segmenter,
    index: PrototypeIndex,
    images: Float[Tensor, "1 3 height width"],
    *,
    classes: int,
    exclude_image: int | None = None,
) -> Float[Tensor, "1 {classes} rows columns"]:
    """Mean of the classifier's probabilities and the votes, of one embedding, at stride 4."""
    embeddings = model.embedder(images)
    votes = voted_scores(embeddings, index, classes=classes, exclude_image=exclude_image)
    return (model.classify(embeddings).float().softmax(dim=1) + votes.to(embeddings.device)) / 2


def voted_scores(
    embeddings: Float[Tensor, "1 dim rows columns"],
    index: PrototypeIndex,
    *,
    classes: int,
    exclude_image: int | None = None,
    neighbours: int = NEIGHBOURS,
) -> Float[Tensor, "1 {classes} rows columns"]:
    """As `retrieved_scores`, of an image that is embedded already."""
    check_scores(embeddings)  # votes are finite whatever they are votes of
    segments, prototypes = segment_whole(embeddings, grid=index.grid, iterations=index.iterations)
    _, place = index.nearest(prototypes.cpu().numpy(), neighbours, exclude_image=exclude_image)
    shares = torch.from_numpy(vote_shares(index.label[place], classes))
    return shares[segments.member.cpu()].T.reshape(1, classes, *embeddings.shape[-2:])


def embed(model: Segmenter, image: Image) -> Float[Tensor, "1 dim rows columns"]:
    """Embeddings at stride 4 of an image of any size, as prediction sees them; on the CPU."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        return tiled_scores(lambda part: model.embedder(part.to(device)), image)[None]


def build_prototypes(
    model: Segmenter,
    samples: Iterable[Labelled],
    *,
    grid: int = GRID,
    iterations: int = ITERATIONS,
    labelled_by: str = "hints",
) -> PrototypeIndex:
    """The segments of labelled images as a memory for retrieval.

    A segment has the majority label of its labelled cells. It is left out where none of them is
    labelled, or more are VOID than have that label.

    Args:
        model: In any mode; it predicts in evaluation mode.
        samples: Name; image of any size; labels (class, UNLABELLED or VOID) of the size at which
            the model shall see it.
        grid: Segments start from grid x grid cells.
        iterations: Of k-means.
        labelled_by: What the labels are: "hints", "pseudo labels" or "masks".
    """
    names: list[str] = []
    rows: list[tuple[np.ndarray, ...]] = []
    mode = model.training
    model.eval()
    try:
        for name, image, labels in samples:
            pixels = resize_image(image, labels.shape[0], labels.shape[1])
            with scores_of(name):
                vectors, label, box = _known_segments(model, pixels, labels, grid, iterations)
            number = np.full(len(label), len(names), np.int32)
            rows.append((vectors, label, number, _enlarged(box, pixels, image)))
            names.append(name)
    finally:
        model.train(mode)
    nothing = (np.zeros((0, model.embedder.dim), np.float32), *_no_segments())
    vectors, label, number, box = map(np.concatenate, zip(nothing, *rows, strict=True))
    return PrototypeIndex(vectors, label, number, box, tuple(names), labelled_by, grid, iterations)


def segment_labels(
    labels: Int[Tensor, " pixels"], member: Int[Tensor, " pixels"], count: int
) -> Int[Tensor, " {count}"]:
    """Majority label of each segment's labelled pixels, the smaller class on a tie.

    VOID where no pixel is labelled, or more are VOID than have that label.
    """
    classes = max(int(labels.max()) + 1, 1) if len(labels) else 1
    column = labels.where(labels >= 0, classes).where(labels != VOID, classes + 1)
    votes = torch.zeros(count, classes + 2, dtype=torch.long, device=labels.device)
    votes.view(-1).index_add_(0, member * (classes + 2) + column, torch.ones_like(member))
    most, best = votes[:, :classes].max(dim=1)
    return best.where((most > 0) & (most >= votes[:, classes + 1]), VOID)


def cell_boxes(member: Int[np.ndarray, "rows columns"], count: int) -> Int[np.ndarray, "{count} 4"]:
    """Left, top, right, bottom of each segment in cells; right and bottom lie outside."""
    row, column = np.indices(member.shape).reshape(2, -1)
    box = np.empty((4, count), np.int64)
    box[:2], box[2:] = max(member.shape), 0
    for side, place in ((0, column), (1, row)):
        np.minimum.at(box[side], member.ravel(), place)
        np.maximum.at(box[side + 2], member.ravel(), place + 1)
    return box.T


def _no_segments() -> tuple[np.ndarray, ...]:
    """Labels, images and boxes of none, so that an empty memory has its shapes."""
    return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 4), np.int32)


def _known_segments(
    model: Segmenter,
    image: Image,
    labels: LabelMap,
    grid: int,
    iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prototypes, labels and boxes (in cells) of the segments that have a label."""
    embeddings = embed(model, image)
    segments, vectors = segment_whole(embeddings, grid=grid, iterations=iterations)
    label = segment_labels(_pooled(labels).flatten(), segments.member, len(segments)).numpy()
    box = cell_boxes(segments.member.view(embeddings.shape[-2:]).numpy(), len(segments))
    known = label >= 0
    return vectors.numpy()[known], label[known].astype(np.int32), box[known]


def _pooled(labels: LabelMap) -> Tensor:
    return pool_labels(torch.from_numpy(labels.astype(np.int64))[None], STRIDE)


def _enlarged(box: np.ndarray, view: Image, image: Image) -> np.ndarray:
    """Boxes in cells of a view -> in pixels of the image."""
    height, width = image.shape[:2]
    scale = np.array([width / view.shape[1], height / view.shape[0]] * 2) * STRIDE
    pixels = np.concatenate([np.floor(box[:, :2] * scale[:2]), np.ceil(box[:, 2:] * scale[2:])], 1)
    return pixels.clip(0, [width, height, width, height]).astype(np.int32)
