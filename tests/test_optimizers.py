from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from lrbench.errors import ConfigError
from lrbench.optimizers import OPTIMIZERS, build_optimizer
from lrbench.parts import assemble
from lrbench.values import Part

CPU = torch.device("cpu")


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def build(name: str, model: nn.Module, **params: Any) -> torch.optim.Optimizer:
    return build_optimizer(Part(name, params), model)


def updated(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> list[float]:
    """The losses of some updates on fixed data."""
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(updates):
        x, y = torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.entries))
def test_every_optimizer_updates_every_weight(name: str) -> None:
    model = small_model()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = build(name, model, lr=0.01)
    assert all(torch.isfinite(torch.tensor(updated(model, optimizer, 3))))
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.entries))
def test_defaults_are_torchs(name: str) -> None:
    theirs = inspect.signature(OPTIMIZERS.entries[name].described)  # type: ignore[attr-defined]
    group = build(name, small_model()).param_groups[0]
    internal = ("foreach", "fused", "capturable", "differentiable", "maximize")
    for key, parameter in theirs.parameters.items():
        if parameter.default is not parameter.empty and key not in internal and key in group:
            assert group[key] == parameter.default, key
    shown = {p.name for p in OPTIMIZERS.parameters(name)}
    assert "lr" in shown and not shown & {"params", *internal}


def test_some_defaults_by_hand() -> None:
    assert build("sgd", small_model()).param_groups[0]["lr"] == 0.001
    group = build("adamw", small_model()).param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 0.01)
    assert build("adadelta", small_model()).param_groups[0]["lr"] == 1.0


def test_updates_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    sgd = build_optimizer(Part("sgd", {"lr": 0.1, "momentum": 0.9}), nn.ParameterList([weight]))
    for expected in (0.8, 0.8 - 0.1 * (0.9 * 2 + 1.6)):  # the gradient of w² is 2w: 2, then 1.6
        sgd.zero_grad()
        (weight**2).sum().backward()
        sgd.step()
        assert weight.item() == pytest.approx(expected, rel=1e-6)
    weight = nn.Parameter(torch.tensor([1.0]))
    adam = build_optimizer(Part("adam", {"lr": 0.1}), nn.ParameterList([weight]))
    (weight**2).sum().backward()
    adam.step()
    assert weight.item() == pytest.approx(0.9, rel=1e-6), "Adam's first step is the rate itself"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
        ("adam", {"lr": 0.01, "weight_decay": 1e-3}),
        ("adam", {"lr": 0.01, "amsgrad": True}),
        ("adamw", {"lr": 0.01}),
        ("adagrad", {"lr": 0.1}),
    ],
)
def test_fused_updates_equal_plain_ones(name: str, params: dict[str, Any]) -> None:
    ours, theirs = small_model(), small_model()
    fused = build(name, ours, **params)
    assert fused.param_groups[0]["fused"]
    plain_class = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    plain = plain_class.get(name, torch.optim.Adagrad)(theirs.parameters(), foreach=False, fused=False, **params)
    assert updated(ours, fused, 20) == pytest.approx(updated(theirs, plain, 20), abs=1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6)


def test_weights_in_float64_and_frozen_ones() -> None:
    model = small_model().double()
    model[0].requires_grad_(False)  # type: ignore[index]
    before = model[0].weight.clone()  # type: ignore[index]
    optimizer = build("adam", model, lr=0.1)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == 2
    model(torch.zeros(2, 6).double()).sum().backward()
    optimizer.step()
    assert torch.equal(before, model[0].weight)  # type: ignore[index]
    with pytest.raises(ConfigError, match="no parameters to train"):
        build("sgd", small_model().requires_grad_(False))


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("sgd", {"momentun": 0.9}, "did you mean 'momentum'?"),
        ("sgd", {"params": []}, "has no parameter 'params'"),
        ("adam", {"fused": False}, "has no parameter 'fused'"),
        ("sgd", {"lr": -1.0}, "refused its parameters: Invalid learning rate"),
        ("sgd", {"nesterov": True}, "Nesterov momentum requires a momentum"),
        ("adam", {"betas": [1.5, 0.9]}, "refused its parameters: Invalid beta"),
        ("adam", {"eps": "small"}, "optimizer.eps: must be a number"),
        ("adamm", {}, "did you mean 'adam'?"),
        ("lbfgs", {}, "lbfgs can't be used: it evaluates the loss several times per update"),
        ("torch.optim:Nothing", {}, "has no 'Nothing'"),
        (f"{__name__}:no_optimizer", {}, "gave a int, not an optimizer"),
    ],
)
def test_wrong_names_and_values_are_config_errors(name: str, params: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, small_model(), **params)
    assert fragment in str(caught.value) and caught.value.key.startswith("optimizer")


def no_optimizer(params: Any) -> int:
    return 3


def two_groups(params: Any, lr: float) -> torch.optim.Optimizer:
    params = list(params)
    groups = [{"params": params[:2], "lr": lr}, {"params": params[2:], "lr": lr / 4}]
    return torch.optim.AdamW(groups, betas=(0.8, 0.95))


def test_set_rate_keeps_the_ratios_of_groups(tiny: Any) -> None:
    parts = assemble(tiny(optimizer={"name": f"{__name__}:two_groups", "lr": 0.2}), CPU)
    assert parts.peak_lr == 0.2
    for rate in (0.5, 0.0, 0.04):
        parts.set_rate(rate, None)
        assert [g["lr"] for g in parts.optimizer.param_groups] == pytest.approx([rate, rate / 4])
    parts.set_rate(0.1, 0.7)
    assert [g["betas"] for g in parts.optimizer.param_groups] == [(0.7, 0.95)] * 2
    assert parts.current_momentum() == 0.7


def test_momentum_is_set_where_there_is_one(tiny: Any) -> None:
    parts = assemble(tiny(optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.5}), CPU)
    parts.set_rate(0.1, 0.9)
    assert parts.optimizer.param_groups[0]["momentum"] == parts.current_momentum() == 0.9
    assert assemble(tiny(optimizer={"name": "adagrad", "lr": 0.1}), CPU).current_momentum() is None
    cycled = {"name": "one_cycle", "cycle_momentum": [0.85, 0.95]}
    with pytest.raises(ConfigError, match="adagrad has no momentum that could be cycled"):
        assemble(tiny(optimizer={"name": "adagrad", "lr": 0.1}, schedule=cycled), CPU)


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("adam", {"betas": 3}, "a list of 2 numbers like [0.9, 0.999]"),
        ("adam", {"betas": [0.9]}, "a list of 2 numbers"),
        ("adam", {"amsgrad": 1}, "true or false"),
        ("sgd", {"momentum": True}, "a number"),
        ("sgd", {"momentum": [0.9]}, "a number"),
        ("sgd", {"momentum": "0.9"}, "a number"),
    ],
)
def test_values_of_another_kind_than_the_default(name: str, params: dict[str, object], fragment: str) -> None:
    weights = nn.ParameterList([nn.Parameter(torch.zeros(2))])
    with pytest.raises(ConfigError) as caught:
        build_optimizer(Part(name, {"lr": 0.1, **params}), weights)
    assert caught.value.key == f"optimizer.{next(iter(params))}"
    assert fragment in str(caught.value)
