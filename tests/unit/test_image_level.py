"""The loss of tags, against a sum by hand."""

import math

import pytest
import torch

from hintseg.losses.image_level import tag_loss


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    state = torch.randint(3, (5, 4), generator=generator)  # present, absent, unknown
    return scores.requires_grad_(), state == 0, state == 1


def by_hand(scores, present, absent):
    terms = []
    for n, row in enumerate(scores.tolist()):
        for c, score in enumerate(row):
            if present[n, c]:
                terms.append(-math.log(1 / (1 + math.exp(-score))))
            elif absent[n, c]:
                terms.append(-math.log(1 - 1 / (1 + math.exp(-score))))
    return sum(terms) / len(terms)


def test_it_is_the_mean_over_what_is_known(case):
    assert tag_loss(*case).item() == pytest.approx(by_hand(*case), rel=1e-12)


def test_with_every_tag_known_it_is_torchs_soft_margin(case):
    scores, present, _ = case
    expected = torch.nn.functional.multilabel_soft_margin_loss(scores, present.double())
    assert tag_loss(scores, present, ~present).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_gradient_is_correct(case):
    scores, present, absent = case
    assert torch.autograd.gradcheck(lambda s: tag_loss(s, present, absent), (scores,))


def test_unknown_classes_have_no_gradient(case):
    scores, present, absent = case
    tag_loss(scores, present, absent).backward()
    assert torch.equal(scores.grad != 0, present | absent)


def test_nothing_known_is_an_exact_zero_that_can_be_differentiated():
    scores = torch.full((2, 3), 1e4, requires_grad=True)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    loss = tag_loss(scores, nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_huge_scores_stay_finite(value):
    scores = torch.full((1, 2), value, requires_grad=True)
    loss = tag_loss(scores, torch.tensor([[True, False]]), torch.tensor([[False, True]]))
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    assert scores.grad.isfinite().all()


def test_no_image_is_zero():
    none = torch.zeros(0, 3)
    assert tag_loss(none, none.bool(), none.bool()).item() == 0
