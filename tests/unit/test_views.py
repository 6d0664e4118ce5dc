"""Scores averaged over scales and mirror images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.errors import ConfigError
from hintseg.predict.views import STRIDE, View, class_scores, make_views


def photograph(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=generator)
    return 255 * F.interpolate(coarse, size=(height, width), mode="bilinear")


def mean_colours(image):
    """A model without memory of place: the logits of a cell are its mean colours."""
    return F.avg_pool2d(image, STRIDE) / 30


def aware_of_place(image):
    """A model that is not symmetric: logits grow to the right."""
    logits = mean_colours(image)
    return logits + torch.linspace(0, 3, logits.shape[-1]) * torch.tensor([0, 1, 2])[:, None, None]


SIDES = st.integers(1, 12).map(lambda cells: cells * STRIDE)
SCALES = st.lists(st.sampled_from([0.05, 0.5, 0.75, 1.0, 1.3, 2.0]), min_size=1, max_size=3)


@given(height=SIDES, width=SIDES, scales=SCALES, flip=st.booleans())
@settings(max_examples=40)
def test_the_scores_of_every_cell_sum_to_one(height, width, scales, flip):
    views = make_views(scales, flip=flip)
    scores = class_scores(aware_of_place, photograph(height, width), views)
    assert scores.shape == (1, 3, height // STRIDE, width // STRIDE)
    assert scores.min() >= 0
    torch.testing.assert_close(scores.sum(dim=1), torch.ones_like(scores[:, 0]))


def test_one_plain_view_is_the_softmax_of_the_model(segmenter):
    image = photograph(40, 56)
    expected = segmenter(image).softmax(dim=1)
    assert torch.equal(class_scores(segmenter, image, make_views([1.0], flip=False)), expected)


@given(height=SIDES, width=SIDES, scales=SCALES)
@settings(max_examples=30)
def test_with_flip_a_mirrored_image_gets_the_mirrored_scores(height, width, scales):
    views = make_views(scales, flip=True)
    image = photograph(height, width)
    scores = class_scores(aware_of_place, image, views)
    mirrored = class_scores(aware_of_place, image.flip(-1), views)
    torch.testing.assert_close(mirrored, scores.flip(-1), atol=2e-5, rtol=0)


def test_with_flip_a_trained_network_is_symmetric_too(segmenter):
    image = photograph(40, 56)
    views = make_views([1.0], flip=True)
    scores = class_scores(segmenter, image, views)
    mirrored = class_scores(segmenter, image.flip(-1), views)
    torch.testing.assert_close(mirrored, scores.flip(-1), atol=1e-6, rtol=0)
    plain = class_scores(segmenter, image, make_views([1.0], flip=False))
    assert (plain - scores).abs().max() > 1e-3


def test_views_are_averaged_after_the_softmax():
    image = photograph(16, 24)
    plain = aware_of_place(image).softmax(dim=1)
    mirrored = aware_of_place(image.flip(-1)).softmax(dim=1).flip(-1)
    found = class_scores(aware_of_place, image, make_views([1.0], flip=True))
    torch.testing.assert_close(found, (plain + mirrored) / 2)


def test_a_view_twice_is_the_view_once():
    image = photograph(16, 24)
    once = class_scores(aware_of_place, image, make_views([0.5], flip=False))
    twice = class_scores(aware_of_place, image, make_views([0.5, 0.5], flip=False))
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5, 2.0])
def test_every_scale_sees_the_same_things_in_the_same_places(scale):
    down, across = torch.linspace(0, 200, 96)[:, None], torch.linspace(0, 200, 64)
    image = torch.stack([down + 0 * across, 0 * down + across, down - across + 100])[None]
    plain = class_scores(mean_colours, image, make_views([1.0], flip=False))
    scaled = class_scores(mean_colours, image, make_views([scale], flip=False))
    inner = np.s_[..., 4:-4, 4:-4]
    assert (plain - scaled)[inner].abs().max() < 0.025  # the softmax is no straight line
    assert (plain - plain.roll(1, -1))[inner].abs().max() > 0.1  # a shift would be seen


def test_the_model_sees_sides_that_are_multiples_of_the_stride():
    seen = []

    def model(image):
        seen.append(tuple(image.shape[-2:]))
        return mean_colours(image)

    class_scores(model, photograph(40, 56), make_views([0.05, 0.3, 1.0, 1.33], flip=False))
    assert seen == [(4, 4), (12, 16), (40, 56), (52, 76)]


def test_scores_are_32_bit_whatever_the_model_computes_in():
    found = class_scores(
        lambda image: mean_colours(image).to(torch.bfloat16),
        photograph(8, 8),
        make_views([1.0], flip=False),
    )
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 2, 2))


def test_nothing_is_recorded_for_a_backward_pass(segmenter):
    scores = class_scores(segmenter, photograph(8, 8), make_views([1.0], flip=False))
    assert not scores.requires_grad


def test_views_are_all_scales_each_mirrored_on_demand():
    assert make_views([0.5, 1.0], flip=False) == (View(0.5), View(1.0))
    assert make_views([0.5], flip=True) == (View(0.5), View(0.5, flip=True))


@pytest.mark.parametrize("scale", [0.0, -1.0, 0.049, 20.5, float("nan"), float("inf")])
def test_a_scale_that_cannot_work_is_refused(scale):
    with pytest.raises(ConfigError, match=r"scales: must lie between 0\.05 and 20, got"):
        make_views([1.0, scale], flip=False)


def test_no_scale_at_all_is_refused():
    with pytest.raises(ConfigError, match="scales: at least one is needed, such as --scales"):
        make_views([], flip=True)
