"""Photo scenes: collages of photographed objects on photographed grounds, with exact masks.

One scene is laid out as a person would make a collage: a ground (often a second one behind it), the
objects from far to near with their shadows, then light, lens and sensor over all of it. The
grounds of train, val and test are different parts of the photographs and their coins are different
coins; the other objects are the same photographs in another size, turn, light and company, so a
score on these scenes says that a method works, not how it would fare on new objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from scipy import ndimage

from hintseg.data.scenes.cutouts import Alpha, Cutout, coins, cut_out
from hintseg.data.scenes.grounds import GROUNDS, Colour, lay_grounds, warmed
from hintseg.data.writer import DatasetWriter
from hintseg.structures import ClassSet, Image, LabelMap

OBJECTS = ("astronaut", "cat", "coin", "cup", "shuttle")
SCENE_CLASSES = GROUNDS + OBJECTS
SPLITS = ("train", "val", "test")
TRIES = 6  # places tried for an object before it is left out


@dataclass(frozen=True)
class SceneRecipe:
    """How an object is put into a scene."""

    heights: tuple[float, float]  # smallest and largest height, in heights of the scene
    turn: float  # largest rotation to either side, degrees
    foot: tuple[float, float]  # where its lower edge lies, in heights of the scene
    copies: int = 1  # at most
    nearness: int = 0  # lies in front of all that has less of it
    hides: float = 0.33  # largest fraction that it may hide of the objects behind it


SCENE_RECIPES: Mapping[str, SceneRecipe] = {
    "astronaut": SceneRecipe((0.45, 0.85), 4.0, (1.02, 1.15), nearness=1),  # cut off below
    "cat": SceneRecipe((0.30, 0.60), 15.0, (0.70, 1.05)),
    "coin": SceneRecipe((0.13, 0.24), 180.0, (0.45, 0.98), nearness=2, copies=4, hides=0.04),
    "cup": SceneRecipe((0.28, 0.52), 10.0, (0.70, 1.00)),
    "shuttle": SceneRecipe((0.40, 0.75), 14.0, (0.50, 0.95)),
}


def write_scenes(
    root: Path,
    *,
    train: int,
    val: int,
    test: int,
    size: tuple[int, int] = (120, 160),
    seed: int = 0,
) -> None:
    """Write a data set of photo scenes; scene i of a split depends on seed, split, i and size only.

    Args:
        root: Folder of the data set; made if needed.
        train: Number of scenes of the train split.
        val: Number of scenes of the val split.
        test: Number of scenes of the test split.
        size: Height and width of each scene, in pixels.
        seed: Another seed, other scenes.

    Raises:
        DataError: scikit-image was installed without its photographs.
    """
    counts, splits = {"train": train, "val": val, "test": test}, {}
    writer = DatasetWriter(root, ClassSet(SCENE_CLASSES))
    for number, (split, count) in enumerate(counts.items()):
        names = [f"{split}_{index:04d}" for index in range(count)]
        for index, name in enumerate(names):
            rng = np.random.default_rng((seed, number, index))
            image, labels = compose_scene(rng, size, split=split)
            writer.image(name, image)
            writer.mask(name, labels)
        splits[split] = names
    writer.finish(splits)


def compose_scene(
    rng: np.random.Generator, size: tuple[int, int] = (120, 160), *, split: str = "train"
) -> tuple[Image, LabelMap]:
    """One scene (height, width) and its mask; every pixel has a class of SCENE_CLASSES.

    The split decides from which parts of the photographs the grounds and coins are taken.
    """
    colours, labels = lay_grounds(rng, size, split)
    for name in _choose_objects(rng):
        recipe = SCENE_RECIPES[name]
        cutout = _turned(rng, _choose_cutout(rng, name, split), recipe, size[0])
        placed = _find_place(rng, _relit(rng, cutout), recipe, labels)
        if placed is not None:
            alpha, paint = placed
            colours = _shaded(rng, colours, alpha)
            colours += alpha[..., None] * (paint - colours)
            labels[alpha >= 0.5] = SCENE_CLASSES.index(name)
    return _photographed(rng, colours), labels


def _choose_objects(rng: np.random.Generator) -> list[str]:
    """Two to four kinds of object, the coins several times, from far to near."""
    kinds = rng.choice(OBJECTS, size=rng.integers(2, 5), replace=False)
    copies = {str(kind): rng.integers(SCENE_RECIPES[kind].copies) + 1 for kind in kinds}
    names = [kind for kind, count in copies.items() for _ in range(count)]
    return sorted(names, key=lambda name: SCENE_RECIPES[name].nearness)


def _choose_cutout(rng: np.random.Generator, name: str, split: str) -> Cutout:
    if name != "coin":
        return cut_out(name)
    purse = coins()
    chosen = {"train": purse[::2], "val": purse[1::4], "test": purse[3::4]}[split]
    return _metallic(rng, chosen[rng.integers(len(chosen))])


def _metallic(rng: np.random.Generator, coin: Cutout) -> Cutout:
    """A coin in the colour of silver, gold or copper, or of something between them."""
    metals = np.array([(1.0, 1.0, 1.0), (1.15, 0.95, 0.55), (1.1, 0.70, 0.50)])
    tint = np.append(rng.dirichlet(np.full(3, 0.5)) @ metals, 1.0)
    return np.asarray(np.clip(coin * tint, 0, 255).astype(np.uint8))


def _turned(rng: np.random.Generator, cutout: Cutout, recipe: SceneRecipe, height: int) -> Cutout:
    """The object mirrored or not, in a random size and turn."""
    picture = PillowImage.fromarray(cutout)
    if rng.random() < 0.5:
        picture = picture.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT)
    zoom = rng.uniform(*recipe.heights) * height / picture.height
    wide, high = (max(2, round(zoom * side)) for side in picture.size)
    picture = picture.resize((wide, high), PillowImage.Resampling.LANCZOS)
    angle = rng.uniform(-recipe.turn, recipe.turn)
    return np.array(picture.rotate(angle, PillowImage.Resampling.BICUBIC, expand=True))


def _find_place(
    rng: np.random.Generator, cutout: Cutout, recipe: SceneRecipe, labels: LabelMap
) -> tuple[Alpha, Colour] | None:
    """Alpha and colours of the object where it hides little of the others; None: no room."""
    for _ in range(TRIES):
        alpha, paint = _place(rng, cutout, recipe, (labels.shape[0], labels.shape[1]))
        if _hidden(alpha, labels) <= recipe.hides:
            return alpha, paint
    return None


def _place(
    rng: np.random.Generator, cutout: Cutout, recipe: SceneRecipe, size: tuple[int, int]
) -> tuple[Alpha, Colour]:
    """Alpha and colours over the whole scene; a fifth of an object may lie beyond either side."""
    high, wide = cutout.shape[:2]
    top = round(rng.uniform(*recipe.foot) * size[0]) - high
    leftmost, rightmost = sorted((-0.2 * wide, size[1] - 0.8 * wide))  # it may be the wider one
    left = round(rng.uniform(leftmost, rightmost))
    scene = PillowImage.new("RGBA", (size[1], size[0]))
    scene.paste(PillowImage.fromarray(cutout), (left, top))
    layers = np.asarray(scene) / 255.0
    return layers[..., 3], layers[..., :3]


def _hidden(alpha: Alpha, labels: LabelMap) -> float:
    """The largest fraction of any kind of object in the scene that would be covered."""
    before = np.bincount(labels.ravel(), minlength=len(SCENE_CLASSES))
    after = np.bincount(labels[alpha < 0.5], minlength=len(SCENE_CLASSES))
    covered = 1 - after / np.maximum(before, 1)
    return float(covered[len(GROUNDS) :][before[len(GROUNDS) :] > 0].max(initial=0.0))


def _shaded(rng: np.random.Generator, colours: Colour, alpha: Alpha) -> Colour:
    """The scene with the soft shadow of an object, cast downwards to one side."""
    reach = 0.03 * alpha.shape[0]
    shift = (rng.uniform(0.3, 1.0) * reach, rng.uniform(-1.5, 1.5) * reach)
    shadow = ndimage.gaussian_filter(ndimage.shift(alpha, shift, order=1), 0.8 * reach)
    return np.asarray(colours * (1 - rng.uniform(0.25, 0.6) * shadow[..., None]))


def _relit(rng: np.random.Generator, cutout: Cutout) -> Cutout:
    """An object in a light of its own: contrast, temperature, exposure."""
    colours = (cutout[..., :3] / 255.0) ** rng.uniform(0.75, 1.35)
    colours = warmed(rng, colours, 0.10) * rng.uniform(0.85, 1.1)
    return np.dstack([(255 * colours).clip(0, 255).astype(np.uint8), cutout[..., 3]])


def _photographed(rng: np.random.Generator, colours: Colour) -> Image:
    """The whole scene in one light that falls off to one side, a little unsharp, with noise."""
    height, width = colours.shape[:2]
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    light = 1 + rng.uniform(-0.2, 0.2) * down + rng.uniform(-0.2, 0.2) * across
    lit = warmed(rng, colours * light[..., None], 0.08) * rng.uniform(0.75, 1.15)
    blur = rng.uniform(0.0, 0.6)
    sharp = ndimage.gaussian_filter(np.clip(lit, 0, 1), (blur, blur, 0))
    noisy = sharp + rng.normal(0, rng.uniform(0.005, 0.025), sharp.shape)
    return np.asarray((255 * np.clip(noisy, 0, 1)).round().astype(np.uint8))
