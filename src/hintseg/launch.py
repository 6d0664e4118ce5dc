"""Several processes for one command: started here or by torchrun, with their device and number."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Literal

from hintseg.cores import shared_cores
from hintseg.distributed import rank, ranks
from hintseg.errors import ConfigError
from hintseg.shares import WHOLE, Share

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
WATCH = 2.0  # seconds between two looks at whether the first process lives
PATIENCE = timedelta(days=30)  # one share may take much longer than another


@dataclass(frozen=True, slots=True)
class Team:
    """One of the processes that share the images of a command."""

    device: str  # of this process
    rank: int = 0
    ranks: int = 1

    def share(self, whole: Share = WHOLE) -> Share:
        """What this process does of a share."""
        return whole.part(self.rank, self.ranks)


@contextmanager
def team(device: str, devices: int) -> Iterator[Team]:
    """The processes of a command that shares its images among them; each runs the whole block.

    Args:
        device: "cpu" or "cuda".
        devices: Processes to start, one a device; 1 where torchrun starts them.

    Raises:
        ConfigError: The devices are not there, or torchrun started another number of processes.
    """
    here, nodes = processes(devices)
    if here * nodes == 1:
        yield Team(device)
        return
    with shared_cores(here):
        if "TORCHELASTIC_RUN_ID" not in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
            Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        fabric = make_fabric(device, devices, patience=PATIENCE)
        with _quiet("lightning_fabric"):
            fabric.launch()
        yield Team(str(fabric.device), rank(), ranks())
        fabric.barrier()  # nobody leaves while others ask for what he knows


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, killed perhaps: it would wait on."""
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """A package says nothing but warnings while the block runs."""
    logger = logging.getLogger(package)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def make_fabric(
    device: str,
    devices: int,
    *,
    precision: Precision = "32-true",
    patience: timedelta = timedelta(minutes=30),
) -> "Fabric":
    """Device, precision and data-parallel launch.

    Args:
        device: "auto", "cpu" or "cuda".
        devices: Processes on this machine; 1 where torchrun starts them.
        precision: Of the network's arithmetic.
        patience: How long a process waits for the others.

    Raises:
        ConfigError: The device is not there, or torchrun started another number of processes.
    """
    from lightning_fabric import Fabric  # noqa: PLC0415 - one process does without
    from lightning_fabric.strategies.ddp import DDPStrategy  # noqa: PLC0415

    here, nodes = processes(devices)
    asked = f"--device {device} --devices {devices}"
    try:
        return Fabric(
            accelerator=device,
            devices=here,
            num_nodes=nodes,
            precision=precision,
            strategy=DDPStrategy(timeout=patience) if here * nodes > 1 else "auto",
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{asked}: {error}; use --device auto") from error
    except Exception as error:
        if "Misconfiguration" in type(error).__name__:
            raise ConfigError(f"{asked}: {error}") from error
        raise


def processes(devices: int) -> tuple[int, int]:
    """Processes on this node, and nodes: as torchrun started them, else as set.

    Raises:
        ConfigError: torchrun started another number than was set, or unequal ones on the nodes; or
            fewer than 1 are asked for.
    """
    if devices < 1:
        raise ConfigError(f"--devices {devices}: must be 1 or more")
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return devices, 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if devices not in (1, here):
        raise ConfigError(
            f"--devices {devices}: torchrun started {here} processes here; leave --devices out"
        )
    if everywhere % here:
        raise ConfigError(
            f"torchrun: {here} of {everywhere} processes are on this node; start equally many on "
            "every node"
        )
    return here, everywhere // here
