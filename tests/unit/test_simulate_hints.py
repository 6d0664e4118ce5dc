"""Simulated hints: inside what they mark, well placed, reproducible."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hintseg.errors import ConfigError
from hintseg.hints.raster import rasterize
from hintseg.hints.simulate import simulate_hints
from hintseg.hints.strokes import depth_of, walk
from hintseg.images.label_maps import read_label_map
from hintseg.structures import UNLABELLED, VOID, ClassSet

STUFF = ClassSet(("sky", "grass", "cow", "path"))
VOC = ClassSet(("background", "cow", "dog", "cat"), 0)
KINDS = ("tags", "boxes", "points", "scribbles")
PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "shared/data/msrc21"


def scene():
    """Sky over grass, a cow on legs, a winding path, a rim of void, crumbs."""
    y, x = np.mgrid[:213, :320]
    mask = (y > 90 + 10 * np.sin(x / 30)).astype(np.int16)
    mask[np.abs(x - 250 - 20 * np.sin(y / 15)) < 6] = 3
    body = ((x - 120) / 50) ** 2 + ((y - 110) / 28) ** 2
    mask[body < 1.1] = VOID
    mask[body < 1] = 2
    mask[120:165, 90:96] = mask[120:165, 145:151] = 2
    mask[5:8, 5:8] = 2  # a crumb of 9 pixels
    return mask


def draw(mask, kind="scribbles", classes=STUFF, seed=0, **options):
    return simulate_hints(mask, classes, kind=kind, rng=np.random.default_rng(seed), **options)


def pixels_under(shape):
    """Pixels at 4000 places along a shape; exactly between pixels, the one ahead in x and y."""
    points = np.array(shape.points)
    at = np.linspace(0, len(points) - 1, 4000)
    positions = [np.interp(at, np.arange(len(points)), points[:, axis]) for axis in (0, 1)]
    column, row = (np.floor(position + 0.5 + 1e-7).astype(int) for position in positions)
    return row, column


def component_at(mask, row, column):
    parts, _ = ndimage.label(mask == mask[row, column], structure=np.ones((3, 3)))
    return parts == parts[row, column]


def length(shape):
    return float(np.hypot(*np.diff(np.array(shape.points), axis=0).T).sum())


# ---- all kinds


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_hints(kind):
    assert draw(scene(), kind, seed=3) == draw(scene(), kind, seed=3)


@pytest.mark.parametrize("kind", ["points", "scribbles"])
def test_another_generator_gives_other_hints(kind):
    assert draw(scene(), kind, seed=3) != draw(scene(), kind, seed=4)


@pytest.mark.parametrize("kind", KINDS)
def test_void_pixels_belong_to_nothing(kind):
    for nothing in (VOID, UNLABELLED):
        assert not draw(np.full((20, 30), nothing, dtype=np.int16), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel_is_enough(kind):
    hints = draw(np.full((1, 1), 2, dtype=np.int16), kind)
    assert hints.tags == {2}


@pytest.mark.parametrize("kind", ["boxes", "points", "scribbles"])
def test_there_is_one_shape_per_component_without_crumbs(kind):
    hints = draw(scene(), kind)
    parts = sum(
        int(
            (
                np.bincount(ndimage.label(scene() == label, structure=np.ones((3, 3)))[0].ravel())[
                    1:
                ]
                >= 69
            ).sum()
        )
        for label in range(4)
    )
    assert len(hints.shapes) == parts


def test_a_class_of_crumbs_only_keeps_its_largest():
    mask = np.zeros((100, 100), dtype=np.int16)
    mask[10:13, 10:13] = mask[50:54, 50:54] = mask[80:82, 80:82] = 1
    (cow,) = (shape for shape in draw(mask, "boxes").shapes if shape.label == 1)
    assert cow.points == ((49.5, 49.5), (53.5, 53.5))


def test_components_are_8_connected():
    mask = np.full((20, 20), VOID, dtype=np.int16)
    mask[:10, :10] = mask[10:, 10:] = 1
    assert len(draw(mask, "points").shapes) == 1


def test_a_fraction_outside_0_to_1_is_refused():
    with pytest.raises(ConfigError, match=r"fraction: must be from 0 to 1, got 1\.5"):
        draw(scene(), fraction=1.5)


# ---- tags and boxes


def test_tags_are_the_foreground_classes():
    mask = np.array([[0, 0, 1], [0, 3, VOID]], dtype=np.int16)
    assert draw(mask, "tags", VOC).flags == {1, 3}
    assert draw(mask, "tags", STUFF).flags == {0, 1, 3}


def test_boxes_are_tight_around_foreground_components():
    mask = np.zeros((60, 80), dtype=np.int16)
    mask[10:20, 30:50] = 1
    mask[40:60, 0:10] = 2
    boxes = draw(mask, "boxes", VOC).shapes
    assert [(box.kind, box.label, box.points) for box in boxes] == [
        ("box", 1, ((29.5, 9.5), (49.5, 19.5))),
        ("box", 2, ((-0.5, 39.5), (9.5, 59.5))),
    ]


def test_boxes_and_their_outside_agree_with_the_mask():
    mask = np.zeros((60, 80), dtype=np.int16)
    mask[10:20, 30:50] = 1
    weak = rasterize(draw(mask, "boxes", VOC), mask.shape, VOC)
    assert (weak.labels[mask == 0] == 0).all()
    assert (weak.labels[mask == 1] == UNLABELLED).all()


# ---- points


@pytest.mark.parametrize("seed", range(5))
def test_clicks_fall_well_inside_their_component(seed):
    mask = scene()
    for shape in draw(mask, "points", seed=seed).shapes:
        row, column = (places[0] for places in pixels_under(shape))
        assert mask[row, column] == shape.label
        depth = depth_of(component_at(mask, row, column))
        assert depth[row, column] >= 0.7 * depth.max()


def test_the_background_is_clicked_and_stroked_as_well():
    mask = np.zeros((60, 80), dtype=np.int16)
    mask[20:40, 30:50] = 1
    for kind in ("points", "scribbles"):
        assert draw(mask, kind, VOC).tags == {0, 1}


# ---- scribbles


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 20), st.floats(-5, 20)), min_size=2, max_size=5))
def test_a_walk_visits_every_pixel_that_the_line_passes(points):
    line = np.array(points)
    visited = {tuple(pixel) for pixel in np.floor(walk(line) + 0.5)}
    at = np.linspace(0, len(line) - 1, 3001)
    dense = np.stack(
        [np.interp(at, np.arange(len(line)), line[:, axis]) for axis in (0, 1)], axis=1
    )
    clear = np.abs(dense + 0.5 - np.round(dense + 0.5)).min(axis=1) > 1e-5  # off any pixel's border
    assert {tuple(pixel) for pixel in np.floor(dense[clear] + 0.5)} <= visited


@pytest.mark.parametrize("seed", range(5))
def test_strokes_stay_inside_their_component(seed):
    mask = scene()
    for shape in draw(mask, seed=seed).shapes:
        row, column = pixels_under(shape)
        assert component_at(mask, row[0], column[0])[row, column].all()
        assert (mask[row, column] == shape.label).all()


@pytest.mark.parametrize("seed", range(5))
def test_strokes_keep_off_the_border(seed):
    """As labels of their usual width, they touch nothing but their class: not even void."""
    mask = scene()
    weak = rasterize(draw(mask, seed=seed), mask.shape, STUFF)
    labelled = weak.labels >= 0
    assert weak.contested == 0
    np.testing.assert_array_equal(weak.labels[labelled], mask[labelled])


@pytest.mark.parametrize("seed", range(5))
def test_strokes_go_through_most_of_the_extent(seed):
    for shape in draw(scene(), seed=seed).shapes:
        if shape.label in (0, 1) and shape.points[0][0] < 240:
            xs = [x for x, _ in shape.points]
            assert max(xs) - min(xs) > 100


def test_strokes_are_smooth_and_of_few_points():
    for shape in draw(scene()).shapes:
        points = np.array(shape.points)
        assert 5 <= len(points) <= 30
        steps = np.diff(points, axis=0)
        turn = np.abs(np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))))
        assert turn.max() < np.pi / 2


def test_strokes_follow_a_thin_ring_without_leaving_it():
    y, x = np.mgrid[:100, :100]
    distance = np.hypot(x - 50, y - 50)
    mask = np.where((distance > 38) & (distance < 42), 1, VOID).astype(np.int16)
    (shape,) = draw(mask).shapes
    row, column = pixels_under(shape)
    assert (mask[row, column] == 1).all()
    assert length(shape) > 80


def test_strokes_follow_a_line_one_pixel_wide():
    mask = np.full((60, 60), VOID, dtype=np.int16)
    index = np.arange(5, 55)
    mask[index, index] = 2
    (shape,) = draw(mask).shapes
    row, column = pixels_under(shape)
    assert (row == column).all()
    assert length(shape) > 30


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 8]), st.sampled_from([0.0, 0.3, 1.0]))
def test_strokes_stay_inside_in_any_mask_however_ragged(seed, grain, fraction):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(50, 70)), grain)
    mask = np.digitize(noise, np.quantile(noise, [0.3, 0.6])).astype(np.int16)
    mask[rng.random(mask.shape) < 0.02] = VOID
    for shape in draw(mask, seed=seed, fraction=fraction).shapes:
        row, column = pixels_under(shape)
        outside = mask[row, column] != shape.label
        # Between diagonal neighbours a line passes the corner of two other pixels, and rounding
        # may put one place into them.
        assert outside.sum() <= len(shape.points)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.8])
def test_a_fraction_is_the_middle_piece_of_the_same_stroke(fraction):
    for whole, piece in zip(
        draw(scene()).shapes, draw(scene(), fraction=fraction).shapes, strict=True
    ):
        assert length(piece) == pytest.approx(fraction * length(whole), rel=1e-6)
        assert set(piece.points[1:-1]) <= set(whole.points)


def test_fraction_0_is_one_point_in_the_middle_of_the_stroke():
    mask = scene()
    for shape in draw(mask, fraction=0.0).shapes:
        assert shape.kind == "point"
        row, column = pixels_under(shape)
        assert (mask[row, column] == shape.label).all()


def test_fraction_0_on_a_diagonal_line_falls_into_a_pixel_of_it():
    """Its middle is the corner that two diagonal neighbours share, and two other pixels."""
    mask = np.full((4, 4), VOID, dtype=np.int16)
    mask[[0, 1, 2, 3], [3, 2, 1, 0]] = 2
    for seed in range(10):
        ((point,),) = (shape.points for shape in draw(mask, seed=seed, fraction=0.0).shapes)
        column, row = np.floor(np.array(point) + 0.5).astype(int)
        assert mask[row, column] == 2


def test_a_large_image_is_drawn_with_few_points():
    y, x = np.mgrid[:600, :900]
    mask = (y > 300 + 80 * np.sin(x / 100)).astype(np.int16)
    hints = draw(mask)
    assert [len(shape.points) for shape in hints.shapes] == [30, 30]
    weak = rasterize(hints, mask.shape, STUFF)
    assert (weak.labels[weak.labels >= 0] == mask[weak.labels >= 0]).all()


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="needs ../shared/data/msrc21")
def test_strokes_on_photographs_label_a_few_percent_and_no_pixel_wrongly():
    classes = ClassSet(tuple(f"class {index}" for index in range(21)))
    shares = []
    for path in sorted((PHOTOGRAPHS / "masks").glob("*.png"))[::60]:
        mask = read_label_map(path, classes=21, undeclared=VOID)
        weak = rasterize(draw(mask, classes=classes), mask.shape, classes)
        labelled = weak.labels >= 0
        assert (weak.labels[labelled] == mask[labelled]).all()
        shares.append(labelled.mean())
    assert 0.01 < np.mean(shares) < 0.04
