"""The basins of an edge map and the trees of their merges, by higra."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

with warnings.catch_warnings():  # its docstrings hold backslashes that newer Pythons complain of
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    import higra as hg


def merged_by_ward(
    edges: Float[np.ndarray, "h w"], features: Sequence[Float[np.ndarray, "h w"]], count: int | None
) -> Int[np.ndarray, " pixels"]:
    """The region of every pixel after Ward's merges of neighbouring basins.

    Args:
        edges: How strongly the colour changes at each pixel; basins lie between the edges.
        features: What the pixels of a region have in common.
        count: At most that many regions (None: no limit).
    """
    graph, weights = _grid(edges)
    rag, _ = hg.oriented_watershed(graph, weights, edges.shape)
    basin = np.asarray(hg.CptRegionAdjacencyGraph.construct(rag)["vertex_map"])
    sizes = np.bincount(basin).astype(np.float64)
    means = np.stack([np.bincount(basin, f.ravel()) / sizes for f in features], axis=1)
    tree, altitudes = hg.binary_partition_tree_ward_linkage(rag, means, sizes)
    owner = _cut(tree, altitudes / basin.size, count)
    return np.asarray(owner[basin])


def merged_along_edges(
    edges: Float[np.ndarray, "h w"], count: int | None, least: float
) -> Int[np.ndarray, " pixels"]:
    """The region of every pixel where those with the weakest boundary between them merge first.

    Args:
        edges: Edge strength of every pixel.
        count: At most that many regions (None: no limit).
        least: With a count, regions of fewer pixels are merged before all others.
    """
    tree, altitudes = hg.mean_pb_hierarchy(*_grid(edges), edges.shape)
    rag = hg.CptHierarchy.get_leaf_graph(tree)
    basin = np.asarray(hg.CptRegionAdjacencyGraph.construct(rag)["vertex_map"])
    if count is not None and tree.num_leaves() > 1:
        sizes = np.bincount(basin).astype(np.float64)
        tree, altitudes = hg.filter_non_relevant_node_from_tree(
            tree, altitudes, lambda tree, _: _smaller_part(tree, sizes) < least, rag, False
        )
    return np.asarray(_cut(tree, altitudes, count)[basin])


def _grid(
    edges: Float[np.ndarray, "h w"],
) -> tuple[hg.UndirectedGraph, Float[np.ndarray, " edges"]]:
    """The 4-connected graph of the pixels; an edge is as strong as the mean of its two pixels."""
    graph = hg.get_4_adjacency_graph(edges.shape)
    return graph, hg.weight_graph(graph, edges.astype(np.float64), hg.WeightFunction.mean)


def _smaller_part(
    tree: hg.Tree, sizes: Float[np.ndarray, " basins"]
) -> Float[np.ndarray, " nodes"]:
    """Pixels of the smaller of the two parts that each node of a tree merges."""
    area = hg.attribute_area(tree, sizes)
    return np.asarray(hg.accumulate_parallel(tree, area, hg.Accumulators.min))


def _cut(
    tree: hg.Tree, altitudes: Float[np.ndarray, " nodes"], count: int | None
) -> Int[np.ndarray, " basins"]:
    """The node of a binary tree that each leaf belongs to after the first merges.

    Inner nodes stand in the order of the merges. An altitude may be lower than an earlier one (Ward
    among neighbours): merges that cost nothing are made until the first that does.
    """
    basins = tree.num_leaves()
    reached = np.maximum.accumulate(altitudes[basins:])
    merges = int(np.searchsorted(reached, 0.0, side="right"))
    if count is not None:
        merges = max(merges, basins - count)
    nodes = np.arange(tree.num_vertices())
    inside = tree.parents() < basins + merges  # the parent still is one region
    inside[tree.root()] = False
    return np.asarray(hg.propagate_sequential(tree, nodes, inside)[:basins])
