"""Mean field as the formula says, in whatever way it is computed; bad input is refused in words."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hintseg
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.filters.bilateral import exact_filter
from hintseg.refine import crf, dense_crf, dense_crf_labels, dense_crf_logits
from hintseg.refine.crf import PRESETS, CrfPreset, find_preset
from hintseg.structures import UNLABELLED, VOID

SMALL = CrfPreset(gaussian_sxy=1.5, bilateral_sxy=3.0, bilateral_srgb=30.0, iterations=4)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def likely(*shape, seed=0):
    return (2 * torch.randn(*shape, generator=generator(seed), dtype=torch.float64)).softmax(-3)


def two_halves(height=6, width=6, seed=0):
    """Dark left, light right, with noise."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 60)
    image[:, width // 2 :] = 190
    return (image + rng.integers(-9, 10, image.shape)).astype(np.uint8)


def as_batch(*images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def field_by_hand(image, scores, preset, *, self_affinity=True):
    """Algorithm 1 with dense matrices, one pair of pixels at a time."""
    height, width = image.shape[:2]
    places = [(r, c) for r in range(height) for c in range(width)]
    total = np.zeros((len(places),) * 2)
    for weight, sxy, srgb in (
        (preset.gaussian, preset.gaussian_sxy, math.inf),
        (preset.bilateral, preset.bilateral_sxy, preset.bilateral_srgb),
    ):
        kernel = np.zeros_like(total)
        for i, p in enumerate(places):
            for j, q in enumerate(places):
                apart = sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
                colour = ((image[p].astype(float) - image[q]) ** 2).sum()
                kernel[i, j] = math.exp(-apart / (2 * sxy**2) - colour / (2 * srgb**2))
        if not self_affinity:
            np.fill_diagonal(kernel, 0)
        root = kernel.sum(axis=1) ** -0.5
        total += weight * root[:, None] * kernel * root
    unary = np.log(np.maximum(scores.flatten(1).numpy().T, 1e-5))
    shares = scores.flatten(1).numpy().T
    for _ in range(preset.iterations):
        votes = unary + total @ shares
        powers = np.exp(votes - votes.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
    return torch.from_numpy(shares.T.reshape(scores.shape))


@pytest.fixture
def exact(monkeypatch):
    """The kernels by the formula in place of the lattice."""
    monkeypatch.setattr(crf, "permutohedral_filter", exact_filter)
    crf._near.cache_clear()
    yield
    crf._near.cache_clear()


@pytest.mark.parametrize("self_affinity", [True, False])
@pytest.mark.parametrize("classes", [2, 5])
def test_is_the_mean_field_of_the_paper(exact, classes, self_affinity):
    image, scores = two_halves(), likely(classes, 6, 6)
    found = dense_crf(image, scores, preset=SMALL, self_affinity=self_affinity)
    expected = field_by_hand(image, scores, SMALL, self_affinity=self_affinity)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # features are float32


@pytest.mark.parametrize("self_affinity", [True, False])
def test_the_lattice_is_near_the_paper(self_affinity):
    """On scores as smooth as a network's; bounds are what has been measured, with some air."""
    image, coarse = two_halves(12, 14), likely(1, 3, 4, 4)
    scores = F.interpolate(coarse, size=(12, 14), mode="bilinear", align_corners=False)[0]
    found = dense_crf(image, scores, preset=SMALL, self_affinity=self_affinity)
    expected = field_by_hand(image, scores, SMALL, self_affinity=self_affinity)
    assert (found - expected).abs().mean() < 0.02
    assert (found.argmax(0) == expected.argmax(0)).double().mean() > 0.97


@pytest.mark.parametrize("self_affinity", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plain_and_the_differentiable_form_agree(dtype, self_affinity):
    images = as_batch(two_halves(7, 9), two_halves(7, 9, seed=1))
    scores = likely(2, 4, 7, 9).to(dtype)
    present = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]]).bool()
    settings = {"preset": SMALL, "classes_present": present, "self_affinity": self_affinity}
    plain = dense_crf(images, scores, **settings)
    smooth = dense_crf(images, scores.requires_grad_(), **settings)
    assert smooth.requires_grad
    torch.testing.assert_close(plain, smooth.detach(), rtol=1e-4, atol=1e-6)
    assert not plain[~present].any()


def test_powers_that_would_overflow_are_not_taken():
    image, scores = two_halves(), likely(3, 6, 6)
    steep = CrfPreset(gaussian=3000.0, bilateral=3000.0, iterations=3)
    found = dense_crf(image, scores.float(), preset=steep)
    torch.testing.assert_close(found.sum(0), torch.ones(6, 6))
    smooth = dense_crf(image, scores.float().requires_grad_(), preset=steep)
    torch.testing.assert_close(found, smooth.detach(), rtol=0, atol=1e-3)


def test_the_kernel_of_place_is_made_once_for_photographs_of_one_size():
    crf._near.cache_clear()
    with torch.inference_mode():
        dense_crf(two_halves(7, 9), likely(2, 7, 9))
    scores = likely(2, 7, 9).requires_grad_()
    dense_crf(two_halves(7, 9, seed=1), scores).square().sum().backward()
    assert crf._near.cache_info()[:2] == (1, 1)
    dense_crf(two_halves(9, 7), likely(2, 9, 7))
    assert crf._near.cache_info()[:2] == (1, 2)


@pytest.mark.parametrize("entry", [dense_crf, dense_crf_logits])
def test_gradient_is_correct(entry):
    image, scores = two_halves(3, 4), likely(3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: entry(image, s, preset=SMALL), (scores,), atol=1e-6)


def test_images_of_a_batch_do_not_see_each_other():
    first, second = two_halves(8, 9), two_halves(8, 9, seed=4)[:, ::-1].copy()
    scores = likely(2, 3, 8, 9)
    together = dense_crf(as_batch(first, second), scores, preset=SMALL)
    for image, some, found in zip((first, second), scores, together, strict=True):
        torch.testing.assert_close(found, dense_crf(image, some, preset=SMALL))


def test_the_edge_of_the_image_becomes_the_edge_of_the_scores():
    """Scores that are right only by and large follow the colours."""
    image = two_halves(20, 30)
    scores = torch.full((2, 20, 30), 0.4)
    scores[0, :, :19] = scores[1, :, 19:] = 0.6  # four columns beyond the edge
    refined = dense_crf(image, scores)
    assert (refined.argmax(0) == (torch.arange(30) >= 15).long()).all()
    assert refined.sum(0).sub(1).abs().max() < 1e-5


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_probabilities(name):
    refined = dense_crf(two_halves(12, 16), likely(4, 12, 16), preset=name)
    torch.testing.assert_close(refined.sum(0), torch.ones(12, 16).double())
    assert refined.min() >= 0


def test_presets_are_as_published():
    numbers = {
        name: (p.gaussian, p.gaussian_sxy, p.bilateral, p.bilateral_sxy, p.bilateral_srgb)
        for name, p in PRESETS.items()
    }
    assert numbers == {
        "psa": (3, 3, 10, 80, 13),
        "sec_train": (3, 0.25, 10, 80 / 12, 13),
        "irn": (3, 3, 10, 50, 5),
        "deeplab": (3, 1, 4, 67, 3),
        "seam_retrain": (3, 3, 10, 32, 13),
    }
    assert [p.iterations for p in PRESETS.values()] == [10, 10, 10, 10, 1]


def test_only_classes_that_are_present_get_a_share():
    image, scores = two_halves(), likely(5, 6, 6)
    present = torch.tensor([True, False, True, False, False])
    found = dense_crf(image, scores, preset=SMALL, classes_present=present)
    torch.testing.assert_close(found[present], dense_crf(image, scores[present], preset=SMALL))
    assert not found[~present].any()


def test_a_single_class_gets_everything():
    found = dense_crf(two_halves(), torch.rand(1, 6, 6))
    assert torch.equal(found, torch.ones(1, 6, 6))
    present = torch.tensor([False, True, False])
    found = dense_crf(two_halves(), torch.rand(3, 6, 6), classes_present=present)
    assert torch.equal(found[1], torch.ones(6, 6))


def test_without_iterations_the_scores_come_back_as_shares():
    scores = likely(3, 6, 6)
    torch.testing.assert_close(dense_crf(two_halves(), 7 * scores, iterations=0), scores)


def test_kernels_without_weight_change_nothing():
    scores = likely(3, 6, 6)
    idle = CrfPreset(gaussian=0.0, bilateral=0.0)
    torch.testing.assert_close(dense_crf(two_halves(), scores, preset=idle), scores)


def test_a_factor_of_a_pixel_changes_nothing():
    image, scores = two_halves(), likely(3, 6, 6)
    factor = torch.rand(6, 6, generator=generator(3), dtype=torch.float64) * 9 + 0.1
    torch.testing.assert_close(
        dense_crf(image, factor * scores, preset=SMALL), dense_crf(image, scores, preset=SMALL)
    )


def test_a_pixel_without_scores_is_filled_by_those_like_it():
    scores = torch.zeros(2, 6, 6)
    scores[0, 0, 0] = scores[1, 0, 5] = 1
    found = dense_crf(two_halves(), scores)
    assert (found[:, :, :3].argmax(0) == 0).all()
    assert (found[:, :, 3:].argmax(0) == 1).all()
    blank = dense_crf(two_halves(), torch.zeros(2, 6, 6))
    torch.testing.assert_close(blank, torch.full_like(blank, 0.5))


def test_logits_are_the_logarithm_of_scores():
    image, scores = two_halves(), likely(3, 6, 6)
    offset = torch.rand(6, 6, generator=generator(3), dtype=torch.float64)
    found = dense_crf_logits(image, scores.log() + offset, preset=SMALL)
    torch.testing.assert_close(found, dense_crf(image, scores, preset=SMALL))


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_labels_have_the_confidence_and_unlabelled_pixels_know_nothing(kind):
    image = two_halves(2, 2)
    labels = [[0, 2], [UNLABELLED, VOID]]
    scores = torch.tensor([[[0.7, 0.15], [1, 1]], [[0.15, 0.15], [1, 1]], [[0.15, 0.7], [1, 1]]])
    found = dense_crf_labels(image, kind(labels), 3, preset=SMALL)
    torch.testing.assert_close(found, dense_crf(image, scores, preset=SMALL))


def test_labels_of_a_batch():
    labels = torch.tensor([[[0, 1], [1, 1]], [[1, 1], [0, 1]]])
    images = as_batch(two_halves(2, 2), two_halves(2, 2, seed=1))
    together = dense_crf_labels(images, labels, 2, confidence=1.0)
    alone = dense_crf_labels(two_halves(2, 2, seed=1), labels[1], 2, confidence=1.0)
    torch.testing.assert_close(together[1], alone)


def test_coarse_scores_are_enlarged():
    image, scores = two_halves(8, 12), likely(3, 2, 3)
    full = F.interpolate(scores[None], size=(8, 12), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(
        dense_crf(image, scores, preset=SMALL), dense_crf(image, full, preset=SMALL)
    )


def test_constant_images_and_single_pixels():
    flat = np.full((5, 6, 3), 128, np.uint8)
    found = dense_crf(flat, likely(3, 5, 6))
    torch.testing.assert_close(found.sum(0), torch.ones(5, 6).double())
    one = dense_crf(flat[:1, :1], torch.tensor([[[0.6]], [[0.4]]]))
    assert one[0] > 0.6
    paper = dense_crf(flat[:1, :1], torch.tensor([[[0.6]], [[0.4]]]), self_affinity=False)
    torch.testing.assert_close(paper, torch.tensor([[[0.6]], [[0.4]]]))


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_long_strips(size):
    scores = torch.rand(2, *size, generator=generator(0))
    image = np.zeros((*size, 3), np.uint8)
    found = dense_crf(image, scores, iterations=2)
    torch.testing.assert_close(found.sum(0), torch.ones(size))


def test_inputs_stay_as_they_are():
    image, scores = two_halves(), likely(3, 6, 6)
    before = image.copy(), scores.clone()
    dense_crf(image, scores)
    assert (image == before[0]).all()
    assert torch.equal(scores, before[1])


@pytest.mark.parametrize(
    "image",
    [
        two_halves().astype(np.float32),
        two_halves() / 255,
        two_halves().astype(np.float32) - 110,  # mean-subtracted
        two_halves()[..., 0],
        two_halves()[..., :2],
        as_batch(two_halves()).float(),
        torch.zeros(3, 6, 6, dtype=torch.uint8),
        np.zeros((0, 6, 3), np.uint8),
    ],
)
def test_only_raw_colours_are_taken(image):
    with pytest.raises(ConfigError, match="image: must be raw uint8 RGB"):
        dense_crf(image, likely(2, 6, 6))


def test_a_batch_has_as_many_images_as_scores():
    with pytest.raises(ConfigError, match="image: must be raw uint8 RGB"):
        dense_crf(as_batch(two_halves()), likely(2, 3, 6, 6))


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_scores_that_cannot_be_are_refused(value):
    scores = likely(2, 6, 6)
    scores[1, 2, 3] = value
    with pytest.raises(ConfigError, match="scores: must be finite and 0 or more"):
        dense_crf(two_halves(), scores)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ConfigError, match="logits: must be finite"):
        dense_crf_logits(two_halves(), torch.full((2, 6, 6), math.nan))


@pytest.mark.parametrize("shape", [(2, 7, 6), (2, 6, 7), (0, 6, 6), (2, 0, 6)])
def test_scores_larger_than_the_image_or_none_are_refused(shape):
    with pytest.raises(ConfigError, match="are none or larger than the image, 6 x 6"):
        dense_crf(two_halves(), torch.rand(shape))


def test_no_class_is_no_answer():
    with pytest.raises(ConfigError, match="classes_present"):
        dense_crf(two_halves(), likely(2, 6, 6), classes_present=torch.zeros(2).bool())
    with pytest.raises(ConfigError, match="classes_present"):
        dense_crf(two_halves(), likely(2, 6, 6), classes_present=torch.ones(3).bool())


def test_labels_that_are_no_class_are_refused():
    with pytest.raises(ConfigError, match="class 2, but there are 2 classes"):
        dense_crf_labels(two_halves(2, 2), np.array([[0, 2], [0, 1]]), 2)


@pytest.mark.parametrize("confidence", [0.0, 1.5, math.nan])
def test_a_confidence_is_a_probability(confidence):
    with pytest.raises(ConfigError, match="confidence: must be above 0"):
        dense_crf_labels(two_halves(2, 2), np.zeros((2, 2), int), 2, confidence=confidence)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'deeplab'"):
        find_preset("deplab")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"gaussian": -1.0}, "gaussian must be finite and 0 or more"),
        ({"bilateral": math.inf}, "bilateral must be finite and 0 or more"),
        ({"bilateral_srgb": 0.0}, "bilateral_srgb must be finite and above 0"),
        ({"iterations": -1}, "iterations must be 0 or more"),
    ],
)
def test_numbers_that_cannot_work_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        CrfPreset(**numbers)


def test_is_found_where_it_is_looked_for():
    assert hintseg.dense_crf is dense_crf is hintseg.refine.dense_crf is crf.dense_crf
