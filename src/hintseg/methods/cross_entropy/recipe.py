"""Cross-entropy on pixels: `full` on dense masks, `partial` on the labelled pixels of hints.

`partial` is the baseline that every weakly supervised method has to beat: the first term of Tang et
al. 2018 (arXiv:1804.01346, eq. 3) alone. `full` is the ceiling at the same budget.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from hintseg.data.coverage import warn_of_hints, warn_of_masks
from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_weak
from hintseg.engine.stages import Stage
from hintseg.errors import DataError
from hintseg.losses.pixelwise import labelled_cross_entropy
from hintseg.methods.fitting import Batches, Stateless, train_segmenter
from hintseg.methods.job import Job, Recipe
from hintseg.methods.settings import Settings
from hintseg.methods.supervision import Supervision, masks_of
from hintseg.models.embedder import Segmenter, upsample
from hintseg.structures import Batch


class CrossEntropy(Stateless):
    """A segmenter that learns from whatever pixels have a label."""

    def __init__(self, model: Segmenter) -> None:
        self.model = model
        self.pretrained: nn.Module = model.embedder.backbone

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy at full resolution."""
        logits = upsample(self.model(batch.images), *batch.labels.shape[-2:])
        return {"cross_entropy": labelled_cross_entropy(logits, batch.labels)}


def full_stages(job: Job) -> tuple[Stage, ...]:
    """One training on the dense masks of the train split."""
    return (Stage("train", partial(_train, job, masks=True)),)


def partial_stages(job: Job) -> tuple[Stage, ...]:
    """One training on the labelled pixels of the hints."""
    return (Stage("train", partial(_train, job, masks=False)),)


def _train(job: Job, folder: Path, *, masks: bool) -> dict[str, Any]:
    dataset, learner = job.dataset, CrossEntropy(job.segmenter())
    names = dataset.train_names() if masks else dataset.hinted_names()
    batches = Batches(job, names, job.masked if masks else job.hinted)
    return {**train_segmenter(job, learner, folder, batches), "images": len(names)}


def check_masks(dataset: Dataset, _: Settings) -> None:
    """Full supervision needs a dense mask of every train image."""
    names = dataset.train_names()
    if not names:
        raise DataError(f"{dataset.root}: the train split is empty; add images to it")
    there = dataset.with_masks(names)
    if len(there) < len(names):
        known = set(there)
        without = [name for name in names if name not in known]
        raise DataError(
            f"{dataset.mask_path(without[0])}: no such mask ({len(without)} of {len(names)} train "
            "images have none); method full needs them all, --method partial learns from hints"
        )
    warn_of_masks(dataset, names)


def check_labelled_pixels(dataset: Dataset, _: Settings) -> None:
    """Cross-entropy on hints needs labelled pixels of two classes at least."""
    names = dataset.hinted_names()
    if not names:
        raise DataError(
            f"{dataset.hints_folder}: no hints for any train image; draw some (docs/data.md), "
            "make some with `hintseg simulate`, or use --method full where there are masks"
        )
    seen: set[int] = set()
    for name in names:
        labels = load_weak(dataset, name, size=None).labels
        seen |= set(np.unique(labels[labels >= 0]).tolist())
        if len(seen) >= 2:
            return warn_of_hints(dataset, names)
    raise DataError(
        f"{dataset.hints_folder}: the hints label pixels of {len(seen)} class(es) only; "
        "cross-entropy learns from points, scribbles, polygons and painted masks, "
        "not from tags or boxes alone"
    )


def _sees_masks(dataset: Dataset, _: Settings) -> Supervision:
    names = dataset.train_names()
    return Supervision(beyond=[masks_of(names, dataset, "what it learns from")])


FULL = Recipe(
    stages=full_stages,
    check=check_masks,
    settings=Settings,
    sees=_sees_masks,
)

PARTIAL = Recipe(
    stages=partial_stages,
    check=check_labelled_pixels,
    settings=Settings,
)
