"""The report of a run: figures, curves, settings, and its worst pictures first."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hintseg.data.dataset import Dataset
from hintseg.engine.run import Run, read_config
from hintseg.errors import HintSegError
from hintseg.evaluation import predicted_pairs, saliency_watch
from hintseg.files import read_json
from hintseg.images.grey import grey_picture
from hintseg.images.photographs import read_image
from hintseg.metrics import Evaluation, confusion_of, evaluate_pairs, metrics_of
from hintseg.predict.predictor import Predictor
from hintseg.report import figures
from hintseg.report.charts import Chart, distance_chart, stage_charts, threshold_chart
from hintseg.report.page import percent, write_page
from hintseg.report.pictures import (
    class_colours,
    css,
    data_uri,
    hint_picture,
    label_picture,
    shrunk,
)
from hintseg.report.tables import named_figures
from hintseg.saliency import SaliencyTotals
from hintseg.shares import evenly
from hintseg.structures import ClassSet, Hints, Image, LabelMap

SIDE = 400  # longer side of a picture, in pixels


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One image of the report beside what is known and what was predicted of it."""

    name: str
    image: Image
    hints: Image | None  # the image with its hints drawn on it
    prediction: LabelMap
    truth: LabelMap | None = None
    score: float | None = None  # mIoU of this image alone
    tags: tuple[int, ...] = ()  # classes ticked as tags, which no picture shows
    saliency: Image | None = None  # of a model of objects: how sure it is, black to white


def picture_rows(
    dataset: Dataset,
    predictor: Predictor,
    evaluation: Evaluation | None,
    names: Sequence[str],
    *,
    most: int = 12,
) -> list[PictureRow]:
    """Predict the images with the lowest mIoU, worst first.

    Without an evaluation, images at even distances; those with a mask get their mIoU here.
    """
    known = {} if evaluation is None else evaluation.images
    scores = {name: metrics_of(known[name]).miou for name in names if name in known}
    if scores:
        chosen = sorted(scores, key=lambda name: _rank(scores[name]))[:most]
    else:
        chosen = evenly(names, most)
    rows = [_row(dataset, predictor, name) for name in chosen]
    return sorted(rows, key=lambda row: _rank(row.score))


def write_report(
    run: Run,
    *,
    classes: ClassSet,
    evaluation: Evaluation | None = None,
    rows: Sequence[PictureRow] = (),
    split: str = "val",
    saliency: SaliencyTotals | None = None,
) -> Path:
    """Write RUN/report.html from the records of a run; it holds its pictures.

    Args:
        run: The run folder, finished or not.
        classes: What the label maps mean.
        evaluation: Of the images of `split`, if they have masks.
        rows: Pictures, in the order to show them.
        split: What was evaluated.
        saliency: Of a model of objects, what its maps are worth on that split.
    """
    log = run.read_log()
    settings = _readable_config(run)
    facts, records = _readable_facts(run), _readable_records(run)
    write_page(
        run.report_file,
        "report.html.j2",
        title=str(facts.get("method") or settings.get("method") or run.root.name),
        data=Path(str(settings.get("data", ""))).name,
        root=str(run.root),
        split=split,
        cards=[*_cards(log, evaluation, split), *_better_on_val(records)],
        remarks=[remark for record in records for remark in _remarks(record)],
        stages=_charts(log, records),
        sheets=_sheets(run, log),
        evaluation=None if evaluation is None else _evaluation(evaluation, classes),
        saliency=None if saliency is None else _saliency(saliency),
        settings=_flat(settings),
        facts=_flat(facts),
        columns=_columns(rows),
        rows=[_drawn(row, classes) for row in rows],
        scored=any(row.score is not None for row in rows),
    )
    return run.report_file


def report_run(run: Run, dataset: Dataset, predictor: Predictor, *, split: str = "val") -> Path:
    """Evaluate a trained model and write RUN/report.html.

    Pictures and figures are of `split` if all its images have masks; otherwise there are no
    figures, and pictures of the train split.
    """
    names = dataset.names(split) if dataset.has_split(split) else ()
    evaluation = totals = None
    if names and all(dataset.has_mask(name) for name in names):
        totals = SaliencyTotals() if predictor.is_salient else None
        watch = None if totals is None else saliency_watch(totals)
        pairs = predicted_pairs(predictor, dataset, names, watch=watch)
        evaluation = evaluate_pairs(pairs, len(dataset.classes))
    else:
        names = dataset.names("train") or dataset.train_names()
    rows = picture_rows(dataset, predictor, evaluation, names)
    return write_report(
        run,
        classes=dataset.classes,
        evaluation=evaluation,
        rows=rows,
        split=split,
        saliency=totals,
    )


def _rank(score: float | None) -> float:
    """Worst first; images without a score come last."""
    return math.inf if score is None or math.isnan(score) else score


def _row(dataset: Dataset, predictor: Predictor, name: str) -> PictureRow:
    image = dataset.image(name)
    predicted = predictor.predict(image)
    prediction, truth = predicted.labels, None
    with suppress(HintSegError):  # a broken mask must not cost a trained model its report
        truth = dataset.truth(name)
    score = None
    if truth is not None:
        score = metrics_of(confusion_of(prediction, truth, len(dataset.classes))).miou
    hints = Hints()
    with suppress(HintSegError):  # nor must hints of an image that nothing was learned from
        hints = dataset.hints(name)
    return PictureRow(
        name=name,
        image=image,
        hints=hint_picture(image, hints, dataset.classes, side=SIDE) if hints else None,
        prediction=prediction,
        truth=truth,
        score=score,
        tags=tuple(sorted(hints.flags)),
        saliency=grey_picture(predicted.saliency()) if predictor.is_salient else None,
    )


def _readable_config(run: Run) -> dict[str, Any]:
    with suppress(HintSegError):
        return read_config(run.config_file)
    return {}


def _readable_facts(run: Run) -> dict[str, Any]:
    with suppress(HintSegError):
        return read_json(run.root / "run.json")
    return {}


def _readable_records(run: Run) -> list[dict[str, Any]]:
    with suppress(HintSegError):
        return run.stage_records()
    return []


def _remarks(record: Mapping[str, Any]) -> list[str]:
    """What a stage found doubtful."""
    doubts = record.get("doubts") or []
    seeds = [f"seeds are in doubt: {'; '.join(doubts)}"] if doubts else []
    return [*seeds, *(record.get("remarks") or [])]


def _charts(
    log: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]
) -> dict[str, list[Chart]]:
    """The curves of every stage: of its log, and of the thresholds of its maps."""
    charts = stage_charts([dict(line) for line in log])
    for record in records:
        chart = threshold_chart(record.get("curve") or {})
        if chart is not None:
            charts.setdefault(str(record["stage"]), []).append(chart)
    return charts


def _cards(
    log: Sequence[Mapping[str, Any]], evaluation: Evaluation | None, split: str
) -> list[dict[str, str]]:
    """The figures to see first."""
    cards = [] if evaluation is None else _evaluation_cards(evaluation, split)
    validated = [line for line in log if _miou(line) is not None]
    if validated:
        best = max(validated, key=lambda line: _miou(line) or 0.0)
        label = f"best validation mIoU, after {int(best.get('step', 0)) + 1} steps"
        cards.append({"label": label, "value": percent(_miou(best))})
    steps = [line for line in log if isinstance(line.get("loss"), int | float)]
    if steps:
        label = f"loss after {int(steps[-1].get('step', 0)) + 1} steps"
        cards.append({"label": label, "value": f"{steps[-1]['loss']:.3g}"})
    return cards


def _better_on_val(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Who labels better, the classifier or the known segments, where both were tried."""
    found = [record["val_miou"] for record in records if record.get("val_miou")]
    if not found:
        return []
    best, other = sorted(found[-1], key=found[-1].get, reverse=True)
    label = f"by {best} on val, {percent(found[-1][other])} by {other}: predict --by best"
    return [{"label": label, "value": percent(found[-1][best])}]


def _evaluation_cards(evaluation: Evaluation, split: str) -> list[dict[str, str]]:
    metrics = evaluation.metrics
    trimaps = [
        {"label": f"mIoU within {width} px of a boundary", "value": percent(band.miou)}
        for width, band in evaluation.trimaps.items()
    ]
    return [
        {"label": f"mIoU on {split}", "value": percent(metrics.miou)},
        {"label": "pixel accuracy", "value": percent(metrics.pixel_accuracy)},
        {"label": "mean class accuracy", "value": percent(metrics.mean_accuracy)},
        *trimaps,
        {"label": "images evaluated", "value": str(len(evaluation.images))},
    ]


def _miou(line: Mapping[str, Any]) -> float | None:
    scores = line.get("val")
    value = scores.get("miou") if isinstance(scores, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _evaluation(evaluation: Evaluation, classes: ClassSet) -> dict[str, Any]:
    confusion = evaluation.metrics.confusion
    small = len(classes) <= figures.MOST_IN_TABLE
    return {
        "classes": figures.class_rows(evaluation.metrics, classes),
        "columns": figures.column_names(confusion, classes),
        "cells": figures.confusion_cells(confusion, classes) if small else [],
        "picture": "" if small else figures.confusion_picture(confusion, classes),
        "mistakes": figures.mistakes(confusion, classes),
    }


def _saliency(totals: SaliencyTotals) -> dict[str, Any]:
    figures = named_figures(totals.figures().record())
    return {
        "figures": {name: f"{value:.3f}" for name, value in figures.items()},
        "chart": distance_chart(totals.by_distance[0]),
    }


def _sheets(run: Run, log: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The contact sheets of the stages, in the order in which they were made."""
    sheets = []
    for file in run.sheets(log):
        with suppress(HintSegError):  # a broken one must not cost a trained model its report
            name = file.relative_to(run.root).as_posix()
            sheets.append({"name": name, "picture": data_uri(read_image(file))})
    return sheets


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value)."""
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            pairs.append((f"{prefix}{key}", ", ".join(map(str, value))))
        else:
            pairs.append((f"{prefix}{key}", "none" if value is None else str(value)))
    return pairs


def _columns(rows: Sequence[PictureRow]) -> list[str]:
    """Headings over the pictures; hints and truth only where some image has them."""
    hints = ["hints"] if any(row.hints is not None for row in rows) else []
    truth = ["truth"] if any(row.truth is not None for row in rows) else []
    saliency = ["saliency"] if any(row.saliency is not None for row in rows) else []
    return ["image", *hints, *saliency, "prediction", *truth]


def _drawn(row: PictureRow, classes: ClassSet) -> dict[str, Any]:
    colours = class_colours(classes)
    maps = [row.prediction] if row.truth is None else [row.prediction, row.truth]
    present = sorted({int(label) for labels in maps for label in np.unique(labels) if label >= 0})
    legend = [{"name": classes.names[label], "colour": css(colours[label])} for label in present]
    return {
        "name": row.name,
        "score": None if row.score is None else percent(row.score),
        "legend": legend,
        "tags": [{"name": classes.names[tag], "colour": css(colours[tag])} for tag in row.tags],
        "pictures": {
            "image": data_uri(shrunk(row.image, SIDE)),
            "hints": "" if row.hints is None else data_uri(shrunk(row.hints, SIDE)),
            "saliency": "" if row.saliency is None else data_uri(shrunk(row.saliency, SIDE)),
            "prediction": data_uri(label_picture(row.prediction, row.image, side=SIDE)),
            "truth": ""
            if row.truth is None
            else data_uri(label_picture(row.truth, row.image, side=SIDE)),
        },
    }
