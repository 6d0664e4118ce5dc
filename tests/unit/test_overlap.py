"""The IoU loss against the released code, and at its extremes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hintseg.losses import iou_loss, soft_cross_entropy

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "affinity_ldf.npz")


@pytest.mark.parametrize("case", ["iou0", "iou1"])
def test_it_is_that_of_the_released_code(case):
    logits, masks = (torch.from_numpy(GOLDEN[f"{case}_{name}"]) for name in ("logits", "masks"))
    assert iou_loss(logits, masks).item() == pytest.approx(GOLDEN[f"{case}_loss"], abs=1e-12)


@given(seed=st.integers(0, 1000))
def test_it_is_a_share_and_least_for_the_mask_itself(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(2, 5, 6, generator=generator) > 0.5).float()
    logits = torch.randn(2, 5, 6, generator=generator)
    assert 0 < iou_loss(logits, masks) < 1
    assert iou_loss(80 * (masks - 0.5), masks) == pytest.approx(0, abs=1e-6)


def test_pixels_that_do_not_count_say_nothing():
    logits, masks = torch.randn(1, 4, 4), torch.ones(1, 4, 4)
    counted = torch.zeros(1, 4, 4, dtype=torch.bool)
    counted[:, :2] = True
    part = iou_loss(logits[:, :2], masks[:, :2])
    assert iou_loss(logits, masks, counted=counted) == pytest.approx(part.item())
    assert soft_cross_entropy(logits, masks, counted=counted) == pytest.approx(
        torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :2], masks[:, :2]).item()
    )


@pytest.mark.parametrize("loss", [iou_loss, soft_cross_entropy])
def test_nothing_that_counts_is_an_exact_zero_with_gradient(loss):
    logits = torch.randn(2, 3, 3, requires_grad=True)
    value = loss(logits, torch.ones(2, 3, 3), counted=torch.zeros(2, 3, 3, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


def test_empty_masks_can_be_met():
    logits = torch.full((1, 3, 3), -90.0)
    assert iou_loss(logits, torch.zeros(1, 3, 3)).item() == 0
    assert iou_loss(-logits, torch.zeros(1, 3, 3)).item() == pytest.approx(0.9)


def test_the_gradient_is_right():
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: iou_loss(s, masks), (logits,))
