"""SEAM as a localiser: maps that follow a transformation of the image, refined by attention.

Wang et al. 2020 (arXiv:2004.04581). Two views of one image, one network. As released, what the
refined maps are compared with gives no gradient, and the attention none to the backbone: it learns
from the tags and from the equivariance of the raw maps. `through` lets everything teach everything,
as the paper describes it.
"""

from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from hintseg.losses.equivariance import (
    View,
    cross_loss,
    emptiness_loss,
    equivariance_loss,
    normalised,
    strongest_only,
    with_background,
)
from hintseg.losses.image_level import tag_loss
from hintseg.methods.fitting import Stateless
from hintseg.methods.job import Job
from hintseg.methods.localise.classifier import (
    ClassifierLocaliser,
    new_backbone,
    train_classifier,
)
from hintseg.methods.localise.settings import SeamSettings
from hintseg.models.attentive_classifier import AttentiveClassifier
from hintseg.models.tag_classifier import tag_scores
from hintseg.refine.correlation import pixel_correlation
from hintseg.structures import Batch

LEAST_SIDE = 112  # pixels of a view in which a network sees what it sees at 224, half as large

Maps = Float[Tensor, "batch maps rows columns"]
WithBackground = Float[Tensor, "batch channels rows columns"]


class SeamLearner(Stateless):
    """Learns tags and equivariance from two views of each image.

    Args:
        crop: Pixels of a side of the first view.
    """

    def __init__(self, model: AttentiveClassifier, settings: SeamSettings, crop: int) -> None:
        self.model, self.pretrained, self.settings = model, model.backbone, settings
        self.view = View(settings.scale or second_scale(crop), flip=settings.flip)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Of the tags, of the raw maps, of raw against refined ones, and of empty cells."""
        rows, settings = list(self.model.foreground), self.settings
        present, absent = batch.tags[:, rows], batch.absent[:, rows]
        raw, refined, scores = self._looks(batch.images, present)
        other = self.view.images(batch.images, self.model.stride)
        raw_2, refined_2, scores_2 = self._looks(other, present)
        tags = (tag_loss(scores, present, absent) + tag_loss(scores_2, present, absent)) / 2
        size = (raw_2.shape[-2], raw_2.shape[-1])
        raw_1, refined_1 = self.view.maps(raw, size), self.view.maps(refined, size)
        losses = {"tags": tags}
        if settings.equivariance:
            apart = equivariance_loss(raw_1, raw_2, present)
            losses["equivariance"] = settings.equivariance * apart
        if settings.cross:
            detach = not settings.through
            there = cross_loss(
                with_background(raw_2), refined_1, detach=detach, share=settings.hard
            )
            back = cross_loss(with_background(raw_1), refined_2, detach=detach, share=settings.hard)
            losses["cross"] = settings.cross * (there + back)
        if settings.empty:
            empty = (emptiness_loss(refined[:, 1:]) + emptiness_loss(refined_2[:, 1:])) / 2
            losses["empty"] = settings.empty * empty
        return losses

    def _looks(
        self, images: Tensor, present: Bool[Tensor, "batch maps"]
    ) -> tuple[Maps, WithBackground, Float[Tensor, "batch maps"]]:
        """Normalised maps of the tags, the refined ones with background, and the scores."""
        maps, features = self.model.both(images)
        raw = normalised(maps * present[:, :, None, None])
        return raw, refined_maps(raw, features, through=self.settings.through), tag_scores(maps)


def second_scale(crop: int) -> float:
    """Of the second view: as small as leaves tags to be seen in it, from 1/2 to 3/4.

    The tags are learned from it as well. At 48 pixels a network hardly sees any, and learns what it
    then needs at the cost of the maps.
    """
    return min(max(LEAST_SIDE / crop, 1 / 2), 3 / 4)


def refined_maps(raw: Maps, features: Tensor, *, through: bool) -> WithBackground:
    """Maps from 0 to 1, with background, averaged over the cells that look alike."""
    seen = strongest_only(with_background(raw if through else raw.detach()))
    return pixel_correlation(seen, features)


class SeamLocaliser(ClassifierLocaliser):
    """Refined maps of an attentive classifier, over several views of an image."""

    model: AttentiveClassifier

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Train on pairs of views; `folder` gets `classifier.safetensors`."""
        settings = self.settings.seam
        model = AttentiveClassifier(
            new_backbone(job, self.settings),
            job.dataset.classes,
            dropout=self.settings.dropout,
            through=settings.through,
        )
        train_classifier(
            job, self.settings, SeamLearner(model, settings, job.settings.crop), folder
        )
        self.use(model, job.settings.crop)
        self.model.to(job.fabric.device)

    def raw(
        self, view: Float[Tensor, "1 3 height width"], known: Bool[Tensor, " maps"]
    ) -> Float[Tensor, "1 maps rows columns"]:
        """Refined maps of a view; those of the known tags alone, so that no other wins a cell."""
        maps, features = self.model.both(view)
        if not self.settings.seam.refined:
            return maps
        present = maps * known.to(maps.device)[None, :, None, None]
        return refined_maps(normalised(present), features, through=False)[:, 1:]
