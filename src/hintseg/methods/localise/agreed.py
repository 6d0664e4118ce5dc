"""Seeds that agree across images: regions of one kind are of one class in all of them."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.distributed import gathered_rows, ranks
from hintseg.methods.localise.seeder import Seeder, missing_only
from hintseg.regions.partition import image_regions
from hintseg.seeds.agreement import CellClassifier, Cells, learn_agreement, posterior
from hintseg.structures import UNLABELLED, LabelMap, Sample, ScoreMaps


class AgreedSeeder:
    """A seeder whose maps agree across images (seeds.agreement), by regions of each image.

    Args:
        alone: Looks at one image.
        cells: What was learnt of all images.
    """

    def __init__(self, alone: Seeder, cells: CellClassifier) -> None:
        self.alone, self.cells = alone, cells
        self.settings = alone.settings.agreement

    @classmethod
    def of_cells(cls, alone: Seeder, looks: Sequence[Cells], *, seed: int) -> "AgreedSeeder":
        """Learn from the cells of all images, in the order of the images."""
        settings = alone.settings.agreement
        cells = learn_agreement(
            _joined(looks),
            rounds=settings.rounds,
            steps=settings.steps,
            balance=settings.balance,
            seed=seed,
        )
        return cls(alone, cells)

    def maps(self, sample: Sample) -> ScoreMaps:
        """The probabilities of the known tags, and the class of each."""
        known = np.flatnonzero(sample.weak.tags)
        labels = torch.from_numpy(known[np.isin(known, self.alone.classes.foreground)])
        return ScoreMaps(self._probabilities(sample)[0][labels], labels)

    def seeds(self, sample: Sample) -> LabelMap:
        """Seeds of the missing classes on the unlabelled pixels; UNLABELLED elsewhere."""
        probabilities, maps = self._probabilities(sample)
        best, label = probabilities.max(dim=0)
        sure = best >= self.settings.sure
        weak, classes = sample.weak, self.alone.classes
        told = (weak.tags | weak.absent).all() and not weak.tags[self.alone.placeless].any()
        if classes.background is None and not told:
            # something unnamed may be there, and has no map of its own to say so
            sure &= maps.gather(0, label[None])[0] >= self.alone.settings.threshold
        found = label.where(sure, UNLABELLED).numpy()
        return missing_only(found, weak, classes)

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
        region = torch.from_numpy(image_regions(sample.image, count=self.settings.regions)).long()
        probabilities = posterior(_rows(scores), _rows(possible), region.flatten())
        return probabilities.T.reshape(-1, *size), maps


def some_cells(alone: Seeder, sample: Sample, number: int, *, count: int, seed: int) -> Cells:
    """Cells of an image with what is known at their centres.

    Args:
        alone: Looks at the image.
        sample: The image with its hints.
        number: Of the image; it decides with the seed which cells are taken.
        count: Of all images, which share the cells that are kept.
        seed: Of the run.
    """
    settings = alone.settings.agreement
    draws, most = np.random.default_rng((seed, 2, number)), max(1, settings.cells // max(1, count))
    features = alone.features(sample)
    maps, possible = alone.prior(sample)
    region = torch.from_numpy(image_regions(sample.image, count=settings.regions)).long()
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


def gathered_cells(mine: list[Cells], count: int, device: torch.device) -> list[Cells]:
    """The cells of every image, of those that each rank has looked at: every so many-th.

    Args:
        mine: Of this rank, in order; every rank has some.
        count: Of all images.
        device: Where the ranks exchange tensors.
    """
    if ranks() == 1:
        return mine
    sizes = gathered_rows(torch.tensor([len(look.region) for look in mine]), device=device)
    parts = [
        [
            torch.split(part, size.tolist())
            for part, size in zip(gathered_rows(together, device=device), sizes, strict=True)
        ]
        for together in map(torch.cat, zip(*map(_fields, mine), strict=True))
    ]
    turns = (divmod(number, ranks()) for number in range(count))
    return [Cells(*(part[rank][turn] for part in parts)) for turn, rank in turns]


def _fields(look: Cells) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return look.features, look.prior, look.possible, look.region


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
