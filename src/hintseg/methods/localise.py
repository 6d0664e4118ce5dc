"""Seeds for classes that a hint names but does not show: tags without a pixel, and boxes.

The classifier is trained in the run, on the hints of the run: no maps from elsewhere. Its class
activation maps (Zhou et al. 2016, arXiv:1512.04150) over several views of an image, cut by two
thresholds, are the seeds (Ahn and Kwak 2018, arXiv:1803.10464; boxes as in Ke et al. 2021,
arXiv:2105.00957). Maps are made for tags that a person gave, never for predicted ones.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from hintseg.activation import (
    Maps,
    activation_maps,
    background_seeds,
    box_cover,
    box_normalised,
    certain_seeds,
    foreground_seeds,
    saliency_seeds,
    sum_views,
)
from hintseg.data.dataset import Dataset
from hintseg.data.samples import Loader, load_hinted
from hintseg.data.transforms import Augmentation
from hintseg.files import replacing
from hintseg.images import overlay, read_label_map, write_label_map
from hintseg.losses.image_level import tag_loss
from hintseg.methods.job import Job
from hintseg.methods.network import Batches, Forgetful, train_network
from hintseg.methods.settings import Settings, Share
from hintseg.methods.sheets import Row, drawn_hints, evenly, sheet_row, write_sheet
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.tag_classifier import TagClassifier, tag_scores
from hintseg.progress import progress
from hintseg.resize import resize_labels
from hintseg.structures import UNLABELLED, Batch, ClassSet, LabelMap, Sample, WeakLabels

SHEET_IMAGES, SHEET_MAPS = 8, 2  # on the contact sheet: images, and maps of each
PART = 0.4  # of the steps of the run, where its own are not set


class LocaliseSettings(Settings):
    """How the classifier is trained and how its maps become seeds."""

    steps: int | None = Field(
        None, ge=0, description="of the classifier of tags; 0: no such seeds; null: 0.4 of the run"
    )
    lr_factor: float = Field(2.0, gt=0, description="times train.lr, for the classifier")
    scale: tuple[float, float] = Field(
        (1.2, 2.4), description="longer side of an image in its training, in crops"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="of the features that it reads")
    output_stride: Literal[8, 16, 32] = Field(16, description="pixels per cell of its maps")
    scales: tuple[float, ...] = Field(
        (1.5, 2.5), min_length=1, description="longer side of the views of the maps, in crops"
    )
    flip: bool = Field(True, description="maps of the mirror images too")
    threshold: Share = Field(
        0.7, description="least map of a seed where what has no map may be: background, unknown"
    )
    margin: Share = Field(0.15, description="by which the map of a seed leads the next")
    background_threshold: Share = Field(0.2, description="least background score of a seed")
    exponent: float = Field(
        6.0, gt=0, description="of the background score (1 - best map)^exponent"
    )
    background: Literal["score", "saliency"] = Field(
        "score", description="seeds of it: where no map is high, or where the tags hardly depend"
    )
    saliency: Share = Field(0.1, description="least salient part of an image that is background")
    box_threshold: Share = Field(0.5, description="as threshold, in images with boxes")


class TagLearner(Forgetful):
    """Learns which classes are in an image from the tags that are known."""

    def __init__(self, model: TagClassifier) -> None:
        self.model = model
        self.pretrained = model.backbone

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Soft margin over the known tags."""
        rows = list(self.model.foreground)
        scores = tag_scores(self.model(batch.images))
        return {"tags": tag_loss(scores, batch.tags[:, rows], batch.absent[:, rows])}


def missing_classes(weak: WeakLabels, classes: ClassSet) -> Bool[np.ndarray, " classes"]:
    """Classes that are in an image but on none of its labelled pixels.

    The background, where there is one, counts as present in every image that has any tag.
    """
    missing = weak.tags.copy()
    if classes.background is not None and missing.any():
        missing[classes.background] = True
    missing[np.unique(weak.labels[weak.labels >= 0])] = False
    return missing


def images_needing_seeds(dataset: Dataset, weak: Callable[[str], WeakLabels]) -> tuple[str, ...]:
    """Train images with a class that their hints name but do not show."""
    names = dataset.hinted_names()
    return tuple(name for name in names if missing_classes(weak(name), dataset.classes).any())


def localise(
    job: Job, settings: LocaliseSettings, names: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    """Train a classifier of tags and write what it has seen of the missing classes.

    `names` are the images that need seeds. Writes `classifier.safetensors`, `seeds/NAME.png` at the
    working resolution for each of them, and `seeds.png`, a sheet for a person to look at. Returns
    the record of the stage.
    """
    dataset, train = job.dataset, job.settings
    model = _trained_classifier(job, settings, folder)
    seeder = Seeder(
        model,
        settings,
        dataset.classes,
        side=train.crop,
        boxes_complete=dataset.boxes_complete,
        device=job.fabric.device,
    )
    mine = job.mine(names)
    with progress("seeds", len(mine)) as advance:
        for name in mine:
            seeds = seeder.seeds(job.hinted(name))
            write_label_map(_file(folder, name), seeds, classes=len(dataset.classes))
            advance("")
    job.fabric.barrier()
    seeded = [read_label_map(_file(folder, n), classes=2**15, undeclared=-1) >= 0 for n in names]
    if job.fabric.is_global_zero and names:
        shown = evenly(names, SHEET_IMAGES)
        write_sheet(folder / "seeds.png", [_sheet_row(seeder, job.hinted(name)) for name in shown])
    share = sum(s.sum() for s in seeded) / max(1, sum(s.size for s in seeded))
    return {
        "steps": job.share(settings.steps, PART),
        "images": len(names),
        "seeded_pixels": round(float(share), 4),
    }


def with_seeds(load: Loader, folder: Path) -> Loader:
    """The same loader, with the seeds of `folder` on pixels without a label; tags stay as given."""

    def get(name: str) -> Sample:
        sample, file = load(name), _file(folder, name)
        if not file.exists():
            return sample
        weak = sample.weak
        seeds = read_label_map(file, classes=len(weak.tags), undeclared=UNLABELLED)
        seeds = resize_labels(seeds, *weak.labels.shape)
        labels = np.where(weak.labels == UNLABELLED, seeds, weak.labels)
        return replace(sample, weak=replace(weak, labels=labels.astype(weak.labels.dtype)))

    return get


def _file(folder: Path, name: str) -> Path:
    return folder / "seeds" / f"{name}.png"


def _trained_classifier(job: Job, settings: LocaliseSettings, folder: Path) -> TagClassifier:
    train, dataset, file = job.settings, job.dataset, folder / "classifier.safetensors"
    torch.manual_seed(train.seed)
    backbone = Backbone(train.backbone, output_stride=settings.output_stride)
    load_weights(backbone, train.weights)
    backbone.freeze(train.freeze, norm=train.freeze_norm)
    model = TagClassifier(backbone, dataset.classes, dropout=settings.dropout)

    def keep(which: str) -> None:
        del which  # no validation: there is only the last
        with replacing(file) as temporary:
            save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, temporary)

    if file.exists():  # an interruption came after the training
        model.load_state_dict(load_file(file))
        return model
    # Sizes are in crops, whatever the size of the files: how much of an image a crop shows decides
    # between a tag that is not in its crop and a map that takes in the surroundings.
    load = partial(load_hinted, dataset, size=train.crop)
    view = Augmentation(crop=train.crop, scale=settings.scale, jitter=train.jitter)
    names, steps = dataset.hinted_names(), job.share(settings.steps, PART)
    batches = Batches(job, names, load, steps=steps, view=view)
    lr = settings.lr_factor * train.lr
    train_network(job, TagLearner(model), folder, batches, keep=keep, lr=lr)
    return model


class Seeder:
    """A trained classifier that looks at images with hints.

    Args:
        model: The classifier.
        settings: Views and thresholds.
        classes: Of the data set.
        side: Pixels of the longer side of an image at scale 1.
        boxes_complete: A class that has boxes is nowhere else in the image.
        device: Where the model runs.
    """

    def __init__(
        self,
        model: TagClassifier,
        settings: LocaliseSettings,
        classes: ClassSet,
        *,
        side: int,
        boxes_complete: bool,
        device: torch.device,
    ) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last).eval()
        self.settings, self.classes, self.side, self.device = settings, classes, side, device
        self.boxes_complete = boxes_complete

    @torch.inference_mode()
    def maps(
        self, sample: Sample
    ) -> tuple[Float[Tensor, "maps height width"], Int[Tensor, " maps"]]:
        """Activation maps of the known tags of an image, and the class of each."""
        size = sample.image.shape[:2]
        rows = np.flatnonzero(self._known(sample))
        labels = torch.tensor(self.model.foreground, dtype=torch.int64)[torch.from_numpy(rows)]
        if not len(rows):
            return torch.zeros(0, *size), labels
        image = self._pixels(sample)
        flips = (False, True) if self.settings.flip else (False,)
        views = [(scale, flip) for scale in self.settings.scales for flip in flips]
        raw = [self._look(image, *view)[rows] for view in views]
        summed = sum_views(raw, [flip for _, flip in views], size).cpu()
        return activation_maps(summed, torch.ones(len(rows), dtype=torch.bool))[0], labels

    def _look(self, image: Tensor, scale: float, flip: bool) -> Tensor:
        """Raw maps of one view."""
        maps: Tensor = self.model(self._view(image, scale, flip))[0].float()
        return maps

    def _view(self, image: Tensor, scale: float, flip: bool) -> Tensor:
        """A view whose sides are multiples of the stride: cells cover it exactly."""
        stride, (height, width) = self.model.stride, image.shape[-2:]
        factor = self.side * scale / max(height, width) / stride
        size = [max(1, round(side * factor)) * stride for side in (height, width)]
        view = F.interpolate(image, size=size, mode="bilinear", antialias=True)
        return (view.flip(-1) if flip else view).contiguous(memory_format=torch.channels_last)

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        found = self._all_seeds(sample)
        weak = sample.weak
        wanted = (found >= 0) & missing_classes(weak, self.classes)[np.maximum(found, 0)]
        wanted &= weak.labels == UNLABELLED
        return np.where(wanted, found, UNLABELLED).astype(np.int16)

    def _all_seeds(self, sample: Sample) -> LabelMap:
        weak, settings = sample.weak, self.settings
        certain = self._certain(weak)
        if (certain >= 0).all():
            return certain.numpy()
        maps, labels = self.maps(sample)
        maps = box_normalised(maps, labels, torch.from_numpy(weak.boxes).float())
        seeds = foreground_seeds(
            maps, labels, threshold=self._threshold(weak), margin=settings.margin
        )
        if self.classes.background is not None:
            empty = self._background(sample, maps)
            seeds = seeds.where((seeds >= 0) | ~empty, self.classes.background)
        return seeds.where(certain < 0, certain).numpy()

    def _background(self, sample: Sample, maps: Maps) -> Bool[Tensor, "height width"]:
        """Seeds of the background where no class is seen, by the maps or by saliency."""
        settings, chosen = self.settings, self._known(sample)
        if settings.background == "score" or not chosen.any():
            return background_seeds(
                maps, threshold=settings.background_threshold, exponent=settings.exponent
            )
        view = self._view(self._pixels(sample), settings.scales[0], False)
        saliency = self.model.saliency(view, torch.from_numpy(chosen).to(self.device))[:, None]
        size = sample.image.shape[:2]
        full = F.interpolate(saliency.float(), size=size, mode="bilinear", align_corners=False)
        return saliency_seeds(full[0, 0].cpu(), settings.saliency)

    def _known(self, sample: Sample) -> Bool[np.ndarray, " maps"]:
        """Which maps are of classes known to be in the image."""
        foreground = np.array(self.model.foreground, dtype=np.int64)
        known: Bool[np.ndarray, " maps"] = sample.weak.tags[foreground]
        return known

    def _pixels(self, sample: Sample) -> Tensor:
        pixels = torch.from_numpy(sample.image.transpose(2, 0, 1)[None].copy())
        return pixels.to(self.device, torch.float32)

    def _threshold(self, weak: WeakLabels) -> float:
        """Where every class that can be there has a map, the lead decides alone."""
        if self.classes.background is None and (weak.tags | weak.absent).all():
            return 0.0
        return self.settings.box_threshold if len(weak.boxes) else self.settings.threshold

    def _certain(self, weak: WeakLabels) -> Int[Tensor, "height width"]:
        """Pixels at which, by the hints alone, only one class can be."""
        candidates = np.flatnonzero(~weak.absent)
        boxed = np.intersect1d(candidates, weak.boxes[:, 4].astype(np.int64))
        boxed = boxed if self.boxes_complete else boxed[:0]
        free = np.setdiff1d(candidates, boxed)  # may be anywhere
        size = weak.labels.shape
        if len(free) > 1:
            return torch.full(size, UNLABELLED)
        inside, boxes = torch.from_numpy(boxed), torch.from_numpy(weak.boxes).float()
        anywhere = torch.ones(len(free), *size, dtype=torch.bool)
        possible = torch.cat([box_cover(inside, boxes, size), anywhere])
        return certain_seeds(possible, torch.cat([inside, torch.from_numpy(free)]))


def _sheet_row(seeder: Seeder, sample: Sample) -> Row:
    """Image, hints, the first maps (light where the map is high) and seeds."""
    maps, labels = seeder.maps(sample)
    image = sample.image
    titles = [seeder.classes.names[label] for label in labels.tolist()]
    lit = [(image * (0.15 + 0.85 * m[..., None])).astype(np.uint8) for m in maps.numpy()]
    shown = [*zip(titles, lit, strict=True), *[("", np.zeros_like(image))] * SHEET_MAPS]
    hints, seeds = drawn_hints(sample), overlay(image, seeder.seeds(sample))
    return sheet_row(
        [(sample.name, image), ("hints", hints), *shown[:SHEET_MAPS], ("seeds", seeds)]
    )
