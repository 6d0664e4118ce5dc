"""RCA as a localiser: regions of a class are compared with those of all other images.

Zhou et al. 2022 (arXiv:2203.09653). A memory keeps what regions of each class looked like; regions
of a batch must be like those of their class and unlike those of others, and the cells of an image
look up the centroids of the memory. The maps of several moments of the training are put together:
what was found once is not lost. (As released they are kept as pictures of every epoch.)
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.distributed import rank
from hintseg.losses.image_level import tag_loss
from hintseg.losses.region_contrast import mixed_contrast_loss
from hintseg.methods.fitting import Keep
from hintseg.methods.job import Job
from hintseg.methods.localise.classifier import (
    AGAIN,
    STEPS_SHARE,
    ClassifierLocaliser,
    keeper,
    new_backbone,
    train_classifier,
)
from hintseg.methods.localise.settings import LocaliseSettings, RegionMemorySettings
from hintseg.methods.localise.sub_categories import clustered
from hintseg.models.regional_classifier import RegionalClassifier, class_regions, region_means
from hintseg.models.saved import read_weights
from hintseg.models.tag_classifier import tag_scores
from hintseg.segments.class_memory import ClassMemory
from hintseg.segments.gather import gather_vectors
from hintseg.structures import Batch, Sample, ScoreMaps

Images = Float[Tensor, "1 3 height width"]
MIXING = 8.0  # both parameters of the Beta distribution of the shares
WARM_UP = 2  # epochs before the contrast


class RegionLearner:
    """Learns tags twice, coarse and fine, and regions from the memory."""

    def __init__(
        self,
        model: RegionalClassifier,
        settings: RegionMemorySettings,
        *,
        epoch: int,
        keep: Mapping[int, Keep] | None = None,
    ) -> None:
        self.model, self.pretrained, self.settings = model, model.backbone, settings
        self.epoch, self.keep = max(1, epoch), keep or {}
        classes = len(model.foreground)
        self.regions = ClassMemory(classes, settings.slots, model.dim, momentum=settings.momentum)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Soft margin of fine and coarse scores; contrast of the regions after two epochs."""
        self._at_the_start_of(step)
        rows = list(self.model.foreground)
        present, absent = batch.tags[:, rows], batch.absent[:, rows]
        coarse, fine, embeddings = self.model.looks(batch.images)
        means = region_means(embeddings, class_regions(coarse.detach()))
        image, label = present.nonzero(as_tuple=True)
        regions = means[image, label]
        sure = tag_scores(fine).detach().sigmoid()[image, label] > self.settings.sure
        fresh = _of_all_ranks(regions[sure], label[sure])
        contrast = self._contrast(regions, label, *self._known(fresh))
        if self.settings.slots:
            self.regions.write(*fresh)
        losses = {
            "fine": tag_loss(tag_scores(fine), present, absent),
            "coarse": self.settings.coarse * tag_loss(tag_scores(coarse), present, absent)
            + self._of_idle_weights(),
        }
        if self.settings.contrast:
            begun = float(step >= WARM_UP * self.epoch)
            losses["contrast"] = begun * self.settings.contrast * contrast
        return losses

    def _of_idle_weights(self) -> Tensor:
        """0 of what has no part in some steps: processes wait for the gradient of every weight."""
        model = self.model
        layers = (model.query, model.key, model.value, model.embed)
        weights = [weight.sum() for layer in layers for weight in layer.parameters()]
        return 0 * torch.stack(weights).sum()

    def _known(self, fresh: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What regions are compared with: the memory, or without one those of the batch."""
        return self.regions.filled() if self.settings.slots else fresh

    def _contrast(self, regions: Tensor, labels: Tensor, known: Tensor, classes: Tensor) -> Tensor:
        """Of the regions, each mixed with another of this rank's batch, at times with itself."""
        count = len(regions)
        partner = torch.randperm(count, device=regions.device)
        beta = torch.distributions.Beta(MIXING, MIXING)
        share = beta.sample((count,)).to(regions) if self.settings.mix else regions.new_ones(count)
        return mixed_contrast_loss(regions, labels, partner, share, known.to(regions), classes)

    def _at_the_start_of(self, step: int) -> None:
        """New centroids in every epoch but the first; the weights of some moments are kept."""
        if step in self.keep and rank() == 0:
            self.keep[step]("last")
        if step and step % self.epoch == 0 and self.settings.centroids:
            self._look_up(step)

    def _look_up(self, seed: int) -> None:
        """Centroids of the memory by k-means in each class."""
        known, labels = self.regions.filled()
        kinds = self.settings.centroids
        centroids = known.new_zeros(len(self.model.foreground), kinds, self.model.dim)
        there = torch.zeros(centroids.shape[:2], dtype=torch.bool, device=known.device)
        for row in torch.unique(labels).tolist():
            points = known[labels == row]
            member = torch.from_numpy(clustered(points.cpu().numpy(), kinds, seed)).to(known.device)
            for kind in torch.unique(member).tolist():
                centroids[row, kind] = points[member == kind].mean(dim=0)
                there[row, kind] = True
        self.model.remember(centroids, there)

    def memory(self) -> dict[str, Tensor]:
        """The regions of past batches."""
        return self.regions.state()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what `memory` gave."""
        self.regions.restore(memory)


def _of_all_ranks(
    regions: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor]:
    """Regions of the batches of all ranks, in their order, and their classes; no gradient."""
    rows = torch.cat([regions.detach().float(), labels[:, None].float()], dim=1)
    every, _ = gather_vectors(rows)
    return every[:, :-1], every[:, -1].long()


class EarlierMoment(ClassifierLocaliser):
    """Maps of unfinished weights: those of a class that they hardly believe in count nothing."""

    def raw(self, view: Images, known: Bool[Tensor, " maps"]) -> Tensor:
        """As of finished ones, 0 for classes whose probability is below `regional.least`."""
        maps = super().raw(view, known)
        believed = tag_scores(maps).sigmoid() >= self.settings.regional.least
        return maps * believed[..., None, None]


class RegionalLocaliser(ClassifierLocaliser):
    """Fine maps of several moments of one training, the highest at each place.

    The weights of the moments stay in the folder of the stage, and in memory while maps are made:
    so the maps of an image do not depend on the order of the images, nor on what another run left
    in a folder. As released, the maps of every epoch were kept as files by the number of an image.
    """

    def __init__(self, settings: LocaliseSettings) -> None:
        super().__init__(settings)
        self.earlier: list[EarlierMoment] = []

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Train; `folder` gets `classifier.safetensors` and the weights of earlier moments."""
        settings = self.settings.regional
        model = self._new(job)
        images = len(job.dataset.hinted_names())
        epoch = math.ceil(images / job.settings.batch)
        steps = job.share(self.settings.steps, STEPS_SHARE)
        files = {round(at * steps): folder / f"moment-{at}.safetensors" for at in settings.moments}
        keep = {step: keeper(model, file) for step, file in files.items()}
        learner = RegionLearner(model, settings, epoch=epoch, keep=keep)
        train_classifier(job, self.settings, learner, folder)
        self.use(model.to(job.fabric.device), job.settings.crop)
        self.earlier = [self._at(job, file) for file in files.values() if file.exists()]

    def maps(self, sample: Sample) -> ScoreMaps:
        """The highest map of all moments, at each place."""
        seen = super().maps(sample)
        maps = [seen.maps, *(one.maps(sample).maps for one in self.earlier)]
        return ScoreMaps(torch.stack(maps).amax(dim=0), seen.labels)

    def _at(self, job: Job[Any], file: Path) -> EarlierMoment:
        """The classifier of an earlier moment."""
        model = self._new(job)
        read_weights(file, model, remedy=AGAIN)
        one = EarlierMoment(self.settings)
        one.use(model.to(job.fabric.device), job.settings.crop)
        return one

    def _new(self, job: Job[Any]) -> RegionalClassifier:
        settings = self.settings.regional
        return RegionalClassifier(
            new_backbone(job, self.settings),
            job.dataset.classes,
            centroids=max(1, settings.centroids),
            dropout=self.settings.dropout,
            attention=settings.attention,
        )
