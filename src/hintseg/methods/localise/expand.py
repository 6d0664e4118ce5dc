"""Maps spread to the cells that belong together: AffinityNet, IRNet, or what a classifier sees.

The maps of a localiser give confident labels of some pixels; pairs of them teach an affinity (Ahn
and Kwak 2018, arXiv:1803.10464) or the edges between things (Ahn et al. 2019, arXiv:1904.05044); a
random walk then carries the maps, and a score of the background, over the image.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.data.samples import with_labels
from hintseg.errors import ConfigError
from hintseg.images.label_maps import write_label_map
from hintseg.losses.pair_affinity import displacement_loss, pair_affinities, pair_affinity_loss
from hintseg.methods.fitting import Batches, Stateless, train_network
from hintseg.methods.job import Job
from hintseg.methods.localise.classifier import AGAIN, keeper
from hintseg.methods.localise.localiser import Localiser, WithFeatures
from hintseg.methods.localise.settings import ExpandSettings, LocaliseSettings
from hintseg.models.affinity_net import LEAST_STAGES, AffinityNet, BoundaryNet
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.saved import read_weights
from hintseg.pooling import pool_labels
from hintseg.predict.refining import supported_labels
from hintseg.refine.affinity import embedding_affinity
from hintseg.refine.pairs import edge_walk, neighbour_pairs, path_affinities, random_walk
from hintseg.refine.walks import walk
from hintseg.seeds.activation import background_score, foreground_seeds
from hintseg.seeds.confident import confident_of_maps
from hintseg.structures import UNLABELLED, Batch, ClassSet, LabelMap, Sample, ScoreMaps

STEPS_SHARE = 0.4  # of the steps of the run, where its own are not set
RADIUS, EDGE_RADIUS = 5.0, 10.0  # cells of a pair that teaches: of 8 pixels, of 4 pixels
WALK_RADIUS = 5.0  # cells of a pair of the walk along edges
BETA = {"affinity": 8.0, "irn": 10.0, "embedding": 10.0}
CONFIDENT = "confident"  # folder of the labels


class AffinityLearner(Stateless):
    """Learns features that are alike inside a class and differ between classes."""

    def __init__(self, model: AffinityNet, background: int | None, radius: float) -> None:
        self.model, self.pretrained = model, model.backbone
        self.background, self.radius = background, radius

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Of all pairs of cells within the radius."""
        features = self.model(batch.images)
        labels = pool_labels(batch.labels, self.model.stride)
        pairs = neighbour_pairs(*features.shape[-2:], radius=self.radius).to(features.device)
        affinities = pair_affinities(features, pairs)
        loss = pair_affinity_loss(
            affinities, pairs, labels, background=self.background, ignored=None
        )
        return {"pairs": loss}


class BoundaryLearner(Stateless):
    """Learns where edges are from pairs that an edge must part, and where centroids are."""

    def __init__(self, model: BoundaryNet, background: int | None, radius: float) -> None:
        self.model, self.pretrained = model, model.backbone
        self.background, self.radius = background, radius

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Of the affinities along paths, and of the displacements."""
        edges, arrows = self.model(batch.images)
        labels = pool_labels(batch.labels, self.model.stride)
        pairs = neighbour_pairs(*edges.shape[-2:], radius=self.radius).to(edges.device)
        affinities = path_affinities(edges[:, 0].sigmoid(), pairs)
        parted = pair_affinity_loss(
            affinities, pairs, labels, background=self.background, ignored=None
        )
        centred = displacement_loss(arrows, pairs, labels, background=self.background)
        return {"pairs": parted, "displacements": centred}


class Expansion:
    """Spreads the maps of a localiser.

    Args:
        settings: Of the localisation; those of the spreading are in them.
        classes: Of the data set.

    Raises:
        ConfigError: The localiser has no features, and `by` is embedding.
    """

    def __init__(self, settings: LocaliseSettings, classes: ClassSet, localiser: Localiser) -> None:
        self.settings: ExpandSettings = settings.expand
        self.classes, self.localiser = classes, localiser
        if self.settings.by == "embedding" and not isinstance(localiser, WithFeatures):
            name = type(localiser).__name__
            raise ConfigError(
                f"localise.expand.by=embedding: {name} has no features; use affinity or irn"
            )
        beta = self.settings.beta
        self.beta = BETA.get(self.settings.by, 0.0) if beta is None else beta

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Learn from the confident labels; `folder` gets them and the weights."""
        self.size, self.zoom = job.settings.size, job.zoom
        if self.settings.by == "embedding":
            return
        model, learner = self._learner(job)
        file = folder / "affinity.safetensors"
        if file.exists():  # an interruption came after the training
            read_weights(file, model, remedy=AGAIN)
        else:
            names = self._write_labels(job, folder / CONFIDENT)
            load = with_labels(job.hinted, folder / CONFIDENT, classes=len(self.classes))
            steps = job.share(self.settings.steps, STEPS_SHARE)
            batches = Batches(job, names, load, steps=steps)
            lr = self.settings.lr_factor * job.settings.lr
            train_network(job, learner, folder, batches, keep=keeper(model, file), lr=lr)
        self.model = model.to(job.fabric.device).eval()

    def _learner(
        self, job: Job[Any]
    ) -> tuple[AffinityNet | BoundaryNet, AffinityLearner | BoundaryLearner]:
        train, background = job.settings, self.classes.background
        torch.manual_seed(train.seed)
        backbone = Backbone(train.backbone, output_stride=train.output_stride)
        load_weights(backbone, train.weights)
        radius = self.settings.radius
        if self.settings.by == "irn":
            edges = BoundaryNet(backbone)
            return edges, BoundaryLearner(edges, background, radius or EDGE_RADIUS)
        if len(backbone.channels) < LEAST_STAGES:
            raise ConfigError(
                f"localise.expand.by=affinity: needs {LEAST_STAGES} stages, {train.backbone} has "
                f"{len(backbone.channels)}; use irn or embedding"
            )
        backbone.freeze(train.freeze, norm=True)
        alike = AffinityNet(backbone)
        return alike, AffinityLearner(alike, background, radius or RADIUS)

    def _write_labels(self, job: Job[Any], folder: Path) -> tuple[str, ...]:
        """Confident labels of all images with hints."""
        names = job.dataset.hinted_names()

        def write(name: str) -> None:
            labels = self.confident(job.hinted(name))
            write_label_map(folder / f"{name}.png", labels, classes=len(self.classes))

        for _ in job.over(names, write, "confident labels"):
            pass
        job.fabric.barrier()
        return names

    def confident(self, sample: Sample) -> LabelMap:
        """What the maps are sure of, and what a person labelled."""
        seen, settings, weak = self.localiser.maps(sample), self.settings, sample.weak
        background = self.classes.background
        if background is None:
            found = foreground_seeds(seen.maps, seen.labels, threshold=0.0, margin=settings.margin)
        else:
            found = confident_of_maps(
                seen.maps, seen.labels, background, low=settings.low, high=settings.high
            )
        labels = found.numpy().astype(np.int16)
        if settings.crf is not None:
            possible = weak.tags.copy()
            possible[[] if background is None else background] = True
            labels = supported_labels(sample.image, labels, settings.crf, possible=possible)
        return np.where(weak.labels == UNLABELLED, labels, weak.labels).astype(np.int16)

    @torch.inference_mode()
    def __call__(self, sample: Sample, seen: ScoreMaps) -> ScoreMaps:
        """The maps after the walk, from 0 to 1, with one of the background where there is one.

        With a background all are divided by the highest value of all, without one each map goes
        from 0 to 1 by itself.
        """
        background = self.classes.background
        maps, labels = seen.maps, seen.labels
        if not len(maps):
            return seen
        if background is not None:
            score = background_score(maps, self.settings.exponent)[None]
            maps, labels = (
                torch.cat([score, maps]),
                torch.cat([labels.new_tensor([background]), labels]),
            )
        walked = self._walk(sample, maps)
        size = sample.image.shape[:2]
        spread = F.interpolate(walked[None], size=size, mode="bilinear", align_corners=False)[0]
        if background is not None:  # classes and background are compared as they are
            return ScoreMaps((spread / (spread.amax() + 1e-5)).clamp(0, 1), labels)
        return ScoreMaps(_stretched(spread), labels)

    def _walk(self, sample: Sample, maps: Tensor) -> Tensor:
        """Maps on the cells of the affinity, after the walk."""
        steps = self.settings.walk
        if self.settings.by == "embedding":
            assert isinstance(self.localiser, WithFeatures)
            features = self.localiser.features(sample).float()
            small = _averaged(maps, features.shape[-2:])
            affinity = embedding_affinity(features[None], sharpness=20 * self.beta)
            return walk(small, affinity, steps=steps)
        image = self._view(sample)
        if isinstance(self.model, BoundaryNet):
            mirrored = self.model(image.flip(-1))[0].flip(-1)
            edges = ((self.model(image)[0] + mirrored) / 2).sigmoid()[0, 0].cpu()
            small = _averaged(maps, edges.shape)
            return edge_walk(small, edges, radius=WALK_RADIUS, beta=self.beta, steps=steps)
        features = self.model(image)[0].cpu()
        pairs = neighbour_pairs(*features.shape[-2:], radius=RADIUS)
        small = _averaged(maps, features.shape[-2:])
        affinities = pair_affinities(features, pairs)
        return random_walk(small, affinities, pairs=pairs, beta=self.beta, steps=steps)

    def _view(self, sample: Sample) -> Tensor:
        """The image at the mean size of the training views, its sides multiples of 8."""
        pixels = torch.from_numpy(sample.image.transpose(2, 0, 1)[None].copy()).float()
        size = [max(1, round(side * self.zoom / 8)) * 8 for side in sample.image.shape[:2]]
        device = next(self.model.parameters()).device
        return F.interpolate(pixels, size=size, mode="bilinear", antialias=True).to(device)


def _stretched(maps: Float[Tensor, "maps height width"]) -> Float[Tensor, "maps height width"]:
    """Each map from 0 to 1; one that is the same everywhere is 1, an empty one 0.

    A walk leaves small differences of maps whose classes cover an image; what is everywhere says
    nothing about the place.
    """
    least, highest = (edge(dim=(1, 2), keepdim=True) for edge in (maps.amin, maps.amax))
    slack = 1e-5 * highest
    return (maps - least + slack) / (highest - least + slack + torch.finfo(maps.dtype).tiny)


def _averaged(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Maps on a grid of cells, each the mean of its pixels where it shrinks."""
    shrunk: Tensor = F.interpolate(maps[None], size=tuple(size), mode="bilinear", antialias=True)[0]
    return shrunk
