"""Objects for the photo scenes, cut out of the photographs that scikit-image installs.

Nothing is downloaded: only files inside the installed package are read. An object is outlined by
hand (the coordinates below), and its edge is then drawn by a random walk on the colours between
pixels that are surely inside and surely outside (Grady, PAMI 2006). The coins outline themselves.

Credits, as scikit-image gives them. "astronaut" (Eileen Collins, and behind her the model of a
shuttle): NASA, public domain. "chelsea": Stefan van der Walt, CC0. "coffee": Rachel Michetti,
Pikolo Espresso Bar, CC0. "coins": Brooklyn Museum, no known copyright restrictions. "grass":
linolafett, CC0. "brick" and "gravel": CC0Textures, CC0. "rocket" (its sky only): SpaceX, public
domain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import skimage
from jaxtyping import Bool, Float, UInt8
from PIL import Image as PillowImage
from PIL import ImageDraw
from scipy import ndimage
from skimage.morphology import convex_hull_image
from skimage.segmentation import random_walker

from hintseg.errors import DataError
from hintseg.images.photographs import read_image
from hintseg.structures import Image

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
UNSURE = 3.0  # the outlines are drawn to about this many pixels
COIN = (500, 6000)  # smallest and largest area of a coin, in pixels of its photograph
LONGEST = 288  # pixels; a cut-out is shown smaller than that

Mask = Bool[np.ndarray, "height width"]
Alpha = Float[np.ndarray, "height width"]
Cutout = UInt8[np.ndarray, "_ _ 4"]  # colours and alpha, of any size


@dataclass(frozen=True)
class Outline:
    """A hand-drawn closed line round an object, "x,y" in pixels of the photograph, clockwise."""

    photograph: str
    points: str


OUTLINES: Mapping[str, Outline] = {
    "astronaut": Outline(
        "astronaut.png",
        "230,17 260,23 285,38 297,60 300,90 297,112 285,130 275,137 268,135 262,155 256,170 "
        "262,175 280,190 295,212 303,234 320,240 335,250 345,270 350,285 358,300 362,320 365,348 "
        "380,346 400,343 420,345 445,355 465,372 480,395 490,420 496,445 502,455 508,470 506,511 "
        "47,511 28,470 23,440 22,408 24,375 27,338 35,310 42,286 52,267 66,244 84,230 101,216 "
        "115,206 113,190 122,185 127,173 141,157 159,150 185,149 183,136 173,127 171,117 159,101 "
        "154,82 157,61 169,47 188,35 202,23 220,18",
    ),
    "cat": Outline(
        "chelsea.png",
        "50,3 75,1 100,8 130,18 160,22 220,20 280,20 310,17 340,7 370,2 394,2 385,25 372,50 "
        "358,75 360,100 362,125 358,150 350,175 335,195 322,215 315,240 300,262 280,278 255,284 "
        "230,283 200,278 170,271 140,260 108,236 75,208 52,180 40,150 33,110 32,70 36,30 41,10",
    ),
    "cup": Outline(
        "coffee.png",
        "285,17 315,20 345,30 370,45 388,60 398,72 410,67 420,71 423,80 419,100 418,110 430,120 "
        "448,142 463,168 473,195 478,222 478,245 474,265 465,290 450,315 430,338 405,358 375,373 "
        "340,383 305,389 280,389 245,385 210,377 185,367 160,353 135,335 115,315 97,290 84,262 "
        "77,235 75,212 78,190 84,165 93,145 105,127 120,110 140,93 160,80 180,70 200,53 219,36 "
        "250,22",
    ),
    "shuttle": Outline(
        "astronaut.png",
        "410,1 427,1 434,15 438,28 439,45 443,41 452,54 455,70 455,192 450,202 455,220 455,232 "
        "457,262 434,270 413,277 389,272 368,272 375,248 387,223 354,220 355,206 377,180 377,108 "
        "389,82 382,54 388,41 395,47 398,23 405,5",
    ),
}


def photograph(name: str) -> Image:
    """A photograph that comes with scikit-image.

    Raises:
        DataError: This scikit-image was installed without it.
    """
    if not (PHOTOGRAPHS / name).is_file():
        raise DataError(f"{PHOTOGRAPHS / name}: no such photograph; reinstall scikit-image")
    return read_image(PHOTOGRAPHS / name)


@cache
def cut_out(name: str) -> Cutout:
    """One of the outlined objects with its alpha, cropped to the object; made once a process."""
    outline = OUTLINES[name]
    image = photograph(outline.photograph)
    size = (image.shape[0], image.shape[1])
    mask = _inside(outline.points, size)
    return _cropped(image, _soft_edge(image, mask))


@cache
def coins() -> tuple[Cutout, ...]:
    """The Greek coins, each with its alpha, roughly row by row."""
    image = photograph("coins.png")
    blobs, count = ndimage.label(_brighter_than_around(image))
    masks = [blobs == number for number in range(1, count + 1)]
    masks = [_hull(mask) for mask in masks if COIN[0] < mask.sum() < COIN[1]]
    return tuple(_cropped(image, ndimage.gaussian_filter(mask * 1.0, 0.7)) for mask in masks)


def _hull(mask: Mask) -> Mask:
    return np.asarray(convex_hull_image(mask))  # type: ignore[no-untyped-call]  # scikit-image's


def _brighter_than_around(image: Image) -> Mask:
    """What stands out from its wide surroundings, without holes, bridges and crumbs."""
    grey = image.mean(axis=2)
    brighter = ndimage.gaussian_filter(grey, 1.0) > ndimage.gaussian_filter(grey, 15.0) + 4
    return np.asarray(ndimage.binary_opening(ndimage.binary_fill_holes(brighter), iterations=4))


def _inside(points: str, size: tuple[int, int]) -> Mask:
    """The pixels within a closed line."""
    corners = [tuple(float(value) for value in point.split(",")) for point in points.split()]
    canvas = PillowImage.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    return np.array(canvas)


def _soft_edge(image: Image, mask: Mask) -> Alpha:
    """Chance of each pixel to belong to the object, by a random walk through the unsure band."""
    inner, outer = (ndimage.distance_transform_edt(side) for side in (mask, ~mask))
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[inner > UNSURE] = 1
    markers[outer > UNSURE] = 2
    chance = random_walker(
        image, markers, beta=600, mode="bf", return_full_prob=True, channel_axis=-1
    )[0]
    return np.asarray(ndimage.gaussian_filter(ndimage.median_filter(chance, 5), 0.7))


def _cropped(image: Image, alpha: Alpha) -> Cutout:
    """Colours and alpha of the object, without the colours of what was behind its edge."""
    nearest = ndimage.distance_transform_edt(
        alpha < 0.95, return_distances=False, return_indices=True
    )
    layers = np.dstack([image[tuple(nearest)], (255 * alpha).round().astype(np.uint8)])
    window = ndimage.find_objects((alpha > 0.02).astype(np.int8))[0]
    picture = PillowImage.fromarray(layers[window])
    picture.thumbnail((LONGEST, LONGEST), PillowImage.Resampling.BOX)
    return np.array(picture)
