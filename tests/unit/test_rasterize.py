"""Shapes -> pixels against brute force, and what the hints of an image say about its classes."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hintseg.errors import DataError
from hintseg.hints.raster import Brush, rasterize
from hintseg.hints.scanlines import polygon_pixels, stroke_pixels
from hintseg.structures import UNLABELLED, ClassSet, Hints, Shape

STUFF = ClassSet(("cow", "grass", "sky"))
VOC = ClassSet(("background", "cow", "dog"), 0)
EIGHT = np.ones((3, 3))
UNSURE = 1e-6  # nearer than this to the edge of a figure, rounding decides

coordinate = st.floats(-15, 35)
point = st.tuples(coordinate, coordinate)
on_grid = st.tuples(st.integers(-1, 47), st.integers(-1, 35)).map(lambda p: (p[0] / 2, p[1] / 2))
size = st.tuples(st.integers(1, 20), st.integers(1, 25))


def shape(kind, label, *points):
    return Shape(kind, label, tuple((float(x), float(y)) for x, y in points))


def drawn(pixels, size):
    image = np.zeros(size, dtype=bool)
    image.reshape(-1)[pixels] = True
    return image


def labels_of(*shapes, size=(20, 30), classes=STUFF, **options):
    return rasterize(Hints(shapes), size, classes, **options).labels


def distance_to_line(points, size):
    """Distance of each pixel centre to a poly-line, one segment and pixel at a time."""
    y, x = np.mgrid[: size[0], : size[1]]
    centres = np.stack([x, y], axis=-1).astype(float)
    nearest = np.full(size, np.inf)
    ends = np.array(points if len(points) > 1 else points * 2)
    for start, end in pairwise(ends):
        step = end - start
        share = ((centres - start) @ step / max(step @ step, 1e-300)).clip(0, 1)
        gap = centres - start - share[..., None] * step
        nearest = np.minimum(nearest, np.linalg.norm(gap, axis=-1))
    return nearest


def inside_polygon(points, size):
    """Even-odd rule for one centre after another, and whether it is too near to an edge to tell."""
    inside = np.zeros(size, dtype=bool)
    for row, column in np.ndindex(size):
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= row) != (y1 <= row) and column < x0 + (row - y0) / (y1 - y0) * (x1 - x0):
                inside[row, column] ^= True
    return inside, distance_to_line([*points, points[0]], size) < UNSURE


# ---- strokes and discs


@settings(max_examples=150, deadline=None)
@given(st.lists(point, min_size=1, max_size=6), st.floats(0.75, 9), size)
def test_a_stroke_holds_the_pixels_within_its_radius(points, radius, size):
    image = drawn(stroke_pixels(np.array(points), radius, size), size)
    distance = distance_to_line(points, size)
    assert image[distance < radius - UNSURE].all()
    # Beyond the radius only pixels on the border, for points up to half a pixel outside.
    beyond = image & (distance > radius + UNSURE)
    beyond[[0, -1]] = beyond[:, [0, -1]] = False
    assert not beyond.any()


@settings(max_examples=100, deadline=None)
@given(st.lists(on_grid, min_size=2, max_size=5), st.floats(0, 4))
def test_a_stroke_between_pixel_centres_and_corners_is_no_different(points, radius):
    size = (18, 24)
    image = drawn(stroke_pixels(np.array(points), radius, size), size)
    distance = distance_to_line(points, size)
    assert image[distance < radius - UNSURE].all()
    assert not image[distance > max(radius, 0.71) + UNSURE].any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 24), st.floats(0, 19)), min_size=2, max_size=6))
def test_a_stroke_without_width_never_breaks(points):
    image = drawn(stroke_pixels(np.array(points), 0.0, (20, 25)), (20, 25))
    assert ndimage.label(image, structure=EIGHT)[1] == 1
    for x, y in points:
        assert image[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))]


def test_a_point_is_a_disc():
    labels = labels_of(shape("point", 1, (10, 8)), brush=Brush(point_radius=3 / 30))
    y, x = np.mgrid[:20, :30]
    np.testing.assert_array_equal(labels == 1, (x - 10) ** 2 + (y - 8) ** 2 <= 9)


def test_the_smallest_point_keeps_the_pixel_that_holds_it():
    labels = labels_of(shape("point", 2, (4.4, 7.6)), brush=Brush(point_radius=0.0))
    assert np.argwhere(labels == 2).tolist() == [[8, 4]]


@pytest.mark.parametrize("corner", [(-0.5, -0.5), (29.5, -0.5), (-0.5, 19.5), (29.5, 19.5)])
def test_a_point_on_the_corner_of_the_image_keeps_a_pixel(corner):
    assert (labels_of(shape("point", 0, corner), brush=Brush(point_radius=0.0)) == 0).sum() == 1


def test_a_scribble_of_three_pixels_is_three_pixels_wide():
    labels = labels_of(shape("scribble", 0, (5, 10), (20, 10)), brush=Brush(scribble_width=3 / 30))
    assert np.unique(np.nonzero(labels == 0)[0]).tolist() == [9, 10, 11]


def test_what_lies_far_outside_is_cut_off():
    far = 1e7
    shapes = (
        shape("point", 0, (far, -far)),
        shape("scribble", 1, (-far, 5), (far, 5)),
        shape("polygon", 2, (-far, 12), (far, 12), (far, far), (-far, far)),
    )
    labels = labels_of(*shapes, brush=Brush(scribble_width=1 / 30))
    assert set(np.nonzero(labels == 1)[0]) == {5}
    assert (labels[12:] == 2).all()
    assert not (labels == 0).any()
    assert (labels == 1).sum() == 30


# ---- polygons


@settings(max_examples=150, deadline=None)
@given(st.lists(point, min_size=3, max_size=7), size)
def test_a_polygon_holds_the_pixels_inside_by_the_even_odd_rule(points, size):
    image = drawn(polygon_pixels(np.array(points), size), size)
    inside, unsure = inside_polygon(points, size)
    if inside[~unsure].any():
        np.testing.assert_array_equal(image[~unsure], inside[~unsure])
    else:
        assert (image & ~unsure).sum() <= 1  # the pixel that a tiny polygon keeps


def test_polygons_that_share_an_edge_neither_overlap_nor_leave_a_gap():
    left = shape("polygon", 0, (-0.5, -0.5), (7, -0.5), (12, 19.5), (-0.5, 19.5))
    right = shape("polygon", 1, (7, -0.5), (29.5, -0.5), (29.5, 19.5), (12, 19.5))
    weak = rasterize(Hints((left, right)), (20, 30), STUFF)
    assert weak.contested == 0
    assert (weak.labels >= 0).all()


def test_a_tiny_polygon_keeps_one_pixel():
    labels = labels_of(shape("polygon", 1, (4.1, 7.1), (4.3, 7.1), (4.2, 7.3)))
    assert np.argwhere(labels == 1).tolist() == [[7, 4]]


# ---- scale


def test_shapes_are_scaled_as_vectors():
    """The upper left quarter stays the upper left quarter at any resolution."""
    quarter = shape("polygon", 1, (-0.5, -0.5), (14.5, -0.5), (14.5, 9.5), (-0.5, 9.5))
    for out in ((20, 30), (40, 60), (10, 15 * 2), (100, 8)):
        labels = labels_of(quarter, out_size=out)
        want = np.full(out, UNLABELLED)
        want[: out[0] // 2, : out[1] // 2] = 1
        np.testing.assert_array_equal(labels, want)


def test_drawing_small_equals_drawing_the_scaled_shape():
    line = shape("scribble", 0, (3.2, 4.7), (25, 17))
    scaled = shape(
        "scribble", 0, *(((x + 0.5) * 2 - 0.5, (y + 0.5) * 2 - 0.5) for x, y in line.points)
    )
    np.testing.assert_array_equal(
        labels_of(line, out_size=(40, 60)), labels_of(scaled, size=(40, 60))
    )


def test_widths_are_fractions_of_the_longer_side_of_the_result():
    for out in ((20, 30), (200, 300)):
        labels = labels_of(
            shape("scribble", 0, (-9, 10), (40, 10)), out_size=out, brush=Brush(scribble_width=0.1)
        )
        assert (labels[:, out[1] // 2] == 0).sum() == pytest.approx(0.1 * out[1], abs=1)


def test_a_scribble_survives_the_smallest_working_resolution():
    assert labels_of(shape("scribble", 2, (3, 3), (4, 4)), out_size=(1, 1)).tolist() == [[2]]


def test_a_partial_label_map_shrinks_by_labelled_wins():
    partial = np.full((20, 30), UNLABELLED, dtype=np.int16)
    partial[7, 9] = 2
    weak = rasterize(Hints(partial=partial), (20, 30), STUFF, out_size=(10, 15))
    assert np.argwhere(weak.labels == 2).tolist() == [[3, 4]]


def test_a_partial_label_map_is_not_changed_by_drawing_on_it():
    partial = np.full((20, 30), UNLABELLED, dtype=np.int16)
    rasterize(Hints((shape("point", 1, (5, 5)),), partial=partial), (20, 30), STUFF)
    assert (partial == UNLABELLED).all()


def test_a_partial_label_map_of_another_size_is_refused():
    partial = np.zeros((3, 4), dtype=np.int16)
    with pytest.raises(DataError, match="the partial label map is 4 x 3 pixels, the image 30 x 20"):
        rasterize(Hints(partial=partial), (20, 30), STUFF)


# ---- contested pixels


def test_pixels_that_two_classes_claim_are_unlabelled_and_counted():
    one = shape("polygon", 0, (-0.5, -0.5), (19.5, -0.5), (19.5, 19.5), (-0.5, 19.5))
    two = shape("polygon", 1, (9.5, -0.5), (29.5, -0.5), (29.5, 19.5), (9.5, 19.5))
    weak = rasterize(Hints((one, two)), (20, 30), STUFF)
    assert weak.contested == 200
    assert (weak.labels[:, :10] == 0).all()
    assert (weak.labels[:, 10:20] == UNLABELLED).all()
    assert (weak.labels[:, 20:] == 1).all()


def test_a_shape_against_the_partial_map_is_contested_too():
    partial = np.full((20, 30), UNLABELLED, dtype=np.int16)
    partial[:10] = 2
    weak = rasterize(
        Hints((shape("scribble", 0, (4, -5), (4, 30)),), partial=partial),
        (20, 30),
        STUFF,
        brush=Brush(scribble_width=0.0),
    )
    assert weak.contested == 10
    assert (weak.labels[10:, 4] == 0).all()


def test_the_same_class_twice_is_no_contest():
    weak = rasterize(Hints((shape("point", 1, (5, 5)),) * 2), (20, 30), STUFF)
    assert weak.contested == 0
    assert (weak.labels == 1).any()


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(4)))
def test_the_order_of_the_shapes_does_not_matter(order):
    shapes = (
        shape("point", 0, (8, 8)),
        shape("scribble", 1, (0, 8), (20, 9)),
        shape("polygon", 2, (6, 2), (14, 5), (9, 15)),
        shape("point", 0, (12, 9)),
    )
    straight = rasterize(Hints(shapes), (20, 30), STUFF, brush=Brush(point_radius=0.1))
    mixed = Hints(tuple(shapes[i] for i in order))
    mixed = rasterize(mixed, (20, 30), STUFF, brush=Brush(point_radius=0.1))
    np.testing.assert_array_equal(straight.labels, mixed.labels)
    assert straight.contested == mixed.contested > 0


# ---- boxes


def test_boxes_come_as_outer_edges_of_pixels_clipped_to_the_image():
    """A box given from any corner, on an image of half the size."""
    weak = rasterize(
        Hints((shape("box", 2, (9.5, 4.5), (4.5, -3.5)),)), (10, 15), VOC, out_size=(20, 30)
    )
    np.testing.assert_allclose(weak.boxes, [[10, 0, 20, 10, 2]])


def test_a_box_outside_the_image_is_dropped_but_stays_a_tag():
    weak = rasterize(Hints((shape("box", 1, (50, 5), (60, 9)),)), (20, 30), VOC)
    assert weak.boxes.shape == (0, 5)
    assert weak.tags.tolist() == [False, True, False]
    assert (weak.labels == UNLABELLED).all()


def test_outside_all_boxes_is_background_and_inside_is_unlabelled():
    boxes = shape("box", 1, (3.5, 3.5), (9.5, 9.5)), shape("box", 2, (7.5, 5.5), (19.5, 14.5))
    labels = labels_of(*boxes, classes=VOC)
    want = np.zeros((20, 30))
    want[4:10, 4:10] = want[6:15, 8:20] = UNLABELLED
    np.testing.assert_array_equal(labels, want)


def test_a_pixel_that_a_box_cuts_is_not_background():
    labels = labels_of(shape("box", 1, (3.4, 3.4), (9.6, 9.6)), classes=VOC)
    assert (labels[3:11, 3:11] == UNLABELLED).all()
    assert (labels == 0).sum() == 600 - 64


def test_what_was_drawn_outside_the_boxes_keeps_its_class():
    labels = labels_of(
        shape("box", 1, (3.5, 3.5), (9.5, 9.5)), shape("point", 1, (20, 10)), classes=VOC
    )
    assert labels[10, 20] == 1
    assert labels[0, 0] == 0


@pytest.mark.parametrize(
    "hints",
    [
        Hints((shape("box", 1, (3, 3), (9, 9)), shape("point", 2, (20, 10)))),
        Hints((shape("box", 1, (3, 3), (9, 9)),), frozenset({2})),
        Hints((shape("box", 0, (3, 3), (9, 9)),)),
        Hints((shape("point", 1, (5, 5)),)),
    ],
    ids=["another class drawn", "another class ticked", "a box of background", "no box"],
)
def test_nothing_becomes_background_unless_all_foreground_classes_have_boxes(hints):
    assert not (rasterize(hints, (20, 30), VOC).labels == 0).any()


def test_nothing_becomes_background_without_complete_boxes_or_without_a_background():
    box = shape("box", 1, (3, 3), (9, 9))
    assert (labels_of(box, classes=VOC, boxes_complete=False) == UNLABELLED).all()
    assert (labels_of(box, classes=STUFF) == UNLABELLED).all()


# ---- tags


def test_silence_means_absent_but_never_for_the_background():
    weak = rasterize(Hints((shape("point", 1, (5, 5)),)), (20, 30), VOC)
    assert weak.tags.tolist() == [False, True, False]
    assert weak.absent.tolist() == [False, False, True]


def test_silence_means_nothing_where_tags_are_incomplete_or_nobody_gave_a_hint():
    hints = Hints(flags=frozenset({1}))
    assert not rasterize(hints, (20, 30), VOC, tags_complete=False).absent.any()
    assert not rasterize(Hints(), (20, 30), VOC).absent.any()
    blank = np.full((20, 30), UNLABELLED, dtype=np.int16)
    assert not rasterize(Hints(partial=blank), (20, 30), VOC).absent.any()


def test_ticked_drawn_and_painted_classes_are_all_tags():
    partial = np.full((20, 30), UNLABELLED, dtype=np.int16)
    partial[0, 0] = 2
    hints = Hints((shape("point", 1, (5, 5)),), frozenset({0}), partial)
    weak = rasterize(hints, (20, 30), STUFF)
    assert weak.tags.all()
    assert not weak.absent.any()


# ---- extremes


def test_no_hints_give_nothing():
    weak = rasterize(Hints(), (20, 30), VOC)
    assert weak.labels.shape == (20, 30)
    assert (weak.labels == UNLABELLED).all()
    assert weak.boxes.shape == (0, 5)
    assert not weak.tags.any()
    assert weak.contested == 0


def test_a_scribble_across_a_huge_image_needs_no_huge_temporaries():
    """One diagonal, whose bounding box is the image: 40 MB of labels, far less on top."""
    line = Hints((shape("scribble", 0, (0, 0), (19999, 999)),))
    tracemalloc.start()
    weak = rasterize(line, (1000, 20000), STUFF, brush=Brush(scribble_width=1e-4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert weak.labels[0, 0] == weak.labels[999, 19999] == 0
    assert peak < 3 * weak.labels.nbytes
