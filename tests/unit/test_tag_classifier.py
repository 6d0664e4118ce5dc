"""Raw maps whose mean is the score of a tag."""

import pytest
import torch

from hintseg.models.backbone import Backbone
from hintseg.models.tag_classifier import TagClassifier, _median, tag_scores
from hintseg.structures import ClassSet


@pytest.fixture(scope="module")
def classifier():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TagClassifier(Backbone(), ClassSet(("cow", "ground", "sky"), background=1))
    return model.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255


def test_the_background_has_no_map(classifier, images):
    assert classifier.foreground == (0, 2)
    assert classifier(images).shape == (2, 2, 4, 6)


def test_the_mean_of_a_map_is_the_linear_score_of_the_mean_feature(classifier, images):
    features = classifier.backbone(images)[-1].mean(dim=(2, 3))
    expected = features @ classifier.classify.weight.flatten(1).T
    assert torch.allclose(tag_scores(classifier(images)), expected, atol=1e-5)


def test_no_bias_lifts_a_whole_map(classifier):
    assert classifier.classify.bias is None


@pytest.mark.parametrize(
    ("size", "cells"), [((33, 50), (3, 4)), ((1, 1), (1, 1)), ((64, 31), (4, 2))]
)
def test_any_size_gives_cells_that_touch_the_image(classifier, size, cells):
    assert classifier(torch.zeros(1, 3, *size, dtype=torch.uint8)).shape[-2:] == cells


def test_padding_is_the_neutral_colour_and_does_not_count(classifier, images):
    cut = images[..., :48, :80]
    whole = images.clone()
    whole[:] = classifier.backbone.mean
    whole[..., :48, :80] = cut
    expected = classifier(whole)[..., :3, :5]
    assert torch.allclose(classifier(cut), expected, atol=1e-5)
    assert torch.allclose(tag_scores(classifier(cut)), expected.mean(dim=(2, 3)), atol=1e-5)


def test_dropout_is_for_training_only(classifier, images):
    assert torch.equal(classifier(images), classifier(images))
    classifier.train()
    try:
        assert not torch.equal(classifier(images), classifier(images))
    finally:
        classifier.eval()


def test_every_weight_learns(classifier, images):
    tag_scores(classifier(images)).square().sum().backward()
    gradients = [p.grad for p in classifier.parameters() if p.requires_grad]
    classifier.zero_grad(set_to_none=True)
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_saliency_is_the_gradient_of_the_scores_at_the_fine_features(classifier, images):
    """A small step along the features at stride 8 changes the score as the gradient says."""
    chosen = torch.tensor([True, False])
    found = classifier.saliency(images, chosen)
    assert found.shape == (2, 8, 12)
    assert (found >= 0).all()
    assert found.std() > 0
    both = classifier.saliency(images, torch.tensor([True, True]))
    assert not torch.allclose(found, both)
    assert (classifier.saliency(images, torch.tensor([False, False])) == 0).all()


def test_saliency_has_a_cell_for_every_8_pixels_of_an_image_of_any_size(classifier):
    odd = torch.rand(1, 3, 33, 50) * 255
    assert classifier.saliency(odd, torch.tensor([True, True])).shape == (1, 5, 7)


def test_saliency_leaves_no_gradient_behind_and_works_with_frozen_stages(images):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TagClassifier(Backbone(), ClassSet(("cow", "sky"))).eval()
    free = model.saliency(images, torch.tensor([True, True]))
    model.requires_grad_(False)
    assert torch.allclose(model.saliency(images, torch.tensor([True, True])), free)
    assert all(p.grad is None for p in model.parameters())
    assert not images.requires_grad


def test_a_single_peak_of_saliency_is_not_seen():
    maps = torch.zeros(1, 5, 5)
    maps[0, 2, 2] = 9.0
    assert (_median(maps) == 0).all()
    maps[0, :3] = 4.0
    assert (_median(maps)[0, :2] == 4).all()
