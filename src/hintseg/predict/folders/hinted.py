"""Images with hints -> folder of dense pseudo labels: model and hints together."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_hinted, load_weak
from hintseg.errors import ConfigError, DataError
from hintseg.hints.raster import BRUSH, Brush
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
from hintseg.predict.predictor import Predictor
from hintseg.predict.pseudo_labels import SHARPNESS, WALK_STEPS, pseudo_scores, refined
from hintseg.predict.tiles import best_at_resolution, label_at_resolution
from hintseg.predict.views import STRIDE
from hintseg.progress import progress
from hintseg.refine.crf import find_preset
from hintseg.shares import WHOLE, Share
from hintseg.structures import UNLABELLED, Sample, WeakLabels

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
    scores: bool = False,
    steps: int = WALK_STEPS,
    sharpness: float = SHARPNESS,
    crf: str | None = None,
    brush: Brush = BRUSH,
    share: Share = WHOLE,
) -> Outcome:
    """Write NAME.png for every image of a split with hints, and overlays/NAME.png on request.

    What an earlier call with the same model and options has made of the same photograph and hints
    is skipped; where one of them has changed the image is labelled anew. An image that cannot be
    read, or whose hints cannot, is reported in the outcome and does not stop the rest.

    With the settings of a run these are the labels that its stage `relabel` would give by this
    model, at the resolution of the photographs. Seeds that the run made take no part: the model has
    learned from them.

    Args:
        predictor: The model; by retrieval an image does not find its own segments.
        dataset: Has images and hints, and the classes of the model.
        out: Folder for the label maps.
        split: Which images.
        by: "classifier", "retrieval", "both" or "best".
        confidence: Pixels whose highest probability is below this are UNLABELLED; 0: none.
        overlays: Also write pictures.
        scores: Also write scores/NAME.png: how probable each label is, 255 is 1; hints are so.
        steps: Of the random walk; 0: none.
        sharpness: Of its transitions.
        crf: Preset of a dense CRF after the walk; None: none.
        brush: How wide hints are drawn; as the run drew them.
        share: Only those of the images; all shares together give the files of the whole.

    Raises:
        ConfigError: An option cannot work, the classes are not those of the model, or `out` holds
            the images or hints themselves, other files, or labels that were made otherwise.
        DataError: No such split, or no image of it has hints.
        RunError: By retrieval, and the run has no prototypes.
    """
    options = predictor.settled(PredictOptions(by=by, crf=crf))
    predictor.check(options)  # what cannot work is refused before anything is written
    if not 0 <= confidence <= 1:
        raise ConfigError(f"confidence: must be 0 to 1, got {confidence}")
    predictor.check_classes(dataset)
    dataset = dataset.read_as(predictor.reading)
    names = hinted_names(dataset, split)
    files = [dataset.images[name] for name in names]
    refuse_folder_of([*files, dataset.hints_folder / "NAME.json"], out, names)
    record = {
        "model": digest_of(predictor, options),
        "by": options.by,
        "confidence": float(confidence),
        "steps": steps,
        "sharpness": float(sharpness),
        "crf": None if crf is None else asdict(find_preset(crf)),
        **asdict(brush),
        **({"reading": asdict(dataset.reading)} if dataset.reading else {}),
    }
    claim(out, record, dataset.classes, file=RECORD)
    folder = LabelFolder(out, record, len(dataset.classes), overlays, scores)
    load = partial(load_hinted, dataset, brush=brush)
    weak = partial(load_weak, dataset, brush=brush)
    index = predictor.prototypes if options.retrieves else None
    score = partial(
        pseudo_scores,
        predictor.segmenter,
        steps=steps,
        sharpness=sharpness,
        index=index,
        both=by == "both",
    )
    label = partial(_labelled, predictor, load, score, crf=crf, confidence=confidence, sure=scores)
    mine = share.of(names)
    with progress("label", len(mine)) as advance:
        for name in mine:
            file = dataset.images[name]
            folder.add(name, file, partial(_digest, file, weak, name), partial(label, name))
            advance(name)
    return folder.outcome


def _digest(file: Path, load: Callable[..., WeakLabels], name: str) -> str:
    """Hash of the photograph's file, and of the hints as they are understood."""
    weak = load(name, size=None)
    digest = hashlib.sha256(digest_of_file(file).encode())
    for part in (weak.labels, weak.tags, weak.absent, weak.boxes):
        digest.update(f"{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _labelled(
    predictor: Predictor,
    load: Callable[..., Sample],
    score: Callable[[Sample], Tensor],
    name: str,
    *,
    crf: str | None,
    confidence: float,
    sure: bool,
) -> Labelling:
    """An image and its pseudo labels, both at its own resolution."""
    whole = load(name, size=None)
    height, width = whole.weak.labels.shape
    covered = predictor.fit(height, width)
    is_whole = covered == (height, width)
    sample = whole if is_whole else load(name, size=predictor.size, zoom=predictor.zoom)
    scores, stride = score(sample), STRIDE
    if crf is not None:
        scores = refined(scores, sample, crf)
        covered, stride = (scores.shape[1], scores.shape[2]), 1
    scores = scores.cpu()
    labels = label_at_resolution(
        scores, height, width, covered=covered, stride=stride, confidence=confidence
    )
    known = whole.weak.labels
    is_open = known == UNLABELLED
    best = None
    if sure:
        best = best_at_resolution(scores, height, width, covered=covered, stride=stride)
        best = np.where(is_open, best, 1.0)
    return Labelling(whole.image, np.where(is_open, labels, known).astype(np.int16), best)
