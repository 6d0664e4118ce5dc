"""Comparisons whose cells were never trained: their figures are drawn at random, around a goal."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hintseg.compare.cell import Work, commands_of
from hintseg.compare.folder import CompareFolder
from hintseg.compare.judging import TRIMAP, save_counts, shown_names
from hintseg.compare.plan import Cell, Plan, write_plan
from hintseg.data.dataset import Dataset
from hintseg.evaluation import summarize
from hintseg.files import write_json
from hintseg.images.label_maps import write_label_map
from hintseg.metrics import Evaluation, evaluate_pairs

Truths = Mapping[str, Mapping[str, np.ndarray]]  # split -> image -> mask
GAINS = {"plain": 0.0, "scales": 0.02, "crf": 0.04, "retrieval": 0.03}
GOALS = {"full": 0.9, "tags": 0.55, "boxes": 0.75, "points": 0.65, "scribbles": 0.8}


def goal_of(cell: Cell, variant: str) -> float:
    """Share of pixels that a cell gets right."""
    place = sum(map(ord, cell.method)) % 13
    base = 0.9 if cell.method == "full" else GOALS.get(cell.hints.kinds[0], 0.7) + 0.01 * place
    less = 0.08 * (1 - cell.hints.fraction)
    return min(0.97, base - less + GAINS[variant] + 0.01 * (cell.seed - 1))


def fabricate(root: Path, plan: Plan, dataset: Dataset, *, leave: tuple[str, ...] = ()) -> None:
    """Write a comparison with all cells done, but for those that are left."""
    write_plan(root, plan)
    truths = {
        split: {name: dataset.checked_truth(name)[::4, ::4] for name in dataset.names(split)}
        for split in plan.splits
    }
    for cell in plan.todo:
        if cell.name not in leave:
            _cell(root, plan, dataset, cell, truths)


def _cell(root: Path, plan: Plan, dataset: Dataset, cell: Cell, truths: Truths) -> None:
    files = CompareFolder(root).cell(cell)
    rng = np.random.default_rng(sum(map(ord, cell.name)))
    for split in plan.splits:
        for variant in plan.variants:
            evaluation = _evaluated(
                truths[split], len(dataset.classes), goal_of(cell, variant), rng
            )
            save_counts(files.counts_file(split, variant), evaluation)
            figures = summarize(evaluation, dataset.classes).record()
            near = {str(TRIMAP): {"miou": 0.8 * float(figures["miou"])}}
            content = {**figures, "trimap": near, "seconds": 3.0}
            write_json(files.figures_file(split, variant), content)
    for name in shown_names(dataset, plan.splits[0]):
        seen = _guess(
            dataset.checked_truth(name), goal_of(cell, "plain"), len(dataset.classes), rng
        )
        write_label_map(files.pictures / f"{name}.png", seen, classes=len(dataset.classes))
    kind = cell.hints.kinds[0].removesuffix("s").replace("boxe", "box")
    used = {} if cell.method == "full" else {"images": 9, kind: {"images": 9, "hints": 30}}
    if "localise" in cell.method or cell.hints.kinds[0] in ("tags", "boxes"):
        write_json(files.run / "localise" / "manifest.json", {})
    write_json(
        files.record_file,
        {
            "cell": cell.name,
            "commands": commands_of(Work(root, plan, cell)),
            "commit": "0123456789ab",
            "source": "0123456789abcdef",
            "versions": {"torch": "2.14.1", "hintseg": "0.1.0"},
            "machine": {"processor": "a processor", "threads": "1"},
            "device": "cpu",
            "init": {"weights": "imagenet", "sha256": "ab" * 32},
            "steps": 500,
            "hints_used": used,
            "work": _work(cell),
            "seconds": 300 + 200 * len(cell.method),
            "memory": {"peak_mb": 1000.0 + 90 * len(cell.method), "gpu_peak_mb": None},
            "model_sha256": cell.name,
            "hints_sha256": cell.hints.name,
        },
    )


def _work(cell: Cell) -> dict[str, float]:
    drawn = {"tags": {}, "boxes": {"box": 3.0}, "points": {"point": 3.0, "more": 2.0}}
    mine = {"mask": 4.0} if cell.method == "full" else drawn.get(cell.hints.name, {"scribble": 4.0})
    return {"tag": 18.0, **mine}


def _evaluated(
    truths: Mapping[str, np.ndarray], classes: int, goal: float, rng: np.random.Generator
) -> Evaluation:
    pairs = ((name, _guess(truth, goal, classes, rng), truth) for name, truth in truths.items())
    return evaluate_pairs(pairs, classes)


def _guess(truth: np.ndarray, goal: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    """The truth with blocks of other classes in it."""
    height, width = truth.shape
    right = rng.random((height // 8 + 1, width // 8 + 1)) < goal
    others = rng.integers(0, classes, right.shape)
    big = [np.kron(part, np.ones((8, 8), int))[:height, :width] for part in (right, others)]
    known = np.where(truth >= 0, truth, 0)
    return np.where(big[0] > 0, known, big[1]).astype(np.int16)
