"""SC-CAM as a localiser: a classifier that must also tell kinds of each class apart.

Chang et al. 2020 (arXiv:2008.01183). Images of a class fall into kinds by k-means on what a trained
classifier sees of them; the next classifier learns classes and kinds together, and so has to look
at more than the one part that all images of the class share. As released it begins with the initial
weights; in a training of a few hundred steps its maps then die, for nine in ten of its outputs are
kinds that are absent, and so it goes on from the classifier before (`sub.warm`).
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.cluster.vq import kmeans2
from torch import Tensor

from hintseg.files import read_json, write_json
from hintseg.losses.image_level import tag_loss
from hintseg.methods.fitting import Stateless
from hintseg.methods.job import Job
from hintseg.methods.localise.classifier import (
    ClassifierLocaliser,
    TagLearner,
    new_backbone,
    train_classifier,
)
from hintseg.methods.localise.settings import SubCategorySettings
from hintseg.models.sub_classifier import SubClassifier
from hintseg.models.tag_classifier import TagClassifier
from hintseg.structures import Batch

KINDS_FILE = "kinds.json"
ITERATIONS = 300


class SubLearner(Stateless):
    """Learns classes and their kinds."""

    def __init__(self, model: SubClassifier, kinds: "Kinds", *, weight: float) -> None:
        self.model, self.pretrained = model, model.backbone
        self.kinds, self.weight = kinds, weight

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Soft margin over the known tags, and over the kinds that follow from them."""
        rows = list(self.model.foreground)
        present, absent = batch.tags[:, rows], batch.absent[:, rows]
        tags, kinds = self.model.scores(batch.images)
        mine = torch.from_numpy(np.stack([self.kinds.of(name) for name in batch.names]))
        mine = mine.to(tags.device)
        known = (present | absent)[:, self.model.parents]
        told = tag_loss(kinds, mine & known, ~mine & known)
        return {"tags": tag_loss(tags, present, absent), "kinds": self.weight * told}


class Kinds:
    """Which kinds of its classes each image shows.

    Args:
        chosen: For every image, (map, number of the kind) of its classes.
        counts: Number of kinds of each map.
    """

    def __init__(self, chosen: dict[str, list[tuple[int, int]]], counts: list[int]) -> None:
        self.chosen, self.counts = chosen, counts
        self.first = np.cumsum([0, *counts])

    def of(self, name: str) -> Bool[np.ndarray, " kinds"]:
        """One kind for each class of an image."""
        bits = np.zeros(self.first[-1], dtype=bool)
        bits[[self.first[row] + kind for row, kind in self.chosen.get(name, [])]] = True
        return bits


def cluster_kinds(
    features: Float[np.ndarray, "images dim"],
    tags: Bool[np.ndarray, "images maps"],
    names: tuple[str, ...],
    settings: SubCategorySettings,
    *,
    seed: int,
) -> Kinds:
    """Kinds of each class: k-means on the images that show it, min(k, images) of them."""
    if settings.unit:
        features = features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-12)
    chosen: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    counts = []
    for row in range(tags.shape[1]):
        mine = np.flatnonzero(tags[:, row])
        kinds = clustered(features[mine], settings.kinds, seed)
        counts.append(int(kinds.max(initial=-1)) + 1)
        for image, kind in zip(mine, kinds, strict=True):
            chosen[names[image]].append((row, int(kind)))
    return Kinds(chosen, counts)


def clustered(points: Float[np.ndarray, "points dim"], count: int, seed: int) -> np.ndarray:
    """Number of the cluster of each point, from 0 without a gap; at most one for each point."""
    count = min(count, len(points))
    if count < 2:
        return np.zeros(len(points), dtype=np.int64)
    draws = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that are empty: they are left out
        _, member = kmeans2(points, count, iter=ITERATIONS, minit="++", seed=draws)
    return np.asarray(np.unique(member, return_inverse=True)[1])


class SubCategoryLocaliser(ClassifierLocaliser):
    """Maps of the classifier of the last round, over several views of an image."""

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Train a classifier, then one for each round; each has a folder `round-N`."""
        settings, classes = self.settings.sub, job.dataset.classes
        dropout = self.settings.dropout
        model = TagClassifier(new_backbone(job, self.settings), classes, dropout=dropout)
        train_classifier(job, self.settings, TagLearner(model), folder / "round-0")
        for turn in range(1, settings.rounds + 1):
            here = folder / f"round-{turn}"
            self.use(model.to(job.fabric.device), job.settings.crop)
            kinds = self._kinds(job, here)
            backbone = new_backbone(job, self.settings)
            finer = SubClassifier(backbone, classes, kinds.counts, dropout=dropout)
            if settings.warm:
                finer.take_over(model)
            learner = SubLearner(finer, kinds, weight=settings.weight)
            train_classifier(job, self.settings, learner, here)
            model = finer
        self.use(model.to(job.fabric.device), job.settings.crop)

    def _kinds(self, job: Job[Any], folder: Path) -> Kinds:
        """By what the classifier at hand sees of all images; kept in the folder of the round."""
        file, names = folder / KINDS_FILE, job.dataset.hinted_names()
        if file.exists():
            kept = read_json(file)
            chosen = {name: [(row, kind) for row, kind in own] for name, own in kept["of"].items()}
            return Kinds(chosen, kept["counts"])
        foreground = list(job.dataset.classes.foreground)
        seen, tags = zip(*self._pooled(job, names), strict=True)
        kinds = cluster_kinds(
            np.stack(seen),
            np.stack(tags)[:, foreground],
            names,
            self.settings.sub,
            seed=job.settings.seed,
        )
        if job.fabric.is_global_zero:
            write_json(file, {"counts": kinds.counts, "of": kinds.chosen})
        job.fabric.barrier()
        return kinds

    def _pooled(
        self, job: Job[Any], names: tuple[str, ...]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Mean feature of each image, and its tags."""

        def look(name: str) -> tuple[np.ndarray, np.ndarray]:
            sample = job.hinted(name)
            view = self._view(self._pixels(sample), self.settings.scales[0])
            with torch.inference_mode():
                seen = self.model.pooled(view)[0].float().cpu().numpy()
            return seen, sample.weak.tags

        yield from job.over(names, look, "kinds", every=True)
