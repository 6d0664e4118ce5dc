"""Progress of long work on a terminal; silent elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hintseg.plain import one_line


@runtime_checkable
class Advance(Protocol):
    """Say that one more piece is done; `note` is shown behind the bar."""

    def __call__(self, note: str = "") -> None:
        """Move the bar by one."""
        ...


def is_first_process() -> bool:
    """Whether this is the one of several processes of a training that speaks to the user."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


@contextmanager
def progress(what: str, total: int, *, done: int = 0) -> Iterator[Advance]:
    """A bar with count, speed and time left while the block runs, on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal or not is_first_process():
        yield _silent
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done, note="")

        def advance(note: str = "") -> None:
            bar.update(task, advance=1, note=one_line(note))

        yield advance


def _silent(note: str = "") -> None:
    """Say nothing.

    (A `Progress` that is disabled is not the same: older releases of rich end it with an empty
    line.)
    """
    del note
