from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked import Starts
from torch import nn

import lrbench
from lrbench.components.optimizers import (
    OPTIMIZERS,
    SETS_ITS_OWN_RATE,
    build_optimizer,
    check_parameters,
    parameter_groups,
)
from lrbench.components.optimizers.parameters import PARAMETERS
from lrbench.errors import ConfigError
from lrbench.lr_finder.settings import Ramp
from lrbench.lr_finder.write_config import _peaks
from lrbench.training.build import assemble
from lrbench.training.evaluate import evaluate, refresh_norms
from lrbench.types import Part

CPU = torch.device("cpu")


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def build(name: str, model: nn.Module, **params: Any) -> torch.optim.Optimizer:
    return build_optimizer(Part(name, params), model)


def updated(model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> list[float]:
    """The losses of some updates on fixed data."""
    generator = torch.Generator().manual_seed(1)
    getattr(optimizer, "train", lambda: None)()
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
    assert all(torch.isfinite(torch.tensor(updated(model, optimizer, 8))))  # rectified ones wait for some
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.entries))
def test_defaults_are_torchs(name: str) -> None:
    theirs = inspect.signature(OPTIMIZERS.entries[name].described)  # type: ignore[attr-defined]
    group = build(name, small_model()).param_groups[0]
    internal = ("foreach", "fused", "capturable", "differentiable", "maximize")
    for key, parameter in theirs.parameters.items():
        if parameter.default is not parameter.empty and key not in internal and key in group:
            assert group[key] == parameter.default, key
    shown = {p.name for p in OPTIMIZERS.described(name).parameters}
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
        ("sgd", {"lr": -1.0}, "rejected its parameters: Invalid learning rate"),
        ("sgd", {"nesterov": True}, "Nesterov momentum requires a momentum"),
        ("adam", {"betas": [1.5, 0.9]}, "optimizer.betas: item 0 must be less than 1 (got 1.5)"),
        ("adam", {"eps": "small"}, "optimizer.eps: must be a number"),
        ("adamm", {}, "did you mean 'adam'?"),
        ("lbfgs", {}, "lbfgs can't be used: it evaluates the loss several times per step"),
        ("torch.optim:Nothing", {}, "has no 'Nothing'"),
        (f"{__name__}:no_optimizer", {}, "returned a int, not an optimizer"),
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


def of_model(model: nn.Module, lr: float, slower: float = 0.1) -> torch.optim.Optimizer:
    first, *others = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD([{"params": [first], "lr": lr * slower}, {"params": others}], lr=lr, momentum=0.9)


def without_rate(model: nn.Module) -> torch.optim.Optimizer:
    class Odd(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            raise AssertionError

    return Odd(model.parameters(), {})


def test_a_function_that_takes_the_model(tiny: Any) -> None:
    parts = assemble(tiny(optimizer={"name": f"{__name__}:of_model", "lr": 0.2, "slower": 0.5}), CPU)
    assert parts.peak_lr == 0.2 and parts.ratios == [0.5, 1.0]
    weights = [p for group in parts.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in weights} == {id(p) for p in parts.model.parameters()}
    for block, fragment in (
        ({"name": f"{__name__}:of_model", "lr": 0.2, "layer_decay": 0.5}, "the parameter groups itself; remove layer"),
        ({"name": f"{__name__}:of_model"}, "needs the parameter 'lr'"),
        ({"name": f"{__name__}:without_rate"}, "without a learning rate, `lr`, in its parameter groups"),
    ):
        with pytest.raises(ConfigError, match=fragment):
            assemble(tiny(optimizer=block), CPU)


def test_timm_s_factory_of_optimizers(tiny: Any) -> None:
    block = {"name": "timm.optim:create_optimizer_v2", "opt": "lamb", "lr": 0.1, "weight_decay": 0.3}
    parts = assemble(tiny(optimizer=block), CPU)
    assert type(parts.optimizer).__name__ == "Lamb" and parts.peak_lr == 0.1
    assert [g["weight_decay"] for g in parts.optimizer.param_groups] == [0.0, 0.3]  # timm leaves out biases
    grouped = assemble(tiny(optimizer={**block, "lr_factors": {"*.bias": 2.0}}), CPU)
    assert sorted(grouped.ratios) == [1.0, 2.0]


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
    with pytest.raises(ConfigError, match="adagrad has no momentum to cycle"):
        assemble(tiny(optimizer={"name": "adagrad", "lr": 0.1}, schedule=cycled), CPU)


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("adam", {"betas": 3}, "must be a list (got 3)"),
        ("adam", {"betas": [0.9]}, "item 1 is missing (got [0.9])"),
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


# -- parameter groups


class Net(nn.Module):
    """A stem with a norm, two blocks in a container, a norm, a head; and a token of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.stem = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 4))
        self.last_norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def described(model: nn.Module, groups: list[dict[str, Any]]) -> dict[str, tuple[float, float | None]]:
    """Parameter name → (rate, its own weight decay)."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (g["lr"], g.get("weight_decay")) for g in groups for p in g["params"]}


def test_layer_wise_rates_by_hand() -> None:
    model = Net()
    found = described(model, parameter_groups(model, lr=0.8, layer_decay=0.5))
    rates = {name: rate for name, (rate, _) in found.items()}
    assert rates == {
        "token": 0.1,
        "stem.weight": 0.1,
        "stem.bias": 0.1,
        "norm.weight": 0.1,
        "norm.bias": 0.1,
        "blocks.0.0.weight": 0.2,
        "blocks.0.0.bias": 0.2,
        "blocks.1.weight": 0.4,
        "blocks.1.bias": 0.4,
        "last_norm.weight": 0.4,
        "last_norm.bias": 0.4,
        "head.weight": 0.8,
        "head.bias": 0.8,
    }


def test_factors_by_pattern_multiply() -> None:
    model = Net()
    factors = {"blocks.*": 0.1, "*.bias": 2.0, "token": 0.0}
    groups = parameter_groups(model, lr=1.0, lr_factors=factors)
    found = described(model, groups)
    assert found["blocks.1.weight"][0] == 0.1 and found["blocks.1.bias"][0] == 0.2
    assert found["head.bias"][0] == 2.0 and found["head.weight"][0] == 1.0 and found["token"][0] == 0.0
    assert len(groups) == 5
    with pytest.raises(ConfigError, match=r"lr_factors: 'block.*' matches no parameter; the model has token, stem"):
        parameter_groups(model, lr=1.0, lr_factors={"block.*": 0.1})


def test_biases_and_norms_are_not_decayed_when_asked() -> None:
    model = Net()
    optimizer = build("adamw", model, lr=0.1, weight_decay=0.3, decay_biases_and_norms=False)
    decayed = {name for name, (_, decay) in described(model, optimizer.param_groups).items() if decay == 0.3}
    assert decayed == {"token", "stem.weight", "blocks.0.0.weight", "blocks.1.weight", "head.weight"}
    assert {decay for _, decay in described(model, optimizer.param_groups).values()} == {0.3, 0.0}
    weight, bias = (p.clone() for p in (model.head.weight, model.head.bias))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.equal(model.head.bias, bias)
    assert torch.allclose(model.head.weight, weight * (1 - 0.1 * 0.3))


def test_rates_of_groups_in_a_run(tiny: Any) -> None:
    rules = {"layer_decay": 0.5, "lr_factors": {"*.bias": 2.0}, "decay_biases_and_norms": False}
    parts = assemble(tiny(optimizer={"name": "adamw", "lr": 0.2, **rules}), CPU)
    assert parts.peak_lr == 0.2
    parts.set_rate(0.1, None)
    rates = described(parts.model, parts.optimizer.param_groups)
    # an MLP's linear layers are the second and the fourth of its modules, and the only ones with weights
    assert {k: v[0] for k, v in rates.items()} == pytest.approx(
        {"1.weight": 0.05, "1.bias": 0.1, "3.weight": 0.1, "3.bias": 0.2}
    )


@pytest.mark.parametrize(
    ("optimizer", "fragment"),
    [
        ({"name": "adamw", "layer_decay": 1.5}, "optimizer.layer_decay: must be at most 1"),
        ({"name": "adamw", "layer_decay": 0}, "optimizer.layer_decay: must be greater than 0"),
        ({"name": "adamw", "decay_biases_and_norms": "no"}, "must be true or false"),
        ({"name": "adamw", "lr_factors": {}}, "optimizer.lr_factors"),
        ({"name": "adamw", "lr_factors": {"*": -1.0}}, "optimizer.lr_factors.*: must be at least 0"),
        ({"name": "adamw", "lr_factors": {"conv*": 0.5}}, "'conv*' matches no parameter; the model has 1.weight"),
        ({"name": "rprop", "decay_biases_and_norms": False}, "rprop has no weight decay"),
        ({"name": "prodigy", "layer_decay": 0.5}, "optimizer.layer_decay: prodigy estimates one learning rate for all"),
        ({"name": f"{__name__}:two_groups", "layer_decay": 0.5}, "optimizer.lr: is required"),
    ],
)
def test_wrong_groups(tiny: Any, optimizer: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(tiny(optimizer=optimizer), CPU)
    assert fragment in str(caught.value)


# -- Muon


def test_muon_is_torchs_muon_and_adamw() -> None:
    ours, theirs = deep_model(), deep_model()
    optimizer = build("muon", ours, lr=0.02, weight_decay=0.1)
    hidden = theirs[2].weight
    rest = [p for p in theirs.parameters() if p is not hidden and p is not theirs[0].weight]
    peers = [
        torch.optim.Muon([theirs[0].weight, hidden], lr=0.02, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=0.02, weight_decay=0.1),
    ]
    assert [g["muon"] for g in optimizer.param_groups] == [True, False]
    for _ in range(5):
        for model, steppers in ((ours, [optimizer]), (theirs, peers)):
            model.zero_grad()
            loss = nn.functional.cross_entropy(model(torch.ones(3, 6)), torch.tensor([0, 1, 2]))
            loss.backward()
            for stepper in steppers:
                stepper.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_s_adamw_has_a_peak_of_its_own(tiny: Any) -> None:
    ours, theirs = deep_model(), deep_model()
    optimizer = build("muon", ours, lr=0.02, adamw_lr=0.003)
    hidden = [theirs[0].weight, theirs[2].weight]
    rest = [p for p in theirs.parameters() if all(p is not one for one in hidden)]
    peers = [torch.optim.Muon(hidden, lr=0.02), torch.optim.AdamW(rest, lr=0.003)]
    for _ in range(4):
        for model, steppers in ((ours, [optimizer]), (theirs, peers)):
            model.zero_grad()
            nn.functional.cross_entropy(model(torch.ones(3, 6)), torch.tensor([0, 1, 2])).backward()
            for stepper in steppers:
                stepper.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    block = {"name": "muon", "lr": 0.02, "adamw_lr": 0.003, "layer_decay": 0.5}
    parts = assemble(tiny(optimizer=block, model={"name": "mlp", "hidden": [8, 8]}), CPU)
    assert parts.peak_lr == 0.02
    parts.set_rate(0.01, None)  # half the peak of both
    rates = {k: v[0] for k, v in described(parts.model, parts.optimizer.param_groups).items()}
    assert rates == pytest.approx({
        "1.weight": 0.0025, "1.bias": 0.000375, "3.weight": 0.005, "3.bias": 0.00075,
        "5.weight": 0.0015, "5.bias": 0.0015,
    })  # fmt: skip


def test_muon_s_other_peak_in_configs(tiny: Any) -> None:
    block = {"name": "muon", "lr": 0.02, "adamw_lr": 0.003}
    scaled = tiny(optimizer=block, lr_scaling={"base_batch_size": 64, "rule": "linear"}).scaled_optimizer(1000)
    assert scaled.params == {"lr": 0.01, "adamw_lr": 0.0015}
    assert Ramp().over(tiny(optimizer=block), 0).optimizer.params == {"lr": 10.0, "adamw_lr": pytest.approx(1.5)}
    written = _peaks(SimpleNamespace(experiment=tiny(optimizer=block)), 0.04)
    assert written == {"lr": 0.04, "adamw_lr": 0.006}, "what find-lr --write writes"
    for name, value, fragment in (
        ("muon", 0, "must be greater than 0 (got 0)"),
        ("muon", "high", "must be a number"),
        ("adamw", 0.1, "'adamw' has no parameter 'adamw_lr'"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_parameters(Part(name, {"adamw_lr": value}))
        assert caught.value.key == "optimizer.adamw_lr" and fragment in str(caught.value)


def test_muons_state_comes_back() -> None:
    one, other = deep_model(), deep_model()
    first, second = build("muon", one, lr=0.02), build("muon", other, lr=0.02)
    updated(one, first, 3)
    other.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert updated(one, first, 3) == updated(other, second, 3)
    second.param_groups[0]["lr"] = second.param_groups[1]["lr"] = 0.0
    before = [p.clone() for p in other.parameters()]
    updated(other, second, 1)
    still = [torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True)]
    assert all(still), "the groups one sees are those that are used"


def test_muon_needs_hidden_matrices() -> None:
    with pytest.raises(ConfigError, match="muon is for hidden weight matrices"):
        build("muon", nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2)))


def deep_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


# -- rate-free optimizers


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(ConfigError, match=r"needs the package prodigyopt: pip install 'lrbench-torch\[rate-free\]'"):
        build("prodigy", small_model())


def test_prodigy_says_nothing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    build("prodigy", small_model(), weight_decay=0.1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", sorted(SETS_ITS_OWN_RATE))
def test_rate_free_optimizers_learn_digits_at_their_defaults(tmp_path: Path, name: str) -> None:
    config = Path(__file__).parents[1] / "configs" / "digits" / "baseline.yaml"
    epochs = 25 if name == "schedule_free_radam" else 8  # it begins slowly
    experiment = lrbench.load_config(config, [f"optimizer={{name: {name}}}", f"epochs={epochs}"])
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert outcome.result is not None
    assert outcome.result.test["accuracy"] >= 0.95


def test_a_schedule_free_run_is_judged_and_kept_by_its_average(tiny: Any, tmp_path: Path) -> None:
    experiment = tiny(dataset="digits", optimizer={"name": "schedule_free_sgd", "lr": 1.0}, epochs=2, batch_size=32)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert outcome.result is not None
    parts = assemble(experiment, CPU)
    parts.model.load_state_dict(torch.load(outcome.path / "best.pt", weights_only=True))
    best = outcome.result.best
    assert evaluate(parts, parts.data.validation) == {"loss": best["val_loss"], "accuracy": best["val_accuracy"]}


def test_norms_are_taken_anew_for_averaged_weights(tiny: Any) -> None:
    model = {"name": "resnet20", "width": 2}
    for name, changed in (("schedule_free_sgd", True), ("sgd", False)):
        experiment = tiny(dataset="digits", model=model, optimizer={"name": name, "lr": 0.1})
        parts = assemble(experiment, CPU)
        before = {k: v.clone() for k, v in parts.model.named_buffers() if k.endswith("running_mean")}
        refresh_norms(parts, experiment, 0)
        after = dict(parts.model.named_buffers())
        assert all(torch.equal(v, after[k]) is not changed for k, v in before.items())


PROBES: list[Any] = [-1, -0.5, 0, 0.5, 2, 2.5, True, [0.5, 0.9], [0.5, 2], [-0.5, 0.5]]


def accepts(call: Callable[[], object], *errors: type[Exception]) -> bool:
    try:
        call()
    except errors:
        return False
    return True


def kind_of(value: object) -> str:
    return {bool: "switch", int: "number", float: "number", list: "list", tuple: "list"}.get(type(value), "other")


@pytest.mark.parametrize("name", PARAMETERS)
def test_values_are_checked_without_torch_as_by_the_class(name: str) -> None:
    groups, entry = [{"params": [nn.Parameter(torch.zeros(3, 3))], "muon": True}], OPTIMIZERS.entries[name]
    for key in set(PARAMETERS[name].split()) - {"adjust_lr_fn"}:
        default = inspect.signature(entry).parameters[key].default
        for value in PROBES:
            part = Part(name, {"momentum": 0.5, key: value} if key == "nesterov" else {key: value})
            checked = accepts(lambda p=part: check_parameters(p), ConfigError)
            taken = accepts(lambda p=part: entry(params=groups, **p.params), TypeError, ValueError)
            assert taken or not checked, (key, value)
            usual = entry.home == "torch.optim" and name != "muon" and kind_of(value) == kind_of(default)
            assert checked or not taken or not usual, (key, value)
        assert not accepts(lambda k=key: check_parameters(Part(name, {k: "text"})), ConfigError), key


def test_words_that_the_class_takes() -> None:
    assert build("muon", deep_model(), adjust_lr_fn="match_rms_adamw").param_groups[0]["adjust_lr_fn"] is not None
    with pytest.raises(ConfigError, match="muon rejected its parameters: Adjust learning rate function best"):
        build("muon", deep_model(), adjust_lr_fn="best")
    with pytest.raises(ConfigError, match="'adam' has no parameter 'nmae'"):
        build("adam", small_model(), nmae="adam")


def test_layers_inside_a_model_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=9, **sizes))
    groups = parameter_groups(model, lr=1.0, layer_decay=0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    factors = {names[id(p)]: group["lr_factor"] for group in groups for p in group["params"]}
    # embeddings, three layers, the pooler and the classifier
    expected = ("embeddings.", "encoder.layer.0.", "encoder.layer.1.", "encoder.layer.2.", "pooler.", "classifier.")
    for name, factor in factors.items():
        layer = next(number for number, part in enumerate(expected) if part in name)
        assert factor == 0.5 ** (5 - layer), name


WITHOUT_COMPILER = """
import sys
sys.path.insert(0, {tests!r})
from test_optimizers import build, small_model, updated

NAMES = {names!r}

def losses(name):
    model = small_model()
    optimizer = build(name, model, lr=0.01)
    found = updated(model, optimizer, 3)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({{"params": [__import__("torch").zeros(2, requires_grad=True)]}})
    return found + updated(model, optimizer, 2)

before = [losses(name) for name in NAMES]
assert "torch._dynamo" not in sys.modules, "an optimizer imported the compiler"

import torch

breaks, graph_break = [], torch._dynamo.graph_break
torch._dynamo.graph_break = lambda: breaks.append(1)
assert [losses(name) for name in NAMES] == before
marked = len(NAMES) - 1  # all but Adafactor
assert len(breaks) == 2 * 5 * marked, "each step is again marked for the compiler"
torch._dynamo.graph_break = graph_break
model = torch.compile(small_model(), backend="eager")
assert updated(model, build("adam", model, lr=0.01), 3) == before[NAMES.index("adam")][:3]
"""


def test_torch_s_optimizers_import_its_compiler_only_when_something_else_has(forks: Starts) -> None:
    names = [name for name in OPTIMIZERS.entries if name not in {"muon", *SETS_ITS_OWN_RATE}]
    script = WITHOUT_COMPILER.format(tests=str(Path(__file__).parent), names=names)
    done = forks.run(["-c", script], timeout=120)
    assert done.returncode == 0, done.stderr
