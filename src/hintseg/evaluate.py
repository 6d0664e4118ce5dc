"""Prediction and truth -> one confusion matrix over all images -> metrics."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import ndimage

from hintseg.data.coverage import Coverage, mask_remarks
from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError, DataError
from hintseg.label_maps import has_class_palette, read_label_map
from hintseg.models.finite import scores_of
from hintseg.models.saved import DESCRIPTION
from hintseg.names import NamedFiles
from hintseg.predict.predictor import Predictor, load
from hintseg.refine.dense_crf import find_preset
from hintseg.structures import VOID, ClassSet, LabelMap

Confusion = Int[np.ndarray, "classes classes+1"]  # rows: truth; columns: prediction, none


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a confusion matrix says; shares in [0, 1], NaN where a class or everything is absent."""

    confusion: Confusion  # pixels
    iou: Float[np.ndarray, " classes"]
    accuracy: Float[np.ndarray, " classes"]  # share of the pixels of each class that was found

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in truth or prediction."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that occur in the truth of the share found."""
        return _mean(self.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels labelled rightly."""
        return float(_share(np.trace(self.confusion), self.confusion.sum()))


def confusion_of(
    predicted: LabelMap,
    truth: LabelMap,
    classes: int,
    *,
    where: Bool[np.ndarray, "height width"] | None = None,
) -> Confusion:
    """Pixels by (true class, predicted class); where the truth is negative, nothing counts.

    The last column counts pixels that the prediction leaves without a class: they are missed.

    Raises:
        ConfigError: The two maps differ in size.
    """
    if predicted.shape != truth.shape:
        raise ConfigError(
            f"prediction is {predicted.shape}, truth is {truth.shape}; sizes must agree"
        )
    counted = truth >= 0 if where is None else (truth >= 0) & where
    found = np.where(predicted[counted] < 0, classes, predicted[counted])
    pairs = truth[counted].astype(np.int64) * (classes + 1) + found
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def metrics_of(confusion: Confusion) -> Metrics:
    """IoU_c = TP_c / (TP_c + FP_c + FN_c), from one matrix summed over the whole split.

    A class with pixels in neither truth nor prediction has no IoU (NaN) and does not count in the
    mean.
    """
    hits = np.diagonal(confusion)
    true, predicted = confusion.sum(axis=1), confusion[:, :-1].sum(axis=0)
    return Metrics(confusion, _share(hits, true + predicted - hits), _share(hits, true))


def near_boundary(truth: LabelMap, width: int) -> Bool[np.ndarray, "height width"]:
    """The trimap: pixels within `width` pixels of a pixel of another label (Kohli et al. 2009).

    Boundaries to VOID count too; the border of the image does not.
    """
    near = np.zeros(truth.shape, dtype=bool)
    positive = truth.astype(np.int64) - truth.min(initial=0) + 1
    for label, window in enumerate(ndimage.find_objects(positive), start=1):
        if window is None:
            continue
        # The pixel of another label that is nearest to one of these lies at most one step outside.
        rows, columns = (slice(max(0, s.start - 1), s.stop + 1) for s in window)
        inside = positive[rows, columns] == label
        if not inside.all():
            near[rows, columns] |= inside & (ndimage.distance_transform_edt(inside) <= width)
    return near


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a split as a whole, in its trimaps, and of every image alone."""

    metrics: Metrics
    trimaps: dict[int, Metrics]  # width in pixels -> metrics of the pixels that near a boundary
    images: dict[str, Confusion]
    void: int = 0  # pixels of the truth that do not count

    @property
    def truth(self) -> Coverage:
        """Pixels of the masks by class, and void ones."""
        return Coverage(self.metrics.confusion.sum(axis=1), self.void)


def evaluate(
    pairs: Iterable[tuple[str, LabelMap, LabelMap]], classes: int, *, trimaps: Sequence[int] = ()
) -> Evaluation:
    """Evaluate (name, prediction, truth) triples; nothing but counts is kept of them."""
    if any(width < 1 for width in trimaps):
        raise ConfigError(f"trimap: widths are 1 pixel or more, got {min(trimaps)}")
    total = np.zeros((classes, classes + 1), dtype=np.int64)
    bands = {width: total.copy() for width in trimaps}
    images, void = {}, 0
    for name, predicted, truth in pairs:
        void += int((truth < 0).sum())
        images[name] = confusion_of(predicted, truth, classes)
        total += images[name]
        for width in bands:
            near = near_boundary(truth, width)
            bands[width] += confusion_of(predicted, truth, classes, where=near)
    found = {width: metrics_of(band) for width, band in bands.items()}
    return Evaluation(metrics_of(total), found, images, void)


def _share(part: ArrayLike, whole: ArrayLike) -> Float[np.ndarray, "..."]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.asarray(part) / np.asarray(whole, dtype=np.float64))


def _mean(values: Float[np.ndarray, " classes"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


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
    evaluation = evaluate(pairs, len(dataset.classes), trimaps=trimaps)
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
