"""Outlines: exact at pixel edges, sound rings, borders that fit together after simplification."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from hintseg.export.arcs import kept_corners, simplified, unsound
from hintseg.export.contours import NONE, area_of, junctions, trace
from hintseg.export.pieces import pieces_of, without_crumbs
from hintseg.export.slits import one_ring
from hintseg.hints.raster import rasterize
from hintseg.hints.scanlines import polygon_pixels
from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, Shape

CLASSES = ClassSet(("grass", "cow", "sky"))
MAPS = arrays(
    np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-2, 2)
)


def connected(labels):
    """Numbers of 4-connected pieces by scipy, class by class: not as the code does it."""
    numbers, count = np.full(labels.shape, NONE), 0
    for label in np.unique(labels[labels >= 0]):
        found, more = ndimage.label(labels == label)
        numbers[found > 0] = found[found > 0] + count - 1
        count += more
    return numbers


def drawn_again(pieces, size, rings_of):
    """The label map that the project's own rasteriser makes of exported polygons."""
    shapes = tuple(
        Shape("polygon", piece.label, tuple((x - 0.5, y - 0.5) for x, y in ring.tolist()))
        for piece in pieces
        for ring in rings_of(piece)
    )
    return rasterize(Hints(shapes), size, CLASSES).labels


@given(MAPS)
def test_rasterising_the_polygons_gives_the_label_map_back(labels):
    pieces = pieces_of(labels, kept=range(3))
    expected = np.where(labels < 0, UNLABELLED, labels)
    by_polygon = drawn_again(pieces, labels.shape, lambda p: [one_ring([q]) for q in p.polygons])
    by_piece = drawn_again(pieces, labels.shape, lambda p: [one_ring(p.polygons)])
    assert np.array_equal(by_polygon, expected)
    assert np.array_equal(by_piece, expected)


@given(MAPS)
def test_one_object_per_class_gives_the_label_map_back_too(labels):
    pieces = pieces_of(labels, kept=range(3), whole_classes=True)
    assert [p.label for p in pieces] == sorted(set(labels[labels >= 0].tolist()))
    again = drawn_again(pieces, labels.shape, lambda p: [one_ring(p.polygons)])
    assert np.array_equal(again, np.where(labels < 0, UNLABELLED, labels))


@given(MAPS)
def test_each_connected_piece_has_one_outer_ring_and_rings_that_never_touch_themselves(labels):
    numbers = connected(labels)
    rings = trace(numbers)
    outer = np.bincount([r.piece for r in rings if not r.is_hole], minlength=numbers.max() + 1)
    area = np.zeros(numbers.max() + 1)
    for ring in rings:
        assert len({tuple(corner) for corner in ring.corners.tolist()}) == len(ring.corners)
        area[ring.piece] += area_of(ring.corners)
    assert (outer == 1).all()
    assert np.array_equal(area, np.bincount(numbers[numbers >= 0], minlength=len(area)))


@given(MAPS)
def test_outer_rings_and_holes_by_the_even_odd_rule_are_the_piece(labels):
    numbers = connected(labels)
    rings = trace(numbers)
    for piece in range(numbers.max() + 1):
        times = np.zeros(labels.size, dtype=int)
        for ring in rings:
            if ring.piece == piece:
                times[polygon_pixels(ring.corners - 0.5, labels.shape)] += 1
        assert np.array_equal(times % 2 == 1, (numbers == piece).ravel())


@given(MAPS)
def test_pieces_are_those_that_scipy_finds_by_eight_neighbours(labels):
    pieces = pieces_of(labels, kept=range(3))
    seen = np.zeros(labels.shape, dtype=int)
    for label in range(3):
        _, count = ndimage.label(labels == label, structure=np.ones((3, 3)))
        assert sum(piece.label == label for piece in pieces) == count
    for piece in pieces:
        height, width = piece.inside.shape
        window = np.s_[piece.top : piece.top + height, piece.left : piece.left + width]
        assert (labels[window][piece.inside] == piece.label).all()
        seen[window] += piece.inside
    assert np.array_equal(seen == 1, labels >= 0)


def test_a_pinched_piece_is_cut_into_simple_rings():
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])  # the hole touches the outside crosswise
    [piece] = [p for p in pieces_of(ring.astype(np.int16), kept=[1])]
    [polygon] = piece.polygons
    assert area_of(polygon.outer) == 8
    assert [area_of(hole) for hole in polygon.holes] == [-1]


def test_pixels_that_touch_at_a_corner_are_one_object_of_two_polygons():
    [piece] = pieces_of(np.eye(2, dtype=np.int16), kept=[1])
    assert (piece.area, len(piece.polygons)) == (2, 2)
    assert area_of(one_ring(piece.polygons)) == 2


def blobs(seed, side=96):
    """A map of three classes and void with smooth borders and crumbs."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.normal(size=(side, side)), 4) for _ in range(3)]
    labels = np.argmax(fields, axis=0).astype(np.int16)
    labels[ndimage.gaussian_filter(rng.normal(size=(side, side)), 6) > 0.08] = VOID
    return labels


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_simplified_borders_leave_no_gap_and_no_overlap(seed, tolerance):
    labels = np.maximum(blobs(seed), 0)  # no void: the polygons tile the image
    pieces = pieces_of(labels, kept=range(3), tolerance=tolerance)
    area = sum(area_of(one_ring(piece.polygons)) for piece in pieces)
    assert area == labels.size
    corners = {tuple(c) for p in pieces for q in p.polygons for c in q.outer.tolist()}
    assert {(0, 0), (96, 0), (0, 96), (96, 96)} <= corners


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_simplified_polygons_are_sound_by_the_rules_of_geographers(seed, tolerance):
    shapely = pytest.importorskip("shapely")
    for piece in pieces_of(blobs(seed), kept=range(3), tolerance=tolerance):
        for polygon in piece.polygons:
            assert shapely.Polygon(polygon.outer, polygon.holes).is_valid


@pytest.mark.parametrize("seed", range(3))
def test_no_corner_is_farther_from_the_new_outline_than_the_tolerance(seed):
    shapely = pytest.importorskip("shapely")
    numbers = connected(blobs(seed))
    before = trace(numbers)
    after = simplified(before, junctions(numbers), 1.5)
    assert sum(len(r.corners) for r in after) < 0.6 * sum(len(r.corners) for r in before)
    for one, two in zip(before, after, strict=True):
        line = shapely.LinearRing(two.corners)
        far = max(line.distance(shapely.Point(corner)) for corner in one.corners.tolist())
        assert far <= 1.5 + 1e-9


def test_a_tiny_piece_survives_any_tolerance():
    labels = np.zeros((9, 9), np.int16)
    labels[4, 4] = 1
    pieces = pieces_of(labels, kept=[0, 1], tolerance=50.0)
    assert [area_of(one_ring(p.polygons)) for p in pieces] == [80, 1]


def test_a_line_keeps_its_farthest_corner_only():
    line = np.array([[0, 0], [5, 1], [10, 4], [15, 1], [20, 0]])
    assert kept_corners(line, 2.0).tolist() == [True, False, True, False, True]
    assert kept_corners(line, 5.0).tolist() == [True, False, False, False, True]


def test_holes_that_cross_the_outer_ring_are_found():
    outer = np.array([[0, 0], [8, 0], [8, 8], [0, 8]])
    hole = np.array([[2, 2], [2, 6], [6, 6], [6, 2]])
    whole = np.array([[2, 2], [2, 4], [2, 6], [6, 6], [6, 2]])
    aside = np.array([4, 0])
    assert unsound([outer, hole], [outer, whole]) == set()
    assert unsound([outer, hole + aside], [outer, whole + aside]) == {0, 1}
    assert unsound([outer, hole[:2]], [outer, whole]) == {1}


def test_crumbs_inside_one_class_get_it_and_others_get_none():
    labels = np.zeros((6, 8), np.int16)
    labels[:, 5:] = 1
    labels[2, 2] = 2  # in the midst of grass
    labels[4, 4:6] = 2  # between two classes
    labels[0, 0] = VOID
    kept, crumbs = without_crumbs(labels, 3)
    assert crumbs == (2, 3)
    assert kept[2, 2] == 0
    assert (kept[4, 4:6] == UNLABELLED).all()
    assert kept[0, 0] == VOID
    assert np.array_equal(without_crumbs(labels, 0)[0], labels)


def test_a_map_of_crumbs_only_has_no_label():
    kept, crumbs = without_crumbs(np.array([[0, 1], [2, 0]], np.int16), 5)
    assert (kept < 0).all()
    assert crumbs.pixels == 4


def test_scores_are_means_over_the_pixels_of_a_piece():
    labels = np.array([[0, 0, 1]], np.int16)
    scores = np.array([[0.5, 0.7, 0.9]], np.float32)
    pieces = pieces_of(labels, kept=[0, 1], scores=scores)
    assert [piece.score for piece in pieces] == pytest.approx([0.6, 0.9])


def test_nothing_to_draw_is_no_piece():
    assert pieces_of(np.full((3, 4), VOID, np.int16), kept=range(3), tolerance=1.0) == ()
    assert pieces_of(np.zeros((3, 4), np.int16), kept=[1], tolerance=1.0) == ()
