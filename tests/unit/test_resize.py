"""One rule for every change of size; a slow oracle says it again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hintseg.pooling import pool_images, pool_labels
from hintseg.resize import (
    fit_size,
    resize_image,
    resize_labels,
    resize_labels_window,
    resize_map_window,
)
from hintseg.structures import UNLABELLED, VOID, region_map

SIDES = st.integers(1, 9)
LABELS = st.tuples(SIDES, SIDES).flatmap(
    lambda shape: arrays.arrays(np.int16, shape, elements=st.integers(VOID, 3))
)


def resized_slowly(labels, height, width):
    """Cell by cell, in whole numbers: 2p + 1 over 2n is where the centre of pixel p of n lies."""
    result = np.empty((height, width), dtype=labels.dtype)
    for r in range(height):
        for c in range(width):
            rows = pixels_of(r, labels.shape[0], height)
            columns = pixels_of(c, labels.shape[1], width)
            result[r, c] = winner([int(labels[y, x]) for y in rows for x in columns])
    return result


def pixels_of(cell, size, out):
    if out >= size:
        return [(2 * cell + 1) * size // (2 * out)]
    return [p for p in range(size) if (2 * p + 1) * out // (2 * size) == cell]


def winner(values):
    known = [value for value in values if value >= 0]
    if known:
        return min(set(known), key=lambda value: (-known.count(value), value))
    return UNLABELLED if UNLABELLED in values else VOID


@given(labels=LABELS, height=SIDES, width=SIDES)
def test_labels_are_resized_as_the_oracle_does(labels, height, width):
    before = labels.copy()
    found = resize_labels(labels, height, width)
    assert found.dtype == labels.dtype
    assert np.array_equal(found, resized_slowly(labels, height, width))
    assert np.array_equal(labels, before)


@given(labels=LABELS, height=SIDES, width=SIDES, data=st.data())
def test_a_window_is_that_part_of_the_whole(labels, height, width, data):
    rows = tuple(sorted(data.draw(st.tuples(*[st.integers(0, height)] * 2))))
    columns = tuple(sorted(data.draw(st.tuples(*[st.integers(0, width)] * 2))))
    found = resize_labels_window(labels, height, width, rows=rows, columns=columns)
    assert np.array_equal(
        found, resize_labels(labels, height, width)[slice(*rows), slice(*columns)]
    )


@given(labels=LABELS, factor=st.integers(1, 4))
def test_growing_and_shrinking_again_changes_nothing(labels, factor):
    height, width = labels.shape
    grown = resize_labels(labels, height * factor, width * factor)
    assert np.array_equal(grown, np.kron(labels, np.ones((factor, factor), labels.dtype)))
    assert np.array_equal(resize_labels(grown, height, width), labels)


@given(labels=LABELS, height=SIDES, width=SIDES)
def test_turning_the_image_turns_the_result(labels, height, width):
    found = resize_labels(labels, height, width)
    assert np.array_equal(resize_labels(labels.T, width, height), found.T)


@given(labels=LABELS, height=SIDES, width=SIDES)
def test_every_class_of_the_result_was_in_the_input(labels, height, width):
    assert set(np.unique(resize_labels(labels, height, width))) <= set(np.unique(labels))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ([[UNLABELLED, UNLABELLED], [UNLABELLED, 7]], 7),
        ([[VOID, VOID], [VOID, 7]], 7),
        ([[5, 7], [7, 5]], 5),
        ([[7, 7], [7, 5]], 7),
        ([[UNLABELLED, UNLABELLED], [UNLABELLED, UNLABELLED]], UNLABELLED),
        ([[VOID, VOID], [VOID, UNLABELLED]], UNLABELLED),
        ([[VOID, VOID], [VOID, VOID]], VOID),
        ([[0, UNLABELLED], [VOID, UNLABELLED]], 0),
    ],
)
def test_labelled_wins_then_unlabelled_then_void(cell, expected):
    assert resize_labels(np.array(cell, dtype=np.int16), 1, 1).tolist() == [[expected]]


def test_a_thin_scribble_survives_a_hundredfold_shrinking():
    labels = np.full((400, 400), UNLABELLED, dtype=np.int16)
    labels[np.arange(400), np.arange(400)] = 2
    assert (np.diagonal(resize_labels(labels, 4, 4)) == 2).all()


def test_one_axis_may_grow_while_the_other_shrinks():
    labels = np.array([[1, 1, 2, UNLABELLED]], dtype=np.int16)
    assert resize_labels(labels, 3, 2).tolist() == [[1, 2]] * 3


def test_many_classes_on_a_large_map_do_not_overflow():
    labels = np.full((300, 200), VOID, dtype=np.int16)
    labels[::2] = 32766
    assert (resize_labels(labels, 150, 100) == 32766).all()


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_the_kind_of_integer_stays(dtype):
    assert resize_labels(np.zeros((4, 4), dtype=dtype), 2, 2).dtype == dtype


# Sizes


@pytest.mark.parametrize(
    ("height", "width", "longer", "expected"),
    [
        (300, 400, None, (300, 400)),
        (300, 400, 200, (150, 200)),
        (400, 300, 200, (200, 150)),
        (300, 400, 800, (600, 800)),
        (1, 1000, 100, (1, 100)),
        (1, 1, 64, (64, 64)),
        (333, 500, 321, (214, 321)),
    ],
)
def test_the_longer_side_is_brought_to_a_length(height, width, longer, expected):
    assert fit_size(height, width, longer) == expected


@given(height=st.integers(1, 20000), width=st.integers(1, 20000), longer=st.integers(1, 4000))
def test_the_longer_side_is_met_exactly_and_the_shape_kept(height, width, longer):
    found = fit_size(height, width, longer)
    assert max(found) == longer
    assert min(found) >= 1
    assert abs(found[0] * width - found[1] * height) <= max(height, width)  # half a pixel each


# Images


def test_an_image_of_the_right_size_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(resize_image(image, 5, 7), image)


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3), (64, 64)])
def test_one_colour_stays_one_colour(size):
    image = np.full((20, 30, 3), (10, 100, 250), dtype=np.uint8)
    assert (resize_image(image, *size) == (10, 100, 250)).all()
    assert resize_image(image, *size).shape == (*size, 3)


def test_images_and_labels_keep_their_places_together():
    colour = np.repeat(np.arange(8), 16)[None].repeat(16, axis=0) * 30
    image = np.repeat(colour[..., None], 3, axis=2).astype(np.uint8)
    labels = (colour // 30).astype(np.int16)
    for size in [(16, 128), (8, 64), (8, 96), (24, 192), (5, 50)]:
        seen = resize_image(image, *size)[..., 0] / 30
        assert np.abs(seen - resize_labels(labels, *size)).max() <= 0.75
        assert np.abs(seen - resize_labels(labels, *size)).mean() < 0.1


def test_growing_interpolates_between_half_pixel_centres():
    image = np.repeat(np.array([[0, 100]], dtype=np.uint8)[..., None], 3, axis=2)
    assert resize_image(image, 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]


def test_shrinking_averages_and_does_not_skip_pixels():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(resize_image(stripes, 16, 16).astype(int) - 100).max() <= 12


@given(labels=LABELS, stride=st.integers(1, 5))
def test_cells_of_a_batch_are_pooled_by_the_same_rules(labels, stride):
    height, width = labels.shape
    padded = np.pad(labels, ((0, -height % stride), (0, -width % stride)), constant_values=VOID)
    size = [side // stride for side in padded.shape]
    batch = torch.from_numpy(np.stack([labels, labels[::-1, ::-1]])).long()
    found = pool_labels(batch, stride)
    assert np.array_equal(found[0].numpy(), resize_labels(padded, *size))
    assert np.array_equal(found[0].numpy(), pooled_slowly(labels, stride))
    assert np.array_equal(found[1].numpy(), pooled_slowly(labels[::-1, ::-1], stride))


def pooled_slowly(labels, stride):
    rows, columns = (range(0, side, stride) for side in labels.shape)
    cells = [[labels[r : r + stride, c : c + stride] for c in columns] for r in rows]
    return np.array([[winner(cell.ravel().tolist()) for cell in row] for row in cells])


def test_numbers_of_any_size_are_pooled():
    many = torch.arange(64).reshape(1, 8, 8) + 2**40
    assert pool_labels(many, 1).equal(many)
    assert pool_labels(many.repeat_interleave(4, 1).repeat_interleave(4, 2), 4).equal(many)


@given(labels=LABELS, height=SIDES, width=SIDES, data=st.data())
def test_a_pixel_of_a_resized_region_map_is_the_nearest_one(labels, height, width, data):
    rows = tuple(sorted(data.draw(st.tuples(*[st.integers(0, height)] * 2))))
    columns = tuple(sorted(data.draw(st.tuples(*[st.integers(0, width)] * 2))))
    whole = region_map(labels)
    found = resize_map_window(whole, height, width, rows=rows, columns=columns).values
    slowly = [
        [
            labels[centre_of(r, labels.shape[0], height), centre_of(c, labels.shape[1], width)]
            for c in range(*columns)
        ]
        for r in range(*rows)
    ]
    assert found.shape == (rows[1] - rows[0], columns[1] - columns[0])
    assert found.tolist() == slowly or not found.size


def centre_of(cell, size, out):
    """The pixel of n in which the centre of a cell of the result lies."""
    return (2 * cell + 1) * size // (2 * out)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_cells_have_the_mean_colour_of_their_kept_pixels(seed, stride):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, 7, 9), generator=generator, dtype=torch.uint8)
    kept = torch.rand(2, 7, 9, generator=generator) < 0.4
    colours, any_kept = pool_images(images, kept, stride)
    assert colours.shape[-2:] == any_kept.shape[-2:] == (-(-7 // stride), -(-9 // stride))
    for n, row, column in np.ndindex(*any_kept.shape):
        cell = tuple(slice(i * stride, (i + 1) * stride) for i in (row, column))
        seen = images[n][:, *cell][:, kept[n][cell]].double()
        assert bool(any_kept[n, row, column]) == (seen.shape[1] > 0)
        expected = seen.mean(dim=1) if seen.shape[1] else torch.zeros(3).double()
        assert (colours[n, :, row, column] - expected).abs().max() <= 0.5 + 1e-4
