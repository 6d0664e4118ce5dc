"""The processor's cores: how many this process may use, and how work is spread over them.

Torch works on one operation with a team of threads that meet at its end. The waiting ones spin, as
is the custom, and where another process needs a core, everybody spins while the one without a core
sleeps: many short operations then take ten times their time or more. Hence two rules here: threads
sleep while they wait (`use_cores`), and what falls into independent parts is given to threads that
each do whole parts alone and meet once (`spread`).

Torch is imported only by the functions that need it: the waiting policy has to be set before.
"""

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

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
    count = threads_of_rank(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    elif not any(name in os.environ for name in COUNTS):
        os.environ["OMP_NUM_THREADS"] = str(count)
    return count


def threads_of_rank(ranks: int) -> int:
    """Threads for each of so many processes of one training: what the user says, else a fair share.

    torchrun sets OMP_NUM_THREADS=1 where the user has not set it, on a machine of any size: under
    torchrun, 1 is nobody's choice.
    """
    chosen = next((os.environ[name] for name in COUNTS if os.environ.get(name)), "")
    first = chosen.split(",")[0]  # a list is for nested teams
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and first == "1"
    if first.isdigit() and int(first) and not by_torchrun:
        return int(first)
    return max(1, usable_cores() // ranks)


def usable_cores() -> int:
    """Cores that this process may use: by its affinity mask and the quota of its container."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        allowed = os.cpu_count() or 1
    quota = core_quota(GROUPS, _own_groups())
    return max(1, min(allowed, allowed if quota is None else round(quota)))


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
    import torch  # noqa: PLC0415 - see above

    threads, is_inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    if threads == 1 or count <= 1:
        with torch.no_grad():
            return [work(part) for part in range(count)]

    def alone(part: int) -> T:
        with torch.inference_mode(is_inference), torch.no_grad():
            return work(part)

    with ThreadPoolExecutor(min(threads, count), "spread", torch.set_num_threads, (1,)) as pool:
        parts = [pool.submit(alone, part) for part in range(count)]
        done = [part.result() for part in parts]
    torch.set_num_threads(threads)  # the last call decides for all threads to come
    return done
