"""How the image files of a data set are read: the keys `intensity` and `channels`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hintseg.errors import ConfigError, DataError
from hintseg.images.photographs import intensities, is_deep
from hintseg.images.reading import (
    Range,
    Reading,
    checked_channels,
    checked_intensity,
    robust_range,
)

SEEN = 64  # images that the range is taken from, evenly spread over the data set
SAMPLES = 2**14  # numbers of each


@dataclass(frozen=True, slots=True)
class StoredImages:
    """What dataset.yaml says of the image files."""

    intensity: Range | Literal["auto"] | None = None
    channels: tuple[int, ...] | None = None
    given: Reading | None = None  # that of a model, over all else

    def __bool__(self) -> bool:
        return self.intensity is not None or self.channels is not None or self.given is not None

    def keys(self) -> dict[str, Any]:
        """The keys of dataset.yaml that say the same."""
        span = list(self.intensity) if isinstance(self.intensity, tuple) else self.intensity
        chosen = None if self.channels is None else list(self.channels)
        return {"intensity": span, "channels": chosen}

    def reading(self, files: Sequence[Path]) -> Reading:
        """How these files become uint8 RGB.

        Where nothing is said, files of 8 bits stay as they are, and deeper ones share the range of
        all their numbers but for a thousandth at either end. Files that cannot be read have no say.
        """
        if self.given is not None:
            return self.given
        if isinstance(self.intensity, tuple):
            return Reading(self.intensity, self.channels, every_depth=True)
        every, some = self.intensity == "auto", files[:: max(1, -(-len(files) // SEEN))]
        deep = [file for file in some if every or _is_deep(file)]
        found = robust_range([_samples(file, self.channels) for file in deep])
        return Reading(found, self.channels, every_depth=every and found is not None)


PHOTOGRAPHS = StoredImages()
"""Nothing is said: the files say it themselves."""


def stored_images(intensity: Any, channels: Any, file: Path) -> StoredImages:  # noqa: ANN401
    """What two keys of dataset.yaml say.

    Raises:
        DataError: A value that cannot be.
    """
    try:
        span = intensity if intensity in (None, "auto") else checked_intensity(intensity)
        chosen = None if channels is None else checked_channels(channels)
        Reading(span if isinstance(span, tuple) else None, chosen)
    except ConfigError as error:
        raise DataError(f"{file}: {error}") from error
    return StoredImages(span, chosen)


def _is_deep(file: Path) -> bool:
    try:
        return is_deep(file)
    except DataError:  # whoever reads it is told
        return False


def _samples(file: Path, channels: tuple[int, ...] | None) -> np.ndarray:
    try:
        return intensities(file, channels, SAMPLES)
    except DataError:
        return np.zeros(0)
