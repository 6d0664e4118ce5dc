"""Folders and files of images -> folder of label maps."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hintseg.errors import ConfigError
from hintseg.images.grey import write_grey
from hintseg.predict.folders.label_folder import (
    LabelFolder,
    Outcome,
    claim,
    digest_of,
    digest_of_file,
    refuse_folder_of,
)
from hintseg.predict.options import PredictOptions
from hintseg.predict.prediction import Prediction
from hintseg.predict.predictor import Predictor
from hintseg.predict.salient import saliency_of
from hintseg.predict.tiles import check_tile
from hintseg.progress import progress
from hintseg.structures import Image, LabelMap

RECORD = "predict.json"
SALIENCY = "saliency"  # folder of saliency maps
DEFAULT = PredictOptions()


def predict_files(
    predictor: Predictor,
    images: Mapping[str, Path],
    out: Path,
    *,
    options: PredictOptions = DEFAULT,
    tile: int = 1024,
    overlays: bool = False,
) -> Outcome:
    """Write NAME.png (class indices, palette) for every image, and overlays/NAME.png on request.

    A model of objects also gives saliency/NAME.png, grey with 8 bits.

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
    claim(out, record, file=RECORD)
    folder = LabelFolder(out, record, len(predictor.classes), overlays)
    predict = partial(predictor.predict_by, options, tile=tile)
    maps = out / SALIENCY if predictor.is_salient else None
    if maps is not None and any(Path(name).parts[0] == SALIENCY for name in images):
        raise ConfigError(
            f"{out}: images lie in a sub-folder called {SALIENCY}, the name of the folder of "
            "saliency maps; rename it"
        )
    label = partial(_labelled, predictor, predict, options, maps)
    with progress("predict", len(images)) as advance:
        for name, file in images.items():
            folder.add(name, file, partial(digest_of_file, file), partial(label, name, file))
            advance(file.name)
    return folder.outcome


def _labelled(
    predictor: Predictor,
    predict: Callable[[Image], Prediction],
    options: PredictOptions,
    maps: Path | None,
    name: str,
    file: Path,
) -> tuple[Image, LabelMap]:
    image = predictor.read(file)
    prediction = predict(image)
    if maps is not None:  # before the labels, which are the sign that all is there
        write_grey(maps / f"{name}.png", saliency_of(prediction, options))
    return image, prediction.labels
