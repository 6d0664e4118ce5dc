"""Seeds of tags and boxes, then a segmentation network trained on them.

Localise (CAM, SEAM or SC-CAM), expand (not at all, or by a random walk over learnt affinities,
learnt edges, or what the classifier sees), refine (not at all, or by the dense CRF), train with
cross-entropy. To train by another method on the same seeds, choose that method and set its
`localise`: `--method spml --set localise.by=seam`.
"""

from functools import partial
from pathlib import Path
from typing import Any

from hintseg.data.coverage import warn_of_hints
from hintseg.data.dataset import Dataset
from hintseg.engine.stages import Stage
from hintseg.methods.cross_entropy.recipe import CrossEntropy
from hintseg.methods.fitting import Batches, train_segmenter
from hintseg.methods.job import Job, Recipe
from hintseg.methods.localise.checks import check_seeding
from hintseg.methods.localise.cue import hints_and_cue
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.localise.stage import seed_stages, with_seeds
from hintseg.methods.seeded import LOCALISE, TRAIN
from hintseg.methods.settings import Settings
from hintseg.methods.supervision import Supervision


class SeededSettings(Settings):
    """All of a method from tags: where its seeds come from."""

    localise: LocaliseSettings = LocaliseSettings()


def seeded_stages(job: Job[SeededSettings]) -> tuple[Stage, ...]:
    """Seeds where the hints name a class that they do not show, then the training."""
    seeds = seed_stages(job, job.method_settings.localise, LOCALISE)
    return (*seeds, Stage(TRAIN, partial(_train, job)))


def _train(job: Job[SeededSettings], folder: Path) -> dict[str, Any]:
    names, learner = job.dataset.hinted_names(), CrossEntropy(job.segmenter())
    batches = Batches(job, names, with_seeds(job.hinted, job.run.stage_folder(LOCALISE)))
    return {**train_segmenter(job, learner, folder, batches), "images": len(names)}


def check_seeds(dataset: Dataset, settings: SeededSettings) -> None:
    """There must be hints, and labelled pixels or what seeds are made of."""
    check_seeding(dataset, settings.localise)
    warn_of_hints(dataset, dataset.hinted_names())


def _sees(dataset: Dataset, settings: SeededSettings) -> Supervision:
    """Hints, and a cue where there is one."""
    return hints_and_cue(dataset, settings.localise)


CAM = AFFINITYNET = IRN = SEAM = SC_CAM = RCA = Recipe(
    stages=seeded_stages, check=check_seeds, settings=SeededSettings, sees=_sees
)
