"""The processor's cores: how many this process may use, and how work is spread over them.

Torch works on one operation with a team of threads that meet at its end. The waiting ones spin, as
is the custom, and where another process needs a core, everybody spins while the one without a core
sleeps: many short operations then take ten times their time or more. Hence two rules here: threads
sleep while they wait (`use_cores`), and what falls into independent parts is given to threads that
each do whole parts alone and meet once (`spread`).

Torch is imported only by the functions that need it: the waiting policy has to be set before.
"""

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar, runtime_checkable

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

MOST_AT_ONCE = 8
"""Images that are worked on at once: each needs the memory of a network's maps."""


@runtime_checkable
class Spread(Protocol):
    """Results of work(0), ..., work(count - 1)."""

    def __call__(self, work: Callable[[int], T], count: int) -> list[T]:
        """Do the parts."""
        ...


POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user says how threads wait."""

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user says how many threads there are."""

GROUPS = Path("/sys/fs/cgroup")  # where Linux tells what a container may use
OWN_GROUPS = Path("/proc/self/cgroup")


def use_cores() -> int:
    """Let waiting threads sleep, and count threads by the cores that this process may use.

    Call it before torch is imported, once in a program; the command line does. It sets
    OMP_WAIT_POLICY and OMP_NUM_THREADS in the environment, where the user has set neither them nor
    their like. Once torch is there, only the number of threads can still be changed.

    Returns:
        The number of threads of this process.
    """
    if not any(name in os.environ for name in POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    count = threads_of_rank(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if not any(name in os.environ for name in COUNTS) or _by_torchrun():
        os.environ["OMP_NUM_THREADS"] = _written["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    return count


@contextmanager
def shared_cores(ranks: int) -> Iterator[int]:
    """Torch has its share of the cores while the block runs, and so have the ranks it starts.

    Args:
        ranks: Processes of one training on this machine.
    """
    import torch  # noqa: PLC0415 - see above

    before, count = torch.get_num_threads(), threads_of_rank(ranks)
    if "OMP_NUM_THREADS" in _written:
        os.environ["OMP_NUM_THREADS"] = _written["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(min(before, count))
    try:
        yield min(before, count)
    finally:
        torch.set_num_threads(before)


def threads_of_rank(ranks: int) -> int:
    """Threads for each of so many processes of one training: what the user says, else a share."""
    values = {name: os.environ[name] for name in COUNTS if os.environ.get(name)}
    chosen = [value for name, value in values.items() if value != _written.get(name)]
    first = chosen[0].split(",")[0] if chosen else ""  # a list is for nested teams
    if first.isdigit() and int(first) and not _by_torchrun():
        return int(first)
    return max(1, usable_cores() // max(1, ranks))


def _by_torchrun() -> bool:
    """Torchrun says 1 thread on a machine of any size, where the user says nothing."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1"


_written: dict[str, str] = {}  # what this process has put into the environment of its children


def usable_cores() -> int:
    """Cores that this process may use: by its affinity mask and the quota of its container."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        allowed = os.cpu_count() or 1
    quota = core_quota(GROUPS, _own_groups())
    return max(1, min(allowed, allowed if quota is None else math.ceil(quota)))


def core_quota(root: Path, own: Mapping[str, str]) -> float | None:
    """The least quota of the control groups that this process is in; None without any.

    Args:
        root: Where control groups are mounted.
        own: Path of this process's group by controller; "" is that of version 2.
    """
    folders = []
    for group in _with_parents(own.get("", "/")):
        folders.append((root / group, _quota_of_version_2))
    for group in _with_parents(own.get("cpu", "/")):
        folders += [(root / name / group, _quota_of_version_1) for name in ("cpu", "cpu,cpuacct")]
    quotas = [quota for folder, read in folders if (quota := read(folder)) is not None]
    return min(quotas, default=None)


def _own_groups() -> dict[str, str]:
    """Lines such as "4:cpu,cpuacct:/docker/1a2b" as {"cpu": ..., "cpuacct": ...}."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return {}
    parts = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {name: path for _, names, path in parts for name in names.split(",")}


def _with_parents(group: str) -> list[str]:
    """The group's path and those of all above it, the root of the mount being the last, ""."""
    names = [name for name in group.split("/") if name not in ("", ".", "..")]
    return ["/".join(names[:length]) for length in range(len(names), -1, -1)]


def _quota_of_version_2(folder: Path) -> float | None:
    """cpu.max holds "max 100000" or, for two cores, "200000 100000"."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_version_1(folder: Path) -> float | None:
    """cpu.cfs_quota_us is -1 without a quota."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return None if quota < 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None


def spread(work: Callable[[int], T], count: int) -> list[T]:
    """work(0), ..., work(count - 1), by as many threads as torch has here.

    A thread takes the next part when it has done one, so that a slow core does less; torch works
    with that thread alone meanwhile, hence no one waits before the end. What is computed does not
    depend on the number of threads. No gradient is recorded.
    """
    with crew() as run:
        return run(work, count)


@contextmanager
def crew() -> Iterator[Spread]:
    """`spread` by threads that stay while the block runs, for work in many rounds."""
    import torch  # noqa: PLC0415 - see above

    threads, is_inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    pool = ThreadPoolExecutor(threads, "spread", torch.set_num_threads, (1,))

    def run(work: Callable[[int], T], count: int) -> list[T]:
        alone = partial(_without_gradient, work, is_inference)
        return list((pool.map if threads > 1 and count > 1 else map)(alone, range(count)))

    with pool:  # starts no thread before it has work
        yield run
    torch.set_num_threads(threads)  # the last call decides for all threads to come


def _without_gradient(work: Callable[[int], T], is_inference: bool, part: int) -> T:
    import torch  # noqa: PLC0415 - see above

    with torch.inference_mode(is_inference), torch.no_grad():
        return work(part)


def each(work: Callable[[S], T], items: Iterable[S], *, most: int = MOST_AT_ONCE) -> Iterator[T]:
    """work(item) for every item, in order, by threads that each do whole items.

    For work of many operations on one thing, such as an image: reading, predicting and writing of
    several overlap. Torch's threads are divided among them. Results come in the order of the
    items, and few are ahead of who takes them, so that memory does not grow with their number. What
    is computed does not depend on the number of threads. An error ends it; what waits is not begun.

    Args:
        work: Called by several threads at once.
        items: Taken by the calling thread.
        most: Items worked on at once, if there are as many cores.

    Example:
        >>> list(each(lambda number: number * number, range(4)))
        [0, 1, 4, 9]
    """
    import torch  # noqa: PLC0415 - see above

    cores = torch.get_num_threads()
    threads = max(1, min(most, cores))
    if threads == 1:
        yield from map(work, items)
        return
    inference, gradient = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def as_here(item: S) -> T:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradient):
            return work(item)

    pool = ThreadPoolExecutor(threads, "each", torch.set_num_threads, (cores // threads,))
    try:
        yield from in_order(pool, as_here, items, ahead=2 * threads)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # the last call decides for all threads to come


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[S], T], items: Iterable[S], *, ahead: int
) -> Iterator[T]:
    """work(item) for every item, in order, by a pool that has so many items before it at most."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compiled by Numba at the first call, and kept on disk where that is possible."""
    import numba  # noqa: PLC0415 - most of what imports this module compiles nothing

    raw = unwrap(function)  # what checks types at run time cannot be compiled
    settings = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        found: Callable[P, T] = numba.njit(cache=True, **settings)(raw)
    except RuntimeError:  # no folder to write to
        found = numba.njit(**settings)(raw)
    return found
