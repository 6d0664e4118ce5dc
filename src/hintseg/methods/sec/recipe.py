"""SEC: seed, expand, constrain (Kolesnikov and Lampert, ECCV 2016, arXiv:1603.06098).

For tags. A classifier of them gives seeds, few and sure; pooling by rank makes each class as large
as a present one may be, and an absent one nothing; a refiner draws the boundaries, and the network
learns to agree with it. Hints of any other kind are seeds as they are. Saliency, where the
background is seeded by it, is the gradient of that classifier: no masks of another source.
"""

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from hintseg.data.coverage import warn_of_hints
from hintseg.data.dataset import Dataset
from hintseg.engine.stages import Stage
from hintseg.errors import ConfigError
from hintseg.losses.sec import seed_loss
from hintseg.methods.fitting import Batches, Stateless, train_segmenter
from hintseg.methods.job import Job, Recipe
from hintseg.methods.localise.checks import check_seeding
from hintseg.methods.localise.cue import hints_and_cue
from hintseg.methods.localise.stage import seed_stages, with_seeds
from hintseg.methods.sec import LOCALISE, TRAIN
from hintseg.methods.sec.settings import SECSettings
from hintseg.methods.supervision import Supervision
from hintseg.methods.terms.size_and_boundary import size_and_boundary_losses
from hintseg.models.embedder import Segmenter
from hintseg.pooling import pool_labels
from hintseg.structures import Batch


class Seeded(Stateless):
    """A segmenter that learns from seeds, sizes and boundaries, on the cells of its logits."""

    def __init__(
        self, model: Segmenter, settings: SECSettings, *, background: int | None = None
    ) -> None:
        self.model, self.pretrained = model, model.embedder.backbone
        self.settings, self.background = settings, background

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The three terms that have a weight."""
        embeddings = self.model.embedder(batch.images)
        logits = self.model.classify(embeddings)
        labels = pool_labels(batch.labels, self.model.embedder.stride)
        others = size_and_boundary_losses(
            self.settings, batch, embeddings, logits, labels, background=self.background
        )
        if not self.settings.seed:
            return others
        return {"seed": self.settings.seed * seed_loss(logits, labels), **others}


def sec_stages(job: Job[SECSettings]) -> tuple[Stage, ...]:
    """Seeds where the hints name a class that they do not show, then the training."""
    seeds = seed_stages(job, job.method_settings.localise, LOCALISE)
    return (*seeds, Stage(TRAIN, partial(_train, job)))


def _train(job: Job[SECSettings], folder: Path) -> dict[str, Any]:
    dataset, names = job.dataset, job.dataset.hinted_names()
    background = dataset.classes.background
    learner = Seeded(job.segmenter(), job.method_settings, background=background)
    batches = Batches(job, names, with_seeds(job.hinted, job.run.stage_folder(LOCALISE)))
    return {**train_segmenter(job, learner, folder, batches), "images": len(names)}


def check_seeds(dataset: Dataset, settings: SECSettings) -> None:
    """There must be hints, and seeds or what they are made of.

    Raises:
        DataError: No hints, or none that label a pixel where no seeds are made.
        ConfigError: Nothing teaches which class is which.
    """
    if not settings.seed:
        raise ConfigError("sec.seed=0: only the seeds say which class is where; give a weight")
    check_seeding(dataset, settings.localise)
    warn_of_hints(dataset, dataset.hinted_names())


def _sees(dataset: Dataset, settings: SECSettings) -> Supervision:
    """Hints, and a cue where there is one."""
    return hints_and_cue(dataset, settings.localise)


RECIPE = Recipe(
    stages=sec_stages,
    check=check_seeds,
    settings=SECSettings,
    sees=_sees,
)
