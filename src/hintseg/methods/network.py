"""How a method trains a network: its losses, everyone's loop, data order, validation and saving."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from hintseg.data.loading import Order, iterate
from hintseg.data.samples import Loader, remembered
from hintseg.data.transforms import Augmentation, augment
from hintseg.engine.fit import Learner, LossModule, fit
from hintseg.engine.optimizer import Rates, Schedule, make_optimizer, poly
from hintseg.engine.watch import Rhythm, Validate, Watch, interruption
from hintseg.evaluate import evaluate, predicted_pairs
from hintseg.methods.job import Job
from hintseg.methods.settings import TrainSettings
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import load_model, save_model
from hintseg.predict.predictor import Predictor
from hintseg.progress import progress
from hintseg.structures import Batch


def train_network(job: Job, learner: Learner, folder: Path, batches: "Batches") -> dict[str, Any]:
    """Train a learner with validation, checkpoints, and the best and last weights kept in `folder`.

    The best by validation (the last, without a val split) becomes the model of the run.
    Returns the record of the stage.
    """
    settings, fabric = job.settings, job.fabric
    learner.model.to(memory_format=torch.channels_last)
    module, optimizer = fabric.setup(LossModule(learner), _optimizer(settings, learner))
    schedule = poly(settings.lr, settings.steps, power=settings.power, warmup=settings.warmup)
    with interruption() as interrupted:
        watch = _watch(job, learner, optimizer, schedule, folder)
        watch.interrupted = interrupted
        start = watch.resume()
        with progress(folder.name, settings.steps, done=start) as advance:
            fit(
                fabric,
                module,
                optimizer,
                schedule,
                batches(start),
                start=start,
                seed=settings.seed,
                on_step=partial(watch.on_step, advance=advance),
            )
    best = watch.position.best_step
    if fabric.is_global_zero:
        watch.keep("last")
        chosen, description = load_model(folder / ("best" if best > 0 else "last"))
        save_model(job.run.root, chosen, description)
    fabric.barrier()
    return {"steps": settings.steps, "model": "best" if best > 0 else "last", "best_step": best}


class Batches:
    """The training batches of a job from any step on: images, random views, this rank's share."""

    def __init__(self, job: Job, names: tuple[str, ...], load: Loader) -> None:
        settings, fabric = job.settings, job.fabric
        self.order = Order(
            names, settings.batch, settings.seed, fabric.global_rank, fabric.world_size
        )
        self.view = Augmentation(crop=settings.crop, scale=settings.scale, jitter=settings.jitter)
        self.load, self.stop, self.threads = remembered(load), settings.steps, settings.threads

    def __call__(self, start: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to the end."""
        view = partial(augment, settings=self.view)
        return iterate(
            self.order, self.load, view, start=start, stop=self.stop, threads=self.threads
        )


def _optimizer(settings: TrainSettings, learner: Learner) -> Optimizer:
    rates = Rates(
        settings.lr, settings.pretrained_factor, settings.bias_factor, settings.weight_decay
    )
    return make_optimizer(
        settings.optimizer, learner.model, learner.pretrained, rates, momentum=settings.momentum
    )


def _watch(
    job: Job, learner: Learner, optimizer: Optimizer, schedule: Schedule, folder: Path
) -> Watch:
    settings = job.settings
    return Watch(
        run=job.run,
        stage=folder.name,
        model=learner.model,
        optimizer=optimizer,
        rhythm=Rhythm(
            settings.steps,
            settings.log_every,
            settings.checkpoint_every,
            settings.validate_every,
        ),
        schedule=schedule,
        validate=_validation(job, learner),
        keep=lambda which: save_model(folder / which, learner.model, job.description),
        writer=job.fabric.is_global_zero,
    )


def _validation(job: Job, learner: Learner) -> Validate | None:
    """Metrics of the val split (at most `validate_images`, evenly spread), if it has masks."""
    dataset, most = job.dataset, job.settings.validate_images
    model = learner.model
    if not dataset.has_split("val") or not isinstance(model, Segmenter):
        return None
    names = [name for name in dataset.names("val") if dataset.has_mask(name)]
    names = names[:: max(1, -(-len(names) // max(1, most)))] if most else []
    if not names:
        return None

    def validate() -> dict[str, float]:
        predictor = Predictor(
            model, dataset.classes, size=job.settings.size, device=job.fabric.device
        )
        pairs = predicted_pairs(predictor, dataset, names)
        metrics = evaluate(pairs, len(dataset.classes)).metrics
        return {"miou": metrics.miou, "pixel_accuracy": metrics.pixel_accuracy}

    return validate
