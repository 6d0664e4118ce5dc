"""Cells that are done -> rows of figures over seeds; what stopped the others."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hintseg.bootstrap import ImageCounts
from hintseg.compare.choices import MASKS, HintChoice
from hintseg.compare.folder import CompareFolder, State
from hintseg.compare.judging import read_counts
from hintseg.compare.plan import Cell, Plan
from hintseg.errors import HintSegError, RunError
from hintseg.files import read_json
from hintseg.methods import find_method
from hintseg.methods.seeded import LOCALISE

PLURALS = {
    "tag": "tags",
    "box": "boxes",
    "point": "points",
    "scribble": "scribbles",
    "polygon": "polygons",
    "mask": "bitmaps",
    "painted": "painted pixels",
}
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CellResult:
    """A cell with all that is known of it."""

    cell: Cell
    state: State
    note: str  # why it is not done
    record: Mapping[str, Any]
    figures: Mapping[tuple[str, str], Figures]  # (split, variant) -> figures
    learned: str = ""  # what from, in words

    def miou(self, split: str, variant: str) -> float | None:
        """Its mIoU; None where there is none."""
        value = self.figures.get((split, variant), {}).get("miou")
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Row:
    """A method on one kind of hints: its cells of all seeds."""

    method: str
    hints: HintChoice
    cells: Sequence[CellResult]

    @property
    def label(self) -> str:
        """As it is written in charts and sentences."""
        return self.method if self.hints.name == MASKS else f"{self.method}, {self.hints.label}"

    @property
    def done(self) -> list[CellResult]:
        """Cells with figures, by seed."""
        return [result for result in self.cells if result.state == "done"]

    @property
    def learned(self) -> str:
        """What it learned from, in words; empty as long as it is not known."""
        return next((result.learned for result in self.done if result.learned), "")

    def scores(self, split: str, variant: str) -> list[float]:
        """The mIoU of each seed, in order."""
        found = (result.miou(split, variant) for result in self.done)
        return [score for score in found if score is not None]

    def seeds(self, split: str, variant: str) -> list[int]:
        """The seeds of `scores`."""
        return [r.cell.seed for r in self.done if r.miou(split, variant) is not None]

    def mean_of(self, split: str, variant: str, *keys: str) -> float | None:
        """Mean over seeds of a figure, such as "trimap", "5", "miou"."""
        values = [_inner(result.figures.get((split, variant), {}), keys) for result in self.done]
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    def mean_record(self, *keys: str) -> float | None:
        """Mean over seeds of a number in the record, such as "seconds"."""
        values = [_inner(result.record, keys) for result in self.done]
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    @property
    def notes(self) -> list[str]:
        """Why cells are not done, each reason once, with the seeds where not all share it."""
        reasons: dict[str, list[int]] = {}
        for result in self.cells:
            if result.note:
                reasons.setdefault(f"{result.state}: {result.note}", []).append(result.cell.seed)
        return [
            reason
            if len(seeds) == len(self.cells)
            else f"seed {', '.join(map(str, seeds))} {reason}"
            for reason, seeds in reasons.items()
        ]


@dataclass(frozen=True)
class Results:
    """A comparison as far as it is done."""

    root: Path
    plan: Plan
    cells: Sequence[CellResult]

    @property
    def split(self) -> str:
        """The split that is reported."""
        return self.plan.splits[0]

    @cached_property
    def rows(self) -> list[Row]:
        """Methods on hints, in the order of the plan; what is learned from masks comes last."""
        grouped: dict[tuple[HintChoice, str], list[CellResult]] = {}
        for result in self.cells:
            grouped.setdefault((result.cell.hints, result.cell.method), []).append(result)
        rows = [Row(method, hints, found) for (hints, method), found in grouped.items()]
        order = list(dict.fromkeys(row.hints for row in rows))
        return sorted(rows, key=lambda row: (row.hints.name == MASKS, order.index(row.hints)))

    @property
    def drawn(self) -> list[Row]:
        """Rows with figures."""
        return [row for row in self.rows if row.scores(self.split, "plain")]

    @cached_property
    def ceiling(self) -> Row | None:
        """The best of the rows that learn from dense masks: what full supervision gives."""
        rows = [row for row in self.drawn if row.hints.name == MASKS]
        return max(rows, key=lambda row: self.mean(row) or 0.0, default=None)

    def mean(self, row: Row, variant: str = "plain", split: str | None = None) -> float | None:
        """Mean mIoU over seeds."""
        scores = row.scores(split or self.split, variant)
        return statistics.mean(scores) if scores else None

    def spread(self, row: Row, variant: str = "plain", split: str | None = None) -> float | None:
        """Half the range over seeds; None for a single seed."""
        scores = row.scores(split or self.split, variant)
        return (max(scores) - min(scores)) / 2 if len(scores) > 1 else None

    def share(self, row: Row, variant: str = "plain") -> float | None:
        """Of full supervision, predicted in the same way, or as near to it as that can be."""
        mine, ceiling = self.mean(row, variant), self.ceiling
        without = "+".join(part for part in variant.split("+") if part != "retrieval") or "plain"
        full = None
        if ceiling is not None:
            full = self.mean(ceiling, variant) or self.mean(ceiling, without)
        return mine / full if mine is not None and full else None

    def counts(self, row: Row, variant: str, seeds: Sequence[int]) -> list[ImageCounts]:
        """Counts of the test images, for these seeds in order."""
        folder, by_seed = CompareFolder(self.root), {r.cell.seed: r.cell for r in row.done}
        return [
            read_counts(folder.cell(by_seed[seed]).counts_file(self.split, variant))
            for seed in seeds
        ]


def read_results(root: Path, plan: Plan) -> Results:
    """All that the folder of a comparison holds; a damaged file is a failed cell."""
    return Results(root, plan, [_read(root, plan, cell) for cell in plan.cells])


def _read(root: Path, plan: Plan, cell: Cell) -> CellResult:
    folder = CompareFolder(root)
    files, state = folder.cell(cell), folder.state(plan, cell)
    try:
        note = cell.reason if state == "skipped" else files.error()
        if state != "done":
            return CellResult(cell, state, note, {}, {})
        judged = [(split, variant) for split in plan.splits for variant in plan.variants]
        figures = {place: read_json(files.figures_file(*place)) for place in judged}
        for place, found in figures.items():
            _refuse_odd(files.figures_file(*place), found)
        record = files.record()
        _refuse_odd_record(files.record_file, record)
        return CellResult(cell, state, "", record, figures, learned_from(cell, record, files.run))
    except HintSegError as error:
        return CellResult(cell, "failed", str(error), {}, {})


def _refuse_odd(file: Path, figures: Figures) -> None:
    """RunError for a file that holds no figures of a cell."""
    per_class = figures.get("per_class", {})
    known = isinstance(per_class, Mapping) and all(
        value is None or isinstance(value, int | float) for value in per_class.values()
    )
    if not known or not isinstance(figures.get("miou", 0.0), int | float | None):
        raise RunError(f"{file}: holds no figures; delete it and run the comparison again")


def _refuse_odd_record(file: Path, record: Mapping[str, Any]) -> None:
    """RunError for a file that is no record of a cell, as far as tables and pages look at it."""
    parts = {key: record.get(key, {}) for key in ("work", "memory", "versions", "init", "machine")}
    known = all(isinstance(part, Mapping) for part in parts.values()) and all(
        isinstance(value, int | float | None)
        for key in ("work", "memory")
        for value in parts[key].values()
    )
    texts = isinstance(record.get("source"), str | None)
    used = isinstance(record.get("hints_used") or {}, Mapping)
    if not (known and texts and used and isinstance(record.get("commands", []), list)):
        raise RunError(f"{file}: no record of a cell; delete it and run the comparison again")


def learned_from(cell: Cell, record: Mapping[str, Any], run: Path) -> str:
    """Kinds of hints that a training saw, and whether it made seeds: "tags, by seeds".

    A method from tags makes seeds only of classes that hints name but do not show.
    """
    used = record.get("hints_used") or {}
    kinds = [kind for kind in used if kind != "images"]
    if not kinds:
        return "dense masks" if cell.hints.name == MASKS else cell.hints.name
    text = " + ".join(PLURALS.get(kind, kind) for kind in kinds)
    if LOCALISE not in find_method(cell.method).stage_names:
        return text
    seeds = (run / LOCALISE / "manifest.json").is_file()
    return f"{text}, by seeds" if seeds else f"{text}, no seeds"


def _inner(content: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
