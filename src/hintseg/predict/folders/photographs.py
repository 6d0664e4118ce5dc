"""Folders and files of images -> folder of label maps."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hintseg.predict.folders.digest import digest_of
from hintseg.predict.folders.label_folder import (
    LabelFolder,
    Labelling,
    Outcome,
    claim,
    digest_of_file,
    refuse_folder_of,
)
from hintseg.predict.options import PredictOptions
from hintseg.predict.prediction import Prediction
from hintseg.predict.predictor import Predictor
from hintseg.predict.tiles import best_at_resolution, check_tile
from hintseg.progress import progress
from hintseg.structures import Image

RECORD = "predict.json"
DEFAULT = PredictOptions()


def predict_files(
    predictor: Predictor,
    images: Mapping[str, Path],
    out: Path,
    *,
    options: PredictOptions = DEFAULT,
    tile: int = 1024,
    overlays: bool = False,
    scores: bool = False,
) -> Outcome:
    """Write NAME.png (class indices, palette) for every image, and overlays/NAME.png on request.

    With `scores` also scores/NAME.png: the probability of the class of each pixel, 255 is 1.

    `images` are files by name; a name with slashes goes to sub-folders. What an earlier call with
    the same model and options has made of the same files is skipped; an image that has changed
    since is labelled anew. A broken image is reported in the outcome and does not stop the rest.

    Raises:
        ConfigError: An option cannot work, or `out` holds the images themselves, other files, or
            predictions of another model or other options.
        RunError: By retrieval, and the run has no prototypes.
    """
    predictor.check(options)  # what cannot work is refused before anything is written
    check_tile(tile)
    refuse_folder_of(images.values(), out, images)
    record = {"model": digest_of(predictor, options), **options.record(), "tile": tile}
    claim(out, record, predictor.classes, file=RECORD)
    folder = LabelFolder(out, record, len(predictor.classes), overlays, scores)
    predict = partial(predictor.predict_by, options, tile=tile)
    label = partial(_labelled, predictor, predict, scores=scores)
    with progress("predict", len(images)) as advance:
        for name, file in images.items():
            folder.add(name, file, partial(digest_of_file, file), partial(label, file))
            advance(file.name)
    return folder.outcome


def _labelled(
    predictor: Predictor, predict: Callable[[Image], Prediction], file: Path, *, scores: bool
) -> Labelling:
    image = predictor.read(file)
    prediction = predict(image)
    return Labelling(image, prediction.labels, _sure(predictor, prediction) if scores else None)


def _sure(predictor: Predictor, prediction: Prediction) -> Float[np.ndarray, "_ _"]:
    """Probability of the label of each pixel."""
    height, width = prediction.labels.shape
    stride, found = prediction.stride, prediction.scores
    covered = predictor.fit(height, width) if stride > 1 else (found.shape[1], found.shape[2])
    return best_at_resolution(found, height, width, covered=covered, stride=stride)
