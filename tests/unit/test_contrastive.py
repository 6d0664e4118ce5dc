"""The loss agrees with its formula, with published values and with itself under every disguise."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.errors import ConfigError
from hintseg.losses import sweep
from hintseg.losses.contrastive import own_segment_loss, segment_contrastive_loss

GOLDEN = Path(__file__).parents[1] / "golden" / "spml.npz"


def make_case(seed, *, pixels=40, segments=15, groups=5, dim=6, dtype=torch.float64):
    """Vectors of unequal length; some pixels and segments without group, some without own."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(pixels, dim, generator=generator, dtype=dtype) / dim**0.5
    prototypes = torch.randn(segments, dim, generator=generator, dtype=dtype) / dim**0.5
    own = torch.randint(-1, segments, (pixels,), generator=generator)
    pixel_group = torch.randint(-1, groups, (pixels,), generator=generator)
    segment_group = torch.randint(-1, groups, (segments,), generator=generator)
    side = torch.rand(groups, groups, generator=generator)
    return embeddings, prototypes, own, pixel_group, segment_group, side < 0.3, side > 0.5


def by_hand(embeddings, prototypes, own, pixel_group, segment_group, attract, repel, *, kappa):
    """Loss of each pixel and whether it counts; attract None: the own segment alone."""
    losses = []
    for e, o, g in zip(embeddings, own.tolist(), pixel_group.tolist(), strict=True):
        related = [j for j, h in enumerate(segment_group.tolist()) if g >= 0 and h >= 0]
        away = [j for j in related if repel[g, segment_group[j]] and j != o]
        toward = [j for j in related if attract is not None and attract[g, segment_group[j]]]
        toward = [j for j in toward if j != o] or toward
        toward = toward if attract is not None else [j for j in related if j == o]
        terms = torch.exp(kappa * prototypes @ e)
        plus, minus = terms[toward].sum(), terms[away].sum()
        losses.append(torch.log((plus + minus) / plus) if toward else None)
    zero = embeddings.sum() * 0
    counts = torch.tensor([loss is not None for loss in losses], dtype=torch.bool)
    return torch.stack([zero if loss is None else loss for loss in losses]), counts


def each(function):
    """The same loss, pixel by pixel."""

    def losses(embeddings, prototypes, own, pixel_group, *rest, **keywords):
        return torch.stack(
            [
                function(e[None], prototypes, o[None], g[None], *rest, reduction="sum", **keywords)
                for e, o, g in zip(embeddings, own, pixel_group, strict=True)
            ]
        )

    return losses


def gradients(function, embeddings, prototypes, *rest, **keywords):
    """Value and gradients of a loss (summed with unequal weights, if it is one per pixel)."""
    inputs = [embeddings.detach().requires_grad_(), prototypes.detach().requires_grad_()]
    value = function(*inputs, *rest, **keywords)
    weights = torch.linspace(1, 2, len(embeddings), dtype=value.dtype) if value.ndim else 1
    (value * weights).sum().backward()
    return value.detach(), inputs[0].grad, inputs[1].grad


@given(seed=st.integers(0, 10_000), kappa=st.sampled_from([0.5, 6.0, 16.0]))
@settings(max_examples=20)
def test_each_loss_is_the_formula(seed, kappa):
    case = make_case(seed, pixels=20)
    expected = gradients(lambda *a: by_hand(*a, kappa=kappa)[0], *case)
    got = gradients(each(segment_contrastive_loss), *case, concentration=kappa)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    plain = *case[:5], case[6]
    expected = gradients(lambda *a: by_hand(*a[:5], None, a[5], kappa=kappa)[0], *plain)
    got = gradients(each(own_segment_loss), *plain, concentration=kappa)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("function", [segment_contrastive_loss, own_segment_loss])
def test_mean_and_sum_are_those_of_the_pixels_that_count(function):
    case = make_case(3)
    table = (case[5],) if function is segment_contrastive_loss else (None,)
    losses, counts = by_hand(*case[:5], *table, case[6], kappa=6.0)
    arguments = case if function is segment_contrastive_loss else (*case[:5], case[6])
    assert 0 < counts.sum() < len(counts)
    mean = function(*arguments, concentration=6.0)
    total = function(*arguments, concentration=6.0, reduction="sum")
    torch.testing.assert_close(mean, losses[counts].mean())
    torch.testing.assert_close(total, losses.sum())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("function", [segment_contrastive_loss, own_segment_loss])
def test_the_gradient_is_correct(function, reduction):
    embeddings, prototypes, *rest = make_case(1, pixels=12, segments=7, groups=3, dim=3)
    rest = rest if function is segment_contrastive_loss else [*rest[:3], rest[4]]

    def loss(e, p):
        return function(e, p, *rest, concentration=5.0, reduction=reduction)

    assert torch.autograd.gradcheck(
        loss, (embeddings.requires_grad_(), prototypes.requires_grad_())
    )
    assert torch.autograd.gradcheck(loss, (embeddings.detach(), prototypes))
    assert torch.autograd.gradcheck(loss, (embeddings, prototypes.detach()))


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.exists():
        pytest.skip("the golden values are not part of the project")
    with np.load(GOLDEN) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def golden_case(golden, number, kind):
    """The relation of a golden case: group = label, or index of the distinct label set."""
    e, p, own = (golden[f"single{number}_{name}"] for name in ("e", "p", "own"))
    kappa = float(golden[f"single{number}_kappa"])
    if kind == "set":
        both = torch.cat([golden[f"set{number}_pixel_set"], golden[f"set{number}_segment_set"]])
        assert both.any(1).all()  # the published code repels where a set is empty; ours does not
        sets, group = both.unique(dim=0, return_inverse=True)
        attract = sets @ sets.T > 0
    else:
        names = ("pixel_label", "segment_label")
        group = torch.cat([golden[f"single{number}_{name}"] for name in names])
        attract = torch.eye(int(group.max()) + 1, dtype=torch.bool)
    return (e, p, own, group[: len(e)], group[len(e) :], attract, ~attract), kappa


@pytest.mark.parametrize("kind", ["single", "set"])
@pytest.mark.parametrize("number", range(4))
def test_the_published_values(golden, number, kind):
    case, kappa = golden_case(golden, number, kind)
    losses = each(segment_contrastive_loss)(*case, concentration=kappa)
    got = losses[:, None], *gradients(segment_contrastive_loss, *case, concentration=kappa)
    for value, name in zip(got, ("loss", "mean", "grad_e", "grad_p"), strict=True):
        expected = golden[f"{kind}{number}_{name}"]
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("number", range(4))
def test_the_published_values_of_the_plain_form(golden, number):
    (e, p, own, pixel_group, segment_group, _, repel), kappa = golden_case(golden, number, "single")
    rest = own, pixel_group, segment_group, repel
    got = each(own_segment_loss)(e, p, *rest, concentration=kappa)
    expected = golden[f"plain{number}_loss"][:, 0]
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("tile", [1, 7, 60, 10**6])
@pytest.mark.parametrize("alone", [1, 4, 1000])
def test_tiles_and_blocks_of_any_size_agree(monkeypatch, tile, alone):
    case = make_case(5)
    keywords = {"concentration": 6.0}
    expected = gradients(segment_contrastive_loss, *case, **keywords)
    monkeypatch.setitem(sweep._TILE, "cpu", tile)
    monkeypatch.setitem(sweep._ALONE, "cpu", alone)
    for value, same in zip(
        gradients(segment_contrastive_loss, *case, **keywords), expected, strict=True
    ):
        torch.testing.assert_close(value, same, rtol=1e-11, atol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_the_order_of_pixels_segments_and_groups_does_not_matter(seed):
    case = make_case(seed)
    e, p, own, pixel_group, segment_group, attract, repel = case
    generator = torch.Generator().manual_seed(seed)
    pixels, segments, groups = (
        torch.randperm(n, generator=generator) for n in (len(e), len(p), len(attract))
    )
    # the last entry, which index -1 means, stays -1
    new_segment = torch.cat([segments.argsort(), torch.tensor([-1])])
    new_group = torch.cat([groups.argsort(), torch.tensor([-1])])
    mixed = (
        *(e[pixels], p[segments], new_segment[own[pixels]]),
        *(new_group[pixel_group[pixels]], new_group[segment_group[segments]]),
        *(attract[groups][:, groups], repel[groups][:, groups]),
    )
    total, pull, push = gradients(segment_contrastive_loss, *case, concentration=6.0)
    got = gradients(segment_contrastive_loss, *mixed, concentration=6.0)
    for value, same in zip(got, (total, pull[pixels], push[segments]), strict=True):
        torch.testing.assert_close(value, same)


@pytest.mark.parametrize("function", [segment_contrastive_loss, own_segment_loss])
def test_no_group_is_as_good_as_removal(function):
    e, p, own, pixel_group, segment_group, *tables = make_case(11)
    tables = tables if function is segment_contrastive_loss else tables[1:]
    here, there = pixel_group >= 0, segment_group >= 0
    place = torch.cat([torch.where(there, there.cumsum(0) - 1, -1), torch.tensor([-1])])
    groups = pixel_group[here], segment_group[there]
    with_all = gradients(
        function, e, p, own, pixel_group, segment_group, *tables, concentration=6.0
    )
    without = gradients(
        function, e[here], p[there], place[own[here]], *groups, *tables, concentration=6.0
    )
    torch.testing.assert_close(with_all[0], without[0])
    torch.testing.assert_close(with_all[1][here], without[1])
    torch.testing.assert_close(with_all[2][there], without[2])
    assert not with_all[1][~here].any()
    assert not with_all[2][~there].any()


def two_sided(segment_group, *, own, dtype=torch.float32):
    """One pixel of group 0; segments of group 0 attract it, those of group 1 repel it."""
    same = torch.eye(2, dtype=torch.bool)
    groups = torch.tensor([0]), torch.tensor(segment_group)
    prototypes = F.normalize(torch.arange(1.0, 3 * len(segment_group) + 1).view(-1, 3).sin(), dim=1)
    embedding = F.normalize(torch.tensor([[1.0, 2.0, -1.0]]), dim=1)
    return embedding.to(dtype), prototypes.to(dtype), torch.tensor([own]), *groups, same, ~same


@pytest.mark.parametrize("function", [segment_contrastive_loss, own_segment_loss])
def test_an_own_segment_that_repels_is_left_out(function):
    e, p, own, pixel_group, segment_group, attract, repel = two_sided([0, 1, 1], own=1)
    tables = (attract, repel) if function is segment_contrastive_loss else (repel,)
    got = gradients(function, e, p, own, pixel_group, segment_group, *tables, concentration=4.0)
    toward, away = (0, 2) if function is segment_contrastive_loss else (1, 2)
    expected = F.softplus(4 * (p[away] - p[toward]) @ e[0])
    torch.testing.assert_close(got[0], expected)


def test_the_own_segment_takes_no_part_when_another_attracts():
    case = two_sided([0, 0, 1], own=0)
    loss, _, pull = gradients(segment_contrastive_loss, *case, concentration=4.0)
    e, p = case[:2]
    torch.testing.assert_close(loss, F.softplus(4 * (p[2] - p[1]) @ e[0]))
    assert not pull[0].any()


def test_the_own_segment_attracts_when_it_is_the_only_one():
    case = two_sided([0, 1, 1], own=0)
    e, p = case[:2]
    plus, minus = (4 * p[0] @ e[0]).exp(), (4 * p[1:] @ e[0]).exp().sum()
    loss = segment_contrastive_loss(*case, concentration=4.0)
    torch.testing.assert_close(loss, -(plus / (plus + minus)).log())


@pytest.mark.parametrize("segment_group", [[1, 1], [-1, 1], [-1, -1]])
def test_a_pixel_that_nothing_attracts_does_not_count(segment_group):
    for own in (0, -1):
        case = two_sided(segment_group, own=own)
        for value in gradients(segment_contrastive_loss, *case, concentration=4.0):
            assert torch.equal(value, torch.zeros_like(value))


@pytest.mark.parametrize(("segment_group", "own"), [([0, 0], 0), ([0, 1], 1), ([0], 0)])
def test_without_repulsion_the_loss_is_zero(segment_group, own):
    case = two_sided(segment_group, own=own)
    for value in gradients(segment_contrastive_loss, *case, concentration=4.0):
        assert torch.equal(value, torch.zeros_like(value))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [segment_contrastive_loss, own_segment_loss])
def test_a_huge_concentration_is_safe(function, dtype):
    e, p, *rest = make_case(2, dtype=dtype)
    e, p = F.normalize(e, dim=1), F.normalize(p, dim=1)
    rest = rest if function is segment_contrastive_loss else [*rest[:3], rest[4]]
    table = rest if function is segment_contrastive_loss else [*rest[:3], None, rest[3]]
    got = gradients(function, e, p, *rest, concentration=1000.0, reduction="sum")

    # e and p in float64 need exponents of up to 1000: the oracle works in logarithms
    def oracle(*vectors):
        return by_logarithms(*vectors, *table, kappa=1000.0)

    assert oracle(e, p).max() > 500
    expected = gradients(lambda *a: oracle(*a).sum(), e.double(), p.double())
    for ours, theirs in zip(got, expected, strict=True):
        scale = theirs.abs().max()
        tolerance = 1e-3 if dtype is torch.float32 else 1e-10
        assert ours.isfinite().all()
        assert (ours - theirs).abs().max() <= tolerance * scale


def by_logarithms(
    embeddings, prototypes, own, pixel_group, segment_group, attract, repel, *, kappa
):
    """The formula on a pixels x segments table of exponents."""
    known = (pixel_group >= 0)[:, None] & (segment_group >= 0)
    itself = torch.arange(len(prototypes)) == own[:, None]
    away = known & repel[pixel_group][:, segment_group] & ~itself
    toward = known & itself
    if attract is not None:
        attracted = known & attract[pixel_group][:, segment_group]
        toward = attracted & (~itself | (attracted.sum(1) == 1)[:, None])
    exponents = kappa * embeddings @ prototypes.T
    counts, pushed = toward.any(1), away.any(1)
    plus = exponents[counts & pushed].masked_fill(~toward[counts & pushed], -math.inf).logsumexp(1)
    minus = exponents[counts & pushed].masked_fill(~away[counts & pushed], -math.inf).logsumexp(1)
    losses = -F.logsigmoid(plus - minus)
    return losses.new_zeros(len(embeddings)).index_put((counts & pushed,), losses)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    e, p, *rest = make_case(4, dtype=torch.float32)
    e, p = e.to(dtype), p.to(dtype)
    loss, grad_e, grad_p = gradients(segment_contrastive_loss, e, p, *rest, concentration=12.0)
    wide = gradients(segment_contrastive_loss, e.float(), p.float(), *rest, concentration=12.0)
    assert loss.dtype == torch.float32
    assert grad_e.dtype == grad_p.dtype == dtype
    assert torch.equal(loss, wide[0])
    assert torch.equal(grad_e, wide[1].to(dtype))
    assert torch.equal(grad_p, wide[2].to(dtype))


def test_autocast_does_not_narrow_it():
    case = make_case(4, dtype=torch.float32)
    keywords = {"concentration": 12.0}
    expected = gradients(segment_contrastive_loss, *case, **keywords)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradients(segment_contrastive_loss, *case, **keywords)
    for value, same in zip(got, expected, strict=True):
        assert torch.equal(value, same)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("pixels", "segments", "groups"), [(0, 3, 2), (0, 0, 2), (4, 0, 2), (4, 3, 0), (0, 0, 0)]
)
def test_of_nothing_the_loss_is_an_exact_zero(pixels, segments, groups, reduction):
    case = (
        *(torch.randn(pixels, 3), torch.randn(segments, 3), torch.full((pixels,), -1)),
        *(torch.full((n,), 0 if groups else -1) for n in (pixels, segments)),
        *(torch.ones(groups, groups, dtype=torch.bool),) * 2,
    )
    keywords = {"concentration": 6.0, "reduction": reduction}
    for inputs, function in (
        (case, segment_contrastive_loss),
        ((*case[:5], case[6]), own_segment_loss),
    ):
        for value in gradients(function, *inputs, **keywords):
            assert torch.equal(value, torch.zeros_like(value))


@pytest.mark.parametrize("groups", [300, 3000])
def test_many_groups_are_no_different(groups):
    case = make_case(8, pixels=500, segments=120, groups=groups)
    expected, counts = by_hand(*case, kappa=6.0)
    loss = segment_contrastive_loss(*case, concentration=6.0)
    torch.testing.assert_close(loss, expected[counts].mean())


def test_nothing_of_pixels_times_segments_is_kept():
    e, p, *rest = make_case(8, pixels=300, segments=200, dtype=torch.float32)
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inputs = e.requires_grad_(), p.requires_grad_()
        segment_contrastive_loss(*inputs, *rest, concentration=6.0)
    assert max(kept) <= e.numel()
    assert sum(kept) <= e.numel() + p.numel() + 10


def test_inputs_stay_as_they_are():
    case = make_case(9)
    copies = [tensor.clone() for tensor in case]
    gradients(segment_contrastive_loss, *case, concentration=6.0)
    assert all(map(torch.equal, case, copies))


@pytest.mark.parametrize("concentration", [0.0, -1.0, math.inf, math.nan])
def test_a_concentration_that_is_no_positive_number_is_refused(concentration):
    with pytest.raises(ConfigError, match="concentration: must be a positive number"):
        segment_contrastive_loss(*make_case(0), concentration=concentration)


def test_the_number_of_threads_changes_nothing():
    threads, found = torch.get_num_threads(), []
    generator = torch.Generator().manual_seed(0)
    unit = [F.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (9000, 400)]
    own, group = (torch.randint(400, (n,), generator=generator) for n in (9000, 400))
    group = group % 5
    table = torch.eye(5, dtype=torch.bool)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        given = [tensor.clone().requires_grad_() for tensor in unit]
        relation = own, group[own], group, table, ~table
        loss = segment_contrastive_loss(*given, *relation, concentration=8.0)
        found.append([loss.detach(), *torch.autograd.grad(loss, given)])
    torch.set_num_threads(threads)
    for one, other in zip(found[0] * 2, found[1] + found[2], strict=True):
        assert torch.equal(one, other)
