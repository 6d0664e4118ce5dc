"""Dilated depthwise convolutions: the same layer as torch's, with gradients of our own."""

import copy

import pytest
import torch
from torch import Tensor, nn

from hintseg.models.backbone import Backbone
from hintseg.models.depthwise import DilatedDepthwise, with_fast_gradients


def conv(kernel: int | tuple[int, int] = 5, dilation: int | tuple[int, int] = 2) -> nn.Conv2d:
    kernels, dilations = (
        (value, value) if isinstance(value, int) else value for value in (kernel, dilation)
    )
    padding = (dilations[0] * (kernels[0] // 2), dilations[1] * (kernels[1] // 2))
    return nn.Conv2d(6, 6, kernels, padding=padding, dilation=dilations, groups=6).double()


def gradients(layer: nn.Conv2d, image: Tensor) -> list[Tensor]:
    image = image.clone().requires_grad_()
    output = layer(image)
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view_as(output)
    assert layer.bias is not None
    parts = (image, layer.weight, layer.bias)
    return [output, *torch.autograd.grad((output * weights).sum(), parts)]


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 8), (9, 9), (12, 5), (20, 17)])
@pytest.mark.parametrize(("kernel", "dilation"), [(5, 2), (3, 4), ((3, 5), (1, 2)), (1, 2)])
def test_output_and_gradients_are_those_of_torch(
    size: tuple[int, int], kernel: int | tuple[int, int], dilation: int | tuple[int, int]
) -> None:
    plain = conv(kernel, dilation)
    image = torch.randn(3, 6, *size, dtype=torch.float64)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = image.contiguous(memory_format=layout)
        ours = gradients(DilatedDepthwise.like(plain).train(), given)
        for one, other in zip(ours, gradients(plain, given), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("side", [4, 10])  # the filter reaches beyond the map, or not
def test_gradcheck(side: int) -> None:
    layer = DilatedDepthwise.like(conv()).train()
    image = torch.randn(1, 6, side, side, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (image,))


def test_a_gradient_of_a_gradient_is_refused_and_not_wrong() -> None:
    layer = DilatedDepthwise.like(conv()).train()
    image = torch.randn(1, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(layer(image).square().sum(), image, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(6, 6, 5, padding=4, dilation=2),  # not depthwise
        nn.Conv2d(6, 6, 5, padding=2, groups=6),  # not dilated
        nn.Conv2d(6, 6, 5, padding=4, dilation=2, groups=6, stride=2),
        nn.Conv2d(6, 6, 5, padding=0, dilation=2, groups=6),
        nn.Conv2d(6, 6, 4, padding=4, dilation=2, groups=6),
        nn.Conv2d(6, 12, 5, padding=4, dilation=2, groups=6),
        nn.Conv2d(6, 6, 5, padding=4, dilation=2, groups=6, padding_mode="reflect"),
    ],
)
def test_other_layers_stay(other: nn.Conv2d) -> None:
    network = nn.Sequential(other)
    with_fast_gradients(network)
    assert network[0] is other


def test_a_backbone_has_the_weights_and_gradients_of_its_plain_twin() -> None:
    ours = Backbone("mobilenetv3_small_100").double().train()
    plain = copy.deepcopy(ours)
    swapped = [layer for layer in plain.modules() if isinstance(layer, DilatedDepthwise)]
    assert swapped
    for layer in swapped:
        layer.__class__ = nn.Conv2d  # type: ignore[assignment]
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64) * 255
    for network in (ours, plain):
        torch.stack([feature.square().mean() for feature in network(image)]).sum().backward()
    twins = dict(plain.named_parameters())
    assert twins.keys() == dict(ours.named_parameters()).keys()
    for name, weight in ours.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
        torch.testing.assert_close(weight.grad, twins[name].grad)
