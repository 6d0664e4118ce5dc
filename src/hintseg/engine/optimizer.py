"""Parameter groups, optimisers and the learning-rate schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from hintseg.errors import ConfigError

OptimizerName = Literal["adamw", "sgd"]
Schedule = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates: `base` for new weights; pretrained ones and biases by a factor of it.

    Weight decay is for weights (matrices and kernels) alone, never for biases and norms.
    """

    base: float
    pretrained_factor: float = 1.0
    bias_factor: float = 1.0
    weight_decay: float = 0.0


def make_optimizer(
    name: OptimizerName,
    model: nn.Module,
    pretrained: nn.Module,
    rates: Rates,
    *,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> Optimizer:
    """AdamW (beta_1 = momentum) or SGD over the four groups {pretrained, new} x {weight, bias}.

    Nesterov's form of the momentum is for SGD alone, where there is a momentum.
    """
    groups = parameter_groups(model, pretrained, rates)
    if name == "adamw":
        return AdamW(groups, lr=rates.base, betas=(momentum, 0.999))
    return SGD(groups, lr=rates.base, momentum=momentum, nesterov=nesterov and momentum > 0)


def parameter_groups(model: nn.Module, pretrained: nn.Module, rates: Rates) -> list[dict]:
    """Groups of trainable parameters with "factor" (of the base rate) and "weight_decay"."""
    old = {id(parameter) for parameter in pretrained.parameters()}
    groups = []
    for is_old in (True, False):
        for is_bias in (False, True):
            members = [
                parameter
                for parameter in model.parameters()
                if parameter.requires_grad
                and (id(parameter) in old) is is_old
                and (parameter.ndim <= 1) is is_bias
            ]
            factor = (rates.pretrained_factor if is_old else 1.0) * (
                rates.bias_factor if is_bias else 1.0
            )
            decay = 0.0 if is_bias else rates.weight_decay
            groups.append({"params": members, "factor": factor, "weight_decay": decay})
    if not any(group["params"] for group in groups):
        raise ConfigError("every parameter is frozen: nothing to train; freeze fewer stages")
    return [group for group in groups if group["params"]]


def poly(base: float, steps: int, *, power: float = 0.9, warmup: int = 0) -> Schedule:
    """lr(t) = base (1 - t / steps)^power, times a linear rise from 0.1 to 1 in the first steps."""

    def rate(step: int) -> float:
        rise = min(1.0, 0.1 + 0.9 * step / warmup) if warmup else 1.0
        return float(base * (1 - step / steps) ** power * rise)

    return rate


def triangular(base: float, steps: int) -> Schedule:
    """lr(t) = base (1 - |2 (t + 1) / (steps + 1) - 1|): up to the middle, and down again."""

    def rate(step: int) -> float:
        return float(base * (1 - abs(2 * (step + 1) / (steps + 1) - 1)))

    return rate


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its factor of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
