"""The page of a comparison: charts, tables, sentences, pictures of the same images by all."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintseg.compare.charts import charts
from hintseg.compare.effort import checked_rates, rates_in_words
from hintseg.compare.folder import CompareFolder
from hintseg.compare.judging import shown_names
from hintseg.compare.results import Results, Row
from hintseg.compare.tables import effort_of, left_out, percent
from hintseg.compare.words import Pair, pairs_of, points, summary
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.errors import HintSegError
from hintseg.files import read_json
from hintseg.images.label_maps import read_label_map
from hintseg.report.page import write_page
from hintseg.report.pictures import class_colours, css, data_uri, label_picture, shrunk
from hintseg.structures import VOID, Image

SIDE = 240  # longer side of a picture, in pixels
MOST = 40  # columns of pictures


@dataclass(frozen=True, slots=True)
class _Column:
    """Pictures of one row of the table: those of its first seed."""

    label: str
    folder: Path


def write_compare_page(path: Path, results: Results, seconds: Mapping[str, float]) -> None:
    """Write the page; it holds its pictures and needs no other file."""
    rates, split = checked_rates(seconds), results.split
    dataset = _dataset(results)
    done = sum(result.state == "done" for result in results.cells)
    write_page(
        path,
        "compare.html.j2",
        data=Path(results.plan.data).name,
        root=str(results.root),
        split=split,
        crf=results.plan.crf,
        cells=f"{done} of {len(results.cells)}",
        sentences=summary(results),
        charts=charts(results, rates),
        variants=results.plan.variants,
        rows=[_row(results, row, rates) for row in results.drawn],
        pairs=[_pair(pair) for pair in pairs_of(results)],
        without=left_out(results),
        failed=any(result.state == "failed" for result in results.cells),
        rates=rates_in_words(seconds),
        classes=list(_classes(results)),
        labels=[row.label for row in results.drawn],
        pictures=[] if dataset is None else list(_pictures(results, dataset)),
        columns=[column.label for column in _columns(results)],
        more=max(0, len(results.drawn) - MOST),
        legend=[] if dataset is None else _legend(dataset),
        made=[
            _made(result.record, results.root / "verified" / f"{result.cell.name}.json")
            for result in results.cells
            if result.state == "done"
        ],
    )


def _dataset(results: Results) -> Dataset | None:
    """The data set; a page can do without, when it has moved."""
    with suppress(HintSegError):
        return open_dataset(results.plan.data)
    return None


def _row(results: Results, row: Row, rates: Mapping[str, float]) -> dict[str, Any]:
    minutes, peak = row.mean_record("seconds"), row.mean_record("memory", "peak_mb")
    effort = effort_of(row, rates)
    return {
        "hints": row.hints.label,
        "method": row.method,
        "learned": row.learned,
        "scores": [_score(results, row, variant) for variant in results.plan.variants],
        "near": percent(row.mean_of(results.split, "plain", "trimap", "5", "miou")),
        "of_full": percent(results.share(row), 0),
        "minutes": "-" if minutes is None else f"{minutes / 60:.1f}",
        "peak": "-" if peak is None else f"{peak:.0f}",
        "effort": "-" if effort is None else f"{effort:.0f}",
        "notes": row.notes,
    }


def _pair(pair: Pair) -> dict[str, str]:
    return {
        "hints": pair.hints.label,
        "best": pair.best.method,
        "other": pair.other.method,
        "difference": points(pair.found),
        "verdict": pair.verdict,
    }


def _score(results: Results, row: Row, variant: str) -> str:
    mean, spread = results.mean(row, variant), results.spread(row, variant)
    return percent(mean) if spread is None else f"{percent(mean)} ± {100 * spread:.1f}"


def _classes(results: Results) -> Iterator[dict[str, Any]]:
    """IoU of every class in every row, the best one marked."""
    if not results.drawn:
        return
    first = results.drawn[0].done[0].figures[results.split, "plain"]
    for name in first.get("per_class", {}):
        means = [row.mean_of(results.split, "plain", "per_class", name) for row in results.drawn]
        best = max((mean for mean in means if mean is not None), default=None)
        cells = [{"text": percent(mean), "best": mean == best} for mean in means]
        yield {"name": name, "cells": cells}


def _columns(results: Results) -> list[_Column]:
    folder = CompareFolder(results.root)
    return [
        _Column(row.label, folder.cell(row.done[0].cell).pictures) for row in results.drawn[:MOST]
    ]


def _pictures(results: Results, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """The photograph, its mask, and what each method makes of it."""
    columns = _columns(results)
    for name in shown_names(dataset, results.split) if columns else []:
        with suppress(HintSegError):
            image, truth = dataset.image(name), dataset.checked_truth(name)
            files = [column.folder / f"{name}.png" for column in columns]
            yield {
                "name": name,
                "image": data_uri(shrunk(image, SIDE)),
                "truth": data_uri(label_picture(truth, image, side=SIDE)),
                "found": [_picture(file, image, dataset) for file in files],
            }


def _picture(file: Path, image: Image, dataset: Dataset) -> str:
    with suppress(HintSegError, OSError):
        labels = read_label_map(file, classes=len(dataset.classes), undeclared=VOID)
        return data_uri(label_picture(labels, image, side=SIDE))
    return ""


def _legend(dataset: Dataset) -> list[dict[str, str]]:
    colours = class_colours(dataset.classes)
    pairs = zip(dataset.classes.names, colours, strict=True)
    return [{"name": name, "colour": css(colour)} for name, colour in pairs]


def _made(record: Mapping[str, Any], verified: Path) -> dict[str, Any]:
    """How a cell came to be."""
    facts = {
        "commit": record.get("commit") or f"version {record.get('versions', {}).get('hintseg')}",
        "code": record.get("source"),
        "torch": record.get("versions", {}).get("torch"),
        "initial weights": record.get("init", {}).get("weights"),
        "their hash": str(record.get("init", {}).get("sha256", ""))[:16],
        "hash of data and hints": str(record.get("hints_sha256", ""))[:16],
        "hash of the model": str(record.get("model_sha256", ""))[:16],
        "steps": record.get("steps"),
        "device": record.get("device"),
        "processor": record.get("machine", {}).get("processor"),
        "threads": record.get("machine", {}).get("threads"),
        "seconds of training": record.get("seconds"),
        "beyond hints": _listed(record.get("extra_supervision")),
        "done again": _verdict(verified),
    }
    shown = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    return {"name": record.get("cell"), "facts": shown, "commands": record.get("commands", [])}


def _verdict(verified: Path) -> str:
    with suppress(HintSegError):
        found = read_json(verified)
        return "bit-equal" if found.get("bit_equal") else f"holds: {found.get('holds')}"
    return "not yet"


def _listed(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
