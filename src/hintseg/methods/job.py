"""What every stage of a method has at hand, and what the code of a method has to give."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from lightning_fabric import Fabric
from torch import nn

from hintseg.cores import MOST_AT_ONCE, each
from hintseg.data.dataset import Dataset
from hintseg.data.samples import load_hinted, load_masked, load_weak
from hintseg.engine.run import Run
from hintseg.engine.stages import Stage
from hintseg.hints.raster import Brush
from hintseg.methods.settings import Settings, TrainSettings
from hintseg.methods.supervision import Supervision, from_hints
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import ModelDescription, build_model
from hintseg.progress import progress
from hintseg.shares import evenly
from hintseg.structures import Sample, WeakLabels

S = TypeVar("S", bound=Settings)
"""The type of a method's own settings."""
T = TypeVar("T")

AT_ONCE_ON_A_GPU = 3
"""Images: one is read and one written while the device works on the third."""


def spaced(names: tuple[str, ...], most: int | None) -> tuple[str, ...]:
    """So many of the names, evenly spread; all where there are no more, or for None.

    Example:
        >>> spaced(("a", "b", "c", "d", "e"), 2)
        ('a', 'c')
    """
    if most is None or most >= len(names):
        return names
    return tuple(evenly(names, most))


@dataclass(frozen=True)
class Job(Generic[S]):
    """One training of one method on one data set."""

    dataset: Dataset
    run: Run
    fabric: Fabric
    settings: TrainSettings
    method_settings: S
    description: ModelDescription

    def share(self, steps: int | None, part: float) -> int:
        """Steps of a lesser stage: as set, or a part of those of the run."""
        return math.ceil(part * self.settings.steps) if steps is None else steps

    @property
    def zoom(self) -> float:
        """Times the working size: at which the network predicts."""
        return self.description.zoom

    def for_this_rank(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The part of the names that this rank does."""
        return names[self.fabric.global_rank :: self.fabric.world_size]

    def over(
        self, names: tuple[str, ...], work: Callable[[str], T], what: str, *, every: bool = False
    ) -> Iterator[T]:
        """work(name) for this rank's part of the names, in order, by all cores, with a bar.

        Args:
            names: Of images.
            work: Called by several threads at once.
            what: What the bar is called.
            every: Each rank does all names.
        """
        mine = names if every else self.for_this_rank(names)
        most = AT_ONCE_ON_A_GPU if self.fabric.device.type == "cuda" else MOST_AT_ONCE
        with progress(what, len(mine)) as advance:
            for found in each(work, mine, most=most):
                advance("")
                yield found

    def hinted(self, name: str, *, zoom: float = 1.0) -> Sample:
        """An image with its hints at `zoom` times the working size."""
        size = self.settings.size
        return load_hinted(self.dataset, name, size=size, zoom=zoom, brush=self.brush)

    def masked(self, name: str, *, zoom: float = 1.0) -> Sample:
        """An image with its dense mask at `zoom` times the working size."""
        return load_masked(self.dataset, name, size=self.settings.size, zoom=zoom)

    def weak(self, name: str, *, brush: Brush | None = None) -> WeakLabels:
        """What the hints of an image say, without the image; drawn with the brush of the run."""
        size, own = self.settings.size, self.brush
        return load_weak(self.dataset, name, size=size, brush=own if brush is None else brush)

    @property
    def brush(self) -> Brush:
        """How wide hints are drawn."""
        return self.settings.brush

    def segmenter(self) -> Segmenter:
        """A new segmenter on the chosen backbone with its initial weights; parts frozen as set."""
        model = self.network()
        assert isinstance(model, Segmenter), "a recipe of this kind asks for network()"
        return model

    def network(self) -> nn.Module:
        """As `segmenter`, of the kind that the recipe names."""
        torch.manual_seed(self.settings.seed)
        model = build_model(self.description)
        backbone = model.backbone
        assert isinstance(backbone, Backbone), "every kind has one"
        init = load_weights(backbone, self.settings.weights)
        backbone.freeze(self.settings.freeze, norm=self.settings.freeze_norm)
        if self.fabric.is_global_zero:
            facts = {"weights": init.source, "sha256": init.sha256, "trained_on": init.trained_on}
            self.run.record({"init": facts})
        return model


def as_it_is(dataset: Dataset, _: object) -> Dataset:
    """The data set with its own classes."""
    return dataset


def nothing_more(_: object) -> Mapping[str, Any]:
    """The network asks for nothing but what all ask for."""
    return {}


@dataclass(frozen=True)
class Recipe(Generic[S]):
    """The code of a method: its settings and its stages."""

    stages: Callable[[Job[S]], tuple[Stage, ...]]
    check: Callable[[Dataset, S], None]  # DataError when the data cannot teach it
    settings: type[S]
    sees: Callable[[Dataset, S], Supervision] = from_hints  # with its settings: what it uses
    unit: bool = False  # its classifier sees the directions of embeddings only
    kind: str = "segmenter"  # of its network (models/saved.py)
    view: Callable[[Dataset, S], Dataset] = as_it_is  # the data set as it is learned from
    extra: Callable[[S], Mapping[str, Any]] = nothing_more  # what its kind of network asks for
