"""Random views keep image and labels together and invent nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from scipy import ndimage

from hintseg.data.transforms import Augmentation, augment
from hintseg.errors import ConfigError
from hintseg.structures import UNLABELLED, VOID, ImageMap, Sample, WeakLabels, region_map

PLAIN = {"jitter": 0.0, "hue": 0.0}


def make_sample(labels, image=None):
    """A sample whose colours tell its labels: class c is the grey level 40 * c."""
    weak = WeakLabels(
        labels=labels.astype(np.int16),
        tags=np.ones(5, bool),
        absent=np.zeros(5, bool),
        boxes=np.zeros((0, 5)),
    )
    if image is None:
        image = np.repeat(40 * np.maximum(labels, 0)[..., None], 3, axis=2).astype(np.uint8)
    return Sample("name", image, weak)


def blocks(rng, height, width, side=20):
    """Labels in blocks, so large that most pixels are far from a boundary."""
    coarse = rng.integers(0, 5, (-(-height // side), -(-width // side)))
    return np.kron(coarse, np.ones((side, side), int))[:height, :width]


def far_from_boundaries(labels, steps):
    size = 2 * steps + 1
    return ndimage.minimum_filter(labels, size) == ndimage.maximum_filter(labels, size)


def generator(seed):
    return np.random.default_rng(seed)


@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    crop=st.integers(1, 60),
    scale=st.tuples(st.floats(0.1, 4), st.floats(1, 3)).map(lambda s: (s[0], s[0] * s[1])),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_a_view_of_any_image_is_a_square_with_labels_of_the_image_and_void(
    height, width, crop, scale, seed
):
    labels = generator(seed).integers(VOID, 5, (height, width))
    sample = make_sample(labels)
    before = sample.image.copy(), sample.weak.labels.copy()
    view = augment(sample, generator(seed), settings=Augmentation(crop, scale))
    assert view.image.shape == (crop, crop, 3)
    assert view.image.dtype == np.uint8
    assert view.weak.labels.shape == (crop, crop)
    assert view.weak.labels.dtype == np.int16
    assert set(np.unique(view.weak.labels)) <= {*np.unique(labels), VOID}
    assert np.array_equal(sample.image, before[0])
    assert np.array_equal(sample.weak.labels, before[1])


def test_nothing_else_of_the_sample_changes():
    sample = make_sample(np.zeros((8, 8)))
    view = augment(sample, generator(0), settings=Augmentation(crop=8))
    assert view.name == "name"
    assert view.weak.tags is sample.weak.tags
    assert view.weak.absent is sample.weak.absent


@pytest.mark.parametrize("seed", range(6))
def test_at_scale_one_the_view_is_the_image_or_its_mirror_image(seed):
    image = generator(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    labels = generator(2).integers(VOID, 5, (32, 32))
    settings = Augmentation(crop=32, scale=(1.0, 1.0), **PLAIN)
    view = augment(make_sample(labels, image), generator(seed), settings=settings)
    mirrored = not np.array_equal(view.image, image)
    step = -1 if mirrored else 1
    assert np.array_equal(view.image, image[:, ::step])
    assert np.array_equal(view.weak.labels, labels[:, ::step])


def test_half_of_the_views_are_mirrored():
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)
    settings = Augmentation(crop=32, scale=(1.0, 1.0), **PLAIN)
    sample = make_sample(np.zeros((32, 32)), ramp)
    rng = generator(0)
    mirrored = [augment(sample, rng, settings=settings).image[0, 0, 0] == 31 for _ in range(200)]
    assert 70 < sum(mirrored) < 130


@pytest.mark.parametrize("seed", range(25))
def test_image_and_labels_stay_aligned_at_every_scale(seed):
    rng = generator(seed)
    labels = blocks(rng, 70 + seed, 90 - seed)
    settings = Augmentation(crop=64, scale=(0.6, 2.5), **PLAIN)
    view = augment(make_sample(labels), rng, settings=settings)
    sure = far_from_boundaries(view.weak.labels, 3) & (view.weak.labels >= 0)
    sure[:3] = sure[-3:] = sure[:, :3] = sure[:, -3:] = False  # what lies beyond is not seen
    seen = view.image[..., 0] / 40
    assert sure.sum() > 100
    assert np.abs(seen - view.weak.labels)[sure].max() <= 0.05


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.9])
def test_the_boundary_in_the_image_is_the_boundary_of_the_labels(scale):
    labels = np.zeros((60, 60), int)
    labels[:, 30:] = 4
    settings = Augmentation(crop=40, scale=(scale, scale), **PLAIN)
    for seed in range(20):
        view = augment(make_sample(labels), generator(seed), settings=settings)
        known = view.weak.labels >= 0
        edge = (view.image[..., 0] > 80) == (view.weak.labels == 4)
        assert edge[known].mean() > 1 - 1.01 / 40  # one column at most is on the wrong side


def test_a_crop_is_a_window_of_the_scaled_image():
    image = np.array(
        PillowImage.fromarray(generator(3).integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (80, 60), PillowImage.Resampling.BICUBIC
        )
    )
    settings = Augmentation(crop=32, scale=(1.3, 1.3), **PLAIN)
    whole = np.array(
        PillowImage.fromarray(image).resize((104, 78), PillowImage.Resampling.BILINEAR)
    )
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), axis=(0, 1))
    for seed in range(4):
        view = augment(make_sample(np.zeros((60, 80)), image), generator(seed), settings=settings)
        differences = [
            np.abs(windows.astype(int) - seen.transpose(2, 0, 1)).max(axis=(2, 3, 4)).min()
            for seen in (view.image, view.image[:, ::-1])
        ]
        assert min(differences) <= 2  # each of Pillow's two passes rounds to 8 bits


def test_every_place_of_a_large_image_can_be_seen():
    labels = np.arange(6 * 7).reshape(6, 7)
    settings = Augmentation(crop=3, scale=(1.0, 1.0), **PLAIN)
    rng = generator(0)
    corners = {
        int(augment(make_sample(labels), rng, settings=settings).weak.labels.min())
        for _ in range(300)
    }
    assert corners == {7 * row + column for row in range(4) for column in range(5)}


def test_a_small_image_lies_anywhere_in_the_crop_between_void():
    settings = Augmentation(crop=5, scale=(1.0, 1.0), **PLAIN)
    rng, places = generator(0), set()
    for _ in range(300):
        labels = augment(make_sample(np.full((2, 3), 4)), rng, settings=settings).weak.labels
        rows, columns = np.nonzero(labels == 4)
        places.add((int(rows.min()), int(columns.min())))
        assert (labels == 4).sum() == 6
        assert (labels == VOID).sum() == 19
    assert places == {(row, column) for row in range(4) for column in range(3)}


def test_around_a_small_image_its_mirror_image_is_seen():
    image = generator(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    settings = Augmentation(crop=9, scale=(1.0, 1.0), **PLAIN)
    view = augment(make_sample(np.zeros((2, 2)), image), generator(0), settings=settings)
    colours = {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in view.image.reshape(-1, 3).tolist()} == colours


@pytest.mark.parametrize(("size", "crop"), [((1, 1), 64), ((1, 500), 32), ((500, 1), 1)])
def test_extreme_shapes_give_views(size, crop):
    sample = make_sample(np.full(size, 3))
    for seed in range(5):
        settings = Augmentation(crop=crop, scale=(0.01, 3.0))
        view = augment(sample, generator(seed), settings=settings)
        assert view.image.shape == (crop, crop, 3)
        assert set(np.unique(view.weak.labels)) <= {3, VOID}
        assert (view.weak.labels == 3).any()


def test_the_generator_decides_everything():
    sample = make_sample(blocks(generator(0), 50, 60))
    settings = Augmentation(crop=32)
    first, again, other = (
        augment(sample, generator(seed), settings=settings) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.weak.labels, again.weak.labels)
    assert not np.array_equal(first.image, other.image)


def test_sizes_are_spread_evenly_over_doublings():
    settings = Augmentation(crop=64, scale=(0.25, 4.0), **PLAIN)
    rng, sizes = generator(0), []
    for _ in range(100):
        labels = augment(make_sample(np.zeros((16, 2))), rng, settings=settings).weak.labels
        sizes.append((labels == 0).any(axis=1).sum())
    assert 4 <= min(sizes) < 6
    assert 48 < max(sizes) <= 64
    assert 0.35 < np.mean(np.array(sizes) < 16) < 0.65


def test_jitter_changes_colours_and_nothing_else():
    image = generator(0).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    labels = generator(1).integers(UNLABELLED, 5, (16, 16))
    plain = Augmentation(crop=16, scale=(1.0, 1.0), **PLAIN)
    jittered = Augmentation(crop=16, scale=(1.0, 1.0), jitter=0.3)
    for seed in range(5):
        before = augment(make_sample(labels, image), generator(seed), settings=plain)
        after = augment(make_sample(labels, image), generator(seed), settings=jittered)
        assert np.array_equal(before.weak.labels, after.weak.labels)
        assert not np.array_equal(before.image, after.image)
        assert np.corrcoef(before.image.ravel(), after.image.ravel())[0, 1] > 0.85


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_jitter_may_be_none_or_whole(jitter):
    image = generator(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    settings = Augmentation(crop=8, jitter=jitter, hue=0.5)
    for seed in range(5):
        assert augment(
            make_sample(np.zeros((8, 8)), image), generator(seed), settings=settings
        ).image.shape == (8, 8, 3)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_a_range_of_sizes_that_cannot_be_is_refused(scale):
    with pytest.raises(ConfigError, match="scale: must be a range 0 < low <= high, got"):
        Augmentation(crop=8, scale=scale)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("crop", [24, 90])
def test_regions_are_scaled_flipped_and_cropped_with_the_image(seed, crop):
    labels = blocks(generator(seed), 40, 60, side=7)
    regions = region_map(labels.astype(np.int32) + 70_000)
    sample = replace(make_sample(labels), maps={"regions": regions})
    view = augment(sample, generator(seed), settings=Augmentation(crop, (1.0, 1.6), **PLAIN))
    seen = view.weak.labels != VOID
    regions = view.maps["regions"].values
    assert regions.shape == (crop, crop)
    labels_there = view.weak.labels[seen].astype(np.int32)
    assert (regions[~seen] == VOID).all()
    assert np.array_equal(regions[seen], labels_there + 70_000)  # both are nearest
    assert seen.all() == (crop == 24)


def test_shrunk_regions_lie_where_the_image_says():
    labels = blocks(generator(3), 80, 120)
    sample = replace(make_sample(labels), maps={"regions": region_map(labels)})
    view = augment(sample, generator(0), settings=Augmentation(64, (0.5, 0.5), **PLAIN))
    seen = view.weak.labels != VOID
    inside = far_from_boundaries(view.weak.labels, 1) & seen
    assert inside.sum() > 1000
    assert np.array_equal(view.maps["regions"].values[inside] * 40, view.image[inside][:, 0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [(1.0, 1.6), (0.4, 0.9), (1.0, 1.0)])
def test_an_amount_is_resized_with_the_image_and_filled_beyond_it(seed, scale):
    sample = make_sample(blocks(generator(seed), 40, 60, side=7))
    amount = ImageMap(sample.image[..., 0].astype(np.float32), "linear", -3.0)
    with_map = replace(sample, maps={"amount": amount})
    view = augment(with_map, generator(seed), settings=Augmentation(70, scale, **PLAIN))
    seen = view.weak.labels != VOID
    values = view.maps["amount"].values
    assert np.abs(values[seen] - view.image[seen][:, 0]).max() <= 1
    assert (values[~seen] == -3).all()


def test_a_view_has_the_maps_of_its_sample():
    sample = make_sample(np.zeros((8, 8)))
    assert not augment(sample, generator(0), settings=Augmentation(8)).maps
