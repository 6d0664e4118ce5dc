"""Seeds of one image: the maps of a localiser, cut by thresholds."""

from collections.abc import Callable, Collection

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.methods.localise.cue import Cue
from hintseg.methods.localise.localiser import Localiser, WithFeatures, WithSaliency
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.seeds.activation import (
    background_score,
    background_seeds,
    box_masks,
    box_normalised,
    certain_seeds,
    foreground_seeds,
    in_front,
    saliency_seeds,
)
from hintseg.structures import UNLABELLED, ClassSet, LabelMap, Sample, ScoreMaps, WeakLabels

Expander = Callable[[Sample, ScoreMaps], ScoreMaps]
EXPONENT = 6.0  # of the background score: its seeds are few and sure


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
    """Makes seeds of the maps of a localiser.

    Args:
        localiser: Has learnt.
        settings: Thresholds.
        classes: Of the data set.
        boxes_complete: A class that has boxes is nowhere else in the image.
        expand: Spreads the maps; it may add one of the background.
        placeless: Classes whose maps say nothing of their place; they get no seeds.
        cue: Says where the background is; None: the maps do.

    Raises:
        ConfigError: The settings need what the localiser does not offer.
    """

    def __init__(
        self,
        localiser: Localiser,
        settings: LocaliseSettings,
        classes: ClassSet,
        *,
        boxes_complete: bool,
        expand: Expander | None = None,
        placeless: Collection[int] = (),
        cue: Cue | None = None,
    ) -> None:
        self.localiser, self.settings, self.classes = localiser, settings, classes
        self.boxes_complete, self.expand, self.cue = boxes_complete, expand, cue
        self.placeless = np.array(sorted(placeless), dtype=np.int64)
        name = type(localiser).__name__
        if settings.background == "saliency" and not isinstance(localiser, WithSaliency):
            raise ConfigError(f"localise.background=saliency: {name} has none; use score")
        if settings.agreement.rounds and not isinstance(localiser, WithFeatures):
            raise ConfigError(
                f"localise.agreement.rounds={settings.agreement.rounds}: {name} has no features "
                "to agree on; set it to 0"
            )

    def maps(self, sample: Sample) -> ScoreMaps:
        """Maps of the known tags of an image, spread where that is asked for."""
        seen = _without(self.localiser.maps(sample), self.placeless)
        seen = seen if self.expand is None else self.expand(sample, seen)
        if self.cue is not None and self.classes.background is not None:  # the cue speaks of it
            seen = _without(seen, np.array([self.classes.background]))
        return seen

    def features(self, sample: Sample) -> Float[Tensor, "dim rows columns"]:
        """What the localiser sees in each cell of an image."""
        assert isinstance(self.localiser, WithFeatures)
        return self.localiser.features(sample)

    def prior(
        self, sample: Sample
    ) -> tuple[Float[Tensor, "classes height width"], Bool[Tensor, "classes height width"]]:
        """For every class its map, zero without one, and where the hints allow the class.

        The background has its score for a map. A labelled pixel allows its label alone.
        """
        weak, classes, size = sample.weak, len(self.classes), sample.weak.labels.shape
        seen = self.maps(sample)
        boxes = torch.from_numpy(weak.boxes).float()
        every = torch.zeros(classes, *size)
        every[seen.labels] = in_boxes(seen, boxes)
        possible = torch.from_numpy(weak.tags.copy())[:, None, None].expand(-1, *size).clone()
        possible[self.placeless] = False
        if self.boxes_complete:
            boxed = torch.from_numpy(np.unique(weak.boxes[:, 4]).astype(np.int64))
            possible[boxed] &= box_masks(boxed, boxes, size)
        if self.classes.background is not None and weak.tags.any():
            if self.cue is not None:
                every[self.classes.background] = self.cue(sample)
            elif not self._has_background(seen):
                every[self.classes.background] = background_score(
                    seen.maps, self.settings.agreement.exponent
                )
            possible[self.classes.background] = True
        known = torch.from_numpy(weak.labels).long()
        own = torch.arange(classes)[:, None, None] == known
        return every, torch.where(known == UNLABELLED, possible, own)

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        return missing_only(self._all_seeds(sample), sample.weak, self.classes)

    def _all_seeds(self, sample: Sample) -> LabelMap:
        weak, settings = sample.weak, self.settings
        certain = self.certain(weak)
        if (certain >= 0).all():
            return certain.numpy()
        seen = self.maps(sample)
        maps = in_boxes(seen, torch.from_numpy(weak.boxes).float())
        rivals = self._has_background(seen)  # every class that can be there has a map
        threshold = 0.0 if rivals else self._threshold(weak)
        seeds = foreground_seeds(maps, seen.labels, threshold=threshold, margin=settings.margin)
        if self.classes.background is not None and not rivals:
            empty = self._background(sample, maps)
            seeds = seeds.where((seeds >= 0) | ~empty, self.classes.background)
        return seeds.where(certain < 0, certain).numpy()

    def _has_background(self, seen: ScoreMaps) -> bool:
        """Whether the background has a map of its own."""
        return self.classes.background in seen.labels.tolist()

    def _background(
        self, sample: Sample, maps: Float[Tensor, "maps height width"]
    ) -> Bool[Tensor, "height width"]:
        """Seeds of the background where no class is seen, by the maps, saliency or a cue."""
        settings = self.settings
        if self.cue is not None:
            return self.cue(sample) >= settings.cue_sure
        if settings.background == "score" or not len(maps):
            return background_seeds(
                maps,
                threshold=settings.background_threshold,
                exponent=settings.exponent or EXPONENT,
            )
        assert isinstance(self.localiser, WithSaliency)
        return saliency_seeds(self.localiser.saliency(sample), settings.saliency)

    def _threshold(self, weak: WeakLabels) -> float:
        """Where every class that can be there has a map, the lead decides alone."""
        told = (weak.tags | weak.absent).all() and not weak.tags[self.placeless].any()
        if self.classes.background is None and told:
            return 0.0
        return self.settings.box_threshold if len(weak.boxes) else self.settings.threshold

    def certain(self, weak: WeakLabels) -> Int[Tensor, "height width"]:
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
        possible = torch.cat([box_masks(inside, boxes, size), anywhere])
        return certain_seeds(possible, torch.cat([inside, torch.from_numpy(free)]))


def _without(seen: ScoreMaps, labels: Int[np.ndarray, " labels"]) -> ScoreMaps:
    """The maps of the other classes."""
    kept = ~torch.isin(seen.labels, torch.from_numpy(labels))
    return ScoreMaps(seen.maps[kept], seen.labels[kept])


def in_boxes(
    seen: ScoreMaps, boxes: Float[Tensor, "boxes 5"]
) -> Float[Tensor, "maps height width"]:
    """Maps scaled inside each box, and down behind smaller ones."""
    return in_front(box_normalised(seen.maps, seen.labels, boxes), seen.labels, boxes)


def missing_only(found: LabelMap, weak: WeakLabels, classes: ClassSet) -> LabelMap:
    """Seeds of the classes that the hints name but do not show, on unlabelled pixels."""
    wanted = (found >= 0) & missing_classes(weak, classes)[np.maximum(found, 0)]
    wanted &= weak.labels == UNLABELLED
    return np.where(wanted, found, UNLABELLED).astype(np.int16)
