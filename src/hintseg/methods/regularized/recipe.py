"""Regularised losses: partial cross-entropy and an energy of the whole labelling (Tang et al.).

CVPR 2018 (normalised cut, arXiv:1804.01346) and ECCV 2018 (dense CRF, kernel cut,
arXiv:1803.09569). The labelled pixels say what the classes are; an energy of all pixels, which is
least for a labelling that cuts no alike pixels apart, carries that to the others. No proposals, no
inference in training. Alone the energy is least for one class everywhere, so it comes in when the
cross-entropy has taught something: in a rise within one training, or in a second training.
"""

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from hintseg.data.coverage import warn_of_hints
from hintseg.data.dataset import Dataset
from hintseg.data.samples import Loader
from hintseg.engine.stages import Stage
from hintseg.losses.pixelwise import absent_class_loss, labelled_cross_entropy
from hintseg.methods.cross_entropy.recipe import CrossEntropy, check_labelled_pixels
from hintseg.methods.fitting import Batches, Stateless, chosen_model, train_segmenter
from hintseg.methods.job import Job, Recipe
from hintseg.methods.localise.checks import check_seeding
from hintseg.methods.localise.cue import hints_and_cue
from hintseg.methods.localise.stage import seed_stages, with_seeds
from hintseg.methods.regularized import FIRST, LOCALISE, TRAIN
from hintseg.methods.regularized.settings import RegularizedSettings
from hintseg.methods.supervision import Supervision
from hintseg.methods.terms.energy import energy_losses
from hintseg.models.embedder import Segmenter, upsample
from hintseg.pooling import pool_labels
from hintseg.structures import Batch


class Regularized(Stateless):
    """A segmenter that learns from labelled pixels, and from what all pixels look like."""

    def __init__(self, model: Segmenter, settings: RegularizedSettings, *, steps: int) -> None:
        self.model, self.pretrained = model, model.embedder.backbone
        self.settings, self.steps = settings, steps

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy at full resolution; energy and entropy on the cells of the network."""
        logits = self.model(batch.images)
        full = upsample(logits, *batch.labels.shape[-2:])
        losses = {"cross_entropy": labelled_cross_entropy(full, batch.labels)}
        if self.settings.absent:
            cells = pool_labels(batch.labels, self.model.embedder.stride)
            loss = absent_class_loss(logits, cells, batch.absent)
            losses["absent"] = self.settings.absent * loss
        unrisen = dict.fromkeys(self.settings.terms(1.0).terms, logits.new_zeros(()))
        risen = energy_losses(self.settings.terms(self._rise(step)), logits, batch)
        return {**losses, **unrisen, **risen}

    def _rise(self, step: int) -> float:
        """0 before the start, 1 after the ramp, a line between."""
        begin, length = self.settings.start * self.steps, self.settings.ramp * self.steps
        if step < begin:
            return 0.0
        return min(1.0, (step - begin + 1) / length) if length else 1.0


def regularized_stages(job: Job[RegularizedSettings]) -> tuple[Stage, ...]:
    """The training, and the one before it where it is asked for."""
    settings = job.method_settings
    stages = [Stage(TRAIN, partial(_train, job))]
    if settings.first.steps:
        stages.insert(0, Stage(FIRST, partial(_first, job)))
    return (*seed_stages(job, settings.localise, LOCALISE), *stages)


def _load(job: Job[RegularizedSettings]) -> Loader:
    """Images with their hints, and the seeds made of them."""
    return with_seeds(job.hinted, job.run.stage_folder(LOCALISE))


def _first(job: Job[RegularizedSettings], folder: Path) -> dict[str, Any]:
    first, names = job.method_settings.first, job.dataset.hinted_names()
    batches = Batches(job, names, _load(job), steps=first.steps)
    record = train_segmenter(job, CrossEntropy(job.segmenter()), folder, batches, lr=first.lr)
    return {**record, "images": len(names)}


def _train(job: Job[RegularizedSettings], folder: Path) -> dict[str, Any]:
    settings, names = job.method_settings, job.dataset.hinted_names()
    model = chosen_model(job, FIRST) if settings.first.steps else job.segmenter()
    batches = Batches(job, names, _load(job))
    learner = Regularized(model, settings, steps=batches.steps)
    return {**train_segmenter(job, learner, folder, batches), "images": len(names)}


def check_labels(dataset: Dataset, settings: RegularizedSettings) -> None:
    """There must be labelled pixels, or seeds to be made."""
    if settings.localise.steps == 0:
        return check_labelled_pixels(dataset, settings)
    check_seeding(dataset, settings.localise)
    return warn_of_hints(dataset, dataset.hinted_names())


def _sees(dataset: Dataset, settings: RegularizedSettings) -> Supervision:
    """Hints, and a cue where there is one."""
    return hints_and_cue(dataset, settings.localise)


RECIPE = Recipe(
    stages=regularized_stages,
    check=check_labels,
    settings=RegularizedSettings,
    sees=_sees,
)
