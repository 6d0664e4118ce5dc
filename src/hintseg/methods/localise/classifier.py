"""A classifier of tags as a localiser: class activation maps (Zhou et al., arXiv:1512.04150).

It is trained in the run, on the hints of the run: no maps from elsewhere. Maps are made for tags
that a person gave, never for predicted ones.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hintseg.data.samples import load_hinted
from hintseg.data.transforms import Augmentation
from hintseg.engine.fit import Learner
from hintseg.losses.image_level import tag_loss
from hintseg.methods.fitting import Batches, Keep, Stateless, train_network
from hintseg.methods.job import Job
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.saved import read_weights, write_weights
from hintseg.models.tag_classifier import TagClassifier, tag_scores
from hintseg.seeds.activation import activation_maps, sum_views
from hintseg.structures import Batch, Sample, ScoreMaps

AGAIN = "delete the folder of this stage and continue with --resume to have it made again"
STEPS_SHARE = 0.4  # of the steps of the run, where its own are not set


class TagLearner(Stateless):
    """Learns which classes are in an image from the tags that are known."""

    def __init__(self, model: TagClassifier) -> None:
        self.model = model
        self.pretrained = model.backbone

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Soft margin over the known tags."""
        rows = list(self.model.foreground)
        scores = tag_scores(self.model(batch.images))
        return {"tags": tag_loss(scores, batch.tags[:, rows], batch.absent[:, rows])}


class ClassifierLocaliser:
    """Activation maps of a classifier of tags, over several views of an image.

    Args:
        settings: How it is trained, and the views.
    """

    def __init__(self, settings: LocaliseSettings) -> None:
        self.settings = settings

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Train the classifier; `folder` gets `classifier.safetensors`."""
        model = TagClassifier(
            new_backbone(job, self.settings), job.dataset.classes, dropout=self.settings.dropout
        )
        train_classifier(job, self.settings, TagLearner(model), folder)
        self.use(model, job.settings.crop)
        self.model.to(job.fabric.device)

    def use(self, model: TagClassifier, side: int) -> None:
        """Look with a trained classifier at images whose longer side is `side` at scale 1."""
        self.model, self.side = model.to(memory_format=torch.channels_last).eval(), side

    @torch.inference_mode()
    def maps(self, sample: Sample) -> ScoreMaps:
        """Activation maps of the known tags of an image."""
        size = sample.image.shape[:2]
        known = torch.from_numpy(self._known(sample))
        rows = known.nonzero()[:, 0]
        labels = torch.tensor(self.model.foreground, dtype=torch.int64)[rows]
        if not len(rows):
            return ScoreMaps(torch.zeros(0, *size), labels)
        image = self._pixels(sample)
        flips = (False, True) if self.settings.flip else (False,)
        views = [(scale, flip) for scale in self.settings.scales for flip in flips]
        raw = [self._look(image, *view, known)[rows] for view in views]
        summed = sum_views(raw, [flip for _, flip in views], size).cpu()
        maps = activation_maps(summed, torch.ones(len(rows), dtype=torch.bool))[0]
        return ScoreMaps(maps, labels)

    @torch.inference_mode()
    def features(self, sample: Sample) -> Float[Tensor, "dim rows columns"]:
        """What the classifier sees in the first view, cell by cell, in half precision."""
        view = self._view(self._pixels(sample), self.settings.scales[0])
        return self.model.cells(view)[0].half().cpu()

    @torch.inference_mode()
    def tag_probabilities(self, sample: Sample) -> Float[np.ndarray, " classes"]:
        """Of every foreground class to be in an image, by the mean of all views; 0 elsewhere."""
        image = self._pixels(sample)
        views = [self._view(image, scale) for scale in self.settings.scales]
        scores = torch.stack([tag_scores(self.model(view))[0].float() for view in views]).mean(0)
        found = np.zeros(len(sample.weak.tags))
        found[list(self.model.foreground)] = scores.sigmoid().cpu().numpy()
        return found

    def saliency(self, sample: Sample) -> Float[Tensor, "height width"]:
        """How much the scores of the known tags depend on each pixel of the first view."""
        known = torch.from_numpy(self._known(sample)).to(self._device())
        view = self._view(self._pixels(sample), self.settings.scales[0])
        saliency = self.model.saliency(view, known)[:, None].float()
        size = sample.image.shape[:2]
        return F.interpolate(saliency, size=size, mode="bilinear", align_corners=False)[0, 0].cpu()

    def _look(
        self, image: Tensor, scale: float, flip: bool, known: Bool[Tensor, " maps"]
    ) -> Tensor:
        """Raw maps of one view."""
        view = self._view(image, scale)
        view = (view.flip(-1) if flip else view).contiguous(memory_format=torch.channels_last)
        return self.raw(view, known)[0].float()

    def raw(
        self, view: Float[Tensor, "1 3 height width"], known: Bool[Tensor, " maps"]
    ) -> Float[Tensor, "1 maps rows columns"]:
        """Raw maps of a view; of `known` tags they count."""
        del known  # every map by itself
        maps: Tensor = self.model(view)
        return maps

    def _view(self, image: Tensor, scale: float) -> Tensor:
        """An image at another size, its sides multiples of the stride: cells cover it exactly."""
        stride, (height, width) = self.model.stride, image.shape[-2:]
        factor = self.side * scale / max(height, width) / stride
        size = [max(1, round(side * factor)) * stride for side in (height, width)]
        return F.interpolate(image, size=size, mode="bilinear", antialias=True)

    def _known(self, sample: Sample) -> Bool[np.ndarray, " maps"]:
        """Which maps are of classes known to be in the image."""
        foreground = np.array(self.model.foreground, dtype=np.int64)
        known: Bool[np.ndarray, " maps"] = sample.weak.tags[foreground]
        return known

    def _pixels(self, sample: Sample) -> Tensor:
        pixels = torch.from_numpy(sample.image.transpose(2, 0, 1)[None].copy())
        return pixels.to(self._device(), torch.float32)

    def _device(self) -> torch.device:
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))


def new_backbone(job: Job[Any], settings: LocaliseSettings) -> Backbone:
    """A backbone with the initial weights of the run, and its frozen parts."""
    train = job.settings
    torch.manual_seed(train.seed)
    backbone = Backbone(train.backbone, output_stride=settings.output_stride)
    load_weights(backbone, train.weights)
    backbone.freeze(train.freeze, norm=train.freeze_norm)
    return backbone


def train_classifier(
    job: Job[Any],
    settings: LocaliseSettings,
    learner: Learner,
    folder: Path,
    *,
    scale: tuple[float, float] | None = None,
) -> None:
    """Train on all images with hints, or read what was finished before.

    `folder` gets `classifier.safetensors`; `scale` are the sizes of the images, in crops.
    """
    file, train = folder / "classifier.safetensors", job.settings
    if file.exists():  # an interruption came after the training
        read_weights(file, learner.model, remedy=AGAIN)
        return
    # Sizes are in crops, whatever the size of the files: how much of an image a crop shows decides
    # between a tag that is not in its crop and a map that takes in the surroundings.
    load = partial(load_hinted, job.dataset, size=train.crop)
    sizes = settings.scale if scale is None else scale
    view = Augmentation(crop=train.crop, scale=sizes, jitter=train.jitter, hue=train.hue)
    names, steps = job.dataset.hinted_names(), job.share(settings.steps, STEPS_SHARE)
    batches = Batches(job, names, load, steps=steps, view=view)
    lr = settings.lr_factor * train.lr
    train_network(job, learner, folder, batches, keep=keeper(learner.model, file), lr=lr)


def keeper(model: nn.Module, file: Path) -> Keep:
    """What keeps the last weights of a model in a file."""

    def keep(which: str) -> None:
        if which == "last":  # no validation; the file is the sign that the training has ended
            write_weights(file, model)

    return keep
