"""Folders and files of images -> folder of label maps, by an ONNX file and without torch."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from hintseg.errors import ConfigError, DataError
from hintseg.predict.folders.label_folder import (
    LabelFolder,
    Labelling,
    Outcome,
    claim,
    digest_of_file,
    refuse_folder_of,
)
from hintseg.predict.onnx_model import OnnxPredictor
from hintseg.progress import progress
from hintseg.shares import WHOLE, Share

RECORD = "predict.json"


def predict_files(
    predictor: OnnxPredictor,
    images: Mapping[str, Path],
    out: Path,
    *,
    overlays: bool = False,
    share: Share = WHOLE,
) -> Outcome:
    """As `photographs.predict_files`, by a model in an ONNX file.

    Raises:
        ConfigError: `out` holds the images themselves, other files, or predictions of another
            model.
    """
    refuse_folder_of(images.values(), out, images)
    record = {"onnx": digest_of_file(predictor.file)}
    claim(out, record, predictor.classes, file=RECORD)
    folder = LabelFolder(out, record, len(predictor.classes), overlays)
    names = share.of(images)
    with progress("predict", len(names)) as advance:
        for name in names:
            file = images[name]
            label = partial(_labelled, predictor, file)
            folder.add(name, file, partial(digest_of_file, file), label)
            advance(file.name)
    return folder.outcome


def _labelled(predictor: OnnxPredictor, file: Path) -> Labelling:
    image = predictor.read(file)
    try:
        return Labelling(image, predictor.predict(image))
    except ConfigError as error:  # of this image, not of the job
        raise DataError(f"{file}: {error}") from error
