"""What the models see in the open image: features kept, a fast head, the trained model."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.errors import DataError, HintSegError, RunError
from hintseg.hints.raster import rasterize
from hintseg.pooling import pool_labels
from hintseg.predict.doubt import Doubt, disagreement, labels_and_doubt, summed_up
from hintseg.predict.pieces import piece_at
from hintseg.predict.predictor import Predictor, load
from hintseg.predict.quick import (
    STRIDE,
    BackboneFeatures,
    EmbeddingFeatures,
    Features,
    HintedCells,
    hinted_cells,
    quick_scores,
    steadied,
)
from hintseg.predict.tiles import scores_at_resolution, tiled_scores
from hintseg.predict.views import View, class_scores
from hintseg.regions.partition import image_regions
from hintseg.resize import fit_size, resize_image, resize_labels
from hintseg.structures import Hints, LabelMap, Shape, WeakLabels
from hintseg.studio.drawings import hint_file
from hintseg.studio.exporting import with_hints
from hintseg.studio.pictures import Memory, Pictures
from hintseg.studio.relatives import Relatives

LARGEST = 1280  # longer side at which a model looks at an image here: an answer within seconds
UNLIKELY = 0.1  # a class with no cell above this is left out
KEPT_BYTES = 2**27  # of features
WHAT = ("quick", "model")

Scores = Float[Tensor, "classes rows columns"]


@dataclass(frozen=True, slots=True)
class Seen:
    """An image through the eyes of the current network."""

    features: Features
    covered: tuple[int, int]  # height and width of the image that the features are of
    model: Scores | None  # of a trained model, at the cells of `covered`

    @property
    def bytes(self) -> int:
        """In memory."""
        return self.features.nbytes + (0 if self.model is None else self.model.nbytes)


@dataclass(frozen=True, slots=True)
class Shown:
    """A label map for the browser, with how doubtful each pixel is."""

    labels: LabelMap
    doubt: Float[Tensor, "height width"]
    quick: bool  # whether the fast head had a say
    generation: int


class Seeing:
    """Predictions of the images of a data set; one at a time, from any thread."""

    def __init__(self, pictures: Pictures | None = None) -> None:
        self._pictures = pictures or Pictures()
        self.run: Path | None = None
        self.generation = 0
        self._network = 0  # features are those of this one
        self._lock = RLock()
        self._predictor: Predictor | None = None
        self._features: Callable[..., Features] | None = None
        self._seen: Memory[tuple, Seen] = Memory(KEPT_BYTES, lambda seen: seen.bytes)
        self._regions: Memory[tuple, Tensor] = Memory(KEPT_BYTES // 4, lambda map_: map_.nbytes)
        self._cells: dict[str, tuple[str, HintedCells]] = {}
        self._saved: set[str] = set()  # images whose hints were saved and are not yet learned from
        self.relatives = Relatives(self._pictures)

    def use(self, run: Path, dataset: Dataset) -> None:
        """See with the model of a finished run from now on.

        Raises:
            HintSegError: It cannot be loaded, or has other classes.
        """
        predictor = load(run)
        predictor.check_classes(dataset)
        with self._lock:
            self.run, self._predictor, self._features = run, predictor, None
            self.generation += 1
            self._network += 1
            self._cells.clear()

    def forget(self) -> None:
        """What was known of hints is no longer true: classes have changed."""
        with self._lock:
            self._cells.clear()
            if self._predictor is not None:
                self.run, self._predictor, self._features = None, None, None
                self._network += 1
            self.generation += 1

    def shown(self, dataset: Dataset, name: str, what: str) -> Shown | None:
        """A label map of an image; None where nobody can say anything yet.

        Args:
            dataset: That has the image.
            name: Of the image.
            what: "model": the trained model alone; "quick": the fast head, with the model where
                there is one (the mean of both).
        """
        with self._lock:
            self._learn_saved(dataset, name)
            seen = self._see(dataset, name)
            scores, quick = self._scores(dataset, name, seen, what)
            if scores is None:
                return None
            likely = _likely(scores)
            regions = self._regions_of(dataset, name)
            height, width = regions.shape
            at = scores_at_resolution(scores[likely], height, width, covered=seen.covered)
            at = steadied(at, regions) if quick else at
            best, doubt = labels_and_doubt(at)
            labels = likely[best].numpy().astype(np.int16)
            return Shown(labels, doubt, quick, self.generation)

    def piece(self, dataset: Dataset, name: str, what: str, place: tuple[float, float]) -> Shape:
        """The predicted piece at a place of the image (pixels, origin the middle of the first).

        Raises:
            DataError: Nothing is predicted there.
        """
        shown = self.shown(dataset, name, what)
        if shown is None:
            raise DataError("nothing is predicted yet: draw a hint, or train")
        height, width = dataset.size(name)
        rows, columns = shown.labels.shape
        down = ((np.arange(height) + 0.5) * rows / height).astype(int)
        across = ((np.arange(width) + 0.5) * columns / width).astype(int)
        return piece_at(shown.labels[down[:, None], across], *place)

    def similar(self, dataset: Dataset, name: str, at: tuple[float, float]) -> list[dict[str, Any]]:
        """The region under a pixel and those of the data set that look most like it."""
        with self._lock:
            bank = self._noted(dataset, name, self._see(dataset, name))
            return self.relatives.find(dataset, name, bank, at)

    def mask(self, dataset: Dataset, name: str) -> LabelMap:
        """What is seen in an image at its own resolution, and over it what was drawn."""
        height, width = dataset.size(name)
        with self._lock:
            shown = self.shown(dataset, name, "quick")
        seen = None if shown is None else resize_labels(shown.labels, height, width)
        return with_hints(seen, _drawn(dataset, name, (height, width)).labels)

    def _noted(self, dataset: Dataset, name: str, seen: Seen) -> Tensor:
        state = self._network, dataset.images[name].stat().st_mtime_ns
        return self.relatives.note(dataset, name, state, seen.features)

    def doubt(self, dataset: Dataset, name: str) -> Doubt | None:
        """How doubtful an image is; None where nobody can say anything yet."""
        with self._lock:
            seen = self._see(dataset, name, keep=False)
            quick, _ = self._scores(dataset, name, seen, "quick")
            self._noted(dataset, name, seen)
            if quick is None:
                return None
            _, doubt = labels_and_doubt(quick)
            if seen.model is not None:
                doubt = torch.maximum(doubt, disagreement(seen.model, quick))
            return summed_up(doubt)

    def saved(self, name: str) -> None:
        """An image has other hints now: the next image that is opened is seen with them."""
        self._saved.add(name)

    def _learn_saved(self, dataset: Dataset, opened: str) -> None:
        for name in self._saved - {opened}:
            self._saved.discard(name)
            with suppress(HintSegError, OSError):  # whoever opens that image is told
                self.learn(dataset, name)

    def learn(self, dataset: Dataset, name: str) -> bool:
        """Take note of the hints of an image for the fast head; whether there was news."""
        files = [path for path in (hint_file(dataset, name), dataset.partial_file(name)) if path]
        states = [path.stat() for path in files if path.exists()]
        if not states:
            return self._cells.pop(name, None) is not None
        version = f"{self.generation} {[(one.st_mtime_ns, one.st_size) for one in states]}"
        if self._cells.get(name, ("",))[0] == version:
            return False
        with self._lock:
            cells = self._hinted(dataset, name, self._see(dataset, name, keep=False))
            self._cells[name] = version, cells
        return True

    def _scores(
        self, dataset: Dataset, name: str, seen: Seen, what: str
    ) -> tuple[Scores | None, bool]:
        """Scores at the cells, and whether the fast head had a say."""
        if what == "model":
            return seen.model, False
        own = self._hinted(dataset, name, seen)
        others = [cells for other, (_, cells) in self._cells.items() if other != name]
        scores = quick_scores(seen.features, own, others, len(dataset.classes))
        if scores is None:
            return seen.model, False
        return scores if seen.model is None else (scores + seen.model) / 2, True

    def _hinted(self, dataset: Dataset, name: str, seen: Seen) -> HintedCells:
        labels = _drawn(dataset, name, seen.covered).labels
        pooled = pool_labels(torch.from_numpy(labels.astype(np.int64))[None], STRIDE)[0]
        return hinted_cells(seen.features, pooled)

    def _see(self, dataset: Dataset, name: str, *, keep: bool = True) -> Seen:
        if name not in dataset.images:
            raise DataError(f"{name}: no such image in {dataset.root}; reload the list")
        key = self._network, name, dataset.images[name].stat().st_mtime_ns
        if keep:
            return self._seen.get(key, lambda: self._look(dataset, name))
        return self._seen.peek(key) or self._look(dataset, name)

    def _look(self, dataset: Dataset, name: str) -> Seen:
        predictor, features = self._predictor, self._eyes()
        if predictor is None:
            view = self._pictures.view(dataset, name)
            return Seen(features(view), (view.shape[0], view.shape[1]), None)
        image = dataset.read_as(predictor.reading).image(name)
        fitted = _at_most(*predictor.fit(image.shape[0], image.shape[1]), LARGEST)
        view = resize_image(image, *fitted)
        return Seen(features(view), fitted, self._model_scores(view))

    def _regions_of(self, dataset: Dataset, name: str) -> Int[Tensor, "height width"]:
        """The regions of an image at the size in which it is shown."""

        def cut() -> Tensor:
            regions = image_regions(self._pictures.view(dataset, name))
            return torch.from_numpy(regions.astype(np.int64))

        return self._regions.get((name, dataset.images[name].stat().st_mtime_ns), cut)

    def _model_scores(self, view: np.ndarray) -> Scores | None:
        if self._predictor is None:
            return None
        model = self._predictor.model
        return tiled_scores(lambda part: class_scores(model, part, (View(),)), view)

    def _eyes(self) -> Callable[..., Features]:
        if self._features is None and self._predictor is not None:
            with suppress(RunError):  # a network without embeddings
                self._features = EmbeddingFeatures(self._predictor.segmenter.embedder)
        if self._features is None:
            self._features = BackboneFeatures()
        return self._features


def _at_most(height: int, width: int, longer_side: int) -> tuple[int, int]:
    return fit_size(height, width, min(longer_side, max(height, width)))


def _hints_of(dataset: Dataset, name: str) -> Hints:
    """The hints as far as they can be read: a file with a mistake is shown, not used."""
    try:
        return dataset.hints(name)
    except HintSegError:
        return Hints()


def _drawn(dataset: Dataset, name: str, size: tuple[int, int]) -> WeakLabels:
    """The hints of an image as labels of so many pixels."""
    return rasterize(
        _hints_of(dataset, name),
        dataset.size(name),
        dataset.classes,
        out_size=size,
        tags_complete=dataset.tags_complete,
        boxes_complete=dataset.boxes_complete,
    )


def _likely(scores: Scores) -> Int[Tensor, " likely"]:
    """The classes that may win somewhere, two at least: the others cost time and change nothing."""
    best = scores.flatten(1).amax(dim=1)
    kept = best > UNLIKELY
    kept[best.topk(min(2, len(best))).indices] = True
    return kept.nonzero()[:, 0]
