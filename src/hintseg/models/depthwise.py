"""Dilated depthwise convolutions whose gradients are quick on a CPU as well."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Pair = tuple[int, int]
Context = Any  # what autograd hands to a function has no public type


class DilatedDepthwise(nn.Conv2d):
    """`nn.Conv2d` with one filter per channel, stride 1, an odd kernel and as much padding.

    It gives what `nn.Conv2d` gives, up to rounding, with maps of the size of the input; the caller
    chooses a padding that keeps it. In training on a CPU its gradients come from `_Gradients`;
    everywhere else it is `nn.Conv2d`.
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> "DilatedDepthwise":
        """The same layer with the very weights of `conv`, for which `replaces` is true."""
        made = cls(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            padding=_same(conv.kernel_size, conv.dilation),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        made.weight, made.bias = conv.weight, conv.bias
        return made.train(conv.training)

    @staticmethod
    def replaces(conv: nn.Module) -> bool:
        """Whether a layer is a plain convolution of the kind that this class does."""
        return (
            type(conv) is nn.Conv2d
            and conv.groups == conv.in_channels == conv.out_channels > 1
            and conv.stride == (1, 1)
            and max(conv.dilation) > 1
            and all(side % 2 for side in conv.kernel_size)
            and conv.padding == _same(conv.kernel_size, conv.dilation)
            and conv.padding_mode == "zeros"
        )

    def forward(
        self, input: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The filtered maps."""
        plain = not (self.training and torch.is_grad_enabled() and input.device.type == "cpu")
        if plain or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        output: Tensor = _Gradients.apply(input, self.weight, self.dilation)
        return output if self.bias is None else output + self.bias[:, None, None]


def with_fast_gradients(network: nn.Module) -> None:
    """Puts `DilatedDepthwise` where it replaces a layer of a network; the weights stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if DilatedDepthwise.replaces(child):
                assert isinstance(child, nn.Conv2d)  # by replaces, for the checker of types
                setattr(parent, name, DilatedDepthwise.like(child))


class _Gradients(torch.autograd.Function):
    """The gradient of the input is a convolution with the mirrored filter.

    torch has a fast dilated depthwise convolution on a CPU, but neither of its gradients is fast:
    the gradient of the input takes 3 to 28 times the convolution that says the same, and that of
    the filter two to five times a sum of shifted products where the filter reaches beyond the map
    (torch 2.14, one core; what a whole step gains: benchmarks/depthwise.py).
    """

    @staticmethod
    def forward(ctx: Context, input: Tensor, weight: Tensor, dilation: Pair) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.dilation = dilation
        return _convolved(input, weight, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        input, weight = ctx.saved_tensors
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            of_input = _convolved(gradient, weight.flip(-1, -2), ctx.dilation)
        if ctx.needs_input_grad[1]:
            of_weight = _gradient_of_filter(input, weight, gradient, ctx.dilation)
        return of_input, of_weight, None


def _gradient_of_filter(input: Tensor, weight: Tensor, gradient: Tensor, dilation: Pair) -> Tensor:
    kernel = (weight.shape[-2], weight.shape[-1])
    if all(
        side > (taps - 1) * step
        for side, taps, step in zip(input.shape[-2:], kernel, dilation, strict=True)
    ):
        gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            gradient,
            input,
            weight,
            bias_sizes=None,
            stride=(1, 1),
            padding=_same(kernel, dilation),
            dilation=dilation,
            transposed=False,
            output_padding=(0, 0),
            groups=weight.shape[0],
            output_mask=(False, True, False),
        )
        return gradients[1]
    return _sums_of_products(input, gradient, kernel, dilation)


def _sums_of_products(input: Tensor, gradient: Tensor, kernel: Pair, dilation: Pair) -> Tensor:
    """For every tap the sum of the gradient times the input that the tap saw."""
    seen, wanted = (
        t.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        for t in (input, gradient)
    )
    rows, columns = (
        [_overlap(side, (tap - taps // 2) * step) for tap in range(taps)]
        for side, taps, step in zip(input.shape[-2:], kernel, dilation, strict=True)
    )
    sums = [
        (seen[:, of_row, of_column] * wanted[:, row, column]).sum((0, 1, 2))
        for of_row, row in rows
        for of_column, column in columns
    ]
    return torch.stack(sums, 1).view(-1, 1, *kernel)


def _overlap(side: int, shift: int) -> tuple[slice, slice]:
    """The part of a line that a shift leaves on it: where it is read, where it is written."""
    length = max(side - abs(shift), 0)
    read, written = max(shift, 0), max(-shift, 0)
    return slice(read, read + length), slice(written, written + length)


def _convolved(input: Tensor, weight: Tensor, dilation: Pair) -> Tensor:
    padding = _same((weight.shape[-2], weight.shape[-1]), dilation)
    return F.conv2d(input, weight, padding=padding, dilation=dilation, groups=weight.shape[0])


def _same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Pair:
    """Zeros on each side that keep the size of a map."""
    return dilation[0] * (kernel[0] // 2), dilation[1] * (kernel[1] // 2)
