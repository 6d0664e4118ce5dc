"""RCA: the memory of regions, their contrast, and the classifier that looks them up."""

import math

import pytest
import torch
import torch.nn.functional as F

from hintseg.losses.region_contrast import mixed_contrast_loss, region_contrast_loss
from hintseg.methods.localise.regional import WARM_UP, RegionLearner
from hintseg.methods.localise.settings import RegionMemorySettings
from hintseg.models.backbone import Backbone
from hintseg.models.regional_classifier import RegionalClassifier, class_regions, region_means
from hintseg.segments.class_memory import ClassMemory
from hintseg.structures import UNLABELLED, Batch, ClassSet

CLASSES = ClassSet(("ground", "a", "b"), background=0)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(region, label, memory, classes, temperature):
    e = region / region.norm()
    terms = []
    rest = sum(
        math.exp(float(e @ m / m.norm()) / temperature)
        for m, c in zip(memory, classes, strict=True)
        if c != label
    )
    for m, c in zip(memory, classes, strict=True):
        if c == label:
            own = math.exp(float(e @ m / m.norm()) / temperature)
            terms.append(-math.log(own / (own + rest)))
    return sum(terms) / max(1, len(terms))


def test_the_contrast_is_the_formula():
    regions, memory = noise(4, 3), noise(7, 3, seed=1)
    labels, classes = torch.tensor([0, 1, 2, 5]), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    found = region_contrast_loss(regions, labels, memory, classes, temperature=0.5)
    expected = [
        by_hand(r, c, memory, classes.tolist(), 0.5)
        for r, c in zip(regions, labels.tolist(), strict=True)
    ]
    assert found.tolist() == pytest.approx(expected)
    assert found[3] == 0  # nobody remembers its class


def test_easy_regions_keep_a_gradient_and_nothing_overflows():
    regions = noise(2, 3).requires_grad_()
    memory, classes = torch.cat([regions.detach(), -regions.detach()]), torch.tensor([0, 1, 1, 0])
    labels = torch.tensor([0, 1])
    assert torch.autograd.gradcheck(
        lambda r: region_contrast_loss(r, labels, memory, classes, temperature=0.3), regions
    )
    sharp = region_contrast_loss(regions, labels, memory, classes, temperature=1e-4)
    assert sharp.isfinite().all()


def test_without_regions_or_memory_the_loss_is_zero_with_gradient():
    regions = noise(3, 2).requires_grad_()
    nobody, none = torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    partner, share = torch.tensor([1, 2, 0]), torch.ones(3, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1])
    loss = mixed_contrast_loss(regions, labels, partner, share, nobody, none)
    loss.backward()
    assert loss.item() == 0
    assert not regions.grad.any()
    assert mixed_contrast_loss(nobody, none, none, share[:0], regions.detach(), labels) == 0


def test_the_first_write_replaces_and_later_ones_blend():
    memory = ClassMemory(2, 2, 3, momentum=0.75)
    first = torch.arange(9.0).reshape(3, 3)
    memory.write(first, torch.tensor([1, 1, 1]))  # the third falls on the first slot again
    vectors, labels = memory.filled()
    assert labels.tolist() == [1, 1]
    torch.testing.assert_close(vectors, torch.stack([0.75 * first[0] + 0.25 * first[2], first[1]]))


def test_a_memory_comes_back_from_a_checkpoint():
    memory, other = (ClassMemory(2, 3, 2, momentum=0.5) for _ in range(2))
    memory.write(torch.rand(4, 2), torch.tensor([0, 1, 0, 0]))
    other.restore(memory.state())
    for one in (memory, other):
        one.write(torch.ones(2, 2), torch.tensor([0, 1]))
    assert all(torch.equal(a, b) for a, b in zip(memory.filled(), other.filled(), strict=True))


def test_two_classes_of_an_image_have_independent_regions():
    coarse = torch.zeros(1, 2, 2, 2)
    coarse[0, 0, 0, 0] = coarse[0, 1, 1, 1] = 3
    regions = class_regions(coarse)
    embeddings = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert region_means(embeddings, regions)[0, :, 0].tolist() == [0, 3]
    assert region_means(embeddings, torch.zeros_like(regions))[0, :, 0].tolist() == [0, 0]


def classifier(**options):
    torch.manual_seed(0)
    return RegionalClassifier(
        Backbone("test_efficientnet"), CLASSES, centroids=2, dropout=0.0, **options
    ).eval()


@pytest.mark.parametrize("attention", ["softmax", "released"])
def test_centroids_change_the_fine_maps_only_once_there_are_any(attention):
    model, images = classifier(attention=attention), torch.full((1, 3, 40, 33), 90.0)
    with torch.no_grad():
        coarse, fine, embeddings = model.looks(images)
        rows, columns = -(-40 // model.stride), -(-33 // model.stride)
        assert coarse.shape == fine.shape == (1, 2, rows, columns)
        assert embeddings.shape[1] == model.dim
        assert not model.context(embeddings).any()
        known = torch.tensor([[True, False], [True, True]])
        model.remember(torch.rand(2, 2, model.dim), known)
        again = model.looks(images)
    assert torch.equal(coarse, again[0])
    assert not torch.equal(fine, again[1])


def test_what_is_not_known_of_a_class_counts_for_nothing():
    model, features = classifier(), torch.rand(1, 2, 3, 3)
    features = torch.rand(1, model.dim, 2, 2)
    centroids, known = torch.rand(2, 2, model.dim), torch.tensor([[True, False], [False, False]])
    with torch.no_grad():
        model.remember(centroids, known)
        before = model.context(features)
        centroids[1] = 100
        model.remember(centroids, known)
        assert torch.equal(before, model.context(features))


def batch():
    draws = torch.Generator().manual_seed(1)
    return Batch(
        names=("one", "two"),
        images=torch.randint(256, (2, 3, 64, 64), generator=draws, dtype=torch.uint8),
        labels=torch.full((2, 64, 64), UNLABELLED),
        tags=torch.tensor([[False, True, False], [False, False, False]]),
        absent=torch.tensor([[False, False, True], [False, True, True]]),
    )


def test_the_contrast_waits_and_the_memory_needs_confidence():
    model = classifier()
    unsure = RegionLearner(model, RegionMemorySettings(centroids=2, sure=1.0), epoch=2)
    for step in range(2 * WARM_UP + 1):
        losses = unsure.losses(batch(), step)
    assert not len(unsure.regions.filled()[0])  # a class that never passes
    assert losses["contrast"] == 0
    sure = RegionLearner(model, RegionMemorySettings(centroids=2, sure=0.0, slots=3), epoch=2)
    for step in range(2 * WARM_UP + 1):
        losses = sure.losses(batch(), step)
        if step < 2 * WARM_UP:
            assert losses["contrast"] == 0
    assert sure.regions.filled()[1].tolist() == [0, 0, 0]
    assert bool(model.known.any())
    total = F.softplus(torch.stack(list(losses.values())).sum())
    total.backward()
    assert model.fine[0].weight.grad.any()


def test_images_without_tags_are_no_trouble():
    nobody = batch()
    nobody.tags[:] = False
    learner = RegionLearner(classifier(), RegionMemorySettings(centroids=2, sure=0.0), epoch=1)
    losses = [learner.losses(nobody, step) for step in range(3)][-1]
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["contrast"] == 0
