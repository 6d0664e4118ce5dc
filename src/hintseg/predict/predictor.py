"""A trained model, ready for images: `hintseg.load(run).predict(image)`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hintseg.errors import ConfigError
from hintseg.images import read_image
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import load_model
from hintseg.predict.tiles import label_at_resolution, tiled_scores
from hintseg.predict.views import class_scores, make_views
from hintseg.resize import fit_size, resize_image
from hintseg.structures import ClassSet, Image, Prediction


class Predictor:
    """Labels every pixel of images of any size.

    Args:
        model: Gives logits at stride 4 for raw colours.
        classes: What the logits stand for.
        size: The longer side of every image is brought to this before all else; None: as it is.
        device: Where the model runs.
    """

    def __init__(
        self,
        model: Segmenter,
        classes: ClassSet,
        *,
        size: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.classes, self.size, self.device = classes, size, torch.device(device)
        self.model = model.to(self.device).to(memory_format=torch.channels_last).eval()

    def predict(
        self,
        image: Image | str | Path,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        tile: int = 1024,
    ) -> Prediction:
        """Label an image at its own resolution.

        Args:
            image: (height, width, 3) uint8 RGB, or the path of an image file.
            scales: Views of the image to average over, as size factors.
            flip: Average over mirror images too.
            tile: Larger images are worked on in tiles of this side in pixels (after `size`).

        Raises:
            DataError: The file cannot be read.
            ConfigError: The array is not an image, or an option cannot work.
        """
        pixels = read_image(Path(image)) if isinstance(image, str | Path) else _checked(image)
        views = make_views(scales, flip=flip)
        height, width = pixels.shape[:2]
        fitted = fit_size(height, width, self.size)
        scores = tiled_scores(
            partial(self._scores, views=views), resize_image(pixels, *fitted), tile=tile
        )
        labels = label_at_resolution(scores, height, width, covered=fitted)
        return Prediction(labels=labels, scores=scores, classes=self.classes.names)

    def _scores(self, part: torch.Tensor, *, views: Sequence) -> torch.Tensor:
        part = part.to(self.device).contiguous(memory_format=torch.channels_last)
        return class_scores(self.model, part, views)


def load(run: str | Path, *, device: torch.device | str = "cpu") -> Predictor:
    """The model of a finished run, ready to predict.

    Raises:
        RunError: The folder holds no trained model.
    """
    model, description = load_model(Path(run))
    return Predictor(model, description.class_set(), size=description.size, device=device)


def _checked(image: Image) -> Image:
    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0:
        return image
    found = f"{image.shape} {image.dtype}" if is_array else type(image).__name__
    raise ConfigError(
        f"image: must be (height, width, 3) uint8 RGB, got {found}; "
        "pass a path to have any image file converted"
    )
