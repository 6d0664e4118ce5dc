"""What finds where the classes are that a hint names but does not show."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from hintseg.methods.job import Job
from hintseg.structures import Sample, ScoreMaps


@runtime_checkable
class Localiser(Protocol):
    """Learns from the hints of all images, then gives maps of the classes of each."""

    def fit(self, job: Job[Any], folder: Path) -> None:
        """Learn, or take what an interrupted run has learnt and left in `folder`."""
        ...

    def maps(self, sample: Sample) -> ScoreMaps:
        """A map of every foreground class that is known to be in the image."""
        ...


@runtime_checkable
class WithFeatures(Protocol):
    """A localiser whose features can tell cells of all images apart: agreement asks for them."""

    def features(self, sample: Sample) -> Float[Tensor, "dim rows columns"]:
        """What is seen in each cell of an image."""
        ...


@runtime_checkable
class WithTags(Protocol):
    """A localiser that can say which classes an image has."""

    def tag_probabilities(self, sample: Sample) -> Float[np.ndarray, " classes"]:
        """Of every class to be in an image; 0 for the background."""
        ...


@runtime_checkable
class WithSaliency(Protocol):
    """A localiser that knows on which places its tags depend."""

    def saliency(self, sample: Sample) -> Float[Tensor, "height width"]:
        """How much the tags of an image depend on each pixel."""
        ...
