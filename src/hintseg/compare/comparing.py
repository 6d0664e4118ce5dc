"""The command `compare`: plan, cells, table and page."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hintseg.compare.collecting import collect
from hintseg.compare.folder import CompareFolder
from hintseg.compare.grid import Request, make_plan
from hintseg.compare.plan import PLAN_FILE, Plan, read_plan, write_plan
from hintseg.compare.running import Say, run_cells
from hintseg.data.writer import refuse_content
from hintseg.errors import ConfigError
from hintseg.locks import held

PLANNING = 120.0  # seconds to wait for another process that makes the plan
LOCKS = ("compare.lock", "plan.lock")


def compare(
    request: Request, root: Path, *, jobs: int, seconds: Mapping[str, float], say: Say
) -> bool:
    """Do what is left of a comparison, and write table and page; also after Ctrl-C.

    Args:
        request: What to compare; in a folder with a comparison, what to add to it.
        root: Its folder.
        jobs: Cells at once.
        seconds: A person's own seconds by kind of work, over the published ones.
        say: Told what became of each cell.

    Returns:
        Whether no cell failed.

    Raises:
        HintSegError: It cannot be compared, or another process compares in this folder.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: must be 1 or more")
    _refuse_foreign(root)
    try:
        with held(CompareFolder(root).lock_file, "comparing"):
            plan = planned(request, root)
            try:
                return run_cells(root, plan, jobs=jobs, say=say)
            finally:
                collect(root, plan, seconds=seconds)
    finally:
        _forget(root)


def planned(request: Request, root: Path) -> Plan:
    """The plan of a folder with what the command adds to it, written there.

    Raises:
        HintSegError: It cannot be.
    """
    _refuse_foreign(root)
    try:
        with held(root / "plan.lock", "making the plan", wait=PLANNING):
            plan = previewed(request, root)
            if not (root / PLAN_FILE).is_file() or plan != read_plan(root):
                write_plan(root, plan)
            return plan
    finally:
        _forget(root)


def previewed(request: Request, root: Path) -> Plan:
    """The same plan; nothing is written.

    Raises:
        HintSegError: It cannot be.
    """
    if not (root / PLAN_FILE).is_file():
        _refuse_foreign(root)
        return make_plan(request, None, str(root))
    old = read_plan(root)
    if Path(request.data).resolve() == root.resolve():
        request = replace(request, data=old.data)
    if request == Request(request.data) and Path(request.data).resolve() == Path(old.data):
        old.dataset()  # says so if it has changed
        return old
    return make_plan(request, old, str(root))


def _refuse_foreign(root: Path) -> None:
    """Refuse a folder with other content than locks of who begins here at the same time."""
    if (root / PLAN_FILE).is_file():
        return
    if not root.is_dir() or any(path.name not in LOCKS for path in root.iterdir()):
        refuse_content(root)


def _forget(root: Path) -> None:
    """A folder for which no plan could be made is as if it had not been asked for."""
    if (root / PLAN_FILE).is_file() or not root.is_dir():
        return
    with suppress(OSError):
        for name in LOCKS:
            (root / name).unlink(missing_ok=True)
        root.rmdir()
