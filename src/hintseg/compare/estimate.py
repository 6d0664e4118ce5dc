"""How long cells will take: by those that are done, or by one step of the network."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from hintseg.compare.folder import CompareFolder
from hintseg.compare.plan import Cell, Plan
from hintseg.compare.reckoning import needs_seeds, work_of
from hintseg.data.dataset import Dataset
from hintseg.errors import HintSegError
from hintseg.files import read_json
from hintseg.methods.settings import TrainSettings

PASSED, TRIES = 4, 5  # images in a step, and how often, to time it
Kind = tuple[str, bool]
"""A method, and whether it has to make seeds."""


def estimate(root: Path, plan: Plan) -> Mapping[str, float]:
    """Seconds for each cell that is not done, by its name.

    Cells like those that are done here take what those took, in the median. Others are reckoned
    stage by stage (reckoning.py), by what the cells that are done took for their share, or, before
    any is done, by a step of the network.
    """
    folder, dataset = CompareFolder(root), plan.dataset()
    todo = [cell for cell in plan.todo if not folder.is_done(plan, cell)]
    if not todo:
        return {}
    known, share = _timed(folder, plan, dataset)
    unknown = [cell for cell in todo if _kind(plan, cell) not in known]
    unit = share or (_step_of_one_image(plan.config(unknown[0], "").train) if unknown else 0.0)
    rough = {cell.name: unit * work_of(plan, cell, dataset) for cell in unknown}
    return {cell.name: known.get(_kind(plan, cell), rough.get(cell.name, 0.0)) for cell in todo}


def _kind(plan: Plan, cell: Cell) -> Kind:
    return cell.method, needs_seeds(cell.hints, plan.config(cell, "").own.model_dump())


def _timed(folder: CompareFolder, plan: Plan, dataset: Dataset) -> tuple[dict[Kind, float], float]:
    """Seconds by kind of cell, and seconds for a unit of work; of cells that are done."""
    found, shares = dict[Kind, list[float]](), list[float]()
    for cell in plan.todo:
        seconds = _took(folder, plan, cell) if folder.is_done(plan, cell) else None
        if seconds is not None:
            found.setdefault(_kind(plan, cell), []).append(seconds)
            shares.append(seconds / work_of(plan, cell, dataset))
    medians = {kind: statistics.median(values) for kind, values in found.items()}
    return medians, statistics.median(shares) if shares else 0.0


def _took(folder: CompareFolder, plan: Plan, cell: Cell) -> float | None:
    files = folder.cell(cell)
    judged = [
        files.figures_file(split, variant) for split in plan.splits for variant in plan.variants
    ]
    try:
        trained = float(files.record().get("seconds", 0.0))
        return trained + sum(_seconds_of(file) for file in judged)
    except HintSegError:
        return None


def _seconds_of(file: Path) -> float:
    return float(read_json(file).get("seconds", 0.0))


def _step_of_one_image(settings: TrainSettings) -> float:
    """Seconds of forward and backward pass of one crop, without its weights being read."""
    import torch  # noqa: PLC0415

    from hintseg.models.saved import ModelDescription, build_model  # noqa: PLC0415

    description = ModelDescription(
        ("a", "b"),
        backbone=settings.backbone,
        output_stride=settings.output_stride,
        dim=settings.dim,
        width=settings.width,
    )
    gpu = settings.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    with torch.random.fork_rng():
        model = build_model(description).to(device).eval()
    images = torch.zeros(PASSED, 3, settings.crop, settings.crop, device=device)
    spent = []
    for _ in range(TRIES):  # the first one warms up; others on the machine slow some of them
        began = time.perf_counter()
        model(images).sum().backward()
        if gpu:
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    return min(spent) / PASSED


def in_words(seconds: float) -> str:
    """A length of time, roughly.

    >>> in_words(42.0), in_words(600.0), in_words(9000.0)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
