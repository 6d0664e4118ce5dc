"""Which GPUs a cell may use where there are several: a job has its own, and sees no other."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


def groups_of(settings: Mapping[str, Any], visible: Sequence[str]) -> list[str]:
    """GPUs as they are named to a job: one for each, or as many as a training has.

    Empty where there is nothing to share out: no GPU, a single one, or a training on the CPU.

    Args:
        settings: Those of the section train.
        visible: Names of the GPUs that this process may use.

    Example:
        >>> groups_of({}, ["0", "1"]), groups_of({"devices": 2}, ["0", "1", "2", "3"])
        (['0', '1'], ['0,1', '2,3'])
        >>> groups_of({"device": "cpu"}, ["0", "1"]), groups_of({}, ["3"])
        ([], [])
    """
    each = max(1, int(settings.get("devices", 1)))
    if settings.get("device", "auto") == "cpu" or len(visible) <= each:
        return []
    starts = range(0, len(visible) - each + 1, each)
    return [",".join(visible[start : start + each]) for start in starts]


def visible_gpus() -> list[str]:
    """GPUs of this process: those that the environment names, else all that torch finds."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    import torch  # noqa: PLC0415 - heavy

    return [str(number) for number in range(torch.cuda.device_count())]


def least_used(groups: Sequence[str], used: Sequence[str]) -> str:
    """The group that fewest jobs have; the first of several.

    Example:
        >>> least_used(["0", "1"], ["0"]), least_used(["0", "1"], ["0", "1"])
        ('1', '0')
    """
    return min(groups, key=used.count)
