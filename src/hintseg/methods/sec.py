"""SEC: seed, expand, constrain (Kolesnikov and Lampert, ECCV 2016, arXiv:1603.06098).

For tags. A classifier of them gives seeds, few and sure; pooling by rank makes each class as large
as a present one may be, and an absent one nothing; a refiner draws the boundaries, and the network
learns to agree with it. Hints of any other kind are seeds as they are. Saliency, where the
background is seeded by it, is the gradient of that classifier: no masks of another source.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_weak
from hintseg.engine.stages import Stage
from hintseg.errors import ConfigError, DataError
from hintseg.losses.seeded import constrain_loss, expand_loss, seed_loss
from hintseg.methods.job import Job, Method
from hintseg.methods.localise import (
    PART,
    images_needing_seeds,
    localise,
    with_seeds,
)
from hintseg.methods.network import Batches, Forgetful, train_segmenter
from hintseg.methods.sec_settings import PRESETS, CRFSettings, SECSettings
from hintseg.methods.settings import Settings
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.refine.dense_crf import CrfPreset, dense_crf_logits
from hintseg.refine.random_walk import embedding_walk
from hintseg.resize import pool_images, pool_labels
from hintseg.structures import VOID, Batch

LOCALISE, TRAIN = "localise", "train"

Refine = Callable[[Batch, Tensor, Tensor], Tensor]
"""Batch, embeddings and logits on cells -> probabilities on cells that know the image better."""


class Seeded(Forgetful):
    """A segmenter that learns from seeds, sizes and boundaries, on the cells of its logits."""

    def __init__(
        self, model: Segmenter, settings: SECSettings, *, background: int | None = None
    ) -> None:
        self.model, self.pretrained = model, model.embedder.backbone
        self.settings, self.background = settings, background
        by_crf: Refine = partial(refined_by_crf, settings.crf)
        self.refine = by_crf if settings.refiner == "crf" else self._walk

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The three terms that have a weight."""
        embeddings = self.model.embedder(batch.images)
        logits = self.model.classify(embeddings)
        labels = pool_labels(batch.labels, self.model.embedder.stride)
        settings, losses = self.settings, {}
        if settings.seed:
            losses["seed"] = settings.seed * seed_loss(logits, labels)
        if settings.expand:
            losses["expand"] = settings.expand * self._expand(logits, labels, batch.absent)
        if settings.constrain:
            refined = self.refine(batch, embeddings.detach(), logits.detach())
            loss = constrain_loss(logits, refined, labels != VOID)
            losses["constrain"] = settings.constrain * loss
        return losses

    def _expand(self, logits: Tensor, labels: Tensor, absent: Tensor) -> Tensor:
        """A view may show a part of an image only: present is what has a seed in the view."""
        classes = torch.arange(logits.shape[1], device=logits.device)
        seen = (labels[:, None] == classes[:, None, None]).flatten(2).any(dim=2)
        decays = torch.full(classes.shape, self.settings.decay, device=logits.device)
        if self.background is not None:
            decays[self.background] = self.settings.background_decay
        return expand_loss(
            logits,
            seen,
            absent & ~seen,
            labels != VOID,
            decays=decays,
            background=self.background,
        )

    def _walk(self, batch: Batch, embeddings: Tensor, logits: Tensor) -> Tensor:
        """A random walk on the embeddings of each image; padding is walked through as well."""
        del batch
        steps, sharpness = self.settings.walk.steps, self.settings.walk.sharpness
        scores = logits.float().softmax(dim=1)
        walks = (
            embedding_walk(own[None].float(), score, steps=steps, sharpness=sharpness)
            for own, score in zip(embeddings, scores, strict=True)
        )
        return torch.stack(list(walks))


def refined_by_crf(
    settings: CRFSettings, batch: Batch, embeddings: Tensor, logits: Tensor
) -> Tensor:
    """Marginals of a dense CRF on the logits and the raw colours of their cells."""
    del embeddings
    images, kept = pool_images(batch.images, batch.labels != VOID, Embedder.stride)
    side = max(images.shape[-2:])
    numbers = CrfPreset(
        gaussian=settings.gaussian,
        gaussian_sxy=settings.smooth * side,
        bilateral=settings.bilateral,
        bilateral_sxy=settings.sxy * side,
        bilateral_srgb=settings.srgb,
        iterations=settings.steps,
    )
    finite = logits.float().nan_to_num()  # the loss says so if they are not
    return dense_crf_logits(images, finite, preset=numbers, kept=kept)


def sec_stages(job: Job) -> tuple[Stage, ...]:
    """Seeds where the hints name a class that they do not show, then the training."""
    unseen, train = _unseen(job), Stage(TRAIN, partial(_train, job))
    if not unseen:
        return (train,)
    return (Stage(LOCALISE, partial(localise, job, sec_settings(job).localise, unseen)), train)


def _unseen(job: Job) -> tuple[str, ...]:
    """The images that get seeds."""
    wanted = job.share(sec_settings(job).localise.steps, PART)
    return images_needing_seeds(job.dataset, job.weak) if wanted else ()


def sec_settings(job: Job) -> SECSettings:
    """The settings of SEC in a job."""
    assert isinstance(job.method_settings, SECSettings)
    return job.method_settings


def _train(job: Job, folder: Path) -> dict[str, Any]:
    dataset, names = job.dataset, job.dataset.hinted_names()
    background = dataset.classes.background
    learner = Seeded(job.segmenter(), sec_settings(job), background=background)
    batches = Batches(job, names, with_seeds(job.hinted, job.run.stage_folder(LOCALISE)))
    return {**train_segmenter(job, learner, folder, batches), "images": len(names)}


def check_seeds(dataset: Dataset, settings: Settings) -> None:
    """There must be hints, and seeds or what they are made of.

    Raises:
        DataError: No hints, or none that label a pixel where no seeds are made.
        ConfigError: Nothing teaches which class is which.
    """
    assert isinstance(settings, SECSettings)
    if not settings.seed:
        raise ConfigError("sec.seed=0: only the seeds say which class is where; give a weight")
    names = dataset.hinted_names()
    if not any(dataset.hints(name).tags for name in names):
        raise DataError(
            f"{dataset.hints_folder}: no hints for any train image; tick tags (docs/data.md) or "
            "make some with `hintseg simulate --hints tags`"
        )
    if settings.localise.steps == 0 and not any(
        (load_weak(dataset, name, size=None).labels >= 0).any() for name in names
    ):
        raise DataError(
            f"{dataset.hints_folder}: the hints label no pixel (tags and boxes only), and "
            "sec.localise.steps=0 makes no seeds of them; leave the steps as they are"
        )


SEC = Method(
    name="sec",
    summary="seed, expand, constrain: from tags, by seeds and boundaries",
    takes="tags; boxes, points, scribbles, polygons, partial masks as seeds, in any mix",
    paper="Kolesnikov, Lampert 2016 (arXiv:1603.06098)",
    stages=sec_stages,
    check=check_seeds,
    settings=SECSettings,
    stage_names=(LOCALISE, TRAIN),
    presets=PRESETS,
)
