"""Evaluate a run, or a folder of predicted masks, on a split of a data set."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hintseg.counts import Counts, counts_of
from hintseg.data.coverage import mask_remarks
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.errors import ConfigError, DataError
from hintseg.images.label_maps import has_class_palette, read_label_map
from hintseg.images.names import NamedFiles
from hintseg.metrics import Evaluation, evaluate_pairs, metrics_of
from hintseg.predict.options import PredictOptions
from hintseg.predict.prediction import Prediction
from hintseg.predict.salient import saliency_of
from hintseg.progress import progress
from hintseg.saliency import SaliencyTotals
from hintseg.structures import VOID, ClassSet, LabelMap

if TYPE_CHECKING:  # who evaluates a folder of masks loads no network
    from hintseg.predict.predictor import Predictor

RUN_FILES = ("model.json", "config.yaml")  # any of them makes a folder that of a run
DEFAULT = PredictOptions()
Watch = Callable[[Prediction, LabelMap], None]  # is told each prediction and its truth


def predicted_pairs(
    predictor: "Predictor",
    dataset: Dataset,
    names: Sequence[str],
    *,
    options: PredictOptions = DEFAULT,
    watch: Watch | None = None,
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """(name, prediction, truth) of images with masks, predicted one by one.

    By retrieval a train image does not find its own segments.
    """
    from hintseg.models.finite import scores_of  # noqa: PLC0415

    predictor.check(options)
    dataset = predictor.seen(dataset)
    predictor.check_classes(dataset)
    dataset = dataset.read_as(predictor.reading)
    for name in names:
        image = dataset.image(name)
        with scores_of(name):
            prediction = predictor.predict_by(options, image, exclude=name)
        truth = dataset.checked_truth(name)
        if watch is not None:
            watch(prediction, truth)
        yield name, prediction.labels, truth


def saliency_watch(totals: SaliencyTotals, options: PredictOptions = DEFAULT) -> Watch:
    """Adds the saliency map of each prediction; where the truth is void, nothing is there."""

    def watch(prediction: Prediction, truth: LabelMap) -> None:
        saliency = saliency_of(prediction, options)
        is_object = (truth >= 0) & (truth != prediction.classes.background)
        totals.add(np.where(truth < 0, 0.0, saliency), is_object)

    return watch


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
    there = set(dataset.with_masks(names))
    for name in names:
        if name not in there:
            raise DataError(
                f"{dataset.mask_path(name)}: no such mask; split {split!r} cannot be evaluated "
                "without it"
            )
    return names


@dataclass(frozen=True, slots=True)
class Figures:
    """What an evaluation says; shares in [0, 1], None where a figure does not exist."""

    miou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    per_class: Mapping[str, float | None]  # IoU
    absent_classes: Sequence[str]  # in no mask of the split
    void: float  # share of the mask pixels that do not count
    trimap: Mapping[str, Mapping[str, float | None]]  # width in pixels -> miou, pixel_accuracy
    images: int
    warnings: Sequence[str] = ()
    split: str = ""
    source: str = ""
    by: str = ""  # classifier, retrieval, or masks
    scales: Sequence[float] | None = None  # None: of masks
    flip: bool | None = None
    crf: str | None = None
    prototypes: str | None = None  # by retrieval: what named the known segments
    saliency: Mapping[str, float] | None = None  # measures of saliency maps, where asked for
    normalised: bool | None = None  # whether those were stretched to 0 to 1 first

    def record(self) -> dict[str, Any]:
        """The figures as plain values for JSON (`hintseg evaluate --json`)."""
        values = asdict(self)
        values["crf"] = self.crf or False
        for name in ("prototypes", "saliency", "normalised"):
            if values[name] is None:
                del values[name]
        return values


def summarize(found: Evaluation | Counts, classes: ClassSet) -> Figures:
    """The figures of an evaluation, or of its counts."""
    counts = counts_of(found) if isinstance(found, Evaluation) else found
    metrics = metrics_of(counts.confusion)
    bands = {width: metrics_of(band) for width, band in counts.trimaps.items()}
    named = zip(classes.names, metrics.iou.tolist(), strict=True)
    shown = zip(classes.names, counts.truth.pixels.tolist(), strict=True)
    return Figures(
        miou=_number(metrics.miou),
        pixel_accuracy=_number(metrics.pixel_accuracy),
        mean_accuracy=_number(metrics.mean_accuracy),
        per_class={name: _number(iou) for name, iou in named},
        absent_classes=[name for name, known in shown if not known],
        void=counts.truth.share_without,
        trimap={
            str(width): {"miou": _number(band.miou), "pixel_accuracy": _number(band.pixel_accuracy)}
            for width, band in bands.items()
        },
        images=counts.images,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def evaluate(  # noqa: PLR0913 - the options of the command
    source: str | PathLike[str],
    data: str | PathLike[str] | Dataset,
    *,
    split: str = "val",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    by: str = "classifier",
    crf: str | None = None,
    trimaps: Sequence[int] = (),
    saliency: bool | None = None,
    threshold: float | None = None,
    normalise: bool = False,
    device: str = "cpu",
) -> Figures:
    """The figures of a run, or of a folder of predicted masks, on a split, with how they were made.

    Args:
        source: Folder of a finished run, or of predicted masks NAME.png.
        data: Data set with masks, open or its folder.
        split: Whose images count.
        scales: As for `Predictor.predict`, and so flip, by and crf.
        flip: Average over mirror images too.
        by: "classifier", "retrieval", "both" or "best".
        crf: Preset of a dense CRF.
        trimaps: Widths in pixels of bands along boundaries that are evaluated alone.
        saliency: Also compare saliency maps with the masks of all that is no background; None:
            for a model of objects only.
        threshold: Saliency from which a pixel is an object; None: the most probable class.
        normalise: Stretch each saliency map to 0 to 1 first.
        device: Where the model runs.

    Raises:
        HintSegError: The source is neither, the split has no masks, or the classes disagree.
    """
    options = PredictOptions(scales, flip, by, crf, threshold, normalise)
    examination = examine(
        source, data, split, options, trimaps=trimaps, saliency=saliency, device=device
    )
    return examination.figures(examination.counts(examination.names))


@dataclass(frozen=True)
class Examination:
    """An evaluation that may be done in parts: counts of some images, and figures of their sum."""

    source: Path  # folder of a run, or of predicted masks
    dataset: Dataset  # as the model has learned it
    names: tuple[str, ...]  # of the split; all have masks
    split: str
    options: PredictOptions
    trimaps: tuple[int, ...]
    saliency: bool
    predictor: "Predictor | None"  # None: masks

    def counts(self, names: Sequence[str]) -> Counts:
        """What some of the images amount to."""
        totals = SaliencyTotals() if self.saliency else None
        if self.predictor is None:
            pairs = read_pairs(self.source, self.dataset, names)
            if totals is not None:
                pairs = _with_saliency(pairs, totals, self.dataset)
        else:
            watch = None if totals is None else saliency_watch(totals, self.options)
            pairs = predicted_pairs(
                self.predictor, self.dataset, names, options=self.options, watch=watch
            )
        pairs = _watched(pairs, len(names))
        classes = len(self.dataset.classes)
        evaluation = evaluate_pairs(pairs, classes, trimaps=self.trimaps, each=False)
        return counts_of(evaluation, totals)

    def figures(self, counts: Counts) -> Figures:
        """The figures of all images, with how they were made."""
        return replace(
            summarize(counts, self.dataset.classes),
            warnings=mask_remarks(counts.truth, self.dataset, f"split {self.split!r}"),
            split=self.split,
            source=str(self.source),
            **self._made(counts),
        )

    def _made(self, counts: Counts) -> dict[str, Any]:
        options, made = self.options, dict[str, Any](by="masks")
        if self.predictor is not None:
            made = {"by": options.by, "scales": options.scales, "flip": options.flip}
            made["crf"] = options.crf
            if options.retrieves:
                made["prototypes"] = self.predictor.prototypes.labelled_by
        if counts.saliency is not None:
            figures = counts.saliency.figures().record()
            made |= {"saliency": figures, "normalised": options.normalise}
        return made


def examine(
    source: str | PathLike[str],
    data: str | PathLike[str] | Dataset,
    split: str,
    options: PredictOptions = DEFAULT,
    *,
    trimaps: Sequence[int] = (),
    saliency: bool | None = None,
    device: str = "cpu",
) -> Examination:
    """All that an evaluation needs, checked; arguments and errors as of `evaluate`."""
    folder = Path(source)
    dataset = data if isinstance(data, Dataset) else open_dataset(Path(data))
    names = names_with_masks(dataset, split)
    predictor = None
    if any((folder / name).exists() for name in RUN_FILES):
        from hintseg.predict.predictor import load  # noqa: PLC0415

        predictor = load(folder, device=device)
        options, dataset = predictor.settled(options), predictor.seen(dataset)
        if saliency is None:
            saliency = predictor.is_salient
    else:
        _check_masks(folder, options)
    return Examination(
        source=folder,
        dataset=dataset,
        names=names,
        split=split,
        options=options,
        trimaps=tuple(trimaps),
        saliency=bool(saliency),
        predictor=predictor,
    )


def _watched(
    pairs: Iterator[tuple[str, LabelMap, LabelMap]], count: int
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """The same, with a bar."""
    with progress("evaluate", count) as advance:
        for name, predicted, truth in pairs:
            yield name, predicted, truth
            advance(name)


def _check_masks(folder: Path, options: PredictOptions) -> None:
    """Refuse options of models, and a folder that is none."""
    if options.retrieves or options.crf is not None or options.asks_for_objects:
        option = f"--by {options.by}" if options.retrieves else f"--crf {options.crf}"
        if options.asks_for_objects:
            option = "--threshold, --normalise"
        raise ConfigError(f"{option}: {folder} is no run folder; masks are evaluated as they are")
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; give a run folder or a folder of predicted masks"
        )


def _with_saliency(
    pairs: Iterator[tuple[str, LabelMap, LabelMap]], totals: SaliencyTotals, dataset: Dataset
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """The same, every mask taken for a saliency map of 0 and 1."""
    background = dataset.classes.background
    if background is None:
        raise ConfigError(
            f"--saliency: no class of {dataset.root} is the background; name it under background:"
        )
    for name, predicted, truth in pairs:
        found = (predicted >= 0) & (predicted != background) & (truth >= 0)
        totals.add(found.astype(np.float64), (truth >= 0) & (truth != background))
        yield name, predicted, truth
