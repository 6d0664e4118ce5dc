"""A cell done again: bit-equal on the same machine, within the spread of seeds elsewhere."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hintseg.compare.folder import CellFolder, CompareFolder
from hintseg.compare.plan import Cell, Plan, write_plan
from hintseg.compare.results import Results, read_results
from hintseg.compare.running import Say, reason_of, spawned, wait_for
from hintseg.cores import COUNTS
from hintseg.errors import RunError
from hintseg.files import read_json, write_json

SPREAD_OF_ONE = (
    0.03  # in mIoU, where a single seed tells of none: seeds differ by one to three points
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of doing a cell again."""

    cell: str
    bit_equal: bool
    hints_equal: bool
    largest_difference: float  # in mIoU, over all splits and variants
    spread: float  # half the range over seeds of the row, in mIoU
    changed: tuple[str, ...]  # what is not as it was: packages, processor, threads, code

    @property
    def holds(self) -> bool:
        """Whether the figure can be repeated."""
        if self.bit_equal:
            return True
        near = self.largest_difference <= max(self.spread, 0.0)
        return bool(self.changed) and self.hints_equal and near

    def __str__(self) -> str:
        """The verdict in one or two lines."""
        if self.bit_equal:
            return f"{self.cell}: bit-equal: the same weights and the same figures"
        there = (
            f" ({'; '.join(self.changed)})" if self.changed else ", on the same machine and code"
        )
        gap = f"mIoU differs by at most {100 * self.largest_difference:.2f} points"
        if not self.hints_equal:
            return f"{self.cell}: differs: already the hints are others{there}"
        if self.holds:
            return f"{self.cell}: within the spread of seeds: {gap}{there}"
        return f"{self.cell}: differs: {gap}; seeds spread by {100 * self.spread:.2f}{there}"


def verify(root: Path, plan: Plan, name: str | None, *, say: Say) -> bool:
    """Do a cell again beside the old one, in a process like it; whether it is the same.

    Args:
        root: The folder of the comparison.
        plan: Its plan.
        name: Name or number of a finished cell; None: the one that took least time.
        say: Told the verdict.

    Raises:
        RunError: The cell is not done, or cannot be done again.
    """
    cell = _chosen(root, plan, name)
    again = root / "verify" / cell.name
    if again.exists():
        shutil.rmtree(again)  # of an interrupted verification
    write_plan(again, replace(plan, cells=(cell,)))
    old, new = CompareFolder(root).cell(cell), CompareFolder(again).cell(cell)
    _repeat(again, cell, new, threads=old.record().get("machine", {}).get("threads"))
    found = judged(old, new, plan, spread=_spread(read_results(root, plan), cell))
    write_json(root / "verified" / f"{cell.name}.json", {**asdict(found), "holds": found.holds})
    if found.holds:
        shutil.rmtree(again)
    say(f"{found}" + ("" if found.holds else f"; both are kept: {old.root} and {new.root}"))
    return found.holds


def judged(old: CellFolder, new: CellFolder, plan: Plan, *, spread: float) -> Verification:
    """Compare two cells by their weights, hints and figures."""
    before, after = old.record(), new.record()
    places = [(split, variant) for split in plan.splits for variant in plan.variants]
    figures = [
        (read_json(old.figures_file(*place)), read_json(new.figures_file(*place)))
        for place in places
    ]
    same = all(_repeatable(a) == _repeatable(b) for a, b in figures)
    gaps = [abs((a.get("miou") or 0.0) - (b.get("miou") or 0.0)) for a, b in figures]
    return Verification(
        cell=str(before["cell"]),
        bit_equal=same and before["model_sha256"] == after["model_sha256"],
        hints_equal=before["hints_sha256"] == after["hints_sha256"],
        largest_difference=max(gaps),
        spread=spread,
        changed=tuple(_changes(before, after)),
    )


def _chosen(root: Path, plan: Plan, name: str | None) -> Cell:
    folder = CompareFolder(root)
    if name is None:
        done = [cell for cell in plan.todo if folder.is_done(plan, cell)]
        if not done:
            raise RunError(f"{root}: no cell is done yet; nothing to verify")
        return min(done, key=lambda cell: folder.cell(cell).record().get("seconds", 0.0))
    cell = plan.find(name)
    if not folder.is_done(plan, cell):
        raise RunError(f"{cell.name}: is not done ({folder.state(plan, cell)}); nothing to verify")
    return cell


def _repeat(again: Path, cell: Cell, files: CellFolder, *, threads: str | None) -> None:
    words = [sys.executable, "-m", "hintseg", "compare", str(again), "--cell", cell.name]
    files.root.mkdir(parents=True, exist_ok=True)
    as_then = {} if threads is None else dict.fromkeys(COUNTS, str(threads))
    with files.log_file.open("wb") as log:
        code = wait_for(spawned(words, log, jobs=1, environment=as_then))
    if code:
        raise RunError(f"{cell.name}: could not be done again: {reason_of(code, files.log_file)}")


def _spread(results: Results, cell: Cell) -> float:
    """Half the range over seeds of the cell's row; of a single seed the usual one."""
    for row in results.rows:
        if (row.method, row.hints) == (cell.method, cell.hints):
            spread = results.spread(row)
            return SPREAD_OF_ONE if spread is None else spread
    return SPREAD_OF_ONE


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was when the cell was made."""
    for section in ("versions", "machine"):
        for key, value in after.get(section, {}).items():
            then = before.get(section, {}).get(key)
            if then != value:
                yield f"{key} {value}, was {then}"
    if before.get("device") != after.get("device"):
        yield f"device {after.get('device')}, was {before.get('device')}"
    if before.get("source") != after.get("source"):
        now, then = (of.get("commit") or of.get("source") for of in (after, before))
        yield f"code {now}, was {then}"


def _repeatable(figures: Mapping[str, Any]) -> dict[str, Any]:
    """All but the time, and but the folder that is named where figures are missing."""
    kept = {key: value for key, value in figures.items() if key not in ("seconds", "missing")}
    return {**kept, "there": "missing" not in figures}
