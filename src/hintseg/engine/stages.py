"""A method is a row of stages; a finished stage is not done again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintseg.engine.run import Run


@dataclass(frozen=True, slots=True)
class Stage:
    """A named step of a method; `work` writes into the stage's folder and returns its record."""

    name: str
    work: Callable[[Path], dict[str, Any]]


def run_stages(
    stages: Sequence[Stage], run: Run, *, writer: bool, barrier: Callable[[], None] | None = None
) -> None:
    """Do the stages in order, each once; only the `writer` (rank 0) writes manifests.

    `barrier` lets all ranks wait for each other: a stage reads the manifests of those before it.
    """
    for stage in stages:
        if barrier is not None:
            barrier()
        if run.is_done(stage.name):
            continue
        began = time.perf_counter()
        record = stage.work(run.stage_folder(stage.name))
        if writer:
            seconds = round(time.perf_counter() - began, 1)
            run.finish(stage.name, {"stage": stage.name, "seconds": seconds, **record})
