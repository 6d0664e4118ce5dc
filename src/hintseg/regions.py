"""The over-segmentation of an image from its colours alone: regions that end where colours do.

An edge map (or the user's own) is flooded from its minima; the mean edge strength along the
boundary of two basins says how much they differ, and the weakest boundary on the image goes first:
oriented watershed and ultrametric contour map (Arbelaez, Maire, Fowlkes, Malik: Contour Detection
and Hierarchical Image Segmentation, PAMI 2011), here without the orientation. One hierarchy answers
for any number of regions.
"""

import warnings

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy import ndimage
from skimage.color import rgb2lab

from hintseg.errors import ConfigError
from hintseg.structures import Image

with warnings.catch_warnings():  # its docstrings hold backslashes that newer Pythons complain of
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    import higra as hg

COUNT = 100  # boundaries of objects are nearly all there, and a region still is larger than a texel
SCALES = (1.0, 2.0)  # pixels: standard deviations of the Gaussian derivatives
CONTRAST = 20.0  # CIELAB distance over one standard deviation at which an edge is 0.63 strong

EdgeMap = Float[np.ndarray, "_ _"]
RegionMap = Int32[np.ndarray, "_ _"]


def edge_map(image: Image) -> Float[np.ndarray, "height width"]:
    """How strongly the colour changes at each pixel, in [0, 1), float32.

    1 - exp(-g / CONTRAST), where g is the mean over the scales s of s times the length of the
    gradient of the three CIELAB channels by Gaussian derivatives of standard deviation s. A pixel's
    strength depends on its surroundings only, never on the strongest edge of the image.
    """
    lab = rgb2lab(image.astype(np.float32) / 255.0).astype(np.float32)
    strength = np.mean([scale * _gradient(lab, scale) for scale in SCALES], axis=0)
    return np.asarray(-np.expm1(-strength / CONTRAST))


def _gradient(lab: Float[np.ndarray, "h w 3"], scale: float) -> Float[np.ndarray, "h w"]:
    """Root of the summed squares of the derivatives of all channels along both axes."""
    squares = np.zeros(lab.shape[:2], dtype=np.float32)
    for channel in np.moveaxis(lab, 2, 0):
        for order in ((0, 1), (1, 0)):
            squares += ndimage.gaussian_filter(channel, scale, order=order, truncate=3.0) ** 2
    return np.sqrt(squares)


def regions(
    image: Image,
    *,
    count: int | None = COUNT,
    threshold: float | None = None,
    edges: EdgeMap | None = None,
) -> RegionMap:
    """Cut an image into regions 0 .. R - 1, numbered top-left to bottom-right, each 4-connected.

    Args:
        image: The photograph; only its size matters when `edges` is given.
        count: At most that many regions (None: no limit). There are fewer only where the image
            has no more basins between edges.
        threshold: Boundaries of a mean strength up to that vanish, in the unit of the edge map.
        edges: Edge strength of every pixel, not negative, in place of `edge_map(image)`.

    Raises:
        ConfigError: A count below one, or an edge map of another size or with other values.
    """
    if count is not None and count < 1:
        raise ConfigError(f"regions: count must be at least 1, got {count}")
    size = (image.shape[0], image.shape[1])
    strength = edge_map(image) if edges is None else _checked(edges, size)
    if strength.size < 2:
        return np.zeros(size, dtype=np.int32)  # higra knows no graph without edges
    graph = hg.get_4_adjacency_graph(size)
    weights = hg.weight_graph(graph, strength.astype(np.float64), hg.WeightFunction.mean)
    tree, altitudes = hg.mean_pb_hierarchy(graph, weights, size)
    basins = hg.CptRegionAdjacencyGraph.construct(hg.CptHierarchy.get_leaf_graph(tree))
    of_basin = _cut(tree, altitudes, count, max(0.0, threshold or 0.0))
    return _numbered(of_basin[np.asarray(basins["vertex_map"])]).reshape(size)


def _checked(edges: EdgeMap, size: tuple[int, int]) -> EdgeMap:
    """An edge map that can be used."""
    if edges.shape != size:
        raise ConfigError(
            f"edges: {edges.shape[1]} x {edges.shape[0]} pixels, the image is {size[1]} x {size[0]}"
        )
    if not np.isfinite(edges).all() or edges.min(initial=0) < 0:
        raise ConfigError("edges: every strength must be a finite number, zero or more")
    return edges


def _cut(
    tree: hg.Tree, altitudes: Float[np.ndarray, " nodes"], count: int | None, threshold: float
) -> Int[np.ndarray, " basins"]:
    """The node of the binary tree that each leaf belongs to once the weak boundaries are gone.

    Inner nodes are sorted by altitude: the first ones merge what differs least.
    """
    basins = tree.num_leaves()
    merges = int(np.searchsorted(altitudes[basins:], threshold, side="right"))
    if count is not None:
        merges = max(merges, basins - count)
    nodes = np.arange(tree.num_vertices())
    inside = tree.parents() < basins + merges  # the parent still is one region
    inside[tree.root()] = False
    return np.asarray(hg.propagate_sequential(tree, nodes, inside)[:basins])


def _numbered(labels: Int[np.ndarray, " pixels"]) -> Int32[np.ndarray, " pixels"]:
    """The same partition, numbered 0, 1, ... in the order of first appearance."""
    first = np.full(int(labels.max()) + 1, -1)
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # of several, the last written stays
    used = np.flatnonzero(first >= 0)
    number = np.empty(len(first), dtype=np.int32)
    number[used[np.argsort(first[used])]] = np.arange(len(used))
    return np.asarray(number[labels])
