"""The results as tables: Markdown to read, CSV for a spreadsheet, JSON with all there is."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hintseg.compare.effort import checked_rates, seconds_of
from hintseg.compare.judging import TRIMAP
from hintseg.compare.results import CellResult, Results, Row
from hintseg.compare.words import sentences

CSV_HEAD = (
    *("cell", "method", "hints", "fraction", "seed", "state", "split", "variant"),
    *("miou", "pixel_accuracy", "miou_near_boundaries", "train_seconds", "peak_mb", "gpu_peak_mb"),
    *("annotation_seconds_per_image", "note"),
)


def markdown(results: Results, seconds: Mapping[str, float]) -> str:
    """One line for each method, kind of hints and variant; below it what cannot be a number.

    Fit to be pasted where Markdown is understood.
    """
    split, rates = results.split, checked_rates(seconds)
    with_val = "val" in results.plan.splits and split != "val"
    head = (
        *("hints", "method", "learned from", "variant", f"{split} mIoU %", "by seed", "of full %"),
        *(["val mIoU %"] if with_val else []),
        *("pixel accuracy %", f"within {TRIMAP} px %", "train min", "peak MB", "annotate s/image"),
    )
    lines = [_line(head), _line(["---"] * len(head))]
    for row in results.rows:
        for variant in results.plan.variants:
            if row.scores(split, variant):
                cells = _figures(results, row, variant, with_val=with_val)
                effort = _number(effort_of(row, rates), digits=0)
                lines.append(_line([*cells, effort]))
    lists = [
        [f"- {_plain(text)}" for text in sentences(results)],
        [f"- {_plain(note)}" for note in left_out(results)],
        [_provenance(results)],
    ]
    table = [] if len(lines) == 2 else lines
    return "\n\n".join("\n".join(part) for part in (table, *lists) if part) + "\n"


def left_out(results: Results) -> list[str]:
    """Why there are cells without figures: each reason once, failures before what was skipped.

    A reason comes with the rows that share it, such as "partial on tags, boxes".
    """
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in results.rows:
        for note in row.notes:
            methods = reasons.setdefault(note, {})
            methods.setdefault(row.method, []).append(row.hints.label)
    told = []
    for note, rows in reasons.items():
        named = (f"{method} on {', '.join(hints)}" for method, hints in rows.items())
        told.append(f"{'; '.join(named)}: {note}")
    return sorted(told, key=lambda text: "skipped: " in text)


def comma_separated(results: Results, seconds: Mapping[str, float]) -> str:
    """One line for each cell, split and variant; a cell without figures has one line."""
    buffer, rates = io.StringIO(), checked_rates(seconds)
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for result in results.cells:
        writer.writerows(_csv_lines(result, rates))
    return buffer.getvalue()


def record(results: Results, seconds: Mapping[str, float]) -> dict[str, Any]:
    """All that is known, as plain values."""
    rates = checked_rates(seconds)
    return {
        "data": {"path": results.plan.data, "sha256": results.plan.digest},
        "settings": results.plan.settings,
        "variants": list(results.plan.variants),
        "splits": list(results.plan.splits),
        "crf": results.plan.crf,
        "seconds_of_annotation": rates,
        "rows": [_row_record(results, row, rates) for row in results.rows],
        "sentences": sentences(results),
        "cells": [_cell_record(result) for result in results.cells],
    }


def effort_of(row: Row, rates: Mapping[str, float]) -> float | None:
    """Seconds of a person for a train image."""
    works = [result.record.get("work") for result in row.done]
    known = [seconds_of(work, rates) for work in works if isinstance(work, Mapping)]
    return sum(known) / len(known) if known else None


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent, without the sign.

    >>> percent(0.734), percent(None)
    ('73.4', '-')
    """
    return _number(None if share is None else 100 * share, digits=digits)


def _figures(results: Results, row: Row, variant: str, *, with_val: bool) -> list[str]:
    split, spread = results.split, results.spread(row, variant)
    mean = percent(results.mean(row, variant))
    minutes, peak = row.mean_record("seconds"), row.mean_record("memory", "peak_mb")
    return [
        row.hints.label,
        row.method,
        row.learned,
        variant,
        mean if spread is None else f"{mean} ± {100 * spread:.1f}",
        ", ".join(percent(score) for score in row.scores(split, variant)),
        percent(results.share(row, variant), 0),
        *([percent(results.mean(row, variant, "val"))] if with_val else []),
        percent(row.mean_of(split, variant, "pixel_accuracy")),
        percent(row.mean_of(split, variant, "trimap", str(TRIMAP), "miou")),
        _number(None if minutes is None else minutes / 60),
        _number(peak, digits=0),
    ]


def _provenance(results: Results) -> str:
    """What all figures have in common, in one line."""
    records = [result.record for result in results.cells if result.state == "done"]
    if not records:
        return "No cell is done yet."

    def each(*keys: str) -> str:
        values = dict.fromkeys(str(_inside(record, keys)) for record in records)
        return " / ".join(values)

    return (
        f"Spread: half the range over seeds. Commit {each('commit')}, torch "
        f"{each('versions', 'torch')}, {each('device')}, {each('machine', 'processor')}, "
        f"{each('machine', 'threads')} threads; initial weights {each('init', 'weights')}; "
        f"{each('steps')} steps; variants: scales 0.75, 1, 1.25 and mirror images, crf "
        f"{results.plan.crf}, retrieval. Commands and hashes of every cell: table.json."
    )


def _inside(content: Mapping[str, Any], keys: Sequence[str]) -> object:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _csv_lines(result: CellResult, rates: Mapping[str, float]) -> Iterator[list[Any]]:
    cell, memory = result.cell, result.record.get("memory", {})
    start = [cell.name, cell.method, cell.hints.name, cell.hints.fraction, cell.seed, result.state]
    if not result.figures:
        yield [*start, *[""] * (len(CSV_HEAD) - len(start) - 1), result.note]
    work = result.record.get("work", {})
    for (split, variant), figures in result.figures.items():
        near = figures.get("trimap", {}).get(str(TRIMAP), {}).get("miou")
        yield [
            *start,
            split,
            variant,
            figures.get("miou"),
            figures.get("pixel_accuracy"),
            near,
            result.record.get("seconds"),
            memory.get("peak_mb"),
            memory.get("gpu_peak_mb"),
            round(seconds_of(work, rates), 2),
            figures.get("missing", ""),
        ]


def _row_record(results: Results, row: Row, rates: Mapping[str, float]) -> dict[str, Any]:
    return {
        "method": row.method,
        "hints": asdict(row.hints),
        "learned_from": row.learned,
        "mean": {variant: results.mean(row, variant) for variant in results.plan.variants},
        "spread": {variant: results.spread(row, variant) for variant in results.plan.variants},
        "of_full": {variant: results.share(row, variant) for variant in results.plan.variants},
        "annotation_seconds_per_image": effort_of(row, rates),
        "notes": row.notes,
    }


def _cell_record(result: CellResult) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for (split, variant), found in result.figures.items():
        figures.setdefault(split, {})[variant] = found
    return {
        "cell": result.cell.name,
        "state": result.state,
        "note": result.note,
        **result.record,
        "figures": figures,
    }


def _line(cells: Sequence[str], length: int = 0) -> str:
    filled = [*cells, *[""] * (length - len(cells))]
    return "| " + " | ".join(filled) + " |"


def _plain(text: str) -> str:
    """In one cell of a table."""
    return " ".join(text.replace("|", "/").split())


def _number(value: float | None, *, digits: int = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
