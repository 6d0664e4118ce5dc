import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.losses.pixelwise import absent_class_loss, labelled_cross_entropy
from hintseg.structures import UNLABELLED, VOID


def loss_by_hand(logits, labels):
    terms = []
    for n, row, column in torch.nonzero(labels >= 0).tolist():
        z = logits[n, :, row, column].tolist()
        terms.append(math.log(sum(map(math.exp, z))) - z[int(labels[n, row, column])])
    return sum(terms) / len(terms) if terms else 0.0


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_it_is_the_mean_over_the_labelled_pixels(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOID, 4, (2, 3, 5), generator=generator)
    got = labelled_cross_entropy(logits, labels).item()
    assert got == pytest.approx(loss_by_hand(logits, labels), rel=1e-9, abs=1e-12)


def test_unlabelled_and_void_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labelled_cross_entropy(logits, torch.tensor([[[0, UNLABELLED], [VOID, 2]]])).backward()
    assert torch.equal(
        logits.grad.abs().sum(1)[0] > 0, torch.tensor([[True, False], [False, True]])
    )


def test_no_labelled_pixel_gives_an_exact_zero_that_can_be_differentiated():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = labelled_cross_entropy(logits, torch.full((1, 2, 2), UNLABELLED))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_gradient_is_correct():
    logits = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[0, 1, UNLABELLED], [2, VOID, 1]]])
    assert torch.autograd.gradcheck(lambda z: labelled_cross_entropy(z, labels), logits)


def test_huge_logits_stay_finite():
    logits = torch.tensor([1e30, -1e30]).view(1, 2, 1, 1)
    assert labelled_cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.int64)).item() == 0


def absent_loss_by_hand(logits, labels, absent):
    terms = []
    for n, row, column in torch.nonzero(labels == UNLABELLED).tolist():
        if not absent[n].any() or absent[n].all():
            continue
        chances = [math.exp(z) for z in logits[n, :, row, column].tolist()]
        allowed = sum(p for p, out in zip(chances, absent[n].tolist(), strict=True) if not out)
        terms.append(-math.log(allowed / sum(chances)))
    return sum(terms) / len(terms) if terms else 0.0


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_absent_classes_cost_the_probability_they_are_given(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 2, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOID, 2, (3, 2, 3), generator=generator)
    absent = torch.rand(3, 4, generator=generator) < 0.4
    got = absent_class_loss(logits, labels, absent).item()
    assert got == pytest.approx(absent_loss_by_hand(logits, labels, absent), rel=1e-9, abs=1e-12)


def test_the_gradient_of_absence_is_correct_and_only_at_unlabelled_pixels():
    logits = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[UNLABELLED, 1], [VOID, UNLABELLED]]] * 2)
    absent = torch.tensor([[True, False, False], [False, False, False]])
    assert torch.autograd.gradcheck(lambda z: absent_class_loss(z, labels, absent), logits)
    absent_class_loss(logits, labels, absent).backward()
    taught = logits.grad.abs().sum(1) > 0
    assert taught.tolist() == [[[True, False], [False, True]], [[False, False]] * 2]


@pytest.mark.parametrize("out", [[False, False, False], [True, True, True]])
def test_hints_that_exclude_nothing_or_everything_say_nothing(out):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = absent_class_loss(logits, torch.full((1, 2, 2), UNLABELLED), torch.tensor([out]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_absence_is_finite_for_huge_logits():
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).requires_grad_()
    absent = torch.tensor([[True, False]])
    loss = absent_class_loss(logits, torch.full((1, 1, 1), UNLABELLED), absent)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(logits.grad).all()
