"""μP: nothing changes at the base width, and elsewhere weights, scores, outputs and learning rates have its factors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components import MODELS, build_optimizer
from lrbench.components.models import build_model
from lrbench.config import Experiment, identity, validate
from lrbench.errors import ConfigError
from lrbench.types import Part

MODELS_WITH_WIDTH: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "cnn": ((1, 10, 10), "width", {"dropout": 0.25}),
    "gpt": ((6,), "width", {"layers": 2, "heads": 2}),
    "mlp": ((5,), "hidden", {}),
    "vit": ((1, 8, 8), "dim", {"depth": 1, "heads": 2}),
}
MUP = {"parametrization": "mup", "base_width": 8}


def build(name: str, width: int, **params: Any) -> nn.Module:
    shape, key, fixed = MODELS_WITH_WIDTH[name]
    torch.manual_seed(3)
    part = Part(name, {**fixed, key: [width, width] if name == "mlp" else width, **params})
    return build_model(part, input_shape=shape, outputs=7, classes=7)


def batch(name: str, n: int = 4) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    shape = MODELS_WITH_WIDTH[name][0]
    if name == "gpt":
        tokens = torch.randint(7, (n, shape[0] + 1), generator=draws)
        return tokens[:, :-1], tokens[:, 1:]
    return torch.randn(n, *shape, generator=draws), torch.randint(7, (n,), generator=draws)


def trained(model: nn.Module, name: str, optimizer: dict[str, Any], steps: int = 3) -> list[float]:
    made, (inputs, targets) = build_optimizer(optimizer, model), batch(name)
    torch.manual_seed(5)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(inputs).flatten(0, -2), targets.flatten())
        made.zero_grad()
        loss.backward()
        made.step()
        losses.append(loss.item())
    return losses


# -- at the base width


@pytest.mark.parametrize("optimizer", [{"name": "adamw", "lr": 0.01}, {"name": "sgd", "lr": 0.1, "weight_decay": 0.1}])
@pytest.mark.parametrize("name", MODELS_WITH_WIDTH)
def test_at_the_base_width_it_is_the_standard_parametrization_bit_for_bit(name: str, optimizer: dict[str, Any]) -> None:
    standard, mup = build(name, 8), build(name, 8, **MUP)
    assert [type(m) for m in standard.modules()] == [type(m) for m in mup.modules()]
    for one, other in zip(standard.parameters(), mup.parameters(), strict=True):
        assert torch.equal(one, other)
    assert trained(standard, name, optimizer) == trained(mup, name, optimizer)
    for one, other in zip(standard.parameters(), mup.parameters(), strict=True):
        assert torch.equal(one, other)


def test_building_it_draws_as_many_random_numbers() -> None:
    for name in MODELS_WITH_WIDTH:
        build(name, 16)
        after = torch.rand(3)
        build(name, 16, **MUP)
        assert torch.equal(torch.rand(3), after)


def identified(name: str, **params: Any) -> dict[str, Any]:
    return dict(MODELS.identified(MODELS.complete(Part(name, params))).params)


def test_identities_stay_and_standard_is_the_default() -> None:
    for name in MODELS_WITH_WIDTH:
        assert MODELS.complete(Part(name)).params["parametrization"] == "standard"
        assert not {"parametrization", "base_width"} & identified(name).keys()
    assert identified("cnn") == {"padding": 0, "dropout": 0.25}  # as before there was a width
    assert identified("cnn", width=8)["width"] == 8
    assert identified("gpt")["width"] == 128


def experiment(**model: Any) -> Experiment:
    plain = {"name": "x", "dataset": "digits", "model": {"name": "mlp", **model}, "optimizer": "adam", "epochs": 1}
    return validate(plain, {}, "here")


def test_mup_is_another_run() -> None:
    assert identity(experiment()) == identity(experiment(parametrization="standard"))
    assert identity(experiment()) != identity(experiment(**MUP))
    assert identity(experiment(**MUP)) != identity(experiment(**MUP | {"base_width": 16}))


# -- at four times the base width, by hand


def ratio(name: str, key: str, width: int = 32) -> float:
    """The initial weights of μP over those of the standard parametrization, which are the same draws."""
    one, other = build(name, width).get_parameter(key), build(name, width, **MUP).get_parameter(key)
    rest = other.detach() / one.detach()
    assert torch.allclose(rest, rest.flatten()[0])
    return float(rest.flatten()[0])


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        # torch's weights fall as 1/√fan_in by themselves; biases and the output's weights must not: × √4
        ("mlp", "1.weight", 1.0),
        ("mlp", "1.bias", 1.0),
        ("mlp", "3.weight", 1.0),
        ("mlp", "3.bias", 2.0),
        ("mlp", "5.weight", 2.0),
        ("mlp", "5.bias", 2.0),
        ("vit", "embed.weight", 1.0),
        ("vit", "position", 1.0),
        ("vit", "blocks.0.qkv.weight", 1.0),
        ("vit", "blocks.0.qkv.bias", 2.0),
        ("vit", "dense.weight", 2.0),
        # GPT-2's have one deviation, so hidden ones must fall as 1/√4; embeddings stay
        ("gpt", "tokens.weight", 1.0),
        ("gpt", "positions.weight", 1.0),
        ("gpt", "blocks.1.qkv.weight", 0.5),
        ("gpt", "blocks.1.contract.weight", 0.5),
        # Glorot's: √((1 + 32) / (1 + 8)) for the first convolution, √((256 + 7) / (64 + 7)) for the output, where
        # hidden weights fall as they must
        ("cnn", "conv1.weight", 1.91485),
        ("cnn", "conv2.weight", 1.0),
        ("cnn", "dense1.weight", 1.0),
        ("cnn", "dense2.weight", 1.92464),
    ],
)
def test_initial_weights_by_hand(name: str, key: str, expected: float) -> None:
    assert ratio(name, key) == pytest.approx(expected, rel=1e-5)


def rates(name: str, optimizer: dict[str, Any], **params: Any) -> dict[str, tuple[float, float]]:
    """The learning rate and the weight decay of each weight at four times the base width."""
    model = build(name, 32, **MUP, **params)
    names = {id(p): key for key, p in model.named_parameters()}
    groups = build_optimizer(optimizer, model).param_groups
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_learning_rates_of_adam_by_hand() -> None:
    # hidden matrices × 1/4, and weight decay × 4, so that their product, what a weight decays by, stays
    assert rates("mlp", {"name": "adamw", "lr": 0.5, "weight_decay": 0.25}) == {
        "1.weight": (0.5, 0.25),
        "1.bias": (0.5, 0.25),
        "3.weight": (0.125, 1.0),
        "3.bias": (0.5, 0.25),
        "5.weight": (0.5, 0.25),
        "5.bias": (0.5, 0.25),
    }
    quarter = {key for key, (lr, _) in rates("gpt", {"name": "adam", "lr": 0.5}).items() if lr == 0.125}
    hidden = ("qkv", "project", "expand", "contract")
    assert quarter == {f"blocks.{n}.{layer}.weight" for n in (0, 1) for layer in hidden}


@pytest.mark.parametrize("name", ["adagrad", "adam", "adamax", "nadam", "radam", "rmsprop"])
def test_optimizers_that_divide_by_the_size_of_the_gradient_have_adams_rule(name: str) -> None:
    found = {key: lr for key, (lr, _) in rates("mlp", {"name": name, "lr": 1.0}).items()}
    assert found == {key: 0.25 if key == "3.weight" else 1.0 for key in found}


def test_learning_rates_of_sgd_by_hand() -> None:
    # × 4 for inputs, vectors that are as long as the width, and the output's weights, whose inputs are divided by 4
    assert rates("mlp", {"name": "sgd", "lr": 0.5, "weight_decay": 0.25}) == {
        "1.weight": (2.0, 0.0625),
        "1.bias": (2.0, 0.0625),
        "3.weight": (0.5, 0.25),
        "3.bias": (2.0, 0.0625),
        "5.weight": (2.0, 0.0625),
        "5.bias": (0.5, 0.25),
    }


def test_layers_that_grow_differently() -> None:
    # 64 inputs as before, 16 = 2 × 8 outputs
    model = build("mlp", 8, hidden=[32, 16], parametrization="mup", base_width=[32, 8])
    names = {id(p): key for key, p in model.named_parameters()}
    groups = build_optimizer({"name": "sgd", "lr": 1.0}, model).param_groups
    found = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert found == {"1.weight": 1.0, "1.bias": 1.0, "3.weight": 2.0, "3.bias": 2.0, "5.weight": 2.0, "5.bias": 1.0}


def test_muon_leaves_its_matrices_and_adamw_has_its_rule() -> None:
    found = rates("gpt", {"name": "muon", "lr": 0.5, "adamw_lr": 0.25, "weight_decay": 0.1})
    assert {found[f"blocks.0.{layer}.weight"] for layer in ("qkv", "project", "expand", "contract")} == {(0.5, 0.1)}
    assert found["tokens.weight"] == (0.25, 0.1)
    assert rates("cnn", {"name": "muon", "lr": 0.5, "weight_decay": 0.1})["conv2.weight"] == (0.125, 0.4)


def test_factors_multiply_with_those_of_the_config() -> None:
    rules = {"lr_factors": {"3.*": 0.5}, "decay_biases_and_norms": False}
    found = rates("mlp", {"name": "adamw", "lr": 1.0, "weight_decay": 0.1, **rules})
    assert found["3.weight"] == (0.125, 0.4)
    assert found["3.bias"] == (0.5, 0.0)
    assert found["5.weight"] == (1.0, 0.1)


def test_the_output_is_divided_by_the_growth() -> None:
    model = build("mlp", 32, **MUP)
    seen = torch.randn(3, 32)
    layer = model.get_submodule("5")
    assert torch.allclose(layer(seen), seen @ layer.weight.T / 4 + layer.bias)


def test_attention_divides_by_the_growing_size_of_a_head() -> None:
    # two heads: 4 dimensions each at the base width, 16 here: √4 / 16, where the standard has 1 / √16
    assert build("gpt", 32, **MUP).get_submodule("blocks.0").scale == pytest.approx(0.125)
    assert build("vit", 32, **MUP).get_submodule("blocks.0").scale == pytest.approx(0.125)
    assert build("gpt", 32).get_submodule("blocks.0").scale is None


# -- mistakes


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("gpt", {"parametrization": "mup"}, "needs `base_width`"),
        ("gpt", {"base_width": 8}, "needs `parametrization: mup`"),
        ("gpt", {"parametrization": "mup", "base_width": 9}, "must be a multiple of heads, 2"),
        ("vit", {"parametrization": "mup", "base_width": 9}, "must be a multiple of heads, 2"),
        ("mlp", {"parametrization": "mup", "base_width": [8]}, "as many as hidden has, 2"),
        ("cnn", {"parametrization": "ntk", "base_width": 8}, "standard"),
        ("cnn", {"parametrization": "mup", "base_width": 0}, "must be at least 1"),
    ],
)
def test_wrong_parameters(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, 8, **params)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"name": "adadelta"}, "adadelta has no known rule"),
        ({"name": "adafactor"}, "adafactor has no known rule"),
        ({"name": "rprop"}, "rprop has no known rule"),
        ({"name": "torch.optim:AdamW", "lr": 0.1}, "torch.optim:AdamW has no known rule"),
        ({"name": "adam", "weight_decay": 0.1}, "is part of the gradient in adam"),
        ({"name": "nadam", "weight_decay": 0.1}, "or nadam with decoupled_weight_decay"),
        ({"name": "muon", "adjust_lr_fn": "match_rms_adamw"}, "grows with the width"),
    ],
)
def test_optimizers_without_a_rule(optimizer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_optimizer(optimizer, build("mlp", 8, **MUP))  # at the base width already
    build_optimizer(optimizer, build("mlp", 8))
