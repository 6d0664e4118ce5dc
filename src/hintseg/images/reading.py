"""What the numbers of an image file become: which channels, and which range is black to white.

A file of 8 bits is taken as it is. Other depths do not say what is white (a camera of 12 bits
writes files of 16): one range serves all images of a data set, and the model keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from hintseg.errors import ConfigError, DataError
from hintseg.images.exif import turned
from hintseg.structures import Image

Range = tuple[float, float]
OUTLIERS = (0.1, 99.9)  # percentiles
FARTHEST = 1e300  # of numbers that somebody writes
DARK = 2**13  # 16-bit values that stay below this would be nearly black
BAND_VALUES = 2**20  # mapped at once where values are numbers with a fraction


@dataclass(frozen=True, slots=True)
class Reading:
    """How image files become uint8 RGB.

    Raises:
        ConfigError: A range or channels that cannot be.
    """

    intensity: Range | None = None  # these values become 0 and 255; None: nothing is known
    channels: tuple[int, ...] | None = None  # red, green, blue; None: as the file says
    every_depth: bool = False  # the range holds for images of 8 bits too

    def __bool__(self) -> bool:
        return self.intensity is not None or self.channels is not None

    def __post_init__(self) -> None:
        if self.intensity is not None:
            low, high = self.intensity
            if not -FARTHEST < low < high < FARTHEST:
                raise ConfigError(f"intensity: [{low}, {high}] is no range; low is less than high")
        if self.channels is not None and not 1 <= len(self.channels) <= 3:
            raise ConfigError(f"channels: 1 to 3 can be chosen, got {len(self.channels)}")
        if self.channels is not None and min(self.channels) < 0:
            raise ConfigError(f"channels: are counted from 0, got {min(self.channels)}")


AS_STORED = Reading()
"""Nothing but what the file says itself."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an image file holds, neither turned nor mapped."""

    values: Shaped[np.ndarray, "height width channels"]  # uint8: of 8 bits; else deep
    orientation: int = 1  # of EXIF
    alpha: bool = False  # the last channel is no colour
    stated: Range | None = None  # of black and white, as the file says

    @property
    def is_deep(self) -> bool:
        """Whether there are other numbers than 8-bit ones."""
        return self.values.dtype != np.uint8


def checked_intensity(value: Any) -> Range:  # noqa: ANN401 - what somebody wrote
    """A range that somebody wrote; ConfigError says what is wrong with it."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_number, value)):
        raise ConfigError(
            f"intensity: must be auto or [low, high], such as [0, 4095], got {value!r:.80}"
        )
    return float(value[0]), float(value[1])


def checked_channels(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - what somebody wrote
    """Channels that somebody wrote; ConfigError says what is wrong with them."""
    is_list = isinstance(value, list | tuple)
    if not is_list or not all(_is_number(number) and number == int(number) for number in value):
        raise ConfigError(
            "channels: must be a list of numbers of channels, counted from 0, such as [0, 2, 1], "
            f"got {value!r:.80}"
        )
    return tuple(int(number) for number in value)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - what somebody wrote
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < FARTHEST  # NaN is no number


def to_rgb(stored: Stored, reading: Reading) -> Image:
    """Uint8 RGB, upright; one channel is grey, of two the first is red and blue, the second green.

    Raises:
        DataError: Something has to be known first: which channels, or which range.
    """
    values = chosen_channels(stored, reading.channels)
    if stored.is_deep or (reading.every_depth and reading.intensity):
        values = map_range(values, reading.intensity or _own_range(stored, values))
    count = values.shape[2]
    if count < 3:
        values = values[..., [index % count for index in range(3)]]
    return np.ascontiguousarray(turned(values, stored.orientation))


def chosen_channels(
    stored: Stored, channels: Sequence[int] | None
) -> Shaped[np.ndarray, "height width some"]:
    """The one, two or three channels that are looked at.

    Raises:
        DataError: The file has not so many, or so many that somebody has to choose.
    """
    count = stored.values.shape[2]
    if channels is not None:
        if max(channels) >= count:
            raise DataError(
                f"has {count} {'channel' if count == 1 else 'channels'}, number {max(channels)} of "
                f"channels: {list(channels)} is not among them (they are counted from 0)"
            )
        in_order = tuple(channels) == tuple(range(count))
        return stored.values if in_order else stored.values[..., list(channels)]
    colours = count - 1 if stored.alpha else count
    if colours > 1 and colours != 3:
        raise DataError(
            f"has {count} channels; say in dataset.yaml which of them are red, green and blue, "
            "such as channels: [0, 1, 2]"
        )
    return stored.values[..., :colours]


def robust_range(samples: Sequence[Shaped[np.ndarray, " _"]]) -> Range | None:
    """The range of all values but a thousandth at either end; None where no value is finite."""
    values = np.concatenate([np.zeros(0), *(part.astype(np.float64) for part in samples)])
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = (float(end) for end in np.percentile(values, OUTLIERS))
    return low, high if high > low else low + 1


def map_range(
    values: Shaped[np.ndarray, "height width some"], intensity: Range
) -> UInt8[np.ndarray, "height width some"]:
    """`low` becomes 0, `high` 255, what is beyond is cut off; NaN becomes 0."""
    if values.dtype in (np.uint8, np.uint16):  # what each value becomes is found once
        table = _mapped(np.arange(np.iinfo(values.dtype).max + 1), intensity)
        return np.take(table, values)
    result = np.empty(values.shape, dtype=np.uint8)
    rows = max(1, BAND_VALUES // max(1, values[:1].size))
    for first in range(0, len(values), rows):
        band = slice(first, first + rows)
        result[band] = _mapped(values[band], intensity)
    return result


def _mapped(values: Shaped[np.ndarray, "*shape"], intensity: Range) -> UInt8[np.ndarray, "*shape"]:
    low, high = intensity
    cut = np.nan_to_num(values.astype(np.float64).clip(low, high), nan=low)
    shares: np.ndarray = ((cut - low) * (255 / (high - low))).round().astype(np.uint8)
    return shares


def _own_range(stored: Stored, values: Shaped[np.ndarray, "height width some"]) -> Range:
    """The range of a deep image alone; DataError where it cannot be known."""
    if stored.stated is not None:
        return stored.stated
    remedy = (
        "convert it to 8 bit, or give its range as intensity: [low, high] in dataset.yaml and train"
    )
    if values.dtype.kind == "f":
        raise DataError(f"floating-point image without a known range; {remedy}")
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise DataError(f"values of {low} to {high} without a known range; {remedy}")
    if 0 < high < DARK:
        raise DataError(f"values of 0 to {high} of 65535 would be nearly black; {remedy}")
    return 0.0, 65535.0
