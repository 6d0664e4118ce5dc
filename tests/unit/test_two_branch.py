"""The network of two branches: sizes, iterations, what its logits mean."""

import pytest
import torch

from hintseg.errors import ConfigError
from hintseg.models import Backbone
from hintseg.models.saved import ModelDescription, build_model, load_model, save_model
from hintseg.models.two_branch import TwoBranch
from hintseg.structures import ClassSet

TWO = ClassSet(("rest", "horse"), 0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TwoBranch(Backbone("test_efficientnet"), TWO, dim=8).eval()


def images(height, width):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (5, 9), (1, 1)])
def test_maps_are_at_stride_four_at_any_size(network, size):
    cells = (-(-size[0] // 4), -(-size[1] // 4))
    rounds = network.rounds(images(*size))
    assert len(rounds) == 2
    for found in rounds:
        assert all(logits.shape == (2, *cells) for logits in found)
    assert network(images(*size)).shape == (2, 2, *cells)


def test_the_probability_of_an_object_is_the_sigmoid_of_its_logit(network):
    found = network.rounds(images(40, 40))[-1].object
    scores = network(images(40, 40)).softmax(dim=1)
    assert torch.allclose(scores[:, 1], found.sigmoid(), atol=1e-6)


def test_the_background_may_be_the_second_class(network):
    other = TwoBranch(Backbone("test_efficientnet"), ClassSet(("horse", "rest"), 1), dim=8).eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(images(40, 40)), network(images(40, 40)).flip(1))


def test_iterations_share_decoders_and_differ_by_feedback(network):
    first, second = network.rounds(images(64, 64))
    assert not torch.allclose(first.object, second.object)
    once = TwoBranch(Backbone("test_efficientnet"), TWO, dim=8, iterations=1).eval()
    once.load_state_dict(network.state_dict(), strict=False)
    assert torch.equal(once.rounds(images(64, 64))[0].object, first.object)
    assert not any(name.startswith("encoder") for name in once.state_dict())


def test_every_weight_learns(network):
    model = TwoBranch(Backbone("test_efficientnet"), TWO, dim=8)
    sum(m.square().mean() for found in model.rounds(images(64, 64)) for m in found).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_any_output_stride_will_do(stride):
    model = TwoBranch(Backbone("test_efficientnet", output_stride=stride), TWO, dim=8).eval()
    assert model(images(64, 48)).shape == (2, 2, 16, 12)


@pytest.mark.parametrize("classes", [ClassSet(("a", "b")), ClassSet(("a", "b", "c"), 0)])
def test_other_classes_than_objects_and_a_background_are_refused(classes):
    with pytest.raises(ConfigError, match="a background and an object are needed, got a, b"):
        TwoBranch(Backbone("test_efficientnet"), classes)


def test_it_is_read_as_it_was_written(network, tmp_path):
    description = ModelDescription(
        TWO.names,
        0,
        backbone="test_efficientnet",
        dim=8,
        kind="two-branch",
        extra={"iterations": 2},
    )
    save_model(tmp_path, network, description)
    again, known = load_model(tmp_path)
    assert known == description
    assert torch.equal(again(images(32, 32)), network(images(32, 32)))
    assert isinstance(build_model(description), TwoBranch)
