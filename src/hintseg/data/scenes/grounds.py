"""The grounds of the photo scenes: sky, brick, grass and gravel, from photographs, in colour."""

from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PillowImage
from scipy import ndimage

from hintseg.data.scenes.cutouts import Alpha, photograph
from hintseg.structures import Image, LabelMap

GROUNDS = ("sky", "brick", "grass", "gravel")

Colour = Float[np.ndarray, "height width 3"]  # 0 to 1

# Some kinds of each ground: the dark and the bright end of the colours given to a grey photograph.
RAMPS: Mapping[str, tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]] = {
    "brick": (((0.30, 0.10, 0.06), (0.95, 0.78, 0.68)), ((0.25, 0.20, 0.16), (0.92, 0.88, 0.80))),
    "grass": (((0.03, 0.12, 0.02), (0.72, 0.85, 0.42)), ((0.14, 0.11, 0.02), (0.90, 0.82, 0.50))),
    "gravel": (((0.08, 0.08, 0.10), (0.88, 0.88, 0.90)), ((0.14, 0.09, 0.05), (0.95, 0.86, 0.74))),
}

# Parts of the photographs (rows, columns), disjoint: no pixel of a test ground is seen in training.
PARTS: Mapping[str, tuple[slice, slice]] = {
    "train": (slice(0, 512), slice(0, 256)),
    "val": (slice(0, 256), slice(256, 512)),
    "test": (slice(256, 512), slice(256, 512)),
}
SKIES: Mapping[str, tuple[slice, slice]] = {  # clear of the towers in the photograph of the rocket
    "train": (slice(0, 110), slice(100, 250)),
    "val": (slice(0, 110), slice(250, 390)),
    "test": (slice(0, 110), slice(390, 540)),
}


def lay_grounds(
    rng: np.random.Generator, size: tuple[int, int], split: str
) -> tuple[Colour, LabelMap]:
    """A near ground and, mostly, sky or another ground above a slanted, uneven horizon."""
    near, far = rng.permutation(GROUNDS[1:])[:2]
    if rng.random() < 0.5:
        far = "sky"
    horizon = rng.uniform(0.15, 0.55) if rng.random() < 0.85 else -1.0
    behind = np.clip(_above(rng, size, horizon), 0.0, 1.0)
    colours = _ground(rng, near, size, split)
    colours += behind[..., None] * (_ground(rng, far, size, split) - colours)
    indices = GROUNDS.index(far), GROUNDS.index(near)
    return colours, np.where(behind >= 0.5, *indices).astype(np.int16)


def _above(
    rng: np.random.Generator, size: tuple[int, int], horizon: float
) -> Float[np.ndarray, "height width"]:
    """Pixels above the horizon (in heights of the scene), plus a half: 0 to 1 is its soft edge."""
    height, width = size
    across = np.linspace(-0.5, 0.5, width)
    slant, waves, phase = rng.uniform(-0.2, 0.2), rng.uniform(1, 4), rng.uniform(0, 2 * np.pi)
    line = (
        horizon + slant * across + rng.uniform(0, 0.04) * np.sin(2 * np.pi * waves * across + phase)
    )
    line += ndimage.gaussian_filter1d(rng.normal(0, 0.03, width), 2.0)  # tufts and stones
    return np.asarray(line * height - np.arange(height)[:, None] + 0.5)


def _ground(rng: np.random.Generator, name: str, size: tuple[int, int], split: str) -> Colour:
    """A random window of a ground's photograph, brought to the size of the scene and coloured."""
    window = _window(
        rng, _ground_photograph(name)[(SKIES if name == "sky" else PARTS)[split]], size
    )
    if rng.random() < 0.5:
        window = window[:, ::-1]
    picture = PillowImage.fromarray(np.ascontiguousarray(window))
    picture = picture.resize((size[1], size[0]), PillowImage.Resampling.BICUBIC)
    values = np.asarray(picture) / 255.0
    if name == "sky":
        return np.asarray(warmed(rng, values ** rng.uniform(0.35, 1.0), 0.15))
    return _tinted(rng, values.mean(axis=2), name)


@cache
def _ground_photograph(name: str) -> Image:
    return photograph("rocket.jpg" if name == "sky" else f"{name}.png")


def _window(
    rng: np.random.Generator, part: Image, size: tuple[int, int]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """A random window of the photograph with the proportions of the scene."""
    largest = min(part.shape[0] / size[0], part.shape[1] / size[1])
    zoom = largest * rng.uniform(0.65, 1.0)
    height, width = max(1, int(zoom * size[0])), max(1, int(zoom * size[1]))
    top = rng.integers(part.shape[0] - height + 1)
    left = rng.integers(part.shape[1] - width + 1)
    return part[top : top + height, left : left + width]


def _tinted(rng: np.random.Generator, grey: Alpha, name: str) -> Colour:
    """Grey values on a colour ramp, somewhere between the kinds of this ground."""
    kinds = np.array(RAMPS[name])
    dark, bright = np.tensordot(rng.dirichlet(np.ones(len(kinds))), kinds, axes=1)
    low, high = np.percentile(grey, (1, 99))
    level = np.clip((grey - low) / max(high - low, 1e-6), 0.0, 1.0)[..., None]
    return warmed(rng, dark + (bright - dark) * level ** rng.uniform(0.7, 1.5), 0.08)


def warmed(rng: np.random.Generator, colours: Colour, most: float) -> Colour:
    """Warmer (redder, less blue) or cooler light."""
    warmth = rng.uniform(-most, most)
    return np.asarray(colours * np.array([1 + warmth, 1.0, 1 - warmth]))
