"""Folders and files of images -> folder of label maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hintseg.errors import ConfigError
from hintseg.images.grey import write_grey
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
from hintseg.predict.salient import saliency_of
from hintseg.predict.tiles import best_at_resolution, check_tile
from hintseg.progress import progress
from hintseg.shares import WHOLE, Share

RECORD = "predict.json"
SALIENCY = "saliency"  # folder of saliency maps
DEFAULT = PredictOptions()


def predict_files(  # noqa: PLR0913 - the options of the command
    predictor: Predictor,
    images: Mapping[str, Path],
    out: Path,
    *,
    options: PredictOptions = DEFAULT,
    tile: int = 1024,
    overlays: bool = False,
    scores: bool = False,
    share: Share = WHOLE,
) -> Outcome:
    """Write NAME.png (class indices, palette) for every image, and overlays/NAME.png on request.

    With `scores` also scores/NAME.png: the probability of the class of each pixel, 255 is 1.
    A model of objects also gives saliency/NAME.png, grey with 8 bits.

    `images` are files by name; a name with slashes goes to sub-folders. What an earlier call with
    the same model and options has made of the same files is skipped; an image that has changed
    since is labelled anew. A broken image is reported in the outcome and does not stop the rest.

    With a `share` only those images are labelled; all shares together give the files of the whole,
    and may be done at once, by processes that know nothing of each other.

    Raises:
        ConfigError: An option cannot work, or `out` holds the images themselves, other files, or
            predictions of another model or other options.
        RunError: By retrieval, and the run has no prototypes.
    """
    options = predictor.settled(options)
    predictor.check(options)  # what cannot work is refused before anything is written
    check_tile(tile)
    refuse_folder_of(images.values(), out, images)
    record = {"model": digest_of(predictor, options), **options.record(), "tile": tile}
    claim(out, record, predictor.classes, file=RECORD)
    folder = LabelFolder(out, record, len(predictor.classes), overlays, scores)
    maps = out / SALIENCY if predictor.is_salient else None
    if maps is not None and any(Path(name).parts[0] == SALIENCY for name in images):
        raise ConfigError(
            f"{out}: images lie in a sub-folder called {SALIENCY}, the name of the folder of "
            "saliency maps; rename it"
        )
    label = _Labeller(predictor, options, tile, maps, scores)
    names = share.of(images)
    with progress("predict", len(names)) as advance:
        for name in names:
            file = images[name]
            folder.add(name, file, partial(digest_of_file, file), partial(label, name, file))
            advance(file.name)
    return folder.outcome


@dataclass(frozen=True, slots=True)
class _Labeller:
    """What is made of one photograph."""

    predictor: Predictor
    options: PredictOptions
    tile: int
    maps: Path | None  # folder of saliency maps
    scores: bool  # how sure each pixel is, too

    def __call__(self, name: str, file: Path) -> Labelling:
        image = self.predictor.read(file)
        prediction = self.predictor.predict_by(self.options, image, tile=self.tile)
        if self.maps is not None:  # before the labels, which are the sign that all is there
            write_grey(self.maps / f"{name}.png", saliency_of(prediction, self.options))
        sure = _sure(self.predictor, prediction) if self.scores else None
        return Labelling(image, prediction.labels, sure)


def _sure(predictor: Predictor, prediction: Prediction) -> Float[np.ndarray, "_ _"]:
    """Probability of the label of each pixel."""
    height, width = prediction.labels.shape
    stride, found = prediction.stride, prediction.scores
    covered = predictor.fit(height, width) if stride > 1 else (found.shape[1], found.shape[2])
    return best_at_resolution(found, height, width, covered=covered, stride=stride)
