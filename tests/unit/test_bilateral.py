"""The lattice is a linear map near the Gaussian; its transpose and its diagonal are exact."""

import math

import pytest
import torch

from hintseg.errors import ConfigError
from hintseg.filters import permutohedral
from hintseg.filters.bilateral import (
    bilateral_features,
    exact_filter,
    permutohedral_filter,
    position_features,
)

FILTERS = [permutohedral_filter, exact_filter]
NORMALISATIONS = ["none", "symmetric", "row"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def dense(kernel, height, width):
    """The matrix of a filter of one image, from what it makes of unit vectors."""
    count = height * width
    units = torch.eye(count, dtype=torch.float64).view(1, count, height, width)
    return kernel(units)[0].flatten(1).T


def kernel_by_hand(features):
    points = features[0].flatten(1).T.tolist()
    return torch.tensor(
        [
            [math.exp(-sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2) for q in points]
            for p in points
        ],
        dtype=torch.float64,
    )


def photograph(height, width, seed=0):
    """Smooth colours with an edge, noise on top."""
    field = torch.rand(1, 3, 3, 4, generator=generator(seed))
    smooth = torch.nn.functional.interpolate(field, (height, width), mode="bicubic")
    smooth[..., width // 2 :] = 1 - smooth[..., width // 2 :]
    grain = 0.02 * torch.randn(1, 3, height, width, generator=generator(seed + 1))
    return ((smooth + grain).clamp(0, 1) * 255).byte()


@pytest.mark.parametrize("self_affinity", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_exact_filter_is_the_formula(normalisation, self_affinity):
    features = 2 * noise(1, 3, 3, 4)
    kernel = kernel_by_hand(features)
    if not self_affinity:
        kernel.fill_diagonal_(0)
    sums = kernel.sum(dim=1)
    rows = {"none": 1, "symmetric": sums.rsqrt(), "row": 1 / sums}[normalisation]
    columns = rows if normalisation == "symmetric" else torch.ones_like(sums)
    expected = torch.as_tensor(rows).expand(12)[:, None] * kernel * columns
    found = exact_filter(features, normalisation=normalisation, self_affinity=self_affinity)
    torch.testing.assert_close(dense(found, 3, 4), expected)
    torch.testing.assert_close(found.sums.flatten(), sums)


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 8])
def test_what_is_left_out_is_the_diagonal_of_the_lattice(dim):
    features = 5 * noise(1, dim, 4, 5, seed=dim)
    whole = dense(permutohedral_filter(features, self_affinity=True), 4, 5)
    without = dense(permutohedral_filter(features), 4, 5)
    torch.testing.assert_close(without, whole - whole.diagonal().diag())
    assert without.diagonal().abs().max() < 1e-12
    assert whole.min() >= 0


@pytest.mark.parametrize("self_affinity", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_normalisation_divides_by_the_sums_of_the_lattice(normalisation, self_affinity):
    features = 3 * noise(1, 3, 4, 5)
    plain = permutohedral_filter(features, self_affinity=self_affinity)
    kernel = dense(plain, 4, 5)
    sums = kernel.sum(dim=1)
    torch.testing.assert_close(plain.sums.flatten(), sums)
    found = permutohedral_filter(features, normalisation=normalisation, self_affinity=self_affinity)
    left = {"none": torch.ones_like(sums), "symmetric": sums.rsqrt(), "row": 1 / sums}
    right = left[normalisation] if normalisation == "symmetric" else left["none"]
    torch.testing.assert_close(dense(found, 4, 5), left[normalisation][:, None] * kernel * right)
    torch.testing.assert_close(found.sums, plain.sums)


@pytest.mark.parametrize("build", FILTERS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("self_affinity", [False, True])
def test_gradient_is_the_transposed_filter(build, normalisation, self_affinity):
    kept = torch.ones(2, 3, 4, dtype=torch.bool)
    kept[1, 2] = False
    kernel = build(
        4 * noise(2, 4, 3, 4), normalisation=normalisation, self_affinity=self_affinity, kept=kept
    )
    values = noise(2, 2, 3, 4, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(kernel, (values,))
    assert torch.autograd.gradgradcheck(kernel, (values,))


@pytest.mark.parametrize("build", FILTERS)
def test_images_of_a_batch_do_not_see_each_other(build):
    features, values = 3 * noise(3, 5, 4, 6), noise(3, 2, 4, 6, seed=1)
    together = build(features)(values)
    for one in range(3):
        alone = build(features[one : one + 1])(values[one : one + 1])
        torch.testing.assert_close(together[one : one + 1], alone)


@pytest.mark.parametrize("build", FILTERS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_padding_is_as_if_it_were_not_there(build, normalisation):
    features, values = 3 * noise(1, 3, 4, 6), noise(1, 2, 4, 6, seed=1)
    wide = torch.cat([features, 50 * noise(1, 3, 4, 2, seed=2)], dim=3)
    filled = torch.cat([values, torch.full((1, 2, 4, 2), 9.0).double()], dim=3)
    kept = torch.arange(8).expand(1, 4, 8) < 6
    kernel = build(wide, normalisation=normalisation, kept=kept)
    found, alone = kernel(filled), build(features, normalisation=normalisation)(values)
    torch.testing.assert_close(found[..., :6], alone)
    assert not found[..., 6:].any()
    assert not kernel.sums[..., 6:].any()


@pytest.mark.parametrize("build", FILTERS)
def test_all_padding_gives_zero(build):
    kept = torch.zeros(2, 3, 4, dtype=torch.bool)
    kernel = build(noise(2, 3, 3, 4), normalisation="symmetric", kept=kept)
    values = noise(2, 5, 3, 4).requires_grad_()
    kernel(values).sum().backward()
    assert not kernel(values).any()
    assert not values.grad.any()


def test_the_sorted_and_the_direct_numbering_agree(monkeypatch):
    features, values = 4 * noise(2, 5, 8, 9), noise(2, 3, 8, 9, seed=1)
    found = []
    for most in (0, 10**9):
        monkeypatch.setattr(permutohedral, "DIRECT_KEYS", most)
        found.append(permutohedral_filter(features)(values))
    torch.testing.assert_close(found[0], found[1])


def test_parts_of_the_diagonal_are_joined(monkeypatch):
    features, values = 4 * noise(1, 5, 8, 9), noise(1, 3, 8, 9, seed=1)
    expected = permutohedral_filter(features)(values)
    monkeypatch.setattr(permutohedral, "CHUNK", 7)
    torch.testing.assert_close(permutohedral_filter(features)(values), expected)


def test_sorting_transposes_as_counting_does():
    lattice = permutohedral_filter(4 * noise(1, 3, 6, 7)).kernel
    turned = permutohedral._transposed_by_sorting(lattice.slice, len(lattice.splat.start) - 1)
    assert torch.equal(turned.column, lattice.splat.column)
    assert torch.equal(turned.weight, lattice.splat.weight)
    assert torch.equal(turned.start, lattice.splat.start)


@pytest.mark.parametrize(("dim", "share"), [(1, 0.92), (2, 0.882), (3, 0.83)])
def test_the_mass_of_the_kernel_is_as_documented(dim, share):
    """Points on a dense grid: 2 (3 / pi)^(d / 2) / ((1 + 2^-d) sqrt(d + 1)) of the Gaussian's."""
    side = {1: 400, 2: 60, 3: 24}[dim]
    step = {1: 0.05, 2: 0.2, 3: 0.5}[dim]
    axes = torch.meshgrid(*[torch.arange(side) * step] * dim, indexing="ij")
    features = torch.stack([axis.flatten() for axis in axes]).double()[None, :, None]
    sums = permutohedral_filter(features, self_affinity=True).sums.flatten()
    gaussian = math.sqrt(2 * math.pi) ** dim / step**dim
    inner = (features[0, :, 0] > 4).all(0) & (features[0, :, 0] < side * step - 4).all(0)
    mass = 2 * (3 / math.pi) ** (dim / 2) / ((1 + 2**-dim) * math.sqrt(dim + 1))
    assert mass == pytest.approx(share, abs=0.01)
    assert float(sums[inner].mean()) / gaussian == pytest.approx(mass, rel=0.02)


@pytest.mark.parametrize("normalisation", ["symmetric", "row"])
def test_the_normalised_filter_is_near_the_exact_one(normalisation):
    """On a photograph; the bound is what has been measured, with some air."""
    features = bilateral_features(photograph(30, 40), sxy=8.0, srgb=20.0)
    values = torch.rand(1, 2, 30, 40, generator=generator(5))
    settings = {"normalisation": normalisation, "self_affinity": True}
    lattice = permutohedral_filter(features, **settings)(values)
    exact = exact_filter(features, **settings)(values)
    assert (lattice - exact).abs().mean() < 0.03
    assert torch.corrcoef(torch.stack([lattice.flatten(), exact.flatten()]))[0, 1] > 0.8


def test_row_normalised_filters_keep_a_constant():
    features = bilateral_features(photograph(20, 30), sxy=5.0, srgb=10.0)
    for build in FILTERS:
        kernel = build(features, normalisation="row", self_affinity=True)
        found = kernel(torch.full((1, 1, 20, 30), 0.25))
        torch.testing.assert_close(found, torch.full_like(found, 0.25))


def test_features_are_places_and_raw_colours_over_their_sigmas():
    image = torch.zeros(1, 3, 2, 3, dtype=torch.uint8)
    image[0, :, 1, 2] = torch.tensor([10, 20, 250])
    found = bilateral_features(image, sxy=2.0, srgb=5.0)
    assert found[0, :, 1, 2].tolist() == [1.0, 0.5, 2.0, 4.0, 50.0]
    assert torch.equal(position_features(image, sxy=2.0), found[:, :2])
    assert torch.equal(position_features((1, 2, 3), sxy=2.0), found[:, :2])


@pytest.mark.parametrize("build", FILTERS)
def test_one_pixel_has_no_neighbour_but_itself(build):
    values = torch.full((1, 1, 1, 1), 3.0)
    features = torch.zeros(1, 5, 1, 1)
    for normalisation in NORMALISATIONS:
        assert build(features, normalisation=normalisation)(values).item() == 0
        own = build(features, normalisation=normalisation, self_affinity=True)(values)
        assert own.item() == pytest.approx(3, rel=0.05 if normalisation == "none" else 1e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_pixels_far_from_all_others_get_nothing(normalisation):
    """What subtraction leaves of zero must not be divided by itself."""
    image = torch.tensor([0, 80, 160, 240], dtype=torch.uint8).expand(1, 3, 1, 4)
    features = bilateral_features(image, sxy=3.0, srgb=1.0)
    for build in FILTERS:
        found = build(features, normalisation=normalisation)(torch.rand(1, 2, 1, 4))
        assert found.abs().max() < 1e-5


def test_constant_images_are_blurred_by_place_alone():
    image = torch.full((1, 3, 6, 7), 200, dtype=torch.uint8)
    values = torch.rand(1, 2, 6, 7, generator=generator(0))
    exact = exact_filter(bilateral_features(image, sxy=2.0, srgb=5.0))(values)
    torch.testing.assert_close(exact, exact_filter(position_features(image, sxy=2.0))(values))
    huge = permutohedral_filter(
        bilateral_features(image, sxy=1e6, srgb=1e6), normalisation="row", self_affinity=True
    )(values)
    torch.testing.assert_close(huge, values.mean((2, 3), keepdim=True).expand_as(huge))


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_long_strips_are_filtered_along_their_length(size):
    """Far from the origin float32 is too coarse for a place within a cell."""
    kernel = permutohedral_filter(position_features((1, *size), sxy=2.0), normalisation="row")
    sums = kernel.sums.flatten()
    assert sums[50_000:-100].mean() == pytest.approx(float(sums[100:50_000].mean()), rel=1e-3)
    found = kernel(torch.ones(1, 1, *size))
    torch.testing.assert_close(found, torch.ones_like(found))


def test_half_precision_comes_back_in_half_precision():
    values = torch.rand(1, 2, 4, 5, generator=generator(0))
    kernel = permutohedral_filter(noise(1, 3, 4, 5).float(), normalisation="row")
    found = kernel(values.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), kernel(values), rtol=0.02, atol=0.02)


def test_values_and_features_stay_as_they_are():
    features, values = noise(1, 3, 4, 5), noise(1, 2, 4, 5)
    before = features.clone(), values.clone()
    permutohedral_filter(features, normalisation="symmetric")(values)
    assert torch.equal(features, before[0])
    assert torch.equal(values, before[1])


@pytest.mark.parametrize("build", FILTERS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused(build, value):
    features = noise(1, 2, 3, 3)
    features[0, 1, 2, 2] = value
    with pytest.raises(ConfigError, match="features: must be finite"):
        build(features)


def test_keys_that_would_overflow_are_refused():
    with pytest.raises(ConfigError, match="take larger sigmas"):
        permutohedral_filter(1e7 * noise(1, 5, 4, 4))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_sigmas_are_positive_and_finite(sigma):
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="sxy: must be positive and finite"):
        position_features(image, sxy=sigma)
    with pytest.raises(ConfigError, match="srgb: must be positive and finite"):
        bilateral_features(image, sxy=1.0, srgb=sigma)


def test_values_of_another_size_are_refused():
    with pytest.raises(ConfigError, match="the filter was made for batch, height and width"):
        permutohedral_filter(noise(1, 2, 3, 4))(noise(1, 2, 4, 3))
