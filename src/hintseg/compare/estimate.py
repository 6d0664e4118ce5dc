"""How long cells will take: by those that are done, or by one step of the network."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from hintseg.compare.folder import CompareFolder
from hintseg.compare.plan import Cell, Plan
from hintseg.errors import HintSegError
from hintseg.files import read_json
from hintseg.methods.settings import TrainSettings

PREDICTION = 1 / 3  # of a training step of one image: no backward pass
VARIANT_COST = {"plain": 1.0, "scales": 6.0, "crf": 2.0, "retrieval": 2.0}


def estimate(root: Path, plan: Plan) -> Mapping[str, float]:
    """Seconds for each cell that is not done, by its name.

    Cells of a method that has been timed here take what those took, in the median. Others are
    reckoned by a step of a plain network of the same size; a method of several stages takes two to
    four times that.
    """
    folder = CompareFolder(root)
    todo = [cell for cell in plan.todo if not folder.is_done(plan, cell)]
    known = _timed(folder, plan)
    unknown = [cell for cell in todo if cell.method not in known]
    rough = _by_one_step(plan, unknown[0]) if unknown else 0.0
    return {cell.name: known.get(cell.method, rough) for cell in todo}


def _timed(folder: CompareFolder, plan: Plan) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for cell in plan.todo:
        files = folder.cell(cell)
        if not folder.is_done(plan, cell):
            continue
        judged = [
            files.figures_file(split, variant) for split in plan.splits for variant in plan.variants
        ]
        try:
            seconds = float(files.record().get("seconds", 0.0))
            seconds += sum(_seconds_of(file) for file in judged)
        except HintSegError:
            continue
        found.setdefault(cell.method, []).append(seconds)
    return {method: statistics.median(values) for method, values in found.items()}


def _seconds_of(file: Path) -> float:
    return float(read_json(file).get("seconds", 0.0))


def _by_one_step(plan: Plan, cell: Cell) -> float:
    settings = plan.config(cell, "").train
    step = _step_of_one_image(settings)
    dataset = plan.dataset()
    images = sum(len(dataset.names(split)) for split in plan.splits)
    views = sum(
        max(VARIANT_COST[part] for part in name.split("+")) if "+" not in name else 8.0
        for name in plan.variants
    )
    return settings.steps * settings.batch * step + images * views * step * PREDICTION


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
    image = torch.zeros(1, 3, settings.crop, settings.crop, device=device)
    spent = 0.0
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        model(image).sum().backward()
        if gpu:
            torch.cuda.synchronize()
        spent = time.perf_counter() - began
    return spent


def in_words(seconds: float) -> str:
    """A length of time, roughly.

    >>> in_words(42.0), in_words(600.0), in_words(9000.0)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
