"""Hints grow over what looks like them."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import cKDTree

from hintseg.regions.partition import lab_colours, region_features
from hintseg.structures import UNLABELLED, VOID, Image

SMOOTHING = 0.7  # pixels: of the features, against noise; more mixes what is thin with its ground
TOLERANCE = 15.0  # CIELAB distance up to which a pixel looks like a hint
LEAD = 1.5  # times nearer than to the hints of any other class
CONTESTED_LEAD = 4.0  # the same, where hints of several classes reach the pixel
MOST = 2000  # pixels of a class that others are compared with

Labels = Int[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Features = Float[np.ndarray, "h w features"]


def grow_labels(image: Image, core: Labels, drawn: Labels, regions: Labels) -> Labels:
    """Labels of the pixels that look like a hint in their region, and like no other hint.

    A pixel can take the class of a hint that covers it or lies in its region. It does if its
    colour (CIELAB, and local contrast) is within `TOLERANCE` of a hinted pixel of that class
    and `LEAD` times nearer than to the hints of any other class of the image, wherever they
    are; `CONTESTED_LEAD` times where hints of several classes lie in the region. So a click on
    a pole does not label the sky around it, and the disc of a click on a leaf not the soil; one
    on the sky labels all of its region.

    Args:
        image: Raw colours.
        core: The hints drawn as thin as possible: what surely was meant. They stay.
        drawn: The hints as wide as a person's brush; VOID stays.
        regions: Number of the region of each pixel.

    Returns:
        Labels as large as the image; UNLABELLED where no hint is alike.

    Example:
        >>> image = np.full((1, 6, 3), 90, np.uint8)
        >>> core = np.array([[-1, 3, -1, -1, -1, -1]], np.int16)
        >>> grow_labels(image, core, core, np.array([[0, 0, 0, 0, 1, 1]]))
        array([[ 3,  3,  3,  3, -1, -1]], dtype=int16)
    """
    grown = np.where(drawn == VOID, VOID, core).astype(drawn.dtype)
    classes = np.unique(core[core >= 0]).tolist()
    if not classes:
        return grown
    reach = np.stack([_reach(core, drawn, regions, label) for label in classes])
    open_ = (grown == UNLABELLED) & reach.any(axis=0)
    if not open_.any():
        return grown
    features = _smooth_features(image)
    asked = features[open_]
    far = np.stack([_distance(asked, features[core == label]) for label in classes], axis=1)
    allowed = reach[:, open_].T
    lead = np.where(allowed.sum(axis=1) > 1, CONTESTED_LEAD, LEAD)
    own = np.where(allowed, far, np.inf)
    best = own.argmin(axis=1)
    rows = np.arange(len(best))
    nearest = own[rows, best]
    far[rows, best] = np.inf
    sure = (nearest <= TOLERANCE) & (nearest * lead <= far.min(axis=1))
    grown[open_] = np.where(sure, np.array(classes)[best], UNLABELLED)
    return grown


def _reach(core: Labels, drawn: Labels, regions: Labels, label: int) -> Mask:
    """Pixels that hints of a class cover or share a region with."""
    return np.asarray((drawn == label) | _hinted_regions(core == label, regions))


def _hinted_regions(hinted: Mask, regions: Labels) -> Mask:
    known = np.zeros(int(regions.max(initial=-1)) + 1, dtype=bool)
    known[regions[hinted]] = True
    return np.asarray(known[regions])


def _smooth_features(image: Image) -> Features:
    features = region_features(lab_colours(image))[:4]  # without the place
    return np.stack([ndimage.gaussian_filter(f, SMOOTHING, truncate=3.0) for f in features], axis=2)


def _distance(
    asked: Float[np.ndarray, "pixels features"], known: Float[np.ndarray, "hinted features"]
) -> Float[np.ndarray, " pixels"]:
    """To the nearest of the known ones."""
    some = known[:: -(-len(known) // MOST)]
    return np.asarray(cKDTree(some).query(asked)[0])
