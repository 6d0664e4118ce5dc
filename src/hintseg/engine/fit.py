"""The training loop. Nothing in it knows a method."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from hintseg.engine.optimizer import Schedule, set_rate
from hintseg.engine.watch import LossWatch
from hintseg.structures import Batch

OnStep = Callable[[int, dict[str, Tensor], float], None]


@runtime_checkable
class Learner(Protocol):
    """What the loop needs to know of a method."""

    @property
    def model(self) -> nn.Module:
        """Everything that is trained."""
        ...

    @property
    def pretrained(self) -> nn.Module:
        """The part of it that started from given weights."""
        ...

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted terms by name, in a step of its training (from 0); their sum is minimised."""
        ...

    def memory(self) -> dict[str, Tensor]:
        """What besides weights and optimiser decides the next step; the same on every rank."""
        ...

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what `memory` gave."""
        ...


class LossModule(nn.Module):
    """A learner as one module, so that data-parallel training sees every forward pass."""

    def __init__(self, learner: Learner, watch: LossWatch | None = None) -> None:
        super().__init__()
        self.model = learner.model
        self._learner, self._watch = learner, watch

    def forward(self, step: int, *fields: object) -> dict[str, Tensor]:
        """The losses of a batch, given by its fields: Fabric casts tensors, not records."""
        batch = Batch(*fields)  # type: ignore[arg-type]
        losses = self._learner.losses(batch, step)
        if self._watch is not None:
            self._watch(step, batch.names, losses)
        return losses


def fit(  # noqa: PLR0913 - the parts of a training, each named
    fabric: Fabric,
    module: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    batches: Iterable[Batch],
    *,
    start: int,
    seed: int,
    on_step: OnStep,
) -> None:
    """Minimise the losses over the batches of steps start, start + 1, ...

    The state of torch's generator is a pure function of seed, step and rank, so nothing but the
    weights and the optimiser has to be saved to continue bit for bit. `on_step` is told the step,
    the losses (without gradient) and the seconds that the step waited for its batch.
    """
    waiting_since = time.perf_counter()
    for step, batch in enumerate(batches, start):
        waited = time.perf_counter() - waiting_since
        torch.manual_seed(step_seed(seed, step, fabric.global_rank))
        set_rate(optimizer, schedule(step))
        module.train()

        losses = module(step, *batch.to(fabric.device).fields())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(total)
        optimizer.step()

        on_step(step, {name: value.detach() for name, value in losses.items()}, waited)
        waiting_since = time.perf_counter()


def step_seed(seed: int, step: int, rank: int) -> int:
    """A different 63-bit number for every seed, step and rank (splitmix64's mixing constants)."""
    value = (
        seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB
    ) % 2**64
    value = ((value ^ (value >> 31)) * 0xBF58476D1CE4E5B9) % 2**64
    return (value ^ (value >> 27)) >> 1
