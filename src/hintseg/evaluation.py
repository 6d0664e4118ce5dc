"""Evaluate a run, or a folder of predicted masks, on a split of a data set."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hintseg.data.coverage import mask_remarks
from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError, DataError
from hintseg.images.label_maps import has_class_palette, read_label_map
from hintseg.images.names import NamedFiles
from hintseg.metrics import Evaluation, evaluate_pairs
from hintseg.models.finite import scores_of
from hintseg.models.saved import DESCRIPTION
from hintseg.predict.predictor import Predictor, load
from hintseg.refine.crf import find_preset
from hintseg.structures import VOID, ClassSet, LabelMap


def predicted_pairs(
    predictor: Predictor,
    dataset: Dataset,
    names: Sequence[str],
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    by: str = "classifier",
    crf: str | None = None,
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """(name, prediction, truth) of images with masks, predicted one by one.

    By retrieval a train image does not find its own segments.
    """
    predictor.check(by)
    if predictor.classes.names != dataset.classes.names:
        raise ConfigError(
            f"{dataset.root}: its classes are not those of the model "
            f"({', '.join(predictor.classes.names)}), or in another order"
        )
    dataset = dataset.read_as(predictor.reading)
    for name in names:
        image = dataset.image(name)
        with scores_of(name):
            prediction = predictor.predict(
                image, scales=scales, flip=flip, by=by, exclude=name, crf=crf
            )
        yield name, prediction.labels, dataset.checked_truth(name)


def read_pairs(
    folder: Path, dataset: Dataset, names: Sequence[str]
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """(name, prediction, truth) of images with masks; predictions are NAME.png in a folder."""
    masks = NamedFiles(folder)
    for name in names:
        path = masks.find(name, ".png")
        if path is None or not path.is_file():
            raise DataError(
                f"{folder / name}.png: no prediction for image {name!r} of the split; "
                "predict it first"
            )
        predicted = _read_prediction(path, dataset)
        truth = dataset.checked_truth(name)
        if predicted.shape != truth.shape:
            raise DataError(
                f"{path}: is {predicted.shape[1]} x {predicted.shape[0]} pixels, the mask of "
                f"{name!r} {truth.shape[1]} x {truth.shape[0]}; predict at the image's own "
                "resolution"
            )
        yield name, predicted, truth


def _read_prediction(path: Path, dataset: Dataset) -> LabelMap:
    """Class indices where the file has the palette of the classes, else coded as masks are."""
    classes = len(dataset.classes)
    if not dataset.coding or has_class_palette(path, classes=classes):
        return read_label_map(path, classes=classes, undeclared=VOID)
    try:
        return read_label_map(path, classes=classes, undeclared=VOID, coding=dataset.coding)
    except DataError as error:
        raise DataError(
            f"{error} (predictions are read as the masks of the data set, unless they have the "
            "palette of the classes, as `hintseg predict` writes them)"
        ) from error


def names_with_masks(dataset: Dataset, split: str) -> tuple[str, ...]:
    """Images of a split, all of which must have a mask.

    Raises:
        DataError: The split is empty or an image of it has no mask.
    """
    names = dataset.names(split)
    if not names:
        raise DataError(f"{dataset.root}: split {split!r} is empty; nothing to evaluate")
    for name in names:
        if not dataset.has_mask(name):
            raise DataError(
                f"{dataset.mask_path(name)}: no such mask; split {split!r} cannot be evaluated "
                "without it"
            )
    return names


def summarize(evaluation: Evaluation, classes: ClassSet) -> dict[str, Any]:
    """The figures of an evaluation as plain values; None where a figure does not exist."""
    metrics = evaluation.metrics
    named = zip(classes.names, metrics.iou.tolist(), strict=True)
    per_class = {name: _number(iou) for name, iou in named}
    named_shown = zip(classes.names, evaluation.truth.pixels.tolist(), strict=True)
    return {
        "miou": _number(metrics.miou),
        "pixel_accuracy": _number(metrics.pixel_accuracy),
        "mean_accuracy": _number(metrics.mean_accuracy),
        "per_class": per_class,
        "absent_classes": [name for name, known in named_shown if not known],
        "void": evaluation.truth.share_without,
        "trimap": {
            str(width): {"miou": _number(band.miou), "pixel_accuracy": _number(band.pixel_accuracy)}
            for width, band in evaluation.trimaps.items()
        },
        "images": len(evaluation.images),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def evaluate_source(  # noqa: PLR0913 - the options of the command
    source: Path,
    dataset: Dataset,
    *,
    split: str = "val",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    by: str = "classifier",
    crf: str | None = None,
    trimaps: Sequence[int] = (),
    device: str = "cpu",
) -> dict[str, Any]:
    """The figures of a run, or of a folder of predicted masks, on a split, with how they were made.

    Raises:
        HintSegError: The source is neither, the split has no masks, or the classes disagree.
    """
    if crf is not None:
        find_preset(crf)
    names = names_with_masks(dataset, split)
    is_run = (source / DESCRIPTION).exists() or (source / "config.yaml").exists()
    if is_run:
        predictor = load(source, device=device)
        pairs = predicted_pairs(predictor, dataset, names, scales=scales, flip=flip, by=by, crf=crf)
    elif by != "classifier" or crf is not None:
        option = f"--by {by}" if by != "classifier" else f"--crf {crf}"
        raise ConfigError(f"{option}: {source} is no run folder; masks are evaluated as they are")
    elif source.is_dir():
        pairs = read_pairs(source, dataset, names)
    else:
        raise DataError(
            f"{source}: no such folder; give a run folder or a folder of predicted masks"
        )
    evaluation = evaluate_pairs(pairs, len(dataset.classes), trimaps=trimaps)
    views = {"scales": list(scales), "flip": flip} if is_run else {"scales": None, "flip": None}
    memory = {"prototypes": predictor.prototypes.labelled_by} if by == "retrieval" else {}
    return {
        **summarize(evaluation, dataset.classes),
        "warnings": mask_remarks(evaluation.truth, dataset, f"split {split!r}"),
        "split": split,
        "source": str(source),
        "by": by if is_run else "masks",
        **memory,
        **views,
        "crf": crf or False,
    }
