"""Seed, expand and constrain against their formulas, one cell at a time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hintseg.losses.sec import (
    FLOOR,
    constrain_loss,
    expand_loss,
    floored,
    rank_pooled,
    seed_loss,
)
from hintseg.structures import UNLABELLED, VOID

SEEDS = st.integers(0, 10_000)
DECAYS = torch.tensor([0.9, 0.97, 0.99, 0.996])
NOBODY = torch.zeros(2, 4, dtype=torch.bool)


def drawn(seed, *, images=2, classes=4, rows=3, columns=5):
    generator = torch.Generator().manual_seed(seed)
    size = (images, rows, columns)
    logits = torch.randn(images, classes, rows, columns, generator=generator).double() * 2
    labels = torch.randint(VOID, classes, size, generator=generator)
    return logits, labels, torch.rand(size, generator=generator) < 0.8


def chances(logits, n, row, column):
    """Floored probabilities of one cell."""
    z = [math.exp(x) for x in logits[n, :, row, column].tolist()]
    raised = [x / sum(z) + FLOOR for x in z]
    return [x / sum(raised) for x in raised]


def cells(mask):
    return [tuple(place) for place in mask.nonzero().tolist()]


def pooled_by_hand(values, decay):
    own = decay ** (41 * 41 / len(values))
    ordered = sorted(values, reverse=True)
    weights = [own**r for r in range(len(values))]
    return sum(w * v for w, v in zip(weights, ordered, strict=True)) / sum(weights)


def mean(values):
    return sum(values) / len(values) if values else 0.0


@given(SEEDS)
def test_seeds_are_averaged_in_each_image_and_then_over_the_images(seed):
    logits, labels, _ = drawn(seed)
    images = []
    for n in range(len(logits)):
        seeds = [place for place in cells(labels >= 0) if place[0] == n]
        terms = [-math.log(chances(logits, *place)[int(labels[place])]) for place in seeds]
        images += [mean(terms)] if terms else []
    assert seed_loss(logits, labels).item() == pytest.approx(mean(images), rel=1e-6, abs=1e-9)


@given(SEEDS, st.sampled_from([None, 0, 2]))
def test_present_classes_are_pooled_by_rank_and_absent_ones_by_their_maximum(seed, background):
    logits, _, kept = drawn(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    known = torch.randint(3, (2, 4), generator=generator)
    present, absent = known == 1, known == 2
    images = []
    for n in range(2):
        seen = [chances(logits, *place) for place in cells(kept) if place[0] == n]
        if not seen or not (present | absent)[n].any():
            continue
        pooled = {
            c: -math.log(pooled_by_hand([p[c] for p in seen], float(DECAYS[c]))) for c in range(4)
        }
        shown = [pooled[c] for c in range(4) if present[n, c] and c != background]
        ground = [pooled[c] for c in range(4) if present[n, c] and c == background]
        hidden = [-math.log(1 - max(p[c] for p in seen)) for c in range(4) if absent[n, c]]
        images.append(mean(shown) + mean(ground) + mean(hidden))
    got = expand_loss(logits, present, absent, kept, decays=DECAYS, background=background)
    assert got.item() == pytest.approx(mean(images), rel=1e-6, abs=1e-9)


@given(SEEDS)
def test_constrain_is_the_divergence_averaged_over_cells_and_then_images(seed):
    logits, _, kept = drawn(seed)
    refined = drawn(seed + 1)[0].softmax(dim=1)
    images = []
    for n in range(2):
        terms = []
        for place in [place for place in cells(kept) if place[0] == n]:
            wanted = [x + FLOOR for x in refined[n, :, place[1], place[2]].tolist()]
            wanted = [x / sum(wanted) for x in wanted]
            own = chances(logits, *place)
            terms.append(sum(q * math.log(q / p) for q, p in zip(wanted, own, strict=True)))
        images += [mean(terms)] if terms else []
    got = constrain_loss(logits, refined, kept)
    assert got.item() == pytest.approx(mean(images), rel=1e-6, abs=1e-9)


@given(SEEDS)
def test_pooling_goes_from_the_maximum_to_the_mean(seed):
    maps, _, kept = drawn(seed)
    kept[:, 0, 0] = True
    hidden = maps.masked_fill(~kept[:, None], -torch.inf).flatten(2)
    highest = rank_pooled(maps, kept, decays=torch.zeros(4))
    assert torch.allclose(highest, hidden.amax(dim=2))
    counts = kept.flatten(1).sum(1)[:, None]
    means = (maps * kept[:, None]).flatten(2).sum(2) / counts
    assert torch.allclose(rank_pooled(maps, kept, decays=torch.ones(4)), means, atol=1e-5)
    between = rank_pooled(maps, kept, decays=DECAYS)
    assert (between <= highest + 1e-5).all()
    assert (between >= means - 1e-5).all()


def test_a_decay_means_the_same_share_of_the_image_at_any_size():
    """A class on a third of the image has the same size for the loss at 12 and at 96 cells."""
    values = []
    for side in (12, 24, 48, 96):
        maps = torch.full((1, 1, side, side), 0.1)
        maps[..., : side // 3] = 0.9
        kept = torch.ones(1, side, side, dtype=torch.bool)
        values.append(rank_pooled(maps, kept, decays=torch.tensor([0.996])).item())
    assert max(values) - min(values) < 0.02


def test_padding_does_not_change_the_size_of_a_class():
    maps, _, _ = drawn(3)
    whole = torch.ones(2, 3, 5, dtype=torch.bool)
    padded, kept = torch.nn.functional.pad(maps, (0, 4, 0, 2), value=9.0), torch.zeros(2, 5, 9)
    kept[:, :3, :5] = 1
    cut = rank_pooled(maps, whole, decays=DECAYS)
    assert torch.allclose(rank_pooled(padded, kept.bool(), decays=DECAYS), cut)


@pytest.mark.parametrize("term", ["seed", "expand", "constrain"])
def test_the_gradient_is_correct(term):
    logits, labels, kept = drawn(5, rows=2, columns=3)
    refined, known = logits.flip(2).softmax(1), labels[:, 0, :2]
    present = torch.zeros(2, 4, dtype=torch.bool)
    present[:, :2] = known >= 0
    losses = {
        "seed": lambda z: seed_loss(z, labels),
        "expand": lambda z: expand_loss(z, present, ~present, kept, decays=DECAYS),
        "constrain": lambda z: constrain_loss(z, refined, kept),
    }
    assert torch.autograd.gradcheck(losses[term], logits.requires_grad_())


def test_nothing_passes_through_what_the_refiner_made():
    logits, _, kept = drawn(6)
    logits.requires_grad_()
    own = constrain_loss(logits, logits.softmax(dim=1), kept)
    (gradient,) = torch.autograd.grad(own, logits)
    assert own.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6


def empty_terms(logits):
    nothing = torch.full((2, 3, 5), UNLABELLED)
    padding = torch.zeros(2, 3, 5, dtype=torch.bool)
    some = NOBODY.clone()
    some[:, 1] = True
    return [
        seed_loss(logits, nothing),
        expand_loss(logits, NOBODY, NOBODY, ~padding, decays=DECAYS, background=0),
        expand_loss(logits, some, ~some, padding, decays=DECAYS, background=0),
        constrain_loss(logits, logits.softmax(1), padding),
    ]


def test_without_seeds_classes_or_pixels_the_loss_is_an_exact_zero_that_can_be_differentiated():
    logits = drawn(7)[0].requires_grad_()
    for loss in empty_terms(logits):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("scale", [1e3, 1e8])
def test_certain_predictions_stay_finite(scale):
    logits, labels, kept = drawn(8)
    logits = (scale * logits).requires_grad_()
    everything = ~NOBODY
    losses = [
        seed_loss(logits, labels),
        expand_loss(logits, everything, NOBODY, kept, decays=DECAYS),
        expand_loss(logits, NOBODY, everything, kept, decays=DECAYS),
        constrain_loss(logits, logits.flip(1).softmax(1), kept),
    ]
    (gradient,) = torch.autograd.grad(sum(losses), logits)
    assert all(torch.isfinite(loss) for loss in losses)
    assert torch.isfinite(gradient).all()


def test_a_data_set_of_one_class_stays_finite():
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.bool)
    kept = torch.ones(1, 2, 2, dtype=torch.bool)
    decays = torch.tensor([0.996])
    assert expand_loss(logits, one, ~one, kept, decays=decays).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(expand_loss(logits, ~one, one, kept, decays=decays))


def test_the_floor_keeps_the_sum():
    maps = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert floored(maps).sum().item() == pytest.approx(1)
    assert floored(maps).min().item() == pytest.approx(FLOOR / (1 + 3 * FLOOR))
