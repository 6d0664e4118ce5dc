"""The over-segmentation of an image from its colours alone: regions that end where colours do.

The basins of a fine colour gradient are merged by Ward's rule, those first whose union loses least
(`regions`), or, where the user has better edges than ours, by the mean strength of the boundary
between them (`regions_from_edges`). Either way one tree of merges answers for every number of
regions.
"""

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy import ndimage
from skimage.color import rgb2lab

from hintseg.errors import ConfigError
from hintseg.structures import Image

# The numbers below come from benchmarks/regions.py on the validation photographs of MSRC-21.
COUNT = 100  # 97 % of the pixels then lie in a region of their own class; doubling adds under 0.5 %
SMOOTHING = 0.7  # pixels: standard deviation of the Gaussian derivatives; more rounds corners off
CONTRAST = 20.0  # CIELAB distance over a standard deviation at which an edge is 0.63 strong
LIGHTNESS = 0.7  # weight of L against a and b: shadows cut objects less than colours do
TEXTURE = 2.0  # weight of the local deviation of L
PLACE = 16.0  # CIELAB distance that the longer side of the image is worth: keeps regions compact
SMALLEST = 0.2  # of the mean size: smaller regions of an edge map are merged before it is cut

EdgeMap = Float[np.ndarray, "_ _"]
RegionMap = Int32[np.ndarray, "_ _"]


def edge_map(image: Image) -> EdgeMap:
    """How strongly the colour changes at each pixel, in [0, 1], float32.

    1 - exp(-g / CONTRAST), where g is SMOOTHING times the length of the gradient of the three
    CIELAB channels by Gaussian derivatives of that standard deviation (pixels). A pixel's strength
    depends on its surroundings only, never on the strongest edge of the image.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> image[:, 3:] = 255
        >>> edge_map(image)[0].round(2)
        array([0.  , 0.13, 0.8 , 0.8 , 0.13, 0.  ], dtype=float32)
    """
    return _edges_of(lab_colours(image))


def image_regions(image: Image, *, count: int | None = COUNT) -> RegionMap:
    """Cut an image into regions 0 .. R - 1, numbered top-left to bottom-right, each 4-connected.

    Basins of the colour gradient are merged by Ward's rule (Ward: Hierarchical Grouping to Optimize
    an Objective Function, JASA 1963) among neighbours: the next merge is the one that adds least to
    the summed squared distances of pixels from their region's mean of colour, texture and place.

    Args:
        image: The photograph.
        count: At most that many regions (None: no limit). There are fewer only where the image
            has no more basins.

    Raises:
        ConfigError: A count below one.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> image[:, 3:] = 255
        >>> image_regions(image, count=2)[0]
        array([0, 0, 0, 1, 1, 1], dtype=int32)
    """
    _check_count(count)
    lab = lab_colours(image)
    if lab.shape[0] * lab.shape[1] < 2:
        return np.zeros(lab.shape[:2], dtype=np.int32)  # higra knows no graph without edges
    # Here, since higra brings all of Matplotlib, and most commands cut no image into regions.
    from hintseg.regions.merging import merged_by_ward  # noqa: PLC0415

    merged = merged_by_ward(_edges_of(lab), region_features(lab), count)
    return numbered(merged).reshape(lab.shape[:2])


def regions_from_edges(edges: EdgeMap, *, count: int | None = COUNT) -> RegionMap:
    """Cut along an edge map, such as that of an edge detector; regions as from `regions`.

    Oriented watershed and ultrametric contour map (Arbelaez, Maire, Fowlkes, Malik: Contour
    Detection and Hierarchical Image Segmentation, PAMI 2011), with the mean strength along a
    boundary in place of the oriented one. With a count, regions smaller than SMALLEST times the
    mean size are merged first, or specks with strong outlines would use the count up.

    Args:
        edges: Edge strength of every pixel, not negative.
        count: At most that many regions (None: no limit).

    Raises:
        ConfigError: As `regions`; a strength that is negative or not finite.

    Example:
        >>> import numpy as np
        >>> edges = np.zeros((3, 5), np.float32)
        >>> edges[:, 2] = 1.0
        >>> int(regions_from_edges(edges, count=2).max()) + 1
        2
    """
    _check_count(count)
    if not np.isfinite(edges).all() or edges.min(initial=0) < 0:
        raise ConfigError("edges: every strength must be a finite number, zero or more")
    if edges.size < 2:
        return np.zeros(edges.shape, dtype=np.int32)
    from hintseg.regions.merging import merged_along_edges  # noqa: PLC0415 - as above

    least = 0.0 if count is None else SMALLEST * edges.size / count
    return numbered(merged_along_edges(edges, count, least)).reshape(edges.shape)


def numbered(labels: Int[np.ndarray, " pixels"]) -> Int32[np.ndarray, " pixels"]:
    """The same partition of pixels in reading order, numbered by first appearance."""
    first = np.full(int(labels.max()) + 1, -1)
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # of several, the last written stays
    used = np.flatnonzero(first >= 0)
    number = np.empty(len(first), dtype=np.int32)
    number[used[np.argsort(first[used])]] = np.arange(len(used))
    return np.asarray(number[labels])


def lab_colours(image: Image) -> Float[np.ndarray, "h w 3"]:
    """Raw colours -> CIELAB."""
    return np.asarray(rgb2lab(image.astype(np.float32) / np.float32(255)), dtype=np.float32)


def _edges_of(lab: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    squares = np.zeros(lab.shape[:2], dtype=np.float32)
    for channel in np.moveaxis(lab, 2, 0):
        for order in ((0, 1), (1, 0)):
            squares += ndimage.gaussian_filter(channel, SMOOTHING, order=order, truncate=3.0) ** 2
    return np.asarray(-np.expm1(-np.sqrt(squares) * np.float32(SMOOTHING / CONTRAST)))


def region_features(lab: Float[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "h w"]]:
    """What the pixels of a region have in common, in CIELAB units."""
    lightness = lab[..., 0]
    deviation = (lightness - ndimage.gaussian_filter(lightness, 2.0, truncate=3.0)) ** 2
    texture = np.sqrt(np.maximum(ndimage.gaussian_filter(deviation, 4.0, truncate=3.0), 0))
    rows, columns = np.indices(lightness.shape, dtype=np.float32) * (PLACE / max(lightness.shape))
    return [LIGHTNESS * lightness, lab[..., 1], lab[..., 2], TEXTURE * texture, rows, columns]


def _check_count(count: int | None) -> None:
    if count is not None and count < 1:
        raise ConfigError(f"regions: count must be at least 1, got {count}")
