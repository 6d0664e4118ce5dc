"""Cells as processes: a few at a time, none that outlives this one, none that ends the others."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hintseg.compare.cell import PARENT
from hintseg.compare.devices import VISIBLE, groups_of, least_used, visible_gpus
from hintseg.compare.folder import CellFolder, CompareFolder
from hintseg.compare.plan import Cell, Plan
from hintseg.cores import COUNTS, threads_of_rank
from hintseg.errors import HintSegError
from hintseg.files import write_json, writing
from hintseg.locks import holder, kept_by_another
from hintseg.progress import progress

PAUSE = 0.2  # seconds between two looks at the processes
PATIENCE = 60.0  # seconds to wait for other processes where they have all that is left
GRACE = 90.0  # seconds for a cell to finish its step and save, after Ctrl-C
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Running:
    """A cell with its process."""

    cell: Cell
    files: CellFolder
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    began: float
    gpus: str = ""  # its own; empty: all there are

    def ended(self) -> bool:
        """Whether its process is gone."""
        if self.process.poll() is None:
            return False
        self.log.close()
        return True


def run_cells(root: Path, plan: Plan, *, jobs: int, say: Say) -> bool:
    """Do all cells that are not done, at most `jobs` at once; failed ones are tried again.

    A cell on which another process is at work (`--cell`) is left to that one.

    Args:
        root: The folder of the comparison.
        plan: Its plan, as the folder keeps it.
        jobs: Number of processes; they share the cores, and the GPUs where there are several.
        say: Told what became of each cell.

    Returns:
        Whether none failed.

    Raises:
        KeyboardInterrupt: After Ctrl-C, when all cells have saved what they have.
    """
    folder = CompareFolder(root)
    todo = [cell for cell in plan.todo if not folder.is_done(plan, cell)]
    groups = groups_of(plan.settings.get("train", {}), visible_gpus()) if todo else []
    queue, running = _Queue(folder, todo, say), list[_Running]()
    good, done = True, len(plan.todo) - len(todo)
    with progress("compare", len(plan.todo), done=done) as advance:
        try:
            while queue.waiting or running:
                while len(running) < jobs and (cell := queue.next(idle=not running)) is not None:
                    gpus = least_used(groups, [one.gpus for one in running]) if groups else ""
                    running.append(_start(root, cell, jobs, gpus))
                time.sleep(PAUSE)
                for one in [one for one in running if one.ended()]:
                    running.remove(one)
                    good = _told(one, say) and good
                    advance(one.cell.name)
        finally:
            _stop(running)
    return good


class _Queue:
    """Cells to do, in order; those on which another process is at work come last."""

    def __init__(self, folder: CompareFolder, cells: Sequence[Cell], say: Say) -> None:
        self.folder, self.waiting, self.say = folder, list(cells), say
        self.since: float | None = None  # when nothing was left but what others are doing

    def next(self, *, idle: bool) -> Cell | None:
        """The next one that nobody holds; None where there is none yet."""
        for cell in self.waiting:
            if not holder(self.folder.cell(cell).lock_file):
                self.waiting.remove(cell)
                return cell
        if idle:
            self._leave()
        return None

    def _leave(self) -> None:
        """After a while: a process that was killed just now may be finishing its step."""
        self.since = self.since or time.monotonic()
        if time.monotonic() - self.since < PATIENCE:
            return
        for cell in self.waiting:
            other = holder(self.folder.cell(cell).lock_file) or "another process"
            self.say(f"{cell.name}: left to {other}, which is working on it")
        self.waiting = []


def _start(root: Path, cell: Cell, jobs: int, gpus: str) -> _Running:
    files = CompareFolder(root).cell(cell)
    with writing(files.log_file):
        files.root.mkdir(parents=True, exist_ok=True)
        log = files.log_file.open("wb")
    words = [sys.executable, "-m", "hintseg", "compare", str(root), "--cell", cell.name]
    own = {VISIBLE: gpus} if gpus else {}
    process = spawned(words, log, jobs, environment=own)
    return _Running(cell, files, process, log, time.monotonic(), gpus)


def spawned(
    words: Sequence[str],
    log: IO[bytes],
    jobs: int,
    *,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """A process that is told when this one is gone, and has its share of the cores.

    It is no part of the terminal's group: Ctrl-C reaches it once, by `_stop`.
    """
    threads = dict.fromkeys(COUNTS, str(threads_of_rank(jobs)))
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **threads, **(environment or {}), PARENT: str(os.getpid())},
        start_new_session=sys.platform != "win32",
    )


def _told(one: _Running, say: Say) -> bool:
    """Say what became of a cell, and keep the reason where it could not."""
    seconds = time.monotonic() - one.began
    if one.process.returncode == 0:
        say(f"{one.cell.name}: finished in {seconds:.0f} s")
        return True
    other = kept_by_another(one.files.lock_file, one.process.pid)
    if other:
        say(f"{one.cell.name}: left to {other}, which is working on it")
        return True
    if not one.files.error_file.is_file():
        reason = reason_of(one.process.returncode, one.files.log_file)
        with suppress(HintSegError):  # a full disk is reason enough
            write_json(one.files.error_file, {"error": reason})
    with suppress(HintSegError):
        say(f"{one.cell.name}: failed: {one.files.error() or 'see its log.txt'}")
    return False


def reason_of(code: int, log: Path) -> str:
    """Why a process ended: what it said last, or the signal that killed it."""
    if code < 0:
        killed = f"its process was killed by signal {-code}"
        why = "; most often for want of memory: use fewer --jobs or a smaller --batch"
        return killed + (why if code == -9 else "")
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line.removeprefix("hintseg: ") for line in lines if line.startswith("hintseg: ")]
    ends = [line for line in said if not line.startswith("warning: ")]
    last = (ends or lines or ["nothing said"])[-1]
    return last[:500]


def wait_for(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process; after Ctrl-C it is ended first."""
    try:
        return process.wait()
    finally:
        _end([process])


def _stop(running: Iterable[_Running]) -> None:
    """Let cells finish their step and save; whoever does not in time is ended."""
    running = list(running)
    _end([one.process for one in running])
    for one in running:
        one.log.close()


def _end(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    live = [process for process in processes if process.poll() is None]
    for process in live:
        _interrupt(process)
    until = time.monotonic() + GRACE
    try:
        while any(process.poll() is None for process in live) and time.monotonic() < until:
            time.sleep(PAUSE)
    finally:
        for process in live:
            if process.poll() is None:
                process.kill()


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, for a program in the background of a shell does not hear Ctrl-C's signal."""
    with suppress(OSError):
        process.terminate()
