"""RCA: where the released code goes wrong (docs/methods.md), and each part switched off."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_regional import batch as two_images
from test_regional import classifier

from hintseg.losses.region_contrast import mixed_contrast_loss
from hintseg.methods.config import make_config
from hintseg.methods.localise.classifier import ClassifierLocaliser
from hintseg.methods.localise.regional import (
    WARM_UP,
    EarlierMoment,
    RegionalLocaliser,
    RegionLearner,
    _of_all_ranks,
)
from hintseg.methods.localise.settings import LocaliseSettings, RegionMemorySettings
from hintseg.models.regional_classifier import (
    RELEASED_SCALE,
    class_regions,
    region_means,
)
from hintseg.structures import UNLABELLED, Sample, ScoreMaps, WeakLabels


def batch():
    """Two images, the first with both classes."""
    return replace(
        two_images(),
        tags=torch.tensor([[False, True, True], [False, True, False]]),
        absent=torch.tensor([[False, False, False], [False, False, True]]),
    )


def learner(**own):
    settings = RegionMemorySettings(**{"centroids": 2, "sure": 0.0, "slots": 4, **own})
    return RegionLearner(classifier(), settings, epoch=1)


def trained(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def test_what_is_remembered_lies_in_the_space_of_what_is_compared():
    """Released: queries were projected, the memory was not (Q4)."""
    one = learner()
    one.losses(batch(), 0)
    with torch.no_grad():
        coarse, _, embeddings = one.model.looks(batch().images)
        means = region_means(embeddings, class_regions(coarse))
    known, labels = one.regions.filled()
    assert labels.tolist() == [0, 0, 1]  # image by image: a, b of the first, a of the second
    torch.testing.assert_close(known, torch.stack([means[0, 0], means[1, 0], means[0, 1]]))


def test_the_second_class_of_an_image_has_its_own_region():
    """Released: it was the intersection with the region of the first (Q2)."""
    embeddings = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    regions = torch.tensor([[[[True, False, False]], [[False, True, True]]]])
    assert region_means(embeddings, regions)[0, :, 0].tolist() == [1.0, 3.0]


def test_attention_is_a_scaled_softmax_or_as_released():
    features = torch.rand(1, classifier().dim, 2, 2, generator=torch.Generator().manual_seed(2))
    for attention in ("softmax", "released"):
        model = classifier(attention=attention)
        centroids = torch.rand(2, 2, model.dim, generator=torch.Generator().manual_seed(3))
        model.remember(centroids, torch.ones(2, 2, dtype=torch.bool))
        with torch.no_grad():
            found = model.context(features)[0, :, 1, 0]
            q = model.query(features)[0, :, 1, 0]
            k, v = model.key(centroids.flatten(0, 1)), model.value(centroids.flatten(0, 1))
            like = k @ q
            weights = (like / model.dim**0.5).softmax(0)
            expected = (weights if attention == "softmax" else RELEASED_SCALE * like) @ v
        torch.testing.assert_close(found, expected)


def test_twice_the_images_do_not_weigh_twice():
    """Released: the contrast was summed over the images of a device (Q6)."""
    draws = torch.Generator().manual_seed(0)
    regions, memory = torch.randn(3, 4, generator=draws), torch.randn(6, 4, generator=draws)
    labels, classes = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1, 1, 2, 2])
    partner, share = torch.arange(3), torch.ones(3)
    one = mixed_contrast_loss(regions, labels, partner, share, memory, classes)
    twice = [torch.cat([x, x]) for x in (regions, labels, partner, share)]
    torch.testing.assert_close(mixed_contrast_loss(*twice, memory, classes), one)


def test_the_towers_of_the_classes_do_not_see_each_other():
    """One grouped convolution: a tower in the place of many (Q11)."""
    model = classifier()
    shared = model.fine[0](torch.rand(1, model.dim, 3, 3)).detach().requires_grad_()
    model.fine[1:](shared)[:, 1].sum().backward()
    first, second = shared.grad.split(shared.shape[1] // 2, dim=1)
    assert not first.any()
    assert second.any()


def test_what_passes_the_new_layers_keeps_its_size():
    """The start that torch gives makes it 15 times smaller; short trainings learn no class."""
    torch.manual_seed(0)
    model = classifier()
    seen = torch.randn(4, model.dim, 12, 12).relu()
    for layers in (model.coarse, model.fine):
        passed = layers[:-1](seen)
        assert 0.5 < (passed.square().mean() / seen.square().mean()).sqrt() < 2


def test_class_numbers_survive_half_precision():
    regions, labels = torch.ones(2, 3, dtype=torch.bfloat16), torch.tensor([257, 1023])
    assert _of_all_ranks(regions, labels)[1].tolist() == [257, 1023]


# Switches


def losses_of(one, steps=WARM_UP + 2):
    return [one.losses(batch(), step) for step in range(steps)][-1]


def test_without_memory_regions_are_compared_within_the_batch():
    one = learner(slots=0)
    losses = losses_of(one)
    assert not len(one.regions.filled()[0])
    assert not one.model.known.any()
    assert losses["contrast"] > 0
    losses["contrast"].backward()
    assert any(name.startswith("embed.") for name in trained(one.model))


def test_without_aggregation_nothing_is_looked_up():
    one = learner(centroids=0)
    losses = losses_of(one)
    assert len(one.regions.filled()[0])
    assert not one.model.known.any()
    assert losses["contrast"] > 0
    torch.stack(list(losses.values())).sum().backward()
    assert not any(name.startswith(("key.", "query.", "value.")) for name in trained(one.model))


def test_without_contrast_the_memory_still_gives_centroids():
    one = learner(contrast=0.0)
    losses = losses_of(one)
    assert set(losses) == {"fine", "coarse"}
    assert one.model.known.any()
    torch.stack(list(losses.values())).sum().backward()
    assert any(name.startswith("query.") for name in trained(one.model))


@pytest.mark.parametrize("own", [{}, {"slots": 0}, {"centroids": 0}, {"contrast": 0.0}])
def test_every_weight_gets_a_gradient_in_every_step(own):
    """Processes that train together wait for all of them; a zero is enough."""
    one = learner(**own)
    for step in range(WARM_UP + 2):
        one.model.zero_grad(set_to_none=True)
        torch.stack(list(one.losses(batch(), step).values())).sum().backward()
        idle = [n for n, p in one.model.named_parameters() if p.grad is None]
        assert not [name for name in idle if not name.startswith("backbone.")], step


# Maps of several moments


class Sure(EarlierMoment):
    """A moment whose raw maps are given."""

    def __init__(self, settings, raw):
        super().__init__(settings)
        self.model = lambda view: raw


def test_a_map_of_a_class_that_is_hardly_believed_in_is_left_out():
    raw = torch.tensor([[[[3.0, 1.0]], [[-9.0, 1.0]]]])  # mean scores 2 and -4: 0.88 and 0.02
    known = torch.ones(2, dtype=torch.bool)
    for least, kept in ((0.1, [True, False]), (0.0, [True, True]), (0.95, [False, False])):
        settings = LocaliseSettings(regional={"least": least})
        found = Sure(settings, raw).raw(torch.zeros(1, 3, 4, 8), known)
        assert found.flatten(2).any(dim=2)[0].tolist() == kept


def test_the_highest_map_of_all_moments_stands(monkeypatch):
    def given(*values):
        return lambda _self, _sample: ScoreMaps(torch.tensor([[values]]), torch.tensor([1]))

    monkeypatch.setattr(ClassifierLocaliser, "maps", given(0.8, 0.2, 0.3))
    found = RegionalLocaliser(LocaliseSettings())
    for values in ((0.1, 0.9, 0.3), (0.2, 0.1, 0.3)):
        kind = type("Given", (EarlierMoment,), {"maps": given(*values)})
        found.earlier.append(kind(LocaliseSettings()))
    nothing = np.full((1, 3), UNLABELLED, np.int16)
    weak = WeakLabels(nothing, np.ones(3, bool), np.zeros(3, bool), np.zeros((0, 5)))
    seen = found.maps(Sample("one", np.zeros((1, 3, 3), np.uint8), weak))
    assert seen.maps.round(decimals=1).tolist() == torch.tensor([[[0.8, 0.9, 0.3]]]).tolist()


# Presets


def test_presets_have_the_published_numbers():
    intended = make_config("rca", "data", preset="voc-tag")
    released = make_config("rca", "data", preset="voc-tag-as-released")
    own, as_released = intended.own.localise, released.own.localise
    memory = own.regional
    assert (memory.slots, memory.momentum, memory.sure, memory.centroids) == (500, 0.99, 0.7, 10)
    assert (memory.contrast, memory.coarse, memory.least) == (0.01, 0.4, 0.1)
    assert len(memory.moments) == 28  # with the end, all epochs but the first
    assert (own.exponent, own.crf, own.rule) == (4.0, "psa", "fusion")
    assert own.steps * intended.train.batch == pytest.approx(30 * 10_582, rel=0.01)
    assert intended.train.momentum == released.train.momentum == 0.9
    assert intended.train.nesterov
    assert (memory.attention, as_released.regional.attention) == ("softmax", "released")


def test_presets_of_ldf_have_the_published_numbers():
    found = make_config("ldf", "data", preset="duts")
    train, own = found.train, found.own
    assert (train.batch, train.crop, train.momentum, train.nesterov) == (32, 352, 0.9, True)
    assert (train.lr, train.pretrained_factor, train.weight_decay) == (0.05, 0.1, 5e-4)
    assert train.steps * 32 == pytest.approx(48 * 10_553, rel=0.01)
    assert own.fine_steps * 32 == pytest.approx(40 * 10_553, rel=0.01)
    assert [round(352 * size) for size in own.sizes] == [224, 256, 288, 320, 352]
    assert (own.gamma, own.iterations, own.schedule) == (0.5, 2, "triangular")
    assert make_config("ldf", "data", preset="duts-as-published").own.gamma == 1.0
    assert make_config("ldf", "data", preset="duts-as-released").own.released
