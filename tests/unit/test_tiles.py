"""Tiles and bands bound the memory and change nothing else."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.errors import ConfigError
from hintseg.predict import tiles
from hintseg.predict.tiles import check_tile, label_at_resolution, tiled_scores
from hintseg.predict.views import STRIDE

SIDES = st.integers(1, 300)


def photograph(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def brightest(part):
    """Scores that depend on nothing but their cell, in whole numbers: blending them is exact."""
    return F.max_pool2d(part, STRIDE).round()


def ones(part):
    return torch.ones(1, 1, part.shape[2] // STRIDE, part.shape[3] // STRIDE)


@given(height=SIDES, width=SIDES, tile=st.sampled_from([64, 96, 160]))
@settings(max_examples=40)
def test_scores_of_single_cells_are_the_same_in_tiles(height, width, tile):
    image = photograph(height, width)
    whole = tiled_scores(brightest, image, tile=1024)
    tiled = tiled_scores(brightest, image, tile=tile, overlap=32)
    assert whole.shape == (3, -(-height // STRIDE), -(-width // STRIDE))
    assert torch.equal(tiled, whole)


@given(height=SIDES, width=SIDES, overlap=st.sampled_from([32, 64]))
@settings(max_examples=30)
def test_the_weights_of_every_cell_sum_to_one(height, width, overlap):
    scores = tiled_scores(ones, photograph(height, width), tile=96, overlap=overlap)
    torch.testing.assert_close(scores, torch.ones_like(scores))


def test_no_overlap_is_an_overlap():
    image = photograph(130, 70)
    tiled = tiled_scores(brightest, image, tile=32, overlap=0)
    assert torch.equal(tiled, tiled_scores(brightest, image))


def test_an_image_no_larger_than_a_tile_is_scored_once():
    count = iter([1.0])
    scores = tiled_scores(lambda part: ones(part) * next(count), photograph(96, 1), tile=160)
    assert scores.tolist() == [[[1.0]] * 24]


def test_between_two_tiles_the_scores_go_over_linearly():
    count = iter([0.0, 1.0])
    image = photograph(4, 160)
    scores = tiled_scores(lambda part: ones(part) * next(count), image, tile=96, overlap=32)
    expected = np.clip((np.arange(40) * 4 + 2 - 64) / 32, 0, 1)
    np.testing.assert_allclose(scores[0, 0], expected, atol=1e-6)


def test_tiles_lie_where_the_strides_of_the_whole_image_lie():
    seen = []

    def model(part):
        seen.append(tuple(part.shape[2:]))
        return brightest(part)

    tiled_scores(model, photograph(1000, 2100), tile=1024)
    assert seen == [(1000, 1024), (1000, 1024), (1000, 308)]
    starts = [first for first, _ in tiles._spans(100_000, 1024, 128)]
    assert all(start % 32 == 0 for start in starts)


@given(side=st.integers(1, 5000), tile=st.integers(5, 40), overlap=st.integers(0, 4))
@settings(max_examples=60)
def test_spans_cover_a_side_and_overlap_as_asked(side, tile, overlap):
    side, tile, overlap = 4 * side, 32 * tile, 32 * overlap
    spans = list(tiles._spans(side, tile, overlap))
    assert spans[0][0] == 0
    assert spans[-1][1] == side
    assert all(end - first == tile for first, end in spans[:-1])
    assert 0 < spans[-1][1] - spans[-1][0] <= tile
    assert all(a[1] - b[0] == overlap for a, b in pairwise(spans))


def test_the_image_is_continued_by_its_last_row_and_column():
    seen = []
    image = photograph(5, 7)
    tiled_scores(lambda part: seen.append(part) or brightest(part), image)
    (part,) = seen
    assert part.shape == (1, 3, 8, 8)
    assert part.dtype == torch.float32
    expected = np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="edge").transpose(2, 0, 1)
    assert np.array_equal(part[0].numpy(), expected)


def test_a_mirrored_view_of_an_image_can_be_scored():
    image = photograph(8, 12)
    assert torch.equal(
        tiled_scores(brightest, image[:, ::-1]), tiled_scores(brightest, image).flip(-1)
    )


@pytest.mark.parametrize("tile", [0, -32, 100, 128, 64, 1000])
def test_tiles_that_cannot_cover_an_image_are_refused(tile):
    with pytest.raises(ConfigError, match=f"tile: must be a multiple of 32 .* 128, got {tile}"):
        check_tile(tile)
    with pytest.raises(ConfigError, match="tile: must be a multiple of 32"):
        tiled_scores(brightest, photograph(4, 4), tile=tile)


# Labels


def random_scores(classes, rows, columns, seed=0):
    return torch.rand(classes, rows, columns, generator=torch.Generator().manual_seed(seed))


def labelled_by_torch(scores, height, width):
    full = F.interpolate(scores[None], size=(height, width), mode="bilinear", align_corners=False)
    first, second = full[0].topk(min(2, len(scores)), dim=0).values[[0, -1]]
    return full[0].argmax(dim=0).numpy(), ((first - second) > 1e-5).numpy()


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    classes=st.integers(2, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_labels_are_those_of_bilinear_interpolation(rows, columns, classes, seed):
    scores = random_scores(classes, rows, columns, seed)
    height, width = STRIDE * rows, STRIDE * columns
    expected, sure = labelled_by_torch(scores, height, width)
    found = label_at_resolution(scores, height, width, covered=(height, width))
    assert found.dtype == np.int16
    assert found.shape == (height, width)
    assert np.array_equal(found[sure], expected[sure])
    assert sure.mean() > 0.9


@pytest.mark.parametrize("size", [(13, 29), (200, 100), (1, 1), (64, 7)])
def test_the_result_may_be_larger_or_smaller_than_what_was_scored(size):
    scores = random_scores(3, 6, 8)
    expected, sure = labelled_by_torch(scores, *size)
    found = label_at_resolution(scores, *size, covered=(24, 32))
    assert np.array_equal(found[sure], expected[sure])


@given(beyond=st.tuples(st.integers(0, 3), st.integers(0, 3)))
@settings(max_examples=16)
def test_a_grid_that_reaches_beyond_the_image_is_cut_not_stretched(beyond):
    scores = random_scores(4, 7, 9)
    height, width = 28 - beyond[0], 36 - beyond[1]
    whole = label_at_resolution(scores, 28, 36, covered=(28, 36))
    cut = label_at_resolution(scores, height, width, covered=(height, width))
    assert np.array_equal(cut, whole[:height, :width])


@pytest.mark.parametrize("values", [1, 3 * 50 * 7, 10**9])
def test_bands_do_not_change_the_result(monkeypatch, values):
    scores = random_scores(3, 10, 12)
    expected = label_at_resolution(scores, 43, 50, covered=(40, 47))
    monkeypatch.setattr(tiles, "BAND_VALUES", values)
    assert np.array_equal(label_at_resolution(scores, 43, 50, covered=(40, 47)), expected)


def test_no_step_makes_scores_of_the_whole_image(monkeypatch):
    monkeypatch.setattr(tiles, "BAND_VALUES", 20 * 400 * 10)
    largest = 0
    lerp = tiles._lerp

    def watched(values, at, *, dim):
        nonlocal largest
        result = lerp(values, at, dim=dim)
        largest = max(largest, result.numel())
        return result

    monkeypatch.setattr(tiles, "_lerp", watched)
    labels = label_at_resolution(random_scores(20, 100, 100), 400, 400, covered=(400, 400))
    assert labels.shape == (400, 400)
    assert 0 < largest <= 20 * 400 * 10


def test_labels_of_a_large_image_are_made_in_small_bands(monkeypatch):
    sizes = []
    lerp = tiles._lerp

    def watched(values, at, *, dim):
        result = lerp(values, at, dim=dim)
        sizes.append(result.numel())
        return result

    monkeypatch.setattr(tiles, "_lerp", watched)
    scores = random_scores(21, 150, 200)
    label_at_resolution(scores, 600, 800, covered=(600, 800))
    assert max(sizes) <= 2**20
    assert len(sizes) == 2 * 10


def test_no_tile_is_larger_than_asked_for():
    largest = 0

    def model(part):
        nonlocal largest
        largest = max(largest, part.numel())
        return brightest(part)

    tiled_scores(model, photograph(250, 330), tile=160)
    assert largest == 3 * 160 * 160


def test_one_class_is_everywhere():
    assert (label_at_resolution(random_scores(1, 2, 2), 7, 8, covered=(7, 8)) == 0).all()


def test_of_equal_scores_the_first_class_is_taken():
    assert (label_at_resolution(torch.full((3, 2, 2), 0.5), 8, 8, covered=(8, 8)) == 0).all()
