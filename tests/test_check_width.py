"""The coordinate check: level under μP, growing in the standard parametrization, undecided where it can't be told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lrbench
from lrbench.config import Experiment, validate
from lrbench.errors import ArgumentError, ConfigError, RunError, UsageError
from lrbench.training.activations import layer_outputs
from lrbench.training.build import build
from lrbench.transfers import CoordinateCheck, LayerSize, both

TEXT = {"dataset": {"name": "text", "context": 8, "train_size": 256, "validation": {"fraction": 0.01}}}
CASES: dict[str, tuple[list[int], dict[str, Any]]] = {
    "cnn": ([8, 16, 32], {"model": {"name": "cnn", "padding": 1}}),
    "gpt": ([16, 32, 64], {**TEXT, "model": {"name": "gpt", "layers": 1, "heads": 2}}),
    "mlp": ([32, 64, 128], {"model": {"name": "mlp"}}),
    "vit": ([16, 32, 64], {"model": {"name": "vit", "depth": 1, "heads": 2}}),
}


def experiment(name: str = "mlp", **changes: Any) -> Experiment:
    plain = {"name": name, "dataset": "digits", "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 2, "device": "cpu"}
    made = validate({**plain, **CASES[name][1], **changes}, {}, "here")
    assert isinstance(made, Experiment)
    return made


@pytest.mark.parametrize("name", CASES)
def test_mup_is_level_and_the_standard_parametrization_is_not(name: str) -> None:
    widths = CASES[name][0]
    steps = 8 if name == "vit" else 3  # until its output has grown to its size
    given = both(experiment(name), widths)
    standard, mup = (lrbench.coordinate_check(one, widths, seeds=2, steps=steps) for one in given)
    for slope in mup.slopes():
        assert abs(slope.centre) < 0.15, slope.words
    moved = {slope.layer: slope.centre for slope in standard.slopes()}
    if name == "cnn":  # Glorot's initial weights shrink in its first convolution, and with them all that follows
        assert min(moved.values()) < -0.3
    else:
        assert max(moved.values()) > 0.3
        assert moved[standard.output] > 0.3  # the logits


def test_sgd_is_level_too() -> None:
    given = experiment(optimizer={"name": "sgd", "lr": 0.3})
    check = lrbench.coordinate_check(both(given, [32])[1], [32, 64, 128], seeds=2)
    assert all(abs(slope.centre) < 0.15 for slope in check.slopes())


def test_sizes_are_those_of_a_loop_by_hand() -> None:
    given = experiment(model={"name": "mlp", "hidden": [5]}, optimizer={"name": "sgd", "lr": 0.5}, batch_size=20)
    found = layer_outputs(given.replace(steps=2, epochs=None), 2)
    parts = build(given, torch.device("cpu"))
    batches = parts.data.training_batches(20, 0, 0)
    first, second = (parts.batch(raw) for raw, _ in zip(batches, range(2), strict=False))
    layers = [parts.model.get_submodule(name) for name in ("1", "3")]

    def sizes() -> list[float]:
        inner = first[0].flatten(1) @ layers[0].weight.T + layers[0].bias
        return [inner.abs().mean().item(), (layers[1](inner.relu())).abs().mean().item()]

    for step, batch in enumerate((first, second, None)):
        assert [size for size, _ in found[step].values()] == pytest.approx(sizes(), rel=1e-5)
        if batch is not None:
            loss = nn.functional.cross_entropy(parts.model(batch[0]), batch[1])
            for p, g in zip(parts.model.parameters(), torch.autograd.grad(loss, parts.model.parameters()), strict=True):
                p.data -= 0.5 * g
    assert len(found) == 3
    assert all(change == 0 for _, change in found[0].values())
    assert all(change > 0 for _, change in found[2].values())


def test_layers_that_are_fused_on_a_cpu_are_seen() -> None:
    assert list(layer_outputs(experiment("cnn"), 1)[0]) == ["conv1", "conv2", "dense1", "dense2"]


# -- exponents


def check(**exponents: list[float]) -> CoordinateCheck:
    """A check whose layers have these exponents, one for each seed."""
    seeds = range(len(next(iter(exponents.values()))))
    rows = [
        LayerSize(width, seed, step, layer, 0.3 * width ** each[seed] if step else 0.3, 0.0)
        for width in (16, 32, 64)
        for seed in seeds
        for layer, each in exponents.items()
        for step in (0, 1)
    ]
    return CoordinateCheck("it", "model.width", 0.01, [16, 32, 64], list(seeds), 1, rows)


def test_exponents_by_hand() -> None:
    # mean 0.5, deviation 0.1, so 0.5 ± 4.302653 · 0.1 / √3
    (slope,) = check(a=[0.4, 0.5, 0.6]).slopes()
    assert (slope.centre, slope.low, slope.high) == pytest.approx((0.5, 0.5 - 0.248414, 0.5 + 0.248414), abs=1e-5)
    assert slope.word == "grows"
    assert check(a=[0.4, 0.5, 0.6]).slopes(0)[0].word == "level"


@pytest.mark.parametrize(
    ("exponents", "verdict", "words"),
    [
        ({"a": [0.0, 0.01], "b": [0.01, 0.0]}, "level", "as in μP"),
        ({"a": [0.0, 0.01], "b": [0.5, 0.51]}, "not level", "Growing: b with width^0.5"),
        ({"a": [-0.5, -0.51], "b": [0.0, 0.01]}, "not level", "Shrinking: a with width^-0.5"),
        ({"a": [0.0, 0.01], "b": [-0.5, -0.51]}, "undecided", "Shrinking: b"),  # the output, which begins small
        ({"a": [0.0, 0.3], "b": [0.0, 0.01]}, "undecided", "Undecided: a"),
        ({"a": [0.16, 0.18], "b": [0.0, 0.01]}, "undecided", "Undecided: a"),  # 0.17 ± 0.13
    ],
)
def test_verdicts_only_where_the_whole_interval_says_so(
    exponents: dict[str, list[float]], verdict: str, words: str
) -> None:
    found = check(**exponents)
    assert found.verdict == verdict
    assert words in found.words


def test_a_layer_that_is_zero_has_no_exponent_and_the_figure_is_drawn() -> None:
    rows = [LayerSize(w, s, step, "z", 0.0, 0.0) for w in (16, 32, 64) for s in (0, 1) for step in (0, 1)]
    found = CoordinateCheck("it", "model.width", 0.01, [16, 32, 64], [0, 1], 1, rows)
    assert found.slopes() == []
    assert found.verdict == "undecided"
    assert found.plot() is not None
    assert "width^" in check(a=[0.4, 0.5])._repr_html_()


# -- what is asked


def test_both_parametrizations_of_a_config() -> None:
    standard, mup = both(experiment(), [16, 8])
    assert standard.model.params["parametrization"] == "standard"
    assert (mup.model.params["parametrization"], mup.model.params["base_width"]) == ("mup", 8)
    kept = both(experiment(model={"name": "mlp", "parametrization": "mup", "base_width": 32}), [8])[1]
    assert kept.model.params["base_width"] == 32
    with pytest.raises(ConfigError, match="'logistic' has one parametrization"):
        both(experiment(model="logistic"), [8])


def test_the_first_of_a_list_gets_the_width_and_the_ratios_stay() -> None:
    given = experiment(model={"name": "mlp", "hidden": [64, 32]})
    seen = lrbench.coordinate_check(given, [8, 16], seeds=2, steps=1)
    assert seen.key == "model.hidden"
    assert seen.rows[0].layer == "1"
    assert {row.width for row in seen.rows} == {8, 16}


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"widths": [8]}, "two or more different whole numbers"),
        ({}, {"widths": [8, 8]}, "two or more different"),
        ({}, {"widths": [0, 8]}, "above 0"),
        ({}, {"widths": [8, 16], "seeds": 1}, "^seeds must be at least 2"),
        ({}, {"widths": [8, 16], "steps": 10_000}, "^steps must be at most"),
        ({"model": "logistic"}, {"widths": [8, 16]}, "name the key that is the width of 'logistic'"),
        ({}, {"widths": [8, 16], "key": "optimizer.lr"}, "^key must be a key of the model"),
    ],
)
def test_wrong_requests(changes: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lrbench.coordinate_check(experiment(**changes), **arguments)


def test_wrong_values() -> None:
    with pytest.raises(ArgumentError, match="widths must be a list of whole numbers"):
        lrbench.coordinate_check(experiment(), 64)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no parameter 'size'"):
        lrbench.coordinate_check(experiment(), [8, 16], key="model.size")
    with pytest.raises(ConfigError, match="must be a multiple of heads, 2"):
        lrbench.coordinate_check(experiment("gpt"), [8, 9])
    with pytest.raises(RunError, match="is not finite after"):
        lrbench.coordinate_check(experiment(optimizer={"name": "sgd", "lr": 1e30}), [8, 16])


Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("sketches")
def test_the_command(cli: Cli) -> None:
    Path("it.yaml").write_text(experiment().yaml())
    code, out, err = cli("check-width", "it.yaml", "--widths", "16,64", "--both", "--seeds", 2, "--steps", 1)
    assert (code, err) == (0, "")
    assert "mlp (mup)" in out
    assert {path.suffix for path in Path("runs").glob("check-width.*")} == {".png", ".svg", ".csv"}
    rows = Path("runs/check-width.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 * 2 * 2 * 3  # parametrizations, widths, seeds, steps, layers
    code, out, _ = cli(
        "check-width", "it.yaml", "--widths", "16,64", "--seeds", 2, "--steps", 1, "--out", "x.png", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert told["checks"][0]["verdict"] in ("level", "not level", "undecided")
    assert all(math.isfinite(one["centre"]) for one in told["checks"][0]["exponents"])
    assert Path("x.png").exists()


@pytest.mark.usefixtures("sketches")
def test_mistakes_at_the_command_line(cli: Cli) -> None:
    Path("it.yaml").write_text(experiment().yaml())
    for words, message in (
        (("--widths", "a,b"), "--widths must be whole numbers"),
        (("--widths", "8"), "two or more"),
        (("--widths", "8,16", "--out", "x.pdf"), "--out must be a .png file"),
        (("--widths", "8,16", "--set", "model=logistic", "--both"), "one parametrization"),
    ):
        code, _, err = cli("check-width", "it.yaml", *words)
        assert code == 2
        assert message in err.replace("\n", " ")
