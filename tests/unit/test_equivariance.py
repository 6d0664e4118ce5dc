"""SEAM's losses: exact for an equivariant network, and what their names say."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hintseg.losses.equivariance import (
    View,
    cross_loss,
    emptiness_loss,
    equivariance_loss,
    hardest_mean,
    normalised,
    strongest_only,
    with_background,
)

STRIDE = 4


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def equivariant(images):
    """Cells of 4 x 4 pixels, each by itself: knows nothing of left and right."""
    weight = noise(2, 3, 1, 1, seed=3).to(images)
    return F.conv2d(F.avg_pool2d(images, STRIDE), weight).sigmoid()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (2, 3)])
def test_an_equivariant_network_has_no_loss(flip, shift):
    view, images = View(1.0, flip=flip, shift=shift), noise(2, 3, 24, 32).float()
    first, second = equivariant(images), equivariant(view.images(images, STRIDE))
    moved = view.maps(first, (second.shape[-2], second.shape[-1]))
    present = torch.ones(2, 2, dtype=torch.bool)
    assert equivariance_loss(moved, second, present).item() < 1e-6
    if flip or shift != (0, 0):
        assert equivariance_loss(first[..., :2, :2], second[..., :2, :2], present).item() > 1e-3


@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([0.3, 0.5, 0.9]))
def test_a_smaller_view_has_whole_cells_and_maps_of_its_grid(height, width, scale):
    view = View(scale)
    images = view.images(torch.zeros(1, 3, height, width, dtype=torch.uint8), STRIDE)
    rows, columns = (side / STRIDE for side in images.shape[-2:])
    assert rows == int(rows) >= 1
    assert columns == int(columns) >= 1
    assert view.maps(noise(1, 2, 5, 6), (int(rows), int(columns))).shape[-2:] == (rows, columns)


def test_normalised_maps_span_zero_to_one_and_never_go_below():
    maps = noise(2, 3, 4, 5) + 0.4  # an object that fills the image: no cell is zero
    found = normalised(maps)
    assert found.amin() == 0
    assert (found.amax(dim=(2, 3)) > 0.99).all()
    assert not normalised(-maps).any()
    assert not normalised(torch.full((1, 1, 3, 3), 0.7)).any()


def test_only_the_strongest_class_of_a_cell_keeps_its_value():
    maps = with_background(torch.tensor([[[[0.2, 0.9]], [[0.7, 0.1]]]]))
    expected = torch.tensor([[[[0.3, 0.1]], [[0.0, 0.9]], [[0.7, 0.0]]]])
    torch.testing.assert_close(strongest_only(maps), expected)
    torch.testing.assert_close(maps[0, 1], torch.tensor([[0.2, 0.9]]))  # the input stays


@given(st.integers(1, 40), st.floats(0.05, 1))
def test_the_hardest_are_the_largest(count, share):
    values = noise(3, count)
    kept = max(1, int(share * count))
    expected = torch.stack([row.sort(descending=True).values[:kept].mean() for row in values])
    torch.testing.assert_close(hardest_mean(values, share), expected.mean())


def test_absent_classes_and_images_without_tags_cost_nothing():
    first = noise(2, 3, 2, 2).requires_grad_()
    loss = equivariance_loss(first, noise(2, 3, 2, 2, seed=1), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not first.grad.any()


def test_what_is_a_target_gets_no_gradient_as_released_and_some_as_described():
    for detach in (True, False):
        raw, refined = (
            noise(1, 3, 2, 2).requires_grad_(),
            noise(1, 3, 2, 2, seed=1).requires_grad_(),
        )
        cross_loss(raw, refined, detach=detach, share=1.0).backward()
        assert refined.grad.any()
        assert (raw.grad is None) is detach


def test_emptiness_is_the_mean_of_the_lowest_cells():
    maps = torch.tensor([[[[0.1, 0.5, 0.0, 0.3]], [[0.2, 0.1, 0.4, 0.0]]]])
    assert emptiness_loss(maps, share=0.5).item() == pytest.approx((0.2 + 0.3) / 2)
    assert emptiness_loss(maps[:, :0]).item() == 0


def test_gradients():
    first = noise(1, 2, 3, 3).requires_grad_()
    other, present = noise(1, 2, 3, 3, seed=1), torch.ones(1, 2, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: equivariance_loss(x, other, present), first)
    assert torch.autograd.gradcheck(lambda x: cross_loss(x, other, detach=False), first)
    assert torch.autograd.gradcheck(emptiness_loss, first)
