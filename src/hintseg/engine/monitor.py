"""What happens around the loop: logging, validation, checkpoints, interruption."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hintseg.distributed import ranks, total
from hintseg.engine.checkpoint import TrainingState, newest_checkpoint, save_checkpoint
from hintseg.engine.fit import Learner
from hintseg.engine.optimizer import Schedule
from hintseg.engine.run import Run
from hintseg.engine.watch import REMEDY, LossWatch
from hintseg.errors import NotFiniteError, RunError
from hintseg.models.finite import first_not_finite
from hintseg.progress import Advance

Validate = Callable[[], dict[str, Any]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came; the state has been saved."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Every how many steps things happen; the last step always counts."""

    steps: int
    log: int = 10
    checkpoint: int = 100
    validate: int = 100
    picture: int = 0  # 0: never

    def now(self, every: int, done: int) -> bool:
        """Whether something due every so many steps is due when `done` steps are done; 0: never."""
        return every > 0 and (done % every == 0 or done == self.steps)


@dataclass(frozen=True, slots=True)
class Looks:
    """What looks at the model while it is trained, as often as the intervals say."""

    validate: Validate | None = None  # gives at least "miou"; None: no validation
    picture: Callable[[], None] | None = None  # shows a person what the model sees by now


@dataclass
class TrainingMonitor:
    """Looks after one training stage; the loop calls `on_step`."""

    run: Run
    stage: str
    learner: Learner
    optimizer: Optimizer
    intervals: Intervals
    schedule: Schedule
    looks: Looks
    keep: Callable[[str], None]  # saves the weights as "best" or "last"
    writer: bool  # only rank 0 writes
    watch: LossWatch | None = None  # is shown the losses of every step
    state: TrainingState = field(default_factory=lambda: TrainingState(0))
    interrupted: threading.Event = field(default_factory=threading.Event)
    _since: float = field(default_factory=time.perf_counter)
    _waited: float = 0.0
    _steps: int = 0

    @property
    def checkpoint_file(self) -> Path:
        """Where the state of this stage is saved."""
        return self.run.checkpoint_file(self.stage)

    def resume(self) -> int:
        """Load the checkpoint, if there is one; the step to start at."""
        found = newest_checkpoint(self.checkpoint_file, self.learner.model, self.optimizer)
        if found is not None:
            self.state, memory = found
            device = next(self.learner.model.parameters()).device
            self.learner.remember({name: value.to(device) for name, value in memory.items()})
        if self.writer:
            self.run.rewind_log(self.stage, self.state.step)
        return self.state.step

    def on_step(
        self, step: int, losses: dict[str, Tensor], waited: float, *, advance: Advance
    ) -> None:
        """Log, validate and save when it is time; stop here if Ctrl-C came meanwhile."""
        done = step + 1
        self.state = replace(self.state, step=done)
        self._steps, self._waited = self._steps + 1, self._waited + waited
        note = ""
        if self.intervals.now(self.intervals.log, done):
            note = self._log(step, losses)
        validates = self.intervals.now(self.intervals.validate, done)
        stopping = self._stopping(done)
        saves = stopping or self.intervals.now(self.intervals.checkpoint, done)
        if validates or saves:
            self._check_weights(step)
        if validates:
            self._validate(step)
        if self.intervals.now(self.intervals.picture, done):
            self._picture()
        is_last = done == self.intervals.steps  # what the last step leaves is kept by the stage
        if stopping or (saves and not is_last):
            self._save()
        advance(note)
        if stopping:
            self._any_rank(False)  # a launcher ends the others when the first of them ends
            raise Interrupted

    def rescue(self) -> None:
        """Save what was reached when no further batch came.

        No step was begun since the last one ended, so a training continues from here bit for bit.
        """
        if self.writer and self.state.step and self._sound():
            self._save()

    def return_to_good(self) -> int:
        """Give the model its last good weights: those it has, else those saved; after which step.

        0: there are none.
        """
        if self._sound():
            return self.state.step
        with suppress(RunError):
            found = newest_checkpoint(self.checkpoint_file, self.learner.model, self.optimizer)
            return 0 if found is None else found[0].step
        return 0

    def _sound(self) -> bool:
        return first_not_finite(self.learner.model.state_dict()) is None

    def _stopping(self, done: int) -> bool:
        """Whether Ctrl-C came to any rank; they agree at logged steps, where all wait anyway."""
        if ranks() == 1:
            return self.interrupted.is_set()
        if not self.intervals.now(self.intervals.log, done):
            return False
        return self._any_rank(self.interrupted.is_set())

    def _any_rank(self, value: bool) -> bool:
        """Whether it is so on any rank; all wait for each other."""
        device = next(self.learner.model.parameters()).device
        return bool(total(torch.tensor(int(value), device=device)))

    def _check_losses(self, step: int) -> None:
        """All ranks stop where one of them has had a loss that is not finite; it names the images.

        Raises:
            NotFiniteError: So it is.
        """
        wrong = None if self.watch is None else self.watch.wrong()
        if ranks() > 1 and self._any_rank(wrong is not None) and wrong is None:
            wrong = (
                f"step {step}: the loss of another process is NaN or infinite, which names the "
                f"images; {REMEDY}"
            )
        if wrong is not None:
            raise NotFiniteError(wrong)

    def _log(self, step: int, losses: dict[str, Tensor]) -> str:
        self._check_losses(step)
        mean = total(torch.stack(list(losses.values()))) / ranks()  # of all images of the step
        values = dict(zip(losses, mean.tolist(), strict=True))  # waits for the GPU
        loss = sum(values.values())
        if not math.isfinite(loss):
            raise NotFiniteError(f"step {step}: the loss is {loss}; {REMEDY}")
        seconds = time.perf_counter() - self._since
        rate = self._steps / seconds
        line = {
            "stage": self.stage,
            "step": step,
            "loss": round(loss, 6),
            "losses": {name: round(value, 6) for name, value in values.items()},
            "lr": self.schedule(step),
            "steps_per_second": round(rate, 3),
            "waiting_for_data": round(self._waited / seconds, 4),
        }
        if self.writer:
            self.run.log(line)
        self._since, self._waited, self._steps = time.perf_counter(), 0.0, 0
        return f"loss {loss:.3f}  {rate:.1f} steps/s"

    def _check_weights(self, step: int) -> None:
        """What is kept can be continued: the last good state stays where a weight is not finite."""
        name = first_not_finite(self.learner.model.state_dict())
        if name is not None:
            raise NotFiniteError(f"step {step}: weight {name!r} is NaN or infinite; {REMEDY}")

    def _validate(self, step: int) -> None:
        if self.looks.validate is None or not self.writer:
            return
        scores = self.looks.validate()
        self.run.log({"stage": self.stage, "step": step, "val": scores})
        if scores["miou"] > self.state.best_score:
            self.state = replace(self.state, best_step=step + 1, best_score=scores["miou"])
            self.run.check_there()
            self.keep("best")
        self._since = time.perf_counter()

    def _picture(self) -> None:
        if self.looks.picture is not None and self.writer:
            self.looks.picture()
            self._since = time.perf_counter()

    def _save(self) -> None:
        if self.writer:
            self.run.check_there()
            save_checkpoint(
                self.checkpoint_file,
                self.learner.model,
                self.optimizer,
                self.state,
                self.learner.memory(),
            )


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that no step is cut in half; a second one cuts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {sig: signal.signal(sig, handle) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
