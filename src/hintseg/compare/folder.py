"""Where a comparison keeps what: OUT/compare.json, OUT/data, OUT/cells, the table and the page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hintseg.compare.choices import OWN, HintChoice
from hintseg.compare.plan import Cell, Plan
from hintseg.files import read_json

State = Literal["done", "failed", "to do", "skipped"]


@dataclass(frozen=True, slots=True)
class CellFolder:
    """The files of a cell."""

    root: Path

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.root / "run"

    @property
    def record_file(self) -> Path:
        """All that is known of it, once it is trained."""
        return self.root / "cell.json"

    @property
    def error_file(self) -> Path:
        """Why it failed."""
        return self.root / "error.json"

    @property
    def log_file(self) -> Path:
        """What its process said."""
        return self.root / "log.txt"

    @property
    def lock_file(self) -> Path:
        """Held by the process that is working on it."""
        return self.root / "lock"

    @property
    def pictures(self) -> Path:
        """Predictions of the images that the page shows."""
        return self.root / "pictures"

    def figures_file(self, split: str, variant: str) -> Path:
        """Figures of a variant on a split."""
        return self.root / "figures" / f"{split}-{variant}.json"

    def counts_file(self, split: str, variant: str) -> Path:
        """Pixels by image and class, from which any mean over images can be made."""
        return self.root / "figures" / f"{split}-{variant}.safetensors"

    def record(self) -> dict[str, Any]:
        """What is known of it; empty before it is trained."""
        return read_json(self.record_file) if self.record_file.is_file() else {}

    def error(self) -> str:
        """Why it failed; empty if it did not."""
        if not self.error_file.is_file():
            return ""
        return str(read_json(self.error_file).get("error", "unknown"))


@dataclass(frozen=True, slots=True)
class CompareFolder:
    """The files of a comparison."""

    root: Path

    @property
    def lock_file(self) -> Path:
        """Held while one process starts cells here."""
        return self.root / "compare.lock"

    def cell(self, cell: Cell) -> CellFolder:
        """The files of a cell."""
        return CellFolder(self.root / "cells" / cell.name)

    def data(self, plan: Plan, hints: HintChoice, seed: int) -> Path:
        """The data set that a cell learns from."""
        if hints.is_drawn:
            return self.root / "data" / f"{hints.slug}-{seed}"
        return Path(plan.data)

    def state(self, plan: Plan, cell: Cell) -> State:
        """What has become of a cell."""
        if cell.reason:
            return "skipped"
        files = self.cell(cell)
        if files.error_file.is_file():
            return "failed"
        return "done" if self.is_done(plan, cell) else "to do"

    def is_done(self, plan: Plan, cell: Cell) -> bool:
        """Whether it is trained, and evaluated in every variant on every split."""
        files = self.cell(cell)
        judged = ((split, variant) for split in plan.splits for variant in plan.variants)
        return files.record_file.is_file() and all(
            files.figures_file(split, variant).is_file() for split, variant in judged
        )


def hints_in_words(hints: HintChoice, *, seed: int) -> str:
    """How the hints of a cell came to be."""
    if hints.is_drawn:
        return f"simulated from the masks, seed {seed}"
    return "of the data set" if hints.name == OWN else "none; dense masks"
