"""The rate with the batch: `lr_scaling` and `accumulate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import lrbench
from lrbench.config import Experiment
from lrbench.config.identity import identity
from lrbench.config.rules import ScalingRule, usual_rule
from lrbench.errors import ConfigError
from lrbench.reports.previewing import preview

Make = Callable[..., Experiment]
SGD = {"name": "sgd", "lr": 0.1}


@pytest.mark.parametrize(
    ("rule", "base", "batch", "factor"),
    [
        ("linear", 256, 1024, 4.0),
        ("linear", 256, 64, 0.25),
        ("sqrt", 256, 1024, 2.0),
        ("sqrt", 64, 16, 0.5),
        ("none", 64, 4096, 1.0),
    ],
)
def test_factors_by_hand(rule: Any, base: int, batch: int, factor: float) -> None:
    assert ScalingRule(rule, base).factor("sgd", batch) == factor


def test_the_usual_rule_is_timms() -> None:
    names = ("adam", "adamw", "adadelta", "nadam", "schedule_free_adamw", "mypackage:Lamb")
    assert {usual_rule(name) for name in names} == {"sqrt"}
    assert {usual_rule(name) for name in ("sgd", "rmsprop", "muon", "mypackage:Lion")} == {"linear"}
    assert ScalingRule(None, 64).factor("adam", 256) == 2.0


def test_a_scaled_run_trains_and_is_logged_at_the_scaled_rate(tiny: Make, tmp_path: Path) -> None:
    scaled = tiny(optimizer=SGD, batch_size=16, lr_scaling={"base_batch_size": 64}, schedule="cosine", epochs=2)
    plain = tiny(optimizer={"name": "sgd", "lr": 0.025}, batch_size=16, schedule="cosine", epochs=2)
    outcomes = lrbench.run([scaled, plain], runs=tmp_path)
    logs = [pd.read_csv(o.path / "steps.csv") for o in outcomes]
    assert logs[0]["lr"].tolist() == logs[1]["lr"].tolist() == preview([scaled])[0].rates
    assert logs[0]["loss"].tolist() == logs[1]["loss"].tolist()
    assert [o.result.effective_lr for o in outcomes if o.result] == [0.025, 0.025]


def test_the_scaled_rate_is_said(tiny: Make, tmp_path: Path) -> None:
    said: list[str] = []
    experiment = tiny(optimizer=SGD, batch_size=16, lr_scaling={"base_batch_size": 64}, epochs=1)
    lrbench.run([experiment], runs=tmp_path, watch=lambda event: said.append(str(event.values.get("text", ""))))
    assert any(text.endswith("the learning rate 0.1 is scaled to 0.025 (linear, batch 16 of 64)") for text in said)


def test_running_a_runs_config_again_scales_once(tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(optimizer=SGD, batch_size=16, lr_scaling={"base_batch_size": 64}, epochs=1)
    (first,) = lrbench.run([experiment], runs=tmp_path)
    again = lrbench.load_config(first.path / "config.yaml")
    assert again.optimizer.params["lr"] == 0.1
    assert identity(again) == identity(experiment)
    assert lrbench.run([again], runs=tmp_path)[0].path == first.path


def test_what_says_the_same_is_the_same_run(tiny: Make) -> None:
    plain = identity(tiny(optimizer=SGD))
    assert identity(tiny(optimizer=SGD, accumulate=1)) == plain
    assert identity(tiny(optimizer=SGD, lr_scaling={"rule": "none"})) == plain
    linear = identity(tiny(optimizer=SGD, lr_scaling={"rule": "linear", "base_batch_size": 256}))
    assert identity(tiny(optimizer=SGD, lr_scaling={})) == linear != plain
    assert identity(tiny(optimizer=SGD, accumulate=2)) != plain


def test_accumulated_batches_have_the_gradient_of_one_large_batch(tiny: Make, tmp_path: Path) -> None:
    shared = {
        "dataset": "digits",
        "model": {"name": "mlp", "hidden": [16]},
        "optimizer": {"name": "sgd", "lr": 0.3, "momentum": 0.9},
        "epochs": 2,
    }
    # 1,078 examples: 17 updates of 60, and one of 58, which is 20 + 20 + 18 in small batches
    large = tiny(batch_size=60, **shared)
    small = tiny(batch_size=20, accumulate=3, **shared)
    outcomes = lrbench.run([large, small], runs=tmp_path)
    one, other = (pd.read_csv(o.path / "steps.csv") for o in outcomes)
    assert len(one) == len(other) == 36
    for name in ("lr", "loss", "grad_norm"):
        assert other[name].tolist() == pytest.approx(one[name].tolist(), rel=1e-3), name
    weights = [torch.load(o.path / "best.pt", weights_only=True) for o in outcomes]
    for name in weights[0]:
        assert torch.allclose(weights[0][name], weights[1][name], atol=1e-4)
    epochs = [pd.read_csv(o.path / "epochs.csv") for o in outcomes]
    assert epochs[0]["step"].tolist() == epochs[1]["step"].tolist() == [18, 36]
    assert epochs[1]["train_accuracy"].tolist() == pytest.approx(epochs[0]["train_accuracy"].tolist(), abs=0.002)


def test_only_updates_count_as_steps(tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(dataset="digits", batch_size=10, accumulate=4, epochs=None, steps=30)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert outcome.result is not None and outcome.result.steps == 30
    assert len(pd.read_csv(outcome.path / "steps.csv")) == 30
    made = preview([experiment])[0]
    assert (made.steps_per_epoch, len(made.rates)) == (27, 30)  # 108 batches of 10, four at a time
    assert pd.read_csv(outcome.path / "epochs.csv")["step"].tolist() == [27, 30]


def test_the_batch_that_is_scaled_for_is_that_of_an_update(tiny: Make) -> None:
    experiment = tiny(optimizer=SGD, batch_size=16, accumulate=8, lr_scaling={"base_batch_size": 32})
    assert experiment.scaled_optimizer().params["lr"] == pytest.approx(0.4)
    assert tiny(optimizer="adam", batch_size=16, lr_scaling={"base_batch_size": 64}).scaled_optimizer().params == {
        "lr": 0.0005
    }


def test_no_update_sees_more_than_an_epoch(tiny: Make, tmp_path: Path) -> None:
    huge = tiny(dataset="digits", optimizer=SGD, batch_size=5000, epochs=1, lr_scaling={"base_batch_size": 539})
    (outcome,) = lrbench.run([huge], runs=tmp_path)
    assert outcome.result is not None and outcome.result.effective_lr == pytest.approx(0.2)
    assert preview([huge])[0].lr == pytest.approx(0.2)
    many = tiny(dataset="digits", batch_size=32, accumulate=1000)
    for use in (lambda: preview([many]), lambda: lrbench.run([many], runs=tmp_path)):
        with pytest.raises(ConfigError, match="accumulate: is more than the 34 batches of an epoch"):
            use()


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"accumulate": 0}, "accumulate: must be at least 1"),
        ({"accumulate": True}, "accumulate: must be a whole number"),
        ({"accumulate": 1.5}, "accumulate: must be a whole number"),
        ({"lr_scaling": {"rule": "root"}}, "lr_scaling.rule: must be 'linear', 'sqrt', 'none' or 'measured'"),
        ({"lr_scaling": {"base": 3}}, "unknown key 'base'; choices: base_batch_size, law, rule"),
        ({"lr_scaling": {"base_batch_size": 0}}, "lr_scaling.base_batch_size: must be at least 1"),
        ({"lr_scaling": "linear"}, "lr_scaling: must be a mapping"),
        ({"lr_scaling": {}, "optimizer": {"name": "mypackage:Lion"}}, "optimizer.lr: is required"),
    ],
)
def test_wrong_values(tiny: Make, changes: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny(**changes).scaled_optimizer()
    assert fragment in str(caught.value)
