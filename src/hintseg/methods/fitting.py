"""How a method trains a network: its losses, everyone's loop, data order, validation and saving."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hintseg.data.dataset import Dataset
from hintseg.data.loading import Order, iterate
from hintseg.data.samples import Loader, remembered
from hintseg.data.transforms import Augmentation, augment
from hintseg.engine.checkpoint import TrainingState
from hintseg.engine.fit import Learner, LossModule, fit
from hintseg.engine.monitor import Intervals, TrainingMonitor, Validate, interruption
from hintseg.engine.optimizer import Rates, Schedule, make_optimizer, poly
from hintseg.evaluation import predicted_pairs
from hintseg.files import read_json
from hintseg.methods.job import Job
from hintseg.methods.settings import TrainSettings
from hintseg.metrics import evaluate_pairs
from hintseg.models.backbone import Backbone
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import load_model, load_segmenter, save_model
from hintseg.predict.predictor import Predictor
from hintseg.progress import progress
from hintseg.structures import Batch

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Keep = Callable[[Literal["best", "last"]], None]


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

    The best by validation (the last, without a val split or without `validate`) becomes the
    model of the run. Returns the record of the stage.
    """

    def keep(which: str) -> None:
        save_model(folder / which, learner.model, job.description)

    judge = _validation(job, learner.model) if validate else None
    state = train_network(job, learner, folder, batches, keep=keep, validate=judge, lr=lr)
    best = state.best_step
    which = "best" if best > 0 else "last"
    if job.fabric.is_global_zero:
        chosen, description = load_model(folder / which)
        save_model(job.run.root, chosen, description)
    job.fabric.barrier()
    return {"steps": batches.steps, "model": which, "best_step": best}


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
    validate: Validate | None = None,
    lr: float | Schedule | None = None,
) -> TrainingState:
    """Train any learner over its batches, from where an interrupted training stopped.

    `keep` saves the weights: the last, and the best whenever `validate` finds them so; `lr` is the
    rate of new weights, by default that of the job, or says it for every step; where it does not,
    the rate falls as the settings say. Returns what was reached.
    """
    settings, fabric = job.settings, job.fabric
    schedule = lr if callable(lr) else _falling(settings, lr, batches.steps)
    learner.model.to(memory_format=torch.channels_last)
    module, optimizer = fabric.setup(LossModule(learner), _optimizer(settings, learner))
    steps = batches.steps
    intervals = Intervals(
        steps, settings.log_every, settings.checkpoint_every, settings.validate_every
    )
    monitor = TrainingMonitor(
        run=job.run,
        stage=folder.name,
        learner=learner,
        optimizer=optimizer,
        intervals=intervals,
        schedule=schedule,
        validate=validate,
        keep=keep,  # type: ignore[arg-type]
        writer=fabric.is_global_zero,
    )
    with interruption() as interrupted:
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


def _validation(job: Job, model: nn.Module) -> Validate | None:
    """Metrics of the val split (at most `validate_images`, evenly spread), if it has masks."""
    names = validation_names(job.dataset, job.settings.validate_images)
    if not names:
        return None

    def validate() -> dict[str, float]:
        predictor = Predictor(
            model,
            job.dataset.classes,
            size=job.settings.size,
            zoom=job.zoom,
            device=job.fabric.device,
        )
        pairs = predicted_pairs(predictor, job.dataset, names)
        metrics = evaluate_pairs(pairs, len(job.dataset.classes)).metrics
        return {"miou": metrics.miou, "pixel_accuracy": metrics.pixel_accuracy}

    return validate


def validation_names(dataset: Dataset, most: int) -> Sequence[str]:
    """The images of the val split that are validated on: those with masks, evenly spread."""
    if not dataset.has_split("val") or not most:
        return ()
    names = dataset.with_masks(dataset.names("val"))
    return names[:: max(1, -(-len(names) // most))]
