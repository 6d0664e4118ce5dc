"""Who looks at the images for seeds: a trained classifier of tags, alone or all images together."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
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
from hintseg.methods.settings import Settings, Share
from hintseg.models.tag_classifier import TagClassifier
from hintseg.refine.agreement import CellClassifier, Cells, learn_agreement, posterior
from hintseg.refine.dense_crf import PresetName
from hintseg.regions import regions
from hintseg.structures import UNLABELLED, ClassSet, LabelMap, Sample, WeakLabels


class AgreementSettings(Settings):
    """How the maps of all images are brought to agree before they become seeds."""

    rounds: int = Field(6, ge=0, description="0: the maps of an image alone make its seeds")
    steps: int = Field(60, ge=1, description="of the classifier of cells in a round")
    trust: float = Field(6.0, gt=0, description="log-odds that a map of 1 is worth")
    exponent: float = Field(
        0.5, gt=0, description="of the background score (1 - best map)^exponent; small: more of it"
    )
    balance: Share = Field(0.5, description="0: classes are as common as they seem; 1: equally")
    regions: int = Field(50, ge=1, description="of an image; each agrees with itself")
    cells: int = Field(200_000, ge=1, description="that are kept of all images together")
    sure: Share = Field(0.95, description="least probability of a seed")


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
    agreement: AgreementSettings = AgreementSettings()
    crf: PresetName | None = Field(
        None, description="preset of a dense CRF; seeds that it contradicts are dropped"
    )

    @model_validator(mode="after")
    def _saliency_is_used(self) -> "LocaliseSettings":
        """What agrees across images has probabilities of the background, and no use for it."""
        if self.background == "saliency" and self.agreement.rounds:
            raise ValueError("background=saliency needs agreement.rounds=0")
        return self


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
        return _missing_only(self._all_seeds(sample), sample.weak, self.classes)

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


def _missing_only(found: LabelMap, weak: WeakLabels, classes: ClassSet) -> LabelMap:
    """Seeds of the classes that the hints name but do not show, on unlabelled pixels."""
    wanted = (found >= 0) & missing_classes(weak, classes)[np.maximum(found, 0)]
    wanted &= weak.labels == UNLABELLED
    return np.where(wanted, found, UNLABELLED).astype(np.int16)


class AgreedSeeder:
    """A seeder whose maps agree across images (refine.agreement), by regions of each image.

    Args:
        alone: Looks at one image.
        cells: What was learnt of all images.
    """

    def __init__(self, alone: Seeder, cells: CellClassifier) -> None:
        self.alone, self.cells = alone, cells
        self.settings = alone.settings.agreement

    @classmethod
    def learn(
        cls, alone: Seeder, samples: Iterable[Sample], *, count: int, seed: int
    ) -> "AgreedSeeder":
        """Learn from `count` images with hints; equal seeds give equal seeders."""
        settings = alone.settings.agreement
        draws, most = np.random.default_rng(seed), max(1, settings.cells // max(1, count))
        looks = [_some_cells(alone, sample, draws, most) for sample in samples]
        cells = learn_agreement(
            _joined(looks),
            rounds=settings.rounds,
            steps=settings.steps,
            balance=settings.balance,
            seed=seed,
        )
        return cls(alone, cells)

    def maps(
        self, sample: Sample
    ) -> tuple[Float[Tensor, "maps height width"], Int[Tensor, " maps"]]:
        """The probabilities of the known tags, and the class of each."""
        known = np.flatnonzero(sample.weak.tags)
        labels = torch.from_numpy(known[np.isin(known, self.alone.classes.foreground)])
        return self._probabilities(sample)[0][labels], labels

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        chances, maps = self._probabilities(sample)
        best, label = chances.max(dim=0)
        sure = best >= self.settings.sure
        weak, classes = sample.weak, self.alone.classes
        if classes.background is None and not (weak.tags | weak.absent).all():
            # something unnamed may be there, and has no map of its own to say so
            sure &= maps.gather(0, label[None])[0] >= self.alone.settings.threshold
        found = label.where(sure, UNLABELLED).numpy()
        return _missing_only(found, weak, classes)

    def _probabilities(
        self, sample: Sample
    ) -> tuple[Float[Tensor, "classes height width"], Float[Tensor, "classes height width"]]:
        """Of every class at each pixel; and the maps that they began with."""
        size = sample.weak.labels.shape
        maps, possible = self.alone.prior(sample)
        features = self.alone.features(sample).float()
        learnt = self.cells(_rows(features)).T.reshape(1, -1, *features.shape[1:])
        learnt = F.interpolate(learnt, size=size, mode="bilinear")[0]
        scores = learnt + self.settings.trust * maps
        region = torch.from_numpy(regions(sample.image, count=self.settings.regions)).long()
        chances = posterior(_rows(scores), _rows(possible), region.flatten())
        return chances.T.reshape(-1, *size), maps


def _some_cells(alone: Seeder, sample: Sample, draws: np.random.Generator, most: int) -> Cells:
    """Cells of an image with what is known at their centres."""
    settings = alone.settings.agreement
    features = alone.features(sample)
    maps, possible = alone.prior(sample)
    region = torch.from_numpy(regions(sample.image, count=settings.regions)).long()
    (rows, columns), (height, width) = features.shape[1:], region.shape
    down = ((torch.arange(rows) + 0.5) * height / rows).long()
    across = ((torch.arange(columns) + 0.5) * width / columns).long()
    at = (down[:, None] * width + across).flatten()  # the pixels at the centres
    chosen = torch.from_numpy(draws.permutation(rows * columns)[:most])
    pixels = at[chosen]
    return Cells(
        _rows(features)[chosen],
        settings.trust * _rows(maps)[pixels],
        _rows(possible)[pixels],
        region.flatten()[pixels],
    )


def _rows(maps: Tensor) -> Tensor:
    """Channels, rows, columns -> places, channels."""
    places: Tensor = maps.flatten(1).T
    return places


def _joined(looks: Sequence[Cells]) -> Cells:
    """The cells of several images; regions get numbers of their own."""
    first, region = 0, []
    for look in looks:
        region.append(look.region + first)
        first = int(region[-1].max()) + 1
    return Cells(
        torch.cat([look.features for look in looks]),
        torch.cat([look.prior for look in looks]),
        torch.cat([look.possible for look in looks]),
        torch.cat(region),
    )
