"""The segments of a data set that look most like the one under a pixel."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError, DataError, NotFiniteError, UnknownNameError
from hintseg.models.embedder import Segmenter
from hintseg.models.finite import check_scores, scores_of
from hintseg.pooling import pool_labels
from hintseg.predict.predictor import Predictor
from hintseg.predict.retrieval.votes import GRID, ITERATIONS, embed, segment_labels, segment_whole
from hintseg.predict.views import STRIDE
from hintseg.progress import progress
from hintseg.resize import resize_image, resize_labels
from hintseg.structures import Image, Segments


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment of an image, and how near it is to the one that was asked for."""

    name: str  # of the image
    inside: Bool[np.ndarray, "rows columns"]  # its cells at stride 4
    covered: tuple[int, int]  # height and width of the image that the cells cover, as it was seen
    similarity: float  # cosine of the prototypes, in [-1, 1]
    predicted: int  # class that the classifier gives it
    truth: int | None = None  # majority of the mask; None: no mask, or it is void there


@dataclass(frozen=True, slots=True)
class Similar:
    """What was asked for, and what is like it."""

    asked: FoundSegment
    found: tuple[FoundSegment, ...]  # nearest first
    failed: dict[str, str]  # images that could not be read, and why
    segments: int  # compared
    images: int


@dataclass(frozen=True, slots=True)
class _CutImage:
    """An image as segments."""

    model: Segmenter
    embeddings: Float[Tensor, "1 dim rows columns"]
    segments: Segments
    vectors: Float[Tensor, "segments dim"]
    covered: tuple[int, int]

    @property
    def member(self) -> Int[Tensor, "rows columns"]:
        """Segment of each cell."""
        return self.segments.member.view(self.embeddings.shape[-2:])

    def inside(self, number: int) -> Bool[np.ndarray, "rows columns"]:
        """The cells of a segment."""
        return (self.member == number).numpy()

    def classes(self) -> list[int]:
        """The class of the highest mean probability of each segment."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            logits = self.model.classify(self.embeddings.to(device)).float().cpu()
        check_scores(logits)
        cells = logits.softmax(dim=1)[0].flatten(1).T
        sums = cells.new_zeros(len(self.segments), cells.shape[1])
        return sums.index_add(0, self.segments.member, cells).argmax(dim=1).tolist()


def similar_segments(
    predictor: Predictor, dataset: Dataset, name: str, at: tuple[float, float], *, top: int = 10
) -> Similar:
    """The segment under a pixel and those of all other images that are nearest to it.

    Every image of the data set is embedded, labelled or not; other segments of the same image are
    no answer.

    Args:
        predictor: The model.
        dataset: Where to look.
        name: The image that holds the pixel; a path or file name of it is taken too.
        at: (x, y) in pixels of that image, the origin at the centre of the top-left one.
        top: How many to find.

    Raises:
        UnknownNameError: The data set has no such image.
        ConfigError: The pixel lies outside the image, or `top` is below 1.
    """
    name, dataset = dataset.find(name) or name, dataset.read_as(predictor.reading)
    if name not in dataset.images:
        raise UnknownNameError("image", name, dataset.images)
    if top < 1:
        raise ConfigError(f"top: must be at least 1, got {top}")
    image = dataset.image(name)
    _check_inside(image, name, at)
    with scores_of(name):
        cut = _cut(predictor, image)
    number = _segment_at(cut, image, at)
    best: list[FoundSegment] = []
    failed: dict[str, str] = {}
    compared = 0
    others = [other for other in dataset.images if other != name]
    with progress("retrieve", len(others)) as advance:
        for other in others:
            try:
                with scores_of(other):
                    candidate = _cut(predictor, dataset.image(other))
            except (DataError, NotFiniteError) as error:
                failed[other] = str(error)
            else:
                compared += len(candidate.segments)
                best = _merged(best, candidate, cut.vectors[number], other, top)
            advance(other)
    asked = FoundSegment(name, cut.inside(number), cut.covered, 1.0, cut.classes()[number])
    return Similar(
        asked=_with_truth(asked, dataset),
        found=tuple(_with_truth(segment, dataset) for segment in best),
        failed=failed,
        segments=compared,
        images=len(others) - len(failed),
    )


def _check_inside(image: Image, name: str, at: tuple[float, float]) -> None:
    height, width = image.shape[:2]
    if not (-0.5 <= at[0] < width - 0.5 and -0.5 <= at[1] < height - 0.5):
        raise ConfigError(
            f"at {at[0]:g},{at[1]:g}: lies outside image {name!r} of {width} x {height} pixels; "
            f"x goes from 0 to {width - 1}, y from 0 to {height - 1}"
        )


def _cut(predictor: Predictor, image: Image) -> _CutImage:
    covered = predictor.fit(image.shape[0], image.shape[1])
    embeddings = embed(predictor.segmenter, resize_image(image, *covered))
    segments, vectors = segment_whole(embeddings, grid=GRID, iterations=ITERATIONS)
    return _CutImage(predictor.segmenter, embeddings, segments, vectors, covered)


def _segment_at(cut: _CutImage, image: Image, at: tuple[float, float]) -> int:
    row = int((at[1] + 0.5) * cut.covered[0] / image.shape[0] / STRIDE)
    column = int((at[0] + 0.5) * cut.covered[1] / image.shape[1] / STRIDE)
    return int(cut.member[row, column])


def _merged(
    best: list[FoundSegment],
    cut: _CutImage,
    asked: Float[Tensor, " dim"],
    name: str,
    top: int,
) -> list[FoundSegment]:
    """The `top` nearest of those found so far and the segments of one more image."""
    worst = best[-1].similarity if len(best) == top else -torch.inf
    similarity = (cut.vectors @ asked).tolist()
    order = sorted(range(len(similarity)), key=lambda number: -similarity[number])[:top]
    better = [number for number in order if similarity[number] > worst]
    if not better:
        return best
    classes = cut.classes()
    new = [
        FoundSegment(name, cut.inside(number), cut.covered, similarity[number], classes[number])
        for number in better
    ]
    return sorted([*best, *new], key=lambda segment: -segment.similarity)[:top]


def _with_truth(segment: FoundSegment, dataset: Dataset) -> FoundSegment:
    truth = dataset.truth(segment.name)
    if truth is None:
        return segment
    labels = resize_labels(truth, *segment.covered).astype(np.int64)
    cells = pool_labels(torch.from_numpy(labels)[None], STRIDE)[0]
    chosen = cells[torch.from_numpy(segment.inside)]
    label = int(segment_labels(chosen, torch.zeros_like(chosen), 1))
    return replace(segment, truth=label if label >= 0 else None)
