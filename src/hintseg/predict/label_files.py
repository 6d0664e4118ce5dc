"""Images with hints -> folder of dense pseudo labels: model and hints together."""

from functools import partial
from pathlib import Path

import numpy as np

from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_hinted
from hintseg.errors import ConfigError, DataError
from hintseg.hints.rasterize import POINT_RADIUS, SCRIBBLE_WIDTH
from hintseg.predict.files import (
    Outcome,
    claim,
    digest_of,
    label_file,
    overlay_file,
    refuse_folder_of,
)
from hintseg.predict.predictor import Predictor
from hintseg.predict.pseudo import pseudo_scores
from hintseg.predict.tiles import label_at_resolution
from hintseg.progress import progress
from hintseg.structures import UNLABELLED, Image, LabelMap

RECORD = "label.json"


def hinted_names(dataset: Dataset, split: str) -> tuple[str, ...]:
    """The images of a split that have a hint file.

    Raises:
        DataError: No such split, or no image of it has hints.
    """
    names = dataset.names(split)
    hinted = dataset.hinted_names(split)
    if not hinted:
        raise DataError(
            f"{dataset.hints_folder}: no hints for any of the {len(names)} images of split "
            f"{split!r}; draw some, or label them without by `hintseg predict`"
        )
    return hinted


def label_files(  # noqa: PLR0913 - the options of the command
    predictor: Predictor,
    dataset: Dataset,
    out: Path,
    *,
    split: str = "train",
    by: str = "classifier",
    confidence: float = 0.0,
    overlays: bool = False,
    point_radius: float = POINT_RADIUS,
    scribble_width: float = SCRIBBLE_WIDTH,
) -> Outcome:
    """Write NAME.png for every image of a split with hints, and overlays/NAME.png on request.

    Files that an earlier call with the same model, hints and options has finished are skipped. An
    image that cannot be read, or whose hints cannot, is reported in the outcome and does not stop
    the rest.

    Args:
        predictor: The model; by retrieval an image does not find its own segments.
        dataset: Has images and hints, and the classes of the model.
        out: Folder for the label maps.
        split: Which images.
        by: "classifier" or "retrieval".
        confidence: Pixels whose highest probability is below this are UNLABELLED; 0: none.
        overlays: Also write pictures.
        point_radius: Of a point, in longer sides; as the run drew it.
        scribble_width: Of a stroke, in longer sides; as the run drew it.

    Raises:
        ConfigError: An option cannot work, the classes are not those of the model, or `out` holds
            the images or hints themselves, other files, or labels that were made otherwise.
        DataError: No such split, or no image of it has hints.
        RunError: By retrieval, and the run has no prototypes.
    """
    predictor.check(by)  # what cannot work is refused before anything is written
    if not 0 <= confidence <= 1:
        raise ConfigError(f"confidence: must be 0 to 1, got {confidence}")
    _check_classes(predictor, dataset)
    names = hinted_names(dataset, split)
    files = [dataset.images[name] for name in names]
    refuse_folder_of([*files, dataset.hints_folder / "NAME.json"], out, names)
    drawn = {"point_radius": point_radius, "scribble_width": scribble_width}
    made_of = {"model": digest_of(predictor, by), "data": dataset.digest}
    record = {**made_of, "by": by, "confidence": float(confidence), **drawn}
    claim(out, record, file=RECORD, of="model, of other hints")
    outcome, classes = Outcome(), len(dataset.classes)
    with progress("label", len(names)) as advance:
        for name, file in zip(names, files, strict=True):
            label = partial(_labelled, predictor, dataset, name, by, confidence, **drawn)
            label_file(
                label,
                file,
                out / f"{name}.png",
                classes=classes,
                picture=overlay_file(out, name, overlays),
                outcome=outcome,
            )
            advance(name)
    return outcome


def _labelled(
    predictor: Predictor,
    dataset: Dataset,
    name: str,
    by: str,
    confidence: float,
    *,
    point_radius: float,
    scribble_width: float,
) -> tuple[Image, LabelMap]:
    """An image and its pseudo labels, both at its own resolution."""
    load = partial(
        load_hinted, dataset, name, point_radius=point_radius, scribble_width=scribble_width
    )
    whole = load(size=None)
    height, width = whole.weak.labels.shape
    fitted = predictor.fit(height, width)
    sample = whole if fitted == (height, width) else load(size=predictor.size, zoom=predictor.zoom)
    index = predictor.prototypes if by == "retrieval" else None
    scores = pseudo_scores(predictor.model, sample, index=index).cpu()
    labels = label_at_resolution(scores, height, width, covered=fitted, confidence=confidence)
    known = whole.weak.labels
    return whole.image, np.where(known == UNLABELLED, labels, known).astype(np.int16)


def _check_classes(predictor: Predictor, dataset: Dataset) -> None:
    if predictor.classes.names != dataset.classes.names:
        raise ConfigError(
            f"{dataset.root}: its classes are not those of the model "
            f"({', '.join(predictor.classes.names)}), or in another order"
        )
