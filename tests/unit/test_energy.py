"""Energies against sums over all pairs of pixels, written as the formulas say."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hintseg.filters.bilateral import bilateral_features, exact_filter
from hintseg.losses.energy import (
    association_loss,
    converted_weight,
    crf_loss,
    entropy_loss,
    kernel_cut_loss,
    normalised_cut_loss,
    quadratic_crf_loss,
)
from hintseg.losses.potts import grid_affinity

SIDE, CLASSES, IMAGES = 6, 3, 2
PAIRWISE = [crf_loss, quadratic_crf_loss, normalised_cut_loss, kernel_cut_loss]
SEEDS = st.integers(0, 10_000)


def soft_maps(seed, *, images=IMAGES, classes=CLASSES, side=SIDE, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    size = (images, classes, side, side)
    return (sharpness * torch.randn(size, generator=generator, dtype=torch.float64)).softmax(1)


def drawn_images(seed, *, images=IMAGES, side=SIDE):
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randint(0, 256, (images, 3, side, side), generator=generator, dtype=torch.uint8)


def drawn_kept(seed, *, images=IMAGES, side=SIDE):
    generator = torch.Generator().manual_seed(seed + 2)
    return torch.rand(images, side, side, generator=generator) < 0.8


def filter_of(images, kept, *, sxy=2.0, srgb=60.0, self_affinity=True):
    features = bilateral_features(images, sxy=sxy, srgb=srgb).double()
    return exact_filter(features, self_affinity=self_affinity, kept=kept)


def pairs_by_hand(image, kept, *, sxy=2.0, srgb=60.0, self_affinity=True):
    """W of one image as a dictionary {(p, q): weight} over the kept pixels."""
    pixels = [tuple(place) for place in kept.nonzero().tolist()]
    weights = {}
    for p in pixels:
        for q in pixels:
            if p == q and not self_affinity:
                continue
            place = sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
            colours = image[:, p[0], p[1]].double() - image[:, q[0], q[1]].double()
            colour = float((colours**2).sum())
            weights[p, q] = math.exp(-place / (2 * sxy**2) - colour / (2 * srgb**2))
    return weights


def grid_by_hand(image, kept, *, srgb=60.0):
    """The same of the eight neighbours."""
    near = pairs_by_hand(image, kept, sxy=1e9, srgb=srgb, self_affinity=False)
    distances = {pair: math.dist(*pair) for pair in near}
    return {pair: near[pair] / d for pair, d in distances.items() if d < 1.5}


def forms_by_hand(maps, weights):
    """d^T S^k, S^kT W S^k, sum W, and 1/2 sum W |S_p - S_q|^2 of one image."""
    mass, within, quadratic = [0.0] * len(maps), [0.0] * len(maps), 0.0
    for (p, q), weight in weights.items():
        for k in range(len(maps)):
            one, other = float(maps[k][p]), float(maps[k][q])
            mass[k] += weight * one
            within[k] += weight * one * other
            quadratic += weight * (one - other) ** 2 / 2
    return mass, within, sum(weights.values()), quadratic


def crf_by_hand(mass, within, total, quadratic):
    del quadratic
    return sum(m - w for m, w in zip(mass, within, strict=True)) / total


def quadratic_by_hand(mass, within, total, quadratic):
    del mass, within
    return quadratic / total


def cut_by_hand(mass, within, total, quadratic):
    del total, quadratic
    return sum((m - w) / m for m, w in zip(mass, within, strict=True)) / len(mass)


def kernel_cut_by_hand(*forms):
    return crf_by_hand(*forms) + cut_by_hand(*forms)


BY_HAND = {
    crf_loss: crf_by_hand,
    quadratic_crf_loss: quadratic_by_hand,
    normalised_cut_loss: cut_by_hand,
    kernel_cut_loss: kernel_cut_by_hand,
}


def mean_by_hand(form, maps, images, kept, weights_of):
    energies = []
    for n in range(len(maps)):
        weights = weights_of(images[n], kept[n])
        energies += [form(*forms_by_hand(maps[n], weights))] if weights else []
    return sum(energies) / len(energies)


@pytest.mark.parametrize("loss", PAIRWISE)
@pytest.mark.parametrize("self_affinity", [True, False])
def test_it_is_the_sum_over_all_pairs(loss, self_affinity):
    maps, images, kept = soft_maps(3), drawn_images(3), drawn_kept(3)

    def weights_of(image, mask):
        return pairs_by_hand(image, mask, self_affinity=self_affinity)

    affinity = filter_of(images, kept, self_affinity=self_affinity)
    expected = mean_by_hand(BY_HAND[loss], maps, images, kept, weights_of)
    assert loss(maps, affinity).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", PAIRWISE)
def test_on_the_grid_it_is_the_sum_over_the_neighbours(loss):
    maps, images, kept = soft_maps(4), drawn_images(4), drawn_kept(4)
    expected = mean_by_hand(BY_HAND[loss], maps, images, kept, grid_by_hand)
    got = loss(maps, grid_affinity(images, kept, srgb=60.0))
    assert got.item() == pytest.approx(expected, rel=1e-6)


def test_average_association_is_the_sum_over_all_pairs():
    maps, images, kept = soft_maps(5), drawn_images(5), drawn_kept(5)
    energies = []
    for n in range(IMAGES):
        _, within, total, _ = forms_by_hand(maps[n], pairs_by_hand(images[n], kept[n]))
        pixels = int(kept[n].sum())
        sizes = (maps[n] * kept[n]).flatten(1).sum(1).tolist()
        energies.append(
            sum(1 - w * pixels / (total * s) for w, s in zip(within, sizes, strict=True)) / CLASSES
        )
    got = association_loss(maps, filter_of(images, kept), kept)
    assert got.item() == pytest.approx(sum(energies) / IMAGES, rel=1e-6)


def test_average_association_is_the_normalised_cut_where_degrees_are_equal():
    maps = soft_maps(6)
    kept = torch.ones(IMAGES, SIDE, SIDE, dtype=torch.bool)
    affinity = exact_filter(torch.zeros(IMAGES, 2, SIDE, SIDE).double(), self_affinity=True)
    got, cut = association_loss(maps, affinity, kept), normalised_cut_loss(maps, affinity)
    assert got.item() == pytest.approx(cut.item(), rel=1e-9)


@given(SEEDS)
def test_the_bilinear_form_is_half_the_quadratic_one_and_the_impurity_of_every_pixel(seed):
    maps, images, kept = soft_maps(seed), drawn_images(seed), drawn_kept(seed)
    affinity = filter_of(images, kept)
    impurity = (affinity.sums * maps * (1 - maps)).flatten(1).sum(1)
    share = (impurity / affinity.sums.flatten(1).sum(1)).mean()
    got = crf_loss(maps, affinity).item()
    assert got == pytest.approx(quadratic_crf_loss(maps, affinity).item() + share.item(), rel=1e-6)


@given(SEEDS)
def test_a_hard_labelling_has_the_share_of_affinity_that_it_cuts(seed):
    hard = soft_maps(seed, sharpness=1e4).round()
    affinity = filter_of(drawn_images(seed), drawn_kept(seed))
    bilinear, quadratic = crf_loss(hard, affinity), quadratic_crf_loss(hard, affinity)
    assert bilinear.item() == pytest.approx(quadratic.item(), abs=1e-9)
    assert 0 <= bilinear.item() <= 1


def energies_of(images, kept):
    """Every energy on these images, as functions of the maps."""
    dense, grid = filter_of(images, kept), grid_affinity(images, kept, srgb=60.0)
    return {
        **{loss.__name__: partial(loss, affinity=dense) for loss in PAIRWISE},
        **{f"grid_{loss.__name__}": partial(loss, affinity=grid) for loss in PAIRWISE},
        "association": partial(association_loss, affinity=dense, kept=kept),
        "entropy": partial(entropy_loss, kept=kept),
    }


def by_name(maps, images, kept):
    """The value of each of them."""
    return {name: energy(maps) for name, energy in energies_of(images, kept).items()}


NAMES = (
    *(loss.__name__ for loss in PAIRWISE),
    *(f"grid_{loss.__name__}" for loss in PAIRWISE),
    "association",
    "entropy",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_correct(name):
    images, kept = drawn_images(7, side=4), drawn_kept(7, side=4)
    maps = soft_maps(7, side=4).requires_grad_()
    assert torch.autograd.gradcheck(energies_of(images, kept)[name], maps, atol=1e-6)


def test_the_gradients_are_those_of_the_formulas():
    images, kept = drawn_images(8, images=1), drawn_kept(8, images=1)
    affinity, maps = filter_of(images, kept), soft_maps(8, images=1).requires_grad_()
    degrees, filtered = affinity.sums, affinity(maps.detach())
    total = degrees.sum()
    (bilinear,) = torch.autograd.grad(crf_loss(maps, affinity), maps)
    assert torch.allclose(bilinear, (degrees - 2 * filtered) / total)
    (quadratic,) = torch.autograd.grad(quadratic_crf_loss(maps, affinity), maps)
    assert torch.allclose(quadratic, 2 * (degrees * maps - filtered) / total)
    (cut,) = torch.autograd.grad(normalised_cut_loss(maps, affinity), maps)
    within = (maps * filtered).sum((2, 3), keepdim=True)
    mass = (degrees * maps).sum((2, 3), keepdim=True)
    assert torch.allclose(CLASSES * cut, within * degrees / mass**2 - 2 * filtered / mass)


def test_padding_and_what_it_shows_take_no_part():
    maps, images = soft_maps(9), drawn_images(9)
    kept = torch.zeros(IMAGES, SIDE, SIDE, dtype=torch.bool)
    kept[:, :4, :5] = True
    other_maps, other_images = maps.clone(), images.clone()
    other_maps[:, :, 4:], other_maps[..., 5:] = soft_maps(10)[:, :, 4:], 1 / CLASSES
    other_images[:, :, 4:], other_images[..., 5:] = 0, 255
    there = by_name(maps, images, kept)
    padded = by_name(other_maps, other_images, kept)
    small = torch.ones(IMAGES, 4, 5, dtype=torch.bool)
    cut = by_name(maps[:, :, :4, :5], images[:, :, :4, :5], small)
    for name in NAMES:
        assert padded[name].item() == pytest.approx(there[name].item(), rel=1e-6), name
        assert cut[name].item() == pytest.approx(there[name].item(), rel=1e-6), name


def test_padding_has_no_gradient():
    kept = torch.zeros(IMAGES, SIDE, SIDE, dtype=torch.bool)
    kept[:, :4] = True
    maps = soft_maps(11).requires_grad_()
    for name, loss in by_name(maps, drawn_images(11), kept).items():
        (gradient,) = torch.autograd.grad(loss, maps, retain_graph=True)
        assert (gradient[:, :, 4:] == 0).all(), name
        assert gradient[:, :, :4].abs().sum() > 0, name


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_padding_alone_does_not_count(name):
    maps, images, kept = soft_maps(12), drawn_images(12), drawn_kept(12)
    alone = by_name(maps[:1], images[:1], kept[:1])[name]
    kept[1] = False
    assert by_name(maps, images, kept)[name].item() == pytest.approx(alone.item(), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_padding_is_an_exact_zero_that_can_be_differentiated(name):
    maps = soft_maps(13).requires_grad_()
    kept = torch.zeros(IMAGES, SIDE, SIDE, dtype=torch.bool)
    loss = by_name(maps, drawn_images(13), kept)[name]
    (gradient,) = torch.autograd.grad(loss, maps)
    assert loss.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_pixel_has_finite_energy_and_gradient(name):
    maps = soft_maps(14, side=1).requires_grad_()
    kept = torch.ones(IMAGES, 1, 1, dtype=torch.bool)
    loss = by_name(maps, drawn_images(14, side=1), kept)[name]
    (gradient,) = torch.autograd.grad(loss, maps)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_class_everywhere_cuts_nothing(name):
    maps = torch.zeros(IMAGES, CLASSES, SIDE, SIDE, dtype=torch.float64)
    maps[:, 1] = 1
    loss = by_name(maps.requires_grad_(), drawn_images(15), drawn_kept(15))[name]
    (gradient,) = torch.autograd.grad(loss, maps)
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert torch.isfinite(gradient).all()


def test_a_class_without_mass_is_excluded_from_cut_and_association():
    maps, images, kept = soft_maps(16, classes=2), drawn_images(16), drawn_kept(16)
    empty = torch.cat([maps, torch.zeros_like(maps[:, :1])], dim=1).requires_grad_()
    two, three = by_name(maps, images, kept), by_name(empty, images, kept)
    for name in NAMES:
        assert three[name].item() == pytest.approx(two[name].item(), rel=1e-9), name
    (gradient,) = torch.autograd.grad(three["normalised_cut_loss"], empty)
    assert (gradient[:, 2] == 0).all()


def test_an_absent_class_is_excluded_from_cut_and_association_whatever_its_mass():
    maps, images, kept = soft_maps(16), drawn_images(16), drawn_kept(16)
    affinity, maps = filter_of(images, kept), maps.requires_grad_()
    present = torch.tensor([[True, True, False]]).expand(IMAGES, -1)
    for loss, more in ((normalised_cut_loss, ()), (association_loss, (kept,))):
        every = loss(maps, affinity, *more)
        some = loss(maps, affinity, *more, present)
        (gradient,) = torch.autograd.grad(some, maps)
        assert (gradient[:, 2] == 0).all()
        assert (gradient[:, :2] != 0).any()
        alone = loss(maps, affinity, *more, ~present)
        assert 3 * every.item() == pytest.approx(2 * some.item() + alone.item(), rel=1e-9)
        nothing = loss(maps, affinity, *more, torch.zeros_like(present))
        assert nothing.item() == 0


def test_on_a_constant_image_every_pair_at_one_distance_counts_the_same():
    images = torch.full((1, 3, SIDE, SIDE), 90, dtype=torch.uint8)
    kept = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    affinity = exact_filter(torch.zeros(1, 2, SIDE, SIDE).double(), self_affinity=True)
    half = torch.zeros(1, 2, SIDE, SIDE, dtype=torch.float64)
    half[:, 0, :3], half[:, 1, 3:] = 1, 1
    assert crf_loss(half, affinity).item() == pytest.approx(0.5)
    assert normalised_cut_loss(half, affinity).item() == pytest.approx(0.5)
    neighbours = 2 * 30 + 50 / math.sqrt(2)  # pairs on the grid: straight, diagonal
    cut = 6 + 10 / math.sqrt(2)
    got = crf_loss(half, grid_affinity(images, kept, srgb=15.0))
    assert got.item() == pytest.approx(cut / neighbours, rel=1e-6)


def test_a_boundary_along_an_edge_of_the_image_costs_less():
    images = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    images[..., 3:] = 200
    kept = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    along, across = (torch.zeros(1, 2, SIDE, SIDE, dtype=torch.float64) for _ in range(2))
    along[:, 0, :, :3], along[:, 1, :, 3:] = 1, 1
    across[:, 0, :3], across[:, 1, 3:] = 1, 1
    good, bad = by_name(along, images, kept), by_name(across, images, kept)
    for name in set(NAMES) - {"entropy"}:
        assert good[name] < 0.1 * bad[name], name


@pytest.mark.parametrize("side", [8, 16, 32])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_value_does_not_depend_on_crop_and_kernel(side, share):
    """R1: a scene twice as large, seen with a kernel twice as wide, has the same energy."""
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    images[..., side // 2 :] = 120
    kept = torch.ones(1, side, side, dtype=torch.bool)
    maps = torch.full((1, 2, side, side), 0.1, dtype=torch.float64)
    maps[:, 0, : side // 4 * 3], maps[:, 1, side // 4 * 3 :] = 0.9, 0.9
    affinity = filter_of(images, kept, sxy=share * side, srgb=15.0)
    assert 0.2 < crf_loss(maps, affinity).item() < 0.4
    assert 0.02 < quadratic_crf_loss(maps, affinity).item() < 0.2


def test_the_number_of_images_does_not_change_the_value():
    maps, images, kept = soft_maps(17), drawn_images(17), drawn_kept(17)
    once, twice = (
        by_name(maps, images, kept),
        by_name(*(x.repeat(2, 1, 1, 1)[:4] for x in (maps, images)), kept.repeat(2, 1, 1)),
    )
    for name in NAMES:
        assert twice[name].item() == pytest.approx(once[name].item(), rel=1e-9), name


def test_a_released_weight_acts_as_it_did():
    images, kept = drawn_images(18, images=1), drawn_kept(18, images=1)
    affinity, logits = filter_of(images, kept), torch.randn(1, 3, SIDE, SIDE).double()
    logits.requires_grad_()
    released = -2e-9 * (logits.softmax(1) * affinity(logits.softmax(1))).sum()
    (expected,) = torch.autograd.grad(released, logits)
    weight = converted_weight(2e-9, affinity)
    (got,) = torch.autograd.grad(weight[0] * crf_loss(logits.softmax(1), affinity), logits)
    assert torch.allclose(got, expected, rtol=1e-6, atol=1e-20)


def test_a_coarser_grid_converts_to_the_same_weight():
    images = torch.full((1, 3, 48, 48), 7, dtype=torch.uint8)
    fine = filter_of(images, torch.ones(1, 48, 48, dtype=torch.bool), sxy=8.0)
    coarse = filter_of(images[..., :24, :24], torch.ones(1, 24, 24, dtype=torch.bool), sxy=4.0)
    weights = converted_weight(1e-9, fine), converted_weight(1e-9, coarse, coarser=2.0)
    assert weights[0].item() == pytest.approx(weights[1].item(), rel=0.01)


@given(SEEDS)
def test_entropy_is_the_mean_over_the_kept_pixels(seed):
    maps, kept = soft_maps(seed), drawn_kept(seed)
    terms = [
        -sum(x * math.log(x) for x in maps[n, :, row, column].tolist())
        for n, row, column in kept.nonzero().tolist()
    ]
    expected = sum(terms) / len(terms)
    assert entropy_loss(maps, kept).item() == pytest.approx(expected, rel=1e-9)


def test_inputs_stay_as_they_were():
    maps, images, kept = soft_maps(19), drawn_images(19), drawn_kept(19)
    before = maps.clone(), images.clone(), kept.clone()
    by_name(maps, images, kept)
    for value, old in zip((maps, images, kept), before, strict=True):
        assert torch.equal(value, old)
