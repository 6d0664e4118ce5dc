"""Random scale, flip, crop with VOID padding and colour jitter; one generator decides all."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as PillowImage
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.resize import resize_labels_window, resize_map_window
from hintseg.structures import VOID, Image, Sample
from hintseg.versions import importing_torchvision

with importing_torchvision():
    from torchvision.transforms.v2 import functional as TF


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far training images vary.

    `scale` is the range of the size factor, `jitter` the relative range of brightness, contrast and
    saturation, `hue` the range of the hue in turns.
    """

    crop: int
    scale: tuple[float, float] = (0.5, 1.5)
    jitter: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ConfigError(f"scale: must be a range 0 < low <= high, got {low} to {high}")


def augment(sample: Sample, rng: np.random.Generator, *, settings: Augmentation) -> Sample:
    """A random view of a sample, `crop` x `crop`; what lies outside the image is VOID.

    Tags and boxes stay those of the whole image.
    """
    height, width = sample.image.shape[:2]
    factor = float(np.exp(rng.uniform(*np.log(settings.scale))))
    scaled = max(1, round(height * factor)), max(1, round(width * factor))
    window = _place(scaled[0], settings.crop, rng), _place(scaled[1], settings.crop, rng)
    view = _cut(sample, scaled, window, settings)
    if rng.random() < 0.5:
        view = replace(
            view,
            image=view.image[:, ::-1],
            weak=replace(view.weak, labels=view.weak.labels[:, ::-1]),
            maps={n: replace(m, values=m.values[:, ::-1]) for n, m in view.maps.items()},
        )
    return replace(view, image=_jitter(view.image, settings, rng))


@dataclass(frozen=True, slots=True)
class _Span:
    """Where one axis of the scaled image meets one axis of the crop."""

    source: int  # first row of the scaled image that is seen
    target: int  # row of the crop where it lies
    length: int

    @property
    def seen(self) -> tuple[int, int]:
        """First row of the scaled image that is seen, and the one behind the last."""
        return self.source, self.source + self.length


def _place(side: int, crop: int, rng: np.random.Generator) -> _Span:
    if side >= crop:
        return _Span(int(rng.integers(side - crop + 1)), 0, crop)
    return _Span(0, int(rng.integers(crop - side + 1)), side)


def _cut(
    sample: Sample, scaled: tuple[int, int], window: tuple[_Span, _Span], settings: Augmentation
) -> Sample:
    rows, columns = window
    around = [(span.target, settings.crop - span.target - span.length) for span in window]
    labels = resize_labels_window(sample.weak.labels, *scaled, rows=rows.seen, columns=columns.seen)
    labels = np.pad(labels, around, constant_values=VOID)
    pixels = _resize_window(sample.image, scaled, rows, columns)
    image = np.pad(pixels, (*around, (0, 0)), mode="symmetric")
    maps = {}
    for name, whole in sample.maps.items():
        seen = resize_map_window(whole, *scaled, rows=rows.seen, columns=columns.seen)
        padded = np.pad(seen.values, around, constant_values=whole.fill)
        maps[name] = replace(whole, values=padded)
    return replace(sample, image=image, weak=replace(sample.weak, labels=labels), maps=maps)


def _resize_window(image: Image, scaled: tuple[int, int], rows: _Span, columns: _Span) -> Image:
    """The window of the scaled image, without making the rest of it."""
    down, across = image.shape[0] / scaled[0], image.shape[1] / scaled[1]
    box = (
        columns.source * across,
        rows.source * down,
        (columns.source + columns.length) * across,
        (rows.source + rows.length) * down,
    )
    size = (columns.length, rows.length)
    return np.array(
        PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR, box=box)
    )


def _jitter(image: Image, settings: Augmentation, rng: np.random.Generator) -> Image:
    low, high = 1 - settings.jitter, 1 + settings.jitter
    # A copy: torch takes no negative strides, and `ascontiguousarray` leaves those of a thin image.
    pixels: UInt8[Tensor, "3 height width"] = torch.from_numpy(image.transpose(2, 0, 1).copy())
    pixels = TF.adjust_brightness(pixels, rng.uniform(low, high))
    pixels = TF.adjust_contrast(pixels, rng.uniform(low, high))
    pixels = TF.adjust_saturation(pixels, rng.uniform(low, high))
    if settings.hue > 0:
        pixels = TF.adjust_hue(pixels, rng.uniform(-settings.hue, settings.hue))
    return pixels.permute(1, 2, 0).numpy()
