"""How a method trains a network: its losses, everyone's loop, data order, validation and saving."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hintseg.data.loading import Order, iterate
from hintseg.data.samples import Loader, remembered
from hintseg.data.transforms import Augmentation, augment
from hintseg.engine.checkpoint import TrainingState
from hintseg.engine.fit import Learner, LossModule, fit
from hintseg.engine.monitor import Intervals, Looks, TrainingMonitor, interruption
from hintseg.engine.optimizer import Rates, Schedule, make_optimizer, poly
from hintseg.engine.watch import LossWatch
from hintseg.errors import DataError, DataWarning, NotFiniteError
from hintseg.files import read_json
from hintseg.methods.job import Job
from hintseg.methods.settings import TrainSettings
from hintseg.methods.showing import show_what_is_seen
from hintseg.methods.validating import no_better_than_constant, validation, worth_of_best
from hintseg.models.backbone import Backbone
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import load_model, load_segmenter, save_model
from hintseg.progress import progress
from hintseg.structures import Batch

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Keep = Callable[[Literal["best", "last", "good"]], None]


class Stateless:
    """A learner whose next step depends on nothing but weights and optimiser."""

    def memory(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Nothing to take back."""


def train_segmenter(
    job: Job,
    learner: Learner,
    folder: Path,
    batches: "Batches",
    *,
    lr: float | Schedule | None = None,
    validate: bool = True,
) -> dict[str, Any]:
    """Train a segmenter with validation, its best and last weights kept in `folder`.

    The last become the model of the run, or the best where they surely are (`worth_of_best`).
    Returns the record of the stage.
    """

    def keep(which: str) -> None:
        save_model(folder / which, learner.model, job.description)

    looks = Looks(
        validate=validation(job, learner.model) if validate else None,
        picture=partial(show_what_is_seen, job, learner.model, folder),
    )
    state = train_network(job, learner, folder, batches, keep=keep, looks=looks, lr=lr)
    record = {"steps": batches.steps, "best_step": state.best_step}
    if job.fabric.is_global_zero:
        record |= _choose(job, learner.model, folder, state.best_step, batches.steps)
    job.fabric.barrier()
    return record


def _choose(job: Job, last: nn.Module, folder: Path, best: int, steps: int) -> dict[str, Any]:
    """Make the best or the last weights the model of the run; which, why, and remarks."""
    why = worth_of_best(job, folder, last) if 0 < best < steps else {}
    which = "best" if why.get("surely") else "last"
    chosen, description = load_model(folder / which)
    save_model(job.run.root, chosen, description)
    kept = best if which == "best" else steps
    remarks = no_better_than_constant(job.run, folder.name, kept)
    if remarks:
        warnings.warn(f"{job.run.root}: {remarks[0]}", DataWarning, stacklevel=2)
    return {"model": which, "best_less_last": why, "remarks": remarks}


def chosen_model(job: Job, stage: str) -> Segmenter:
    """The model that a finished stage chose."""
    return _ready(job, load_segmenter(_chosen(job, stage)))


def chosen_network(job: Job, stage: str) -> nn.Module:
    """As `chosen_model`, of any kind."""
    return _ready(job, load_model(_chosen(job, stage))[0])


def _chosen(job: Job, stage: str) -> Path:
    folder = job.run.stage_folder(stage)
    chosen: str = read_json(folder / "manifest.json")["model"]
    return folder / chosen


def _ready(job: Job, model: ModuleT) -> ModuleT:
    """On its device, its backbone frozen as set."""
    backbone = model.backbone
    assert isinstance(backbone, Backbone), "every kind has one"
    backbone.freeze(job.settings.freeze, norm=job.settings.freeze_norm)
    return model.to(job.fabric.device)


def train_network(
    job: Job,
    learner: Learner,
    folder: Path,
    batches: "Batches",
    *,
    keep: Keep,
    looks: Looks | None = None,
    lr: float | Schedule | None = None,
) -> TrainingState:
    """Train any learner over its batches, from where an interrupted training stopped.

    `keep` saves the weights: the last, the best whenever `looks` validates and finds them so, and
    the last good ones of a training that diverges; `lr` is the rate of new weights, by default that
    of the job, or says it for every step; where it does not, the rate falls as the settings say.
    Returns what was reached.
    """
    settings, fabric = job.settings, job.fabric
    schedule = lr if callable(lr) else _falling(settings, lr, batches.steps)
    learner.model.to(memory_format=torch.channels_last)
    watch = _watch(job)
    module, optimizer = fabric.setup(LossModule(learner, watch), _optimizer(settings, learner))
    steps = batches.steps
    intervals = Intervals(
        steps,
        settings.log_every,
        settings.checkpoint_every,
        settings.validate_every,
        settings.picture_every,
    )
    monitor = TrainingMonitor(
        run=job.run,
        stage=folder.name,
        learner=learner,
        optimizer=optimizer,
        intervals=intervals,
        schedule=schedule,
        looks=looks or Looks(),
        keep=keep,  # type: ignore[arg-type]
        writer=fabric.is_global_zero,
        watch=watch,
    )
    with interruption() as interrupted, _nothing_lost(monitor, keep, folder):
        monitor.interrupted = interrupted
        start = monitor.resume()
        with progress(folder.name, steps, done=start) as advance:
            fit(
                fabric,
                module,
                optimizer,
                schedule,
                batches(start),
                start=start,
                seed=settings.seed,
                on_step=partial(monitor.on_step, advance=advance),
            )
    if fabric.is_global_zero:
        keep("last")
    return monitor.state


def _watch(job: Job) -> LossWatch | None:
    """What looks at the losses; with 16 bits an infinite one is left out by the scaler of Fabric.

    A loss on the CPU is there at once, and one process need not agree with others.
    """
    fabric = job.fabric
    if job.settings.precision == "16":
        return None
    return LossWatch(at_once=fabric.device.type == "cpu" and fabric.world_size == 1)


@contextmanager
def _nothing_lost(monitor: TrainingMonitor, keep: Keep, folder: Path) -> Iterator[None]:
    """What a training has reached is kept, whatever ends it, and the error says where."""
    try:
        yield
    except DataError:
        monitor.rescue()
        raise
    except NotFiniteError as error:
        step = monitor.return_to_good() if monitor.writer else 0
        if step:
            keep("good")
        if not step or not (folder / "good").is_dir():
            raise
        raise NotFiniteError(
            f"{error}; the weights after {step} steps are in {folder / 'good'}, as of a run"
        ) from error


class Batches:
    """The training batches of a stage from any step on: images, random views, this rank's share."""

    def __init__(
        self,
        job: Job,
        names: tuple[str, ...],
        load: Loader,
        *,
        steps: int | None = None,
        view: Augmentation | None = None,
    ) -> None:
        settings, fabric = job.settings, job.fabric
        self.order = Order(
            names, settings.batch, settings.seed, fabric.global_rank, fabric.world_size
        )
        self.view = view or Augmentation(
            crop=settings.crop, scale=settings.scale, jitter=settings.jitter, hue=settings.hue
        )
        self.steps = settings.steps if steps is None else steps
        self.load, self.threads = remembered(load), settings.threads

    def __call__(self, start: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to the end."""
        view = partial(augment, settings=self.view)
        return iterate(
            self.order, self.load, view, start=start, stop=self.steps, threads=self.threads
        )


def _falling(settings: TrainSettings, lr: float | None, steps: int) -> Schedule:
    rate = settings.lr if lr is None else lr
    return poly(rate, steps, power=settings.power, warmup=min(settings.warmup, steps))


def _optimizer(settings: TrainSettings, learner: Learner) -> Optimizer:
    """The rates are set in every step (`set_rate`)."""
    rates = Rates(
        settings.lr, settings.pretrained_factor, settings.bias_factor, settings.weight_decay
    )
    return make_optimizer(
        settings.optimizer,
        learner.model,
        learner.pretrained,
        rates,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
    )
