"""Seeds of one image: the maps of a trained classifier of tags, cut by thresholds."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.activation import (
    activation_maps,
    background_score,
    background_seeds,
    box_cover,
    box_normalised,
    certain_seeds,
    foreground_seeds,
    in_front,
    saliency_seeds,
    sum_views,
)
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.models.tag_classifier import TagClassifier
from hintseg.structures import UNLABELLED, ClassSet, LabelMap, Sample, WeakLabels


def missing_classes(weak: WeakLabels, classes: ClassSet) -> Bool[np.ndarray, " classes"]:
    """Classes that are in an image but on none of its labelled pixels.

    The background, where there is one, counts as present in every image that has any tag.
    """
    missing = weak.tags.copy()
    if classes.background is not None and missing.any():
        missing[classes.background] = True
    missing[np.unique(weak.labels[weak.labels >= 0])] = False
    return missing


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

    @torch.inference_mode()
    def features(self, sample: Sample) -> Float[Tensor, "dim rows columns"]:
        """What the classifier sees in the first view, cell by cell, in half precision."""
        view = self._view(self._pixels(sample), self.settings.scales[0])
        return self.model.cells(view)[0].half().cpu()

    def prior(
        self, sample: Sample
    ) -> tuple[Float[Tensor, "classes height width"], Bool[Tensor, "classes height width"]]:
        """For every class its map, zero without one, and where the hints allow the class.

        The background has its score for a map. A labelled pixel allows its label alone.
        """
        weak, classes, size = sample.weak, len(self.classes), sample.weak.labels.shape
        maps, labels = self.maps(sample)
        boxes = torch.from_numpy(weak.boxes).float()
        every = torch.zeros(classes, *size)
        every[labels] = _in_boxes(maps, labels, boxes)
        possible = torch.from_numpy(weak.tags.copy())[:, None, None].expand(-1, *size).clone()
        if self.boxes_complete:
            boxed = torch.from_numpy(np.unique(weak.boxes[:, 4]).astype(np.int64))
            possible[boxed] &= box_cover(boxed, boxes, size)
        if self.classes.background is not None and weak.tags.any():
            every[self.classes.background] = background_score(
                maps, self.settings.agreement.exponent
            )
            possible[self.classes.background] = True
        known = torch.from_numpy(weak.labels).long()
        own = torch.arange(classes)[:, None, None] == known
        return every, torch.where(known == UNLABELLED, possible, own)

    def _look(self, image: Tensor, scale: float, flip: bool) -> Tensor:
        """Raw maps of one view."""
        view = self._view(image, scale)
        view = (view.flip(-1) if flip else view).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.model(view)[0].float()
        return maps

    def _view(self, image: Tensor, scale: float) -> Tensor:
        """An image at another size, its sides multiples of the stride: cells cover it exactly."""
        stride, (height, width) = self.model.stride, image.shape[-2:]
        factor = self.side * scale / max(height, width) / stride
        size = [max(1, round(side * factor)) * stride for side in (height, width)]
        return F.interpolate(image, size=size, mode="bilinear", antialias=True)

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        return missing_only(self._all_seeds(sample), sample.weak, self.classes)

    def _all_seeds(self, sample: Sample) -> LabelMap:
        weak, settings = sample.weak, self.settings
        certain = self._certain(weak)
        if (certain >= 0).all():
            return certain.numpy()
        maps, labels = self.maps(sample)
        maps = _in_boxes(maps, labels, torch.from_numpy(weak.boxes).float())
        seeds = foreground_seeds(
            maps, labels, threshold=self._threshold(weak), margin=settings.margin
        )
        if self.classes.background is not None:
            empty = self._background(sample, maps)
            seeds = seeds.where((seeds >= 0) | ~empty, self.classes.background)
        return seeds.where(certain < 0, certain).numpy()

    def _background(
        self, sample: Sample, maps: Float[Tensor, "maps height width"]
    ) -> Bool[Tensor, "height width"]:
        """Seeds of the background where no class is seen, by the maps or by saliency."""
        settings, chosen = self.settings, self._known(sample)
        if settings.background == "score" or not chosen.any():
            return background_seeds(
                maps, threshold=settings.background_threshold, exponent=settings.exponent
            )
        view = self._view(self._pixels(sample), settings.scales[0])
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


def _in_boxes(
    maps: Float[Tensor, "maps height width"],
    labels: Int[Tensor, " maps"],
    boxes: Float[Tensor, "boxes 5"],
) -> Float[Tensor, "maps height width"]:
    """Maps scaled inside each box, and down behind smaller ones."""
    return in_front(box_normalised(maps, labels, boxes), labels, boxes)


def missing_only(found: LabelMap, weak: WeakLabels, classes: ClassSet) -> LabelMap:
    """Seeds of the classes that the hints name but do not show, on unlabelled pixels."""
    wanted = (found >= 0) & missing_classes(weak, classes)[np.maximum(found, 0)]
    wanted &= weak.labels == UNLABELLED
    return np.where(wanted, found, UNLABELLED).astype(np.int16)
