"""How large the classes are: from probabilities of a classifier that learned other shares."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hintseg.refine import estimate_priors

SPREAD = 1.6  # distance of two class means in standard deviations


def posteriors(true, trained, count=60_000, seed=0):
    """Of Gaussian classes drawn by the true shares, by a classifier that expects the trained."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(true), count, p=true)
    values = rng.normal(classes * SPREAD, 1.0)[:, None]
    density = np.exp(-((values - np.arange(len(true)) * SPREAD) ** 2) / 2) * trained
    return torch.from_numpy(density / density.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("true", "trained"),
    [((0.9, 0.1), (0.5, 0.5)), ((0.2, 0.8), (0.7, 0.3)), ((0.9, 0.02, 0.08), (0.2, 0.3, 0.5))],
)
def test_the_true_shares_are_found(true, trained):
    probabilities = posteriors(true, trained)
    found = estimate_priors(probabilities, torch.tensor(trained), iterations=300)
    assert found.tolist() == pytest.approx(true, abs=0.02)
    assert found.sum().item() == pytest.approx(1)


def test_equal_shares_stay():
    trained = (0.3, 0.5, 0.2)
    found = estimate_priors(posteriors(trained, trained), torch.tensor(trained))
    assert found.tolist() == pytest.approx(trained, abs=0.02)


@given(seed=st.integers(0, 1000), classes=st.integers(1, 5))
def test_a_step_never_lowers_the_likelihood(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(40, classes, generator=generator, dtype=torch.float64)
    probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)
    trained = torch.rand(classes, generator=generator, dtype=torch.float64) + 0.1
    trained = trained / trained.sum()

    def likelihood(shares):
        return (probabilities / trained * shares).sum(dim=1).log().sum().item()

    steps = [estimate_priors(probabilities, trained, iterations=n) for n in range(6)]
    values = [likelihood(shares) for shares in steps]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(values))


def test_a_class_that_was_never_learned_stays_nothing():
    probabilities = torch.tensor([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    found = estimate_priors(probabilities, torch.tensor([0.5, 0.5, 0.0]))
    assert found[2] == 0
    assert found.sum().item() == pytest.approx(1)
