import pytest
import torch
from torch import nn

from hintseg.engine.optimizer import (
    Rates,
    make_optimizer,
    parameter_groups,
    poly,
    set_rate,
    triangular,
)
from hintseg.errors import ConfigError


@pytest.fixture
def model():
    return nn.ModuleDict({"old": nn.Conv2d(1, 2, 3), "new": nn.Conv2d(2, 1, 1)})


def test_each_parameter_is_in_one_group_with_its_factor_and_decay(model):
    groups = parameter_groups(model, model["old"], Rates(1.0, 0.1, 2.0, 0.5))
    found = {id(p): (g["factor"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert found == {
        id(model["old"].weight): (0.1, 0.5),
        id(model["old"].bias): (0.2, 0.0),
        id(model["new"].weight): (1.0, 0.5),
        id(model["new"].bias): (2.0, 0.0),
    }


def test_frozen_parameters_are_in_no_group(model):
    model["old"].requires_grad_(requires_grad=False)
    assert len(parameter_groups(model, model["old"], Rates(1.0))) == 2


def test_nothing_to_train_is_an_error(model):
    model.requires_grad_(requires_grad=False)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        parameter_groups(model, model["old"], Rates(1.0))


def test_sgd_keeps_momentum_and_decay_apart(model):  # pitfall X1: decay passed as momentum
    optimizer = make_optimizer(
        "sgd", model, model["old"], Rates(0.1, weight_decay=5e-4), momentum=0.9
    )
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {5e-4, 0.0}


def test_the_rate_falls_by_a_power_and_rises_first():
    rate = poly(2.0, 100, power=0.9, warmup=10)
    assert rate(0) == pytest.approx(0.2)
    assert rate(50) == pytest.approx(2.0 * 0.5**0.9)
    assert rate(100) == 0
    assert poly(2.0, 100)(0) == 2.0


def test_setting_the_rate_respects_the_factors(model):
    optimizer = make_optimizer("adamw", model, model["old"], Rates(1.0, 0.1, 2.0))
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.1, 0.5, 1.0])
    assert isinstance(optimizer, torch.optim.AdamW)


def test_a_triangular_rate_is_highest_in_the_middle_and_never_zero():
    rates = [triangular(0.4, 9)(step) for step in range(9)]
    assert rates == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4, 0.32, 0.24, 0.16, 0.08])
    assert triangular(0.4, 1)(0) == pytest.approx(0.4)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_nesterov_needs_a_momentum_and_is_for_sgd(momentum):
    model = nn.Linear(2, 2)
    options = {"momentum": momentum, "nesterov": True}
    made = make_optimizer("sgd", model, nn.Identity(), Rates(0.1), **options)
    assert made.param_groups[0]["nesterov"] is (momentum > 0)
    make_optimizer("adamw", model, nn.Identity(), Rates(0.1), **options)
