"""A trained model, ready for images: `hintseg.load(run).predict(image)`."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hintseg.data.dataset import Dataset
from hintseg.data.grouped import ANY, as_object
from hintseg.errors import ConfigError, DataWarning, RunError
from hintseg.images.photographs import read_image
from hintseg.images.reading import AS_STORED, Reading
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import load_model
from hintseg.models.two_branch import TwoBranch
from hintseg.predict.options import PredictOptions
from hintseg.predict.prediction import Prediction
from hintseg.predict.refining import crf_scores
from hintseg.predict.retrieval.index import PROTOTYPES, PrototypeIndex, read_prototypes
from hintseg.predict.retrieval.votes import combined_scores, retrieved_scores
from hintseg.predict.salient import check_two, with_threshold
from hintseg.predict.tiles import fitting_scores, label_at_resolution
from hintseg.predict.views import STRIDE, View, averaged_scores, class_scores
from hintseg.resize import fit_size, resize_image
from hintseg.structures import ClassSet, Image


class Predictor:
    """Labels every pixel of images of any size.

    Args:
        model: Gives logits at stride 4 for raw colours; retrieval asks for a Segmenter.
        classes: What the logits stand for.
        size: The longer side of every image is brought to this before all else; None: as it is.
        zoom: Times that size, the mean of the random sizes at which the model has seen images.
        device: Where the model runs.
        reading: How image files become what the model has learned from.
        prototypes: Gives the known segments; asked when something is first retrieved.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: ClassSet,
        *,
        size: int | None = None,
        zoom: float = 1.0,
        device: torch.device | str = "cpu",
        reading: Reading = AS_STORED,
        prototypes: Callable[[], PrototypeIndex] | None = None,
    ) -> None:
        self.classes = classes
        self.size, self.zoom, self.reading = size, zoom, reading
        self.model = model.to(memory_format=torch.channels_last).eval()
        self.move(device)
        self.foreground: str | None = None  # what the objects of a model of them were
        self._find_prototypes = prototypes
        self.retrieves = prototypes is not None  # whether there are known segments to ask
        self._told_of_memory = False

    def move(self, device: torch.device | str) -> None:
        """Work on another device from now on."""
        self.device = torch.device(device)
        self.model = self.model.to(self.device)

    def predict(
        self,
        image: Image | str | Path,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        tile: int = 1024,
        by: str = "classifier",
        exclude: str | None = None,
        crf: str | None = None,
    ) -> Prediction:
        """Label an image at its own resolution.

        Args:
            image: (height, width, 3) uint8 RGB, or the path of an image file.
            scales: Views of the image to average over, as size factors.
            flip: Average over mirror images too.
            tile: Larger images are worked on in tiles of this side in pixels (after `size`).
            by: "classifier", or "retrieval": segments take the labels of the nearest known ones; or
                "both": the mean of the two; or "best": that of the first two which was better on
                the val split of the run.
            exclude: Name of a known image whose segments are not retrieved: this one, if it is
                known, so that it does not find itself.
            crf: Preset of the dense CRF that refines the scores by the colours of the image at its
                own resolution: "psa", "deeplab", ...; None: no CRF.

        Raises:
            DataError: The file cannot be read.
            ConfigError: The array is not an image, or an option cannot work.
            RunError: Nothing can be retrieved: the run has no prototypes, or damaged ones.
        """
        options = PredictOptions(scales, flip, by, crf)
        return self.predict_by(options, image, tile=tile, exclude=exclude)

    def predict_by(
        self,
        options: PredictOptions,
        image: Image | str | Path,
        *,
        tile: int = 1024,
        exclude: str | None = None,
    ) -> Prediction:
        """As `predict`, by options that are used for many images."""
        options = self.settled(options)
        score = self._scorer(options, exclude)
        pixels = self.read(Path(image)) if isinstance(image, str | Path) else _checked(image)
        height, width = pixels.shape[:2]
        fitted, stride = self.fit(height, width), STRIDE
        scores, used = fitting_scores(
            lambda part: score(self._on_device(part), options.views),
            resize_image(pixels, *fitted),
            tile=tile,
        )
        self._tell_of_memory(tile, used)
        if options.crf is not None:
            scores = crf_scores(pixels, scores, options.crf, covered=fitted, device=self.device)
            fitted, stride = (scores.shape[1], scores.shape[2]), 1
        labels = label_at_resolution(scores, height, width, covered=fitted, stride=stride)
        prediction = Prediction(labels, scores, self.classes, stride, fitted)
        return with_threshold(prediction, options) if options.asks_for_objects else prediction

    def read(self, file: Path) -> Image:
        """An image file as the model sees it; DataError if it cannot be read."""
        return read_image(file, self.reading)

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the model sees an image."""
        return fit_size(height, width, self.size, zoom=self.zoom)

    def check(self, options: PredictOptions) -> None:
        """Refuse options that this model cannot follow; errors as in `predict`."""
        options = self.settled(options)
        if options.asks_for_objects:
            check_two(self.classes)
        if options.retrieves and not len(self.prototypes):
            raise RunError("no segment of the train images has a label; use --by classifier")

    def settled(self, options: PredictOptions) -> PredictOptions:
        """The same options, with who labels in place of "best"."""
        if options.by != "best":
            return options
        asks = self.retrieves and len(self.prototypes)
        return replace(options, by=self.prototypes.best if asks else "classifier")

    @property
    def is_salient(self) -> bool:
        """Whether the model tells objects from a background, whatever the objects are called."""
        return isinstance(self.model, TwoBranch)

    def seen(self, dataset: Dataset) -> Dataset:
        """A data set as this model has learned it: one of objects takes its classes together.

        Those that it has learned as objects, where the data set has them, else all but the
        background; ConfigError where it has none.
        """
        if not self.is_salient or dataset.classes.names == self.classes.names:
            return dataset
        known = self.foreground if self.foreground in dataset.classes.names else ANY
        return as_object(dataset, known, classes=self.classes)

    def check_classes(self, dataset: Dataset) -> None:
        """Raise ConfigError where the classes of a data set are not those of the model."""
        if self.classes.names != dataset.classes.names:
            raise ConfigError(
                f"{dataset.root}: its classes are not those of the model "
                f"({', '.join(self.classes.names)}), or in another order"
            )

    @property
    def segmenter(self) -> Segmenter:
        """The model with its embeddings.

        Raises:
            RunError: It has none: nothing can be retrieved by it, and no walk led.
        """
        if not isinstance(self.model, Segmenter):
            raise RunError(
                f"a model of kind {type(self.model).__name__} has no embeddings; use a run of "
                "another method, or --by classifier"
            )
        return self.model

    @cached_property
    def prototypes(self) -> PrototypeIndex:
        """The known segments of the run; RunError if it has none."""
        embedder = self.segmenter.embedder
        if self._find_prototypes is None:
            raise RunError("the model has no prototypes; load it from its run folder")
        index = self._find_prototypes()
        fits = index.vectors.shape[1] == embedder.dim
        if not fits or index.label.max(initial=0) >= len(self.classes):
            raise RunError("the prototypes of the run belong to another model; train again")
        return index

    def _scorer(
        self, options: PredictOptions, exclude: str | None
    ) -> Callable[[Tensor, Sequence[View]], Tensor]:
        self.check(options)
        if not options.retrieves:
            return partial(class_scores, self.model)
        model, index, classes = self.segmenter, self.prototypes, len(self.classes)
        own = index.number(exclude)
        if options.by == "both":
            score = partial(combined_scores, model, index, classes=classes, exclude_image=own)
        else:
            score = partial(
                retrieved_scores, model.embedder, index, classes=classes, exclude_image=own
            )
        return partial(averaged_scores, score)

    def _tell_of_memory(self, asked: int, used: int) -> None:
        """Say once that images are labelled in smaller tiles than was asked for."""
        if used == asked or self._told_of_memory:
            return
        self._told_of_memory = True
        warnings.warn(
            f"out of memory in tiles of {asked} pixels: labelled in tiles of {used}, as all that "
            f"do not fit; --tile {used} does so at once",
            DataWarning,
            stacklevel=3,
        )

    def _on_device(self, part: Tensor) -> Tensor:
        return part.to(self.device).contiguous(memory_format=torch.channels_last)


def load(run: str | PathLike[str], *, device: torch.device | str = "cpu") -> Predictor:
    """The model of a finished run, ready to predict.

    Raises:
        RunError: The folder holds no trained model.
    """
    model, description = load_model(Path(run))
    predictor = Predictor(
        model,
        description.class_set(),
        size=description.size,
        zoom=description.zoom,
        device=device,
        reading=description.reading,
        prototypes=partial(read_prototypes, Path(run)),
    )
    predictor.retrieves = (Path(run) / PROTOTYPES).is_file()
    predictor.foreground = description.extra.get("foreground")
    return predictor


def _checked(image: Image) -> Image:
    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0:
        return image
    found = f"{image.shape} {image.dtype}" if is_array else type(image).__name__
    raise ConfigError(
        f"image: must be (height, width, 3) uint8 RGB, got {found}; "
        "pass a path to have any image file converted"
    )
