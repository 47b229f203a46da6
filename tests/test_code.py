"""The lines for one's own training loop repeat what lrbench did: rates, momentum, optimizer, weights."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from cases import OWN, PEERS, schedule

import lrbench
from lrbench.analysis import read_one
from lrbench.components.models import build_model
from lrbench.components.optimizers import OPTIMIZERS
from lrbench.config import Experiment, load_config
from lrbench.reports import code as written
from lrbench.runs import Environment, RunFolder
from lrbench.schedules import PlateauRule, PlateauState, build_schedule, momentum_of
from lrbench.training.build import load_data

CONFIGS = Path(__file__).parent.parent / "configs"
LONG = {"epochs": 12, "steps_per_epoch": 9}
SIMPLE = sorted({*OWN} - {"piecewise", "range_test", "sequence"})
FORMULAS = {"constant", "cosine", "exponential", "inverse_sqrt", "linear", "multistep", "polynomial", "step"}

MORE: list[dict[str, Any]] = [
    {"name": "linear", "final_factor": 0.01},
    {"name": "linear", "final_lr": 0.002},
    {"name": "linear", "decrement": 0.008},
    {"name": "step", "every": "15 steps", "factor": 0.3, "offset": "1 epoch"},
    {"name": "step", "every": 0.3},
    {"name": "exponential", "gamma": 0.97, "per": "step"},
    {"name": "inverse", "gamma": 0.3, "power": 0.75, "per": "epoch"},
    {"name": "linear", "decrement": 0.0123456789012345678},
    {"name": "time", "k": 0.1},
    {"name": "cosine", "final_lr": 1e-5},
    {"name": "polynomial", "power": 2.5, "final_factor": 0.1},
    {"name": "tanh", "final_factor": 0.1},
    {"name": "inverse_sqrt", "timescale": "7 steps"},
    {"name": "one_cycle", "shape": "linear", "final_factor": 0.02},
    {"name": "one_cycle", "three_phase": True, "initial_factor": 0.1},
    {"name": "one_cycle", "initial_factor": 0.0, "final_factor": 0.0},
    {"name": "one_cycle", "warmup_fraction": 0.0},
    {"name": "one_cycle", "warmup_fraction": 1},
    {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]},
    {"name": "triangular", "base_lr": 0.0, "step_size_up": 7, "step_size_down": 4},
    {"name": "triangular", "cycle_momentum": [0.7, 0.95]},
    {"name": "triangular2", "base_factor": 0.0, "step_size_up": 5, "step_size_down": 9},
    {"name": "triangular2", "cycle_momentum": [0.7, 0.95]},
    {"name": "exp_range", "gamma": 0.98, "step_size_up": "1 epochs"},
    {"name": "exp_range", "gamma": 0.98, "cycle_momentum": [0.7, 0.95]},
    {"name": "sin", "base_factor": 0.0, "half_cycle": 6},
    {"name": "cosine", "final_factor": 0.12345678901234567},
    {"name": "sin2", "base_factor": 0.12345678901234567},
    {"name": "exponential", "gamma": 1e-5, "per": "step"},
    {"name": "warmup_stable_decay", "warmup": 0, "shape": "cosine", "final_factor": 0.05},
    {"name": "warmup_stable_decay", "shape": "sqrt"},
    {"name": "warmup_stable_decay", "cooldown": 0},
    {"name": "cosine_restarts", "cycle": "13 steps", "final_factor": 0.1},
    {"name": "cosine_restarts", "cycle": "6 steps", "cycle_factor": 2, "final_lr": 1e-4},
    {"name": "cosine_restarts", "cycle": "9 steps", "cycle_factor": 1.5, "peak_factor": 0.5},
    {"name": "cosine_restarts", "cycle": "9 steps", "peak_factor": 0.7, "final_factor": 0.3},
    {"name": "cosine_restarts", "cycle": "9 steps", "cycle_factor": 0.8},
]
WARMUPS: list[dict[str, Any] | None] = [
    None,
    {"for": "7 steps"},
    {"for": "10%", "from_factor": 0.2, "shape": "cosine"},
    {"for": "1 epochs", "from_factor": 0.01, "shape": "exponential"},
]


def code(plain: Any, told: Environment | dict[str, Any]) -> str:
    return written.code(plain, told if isinstance(told, Environment) else Environment.of(told))


def environment(epochs: int, steps_per_epoch: int, **more: Any) -> dict[str, Any]:
    total = epochs * steps_per_epoch
    return {
        "sizes": {"steps_per_epoch": steps_per_epoch, "total_steps": total, "train_examples": 64, "classes": 10},
        **more,
    }


def setting_of(text: str) -> str:
    """What stands before the loop."""
    return text.partition("\nfor epoch in ")[0]


def small_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))


def executed(text: str, **names: Any) -> dict[str, Any]:
    names = {"model": small_model(), **names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(text, "the lines", "exec"), names)
    return names


def followed(names: dict[str, Any], updates: int) -> tuple[list[list[float]], list[float | None]]:
    """Rates of all groups, and momentum, at every update."""
    optimizer, scheduler = names["optimizer"], names.get("scheduler")
    rates, momenta = [], []
    for _ in range(updates):
        first = optimizer.param_groups[0]
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        momenta.append(first["betas"][0] if "betas" in first else first.get("momentum"))
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates, momenta


def check_rates(experiment: Experiment, epochs: int = 12, steps_per_epoch: int = 9) -> str:
    text = code(experiment.plain(), environment(epochs, steps_per_epoch))
    total = epochs * steps_per_epoch
    sizes = {"total_steps": total, "steps_per_epoch": steps_per_epoch}
    lr = experiment.optimizer.params["lr"]
    expected = build_schedule(experiment.schedule, lr=lr, warmup=experiment.warmup, **sizes)
    names = executed(setting_of(text))
    rates, momenta = followed(names, total)
    assert [first for first, *_ in rates] == pytest.approx([expected(t) for t in range(total)], rel=1e-9, abs=1e-300)
    momentum = momentum_of(expected)
    if momentum is not None:
        assert momenta == pytest.approx([momentum(t) for t in range(total)], rel=1e-9)
    else:
        assert len(set(momenta)) == 1
    return text


@pytest.mark.parametrize("warmup", WARMUPS, ids=["none", "linear", "cosine", "exponential"])
@pytest.mark.parametrize("name", [*OWN, *PEERS])
def test_every_schedule_s_rates_are_those_of_a_run(
    name: str, warmup: dict[str, Any] | None, tiny: Callable[..., Experiment]
) -> None:
    part = schedule(name, 0.1)
    if warmup is not None and build_schedule(part, lr=0.1, total_steps=90, steps_per_epoch=9)(0) == 0:
        pytest.skip("begins at 0, so that it can have no warm-up before it")
    text = check_rates(tiny(optimizer={"name": "adam", "lr": 0.1}, schedule=part, warmup=warmup, epochs=12))
    plain = name in FORMULAS and (warmup or {}).get("shape", "linear") == "linear"
    plain = plain or (name == "one_cycle" and warmup is None)  # torch's OneCycleLR
    assert ("lrbench.torch_scheduler" not in text) == plain
    assert text.count("\n") < 45


@pytest.mark.parametrize("warmup", WARMUPS[:2], ids=["none", "linear"])
@pytest.mark.parametrize("part", MORE, ids=str)
def test_so_they_are_with_other_parameters(part: Any, warmup: Any, tiny: Callable[..., Experiment]) -> None:
    if warmup and build_schedule(part, lr=0.1, total_steps=101, steps_per_epoch=9)(0) == 0:
        pytest.skip("begins at 0, so that it can have no warm-up before it")
    optimizer = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
    check_rates(tiny(optimizer=optimizer, schedule=part, warmup=warmup, epochs=12))


@pytest.mark.parametrize(
    "part", [{"name": name} for name in SIMPLE if name not in ("step", "multistep")] + MORE, ids=str
)
def test_groups_keep_their_ratios(part: Any, tiny: Callable[..., Experiment]) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "layer_decay": 0.5, "decay_biases_and_norms": False}
    experiment = tiny(optimizer=optimizer, schedule=part, epochs=12)
    text = code(experiment.plain(), environment(**LONG))
    rates, _ = followed(executed(setting_of(text)), 108)
    expected = build_schedule(part, lr=0.1, total_steps=108, steps_per_epoch=9)
    last = [row[-1] for row in rates]
    assert last == pytest.approx([expected(t) for t in range(108)], rel=1e-9, abs=1e-300)
    assert [row[0] for row in rates] == pytest.approx([rate / 2 for rate in last])


@pytest.mark.parametrize("name", ["cosine", "polynomial", "linear", "one_cycle", "triangular2", "cosine_restarts"])
def test_a_long_run_s_last_updates_too(name: str, tiny: Callable[..., Experiment]) -> None:
    check_rates(tiny(optimizer={"name": "sgd", "lr": 0.1}, schedule=name, epochs=40), 40, 100)


def test_more_cycles_than_torch_can_count(tiny: Callable[..., Experiment]) -> None:
    part = {"name": "triangular2", "step_size_up": 1}
    check_rates(tiny(optimizer={"name": "sgd", "lr": 0.1}, schedule=part, epochs=25), 25, 100)


@pytest.mark.parametrize("updates", [1, 2, 3, 5])
@pytest.mark.parametrize("name", SIMPLE)
def test_very_short_runs(name: str, updates: int, tiny: Callable[..., Experiment]) -> None:
    experiment = tiny(optimizer={"name": "sgd", "lr": 0.1}, schedule=schedule(name, 0.1), epochs=updates)
    check_rates(experiment, updates, 1)


GIVEN: dict[str, dict[str, Any]] = {
    "adam": {"lr": 0.001, "betas": [0.8, 0.99], "eps": 1e-7, "amsgrad": True},
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adamw": {"weight_decay": 0.1, "decay_biases_and_norms": False},
    "nadam": {"freeze": ["0.bias"], "unfreeze": {"0.*": "2 epochs"}, "group_warmup": {"*": "10%"}},
    "rprop": {"etas": [0.4, 1.3], "step_sizes": [1e-5, 10]},
    "muon": {"lr": 0.02, "adamw_lr": 0.001, "layer_decay": 0.5},
    "schedule_free_sgd": {"momentum": 0.8, "warmup_steps": 5},
}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.entries))
def test_every_optimizer_is_the_one_lrbench_builds(name: str, tiny: Callable[..., Experiment]) -> None:
    experiment = tiny(optimizer={"name": name, **GIVEN.get(name, {})})
    made = executed(setting_of(code(experiment.plain(), environment(2, 2))))["optimizer"]
    expected = lrbench.build_optimizer(experiment.optimizer, small_model())
    assert type(made) is type(expected)
    for group, other in zip(made.param_groups, expected.param_groups, strict=True):
        for key in group.keys() - {"params", "fused", "foreach"}:
            value = tuple(other[key]) if isinstance(other[key], list) else other[key]
            assert group[key] == value, key
        assert group.keys() == other.keys()
        assert [p.shape for p in group["params"]] == [p.shape for p in other["params"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "one_cycle", "clip_grad_norm": 0.05},
        {"schedule": {"name": "triangular", "step_size_up": 2, "cycle_momentum": [0.5, 0.9]}},
        {"accumulate": 3, "schedule": "cosine", "warmup": {"for": "2 steps"}},
        {"steps": 7, "epochs": None, "schedule": "linear", "batch_size": 24},
        {
            "steps": 3,
            "epochs": None,
            "accumulate": 2,
            "batch_size": 24,
            "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
        },
        {"loss": "mse", "optimizer": {"name": "adamw", "lr": 0.01, "layer_decay": 0.5, "weight_decay": 0.1}},
        {"lr_scaling": {"base_batch_size": 64}, "schedule": "sequence", "loss": "torch.nn:MultiMarginLoss"},
        {"precision": "bf16", "schedule": {"name": "step", "every": 1}},
    ],
    ids=str,
)
def test_the_whole_text_trains_the_weights_that_lrbench_trained(
    changes: dict[str, Any], tiny: Callable[..., Experiment], tmp_path: Path
) -> None:
    if changes.get("schedule") == "sequence":
        changes = {**changes, "schedule": schedule("sequence", 0.1)}
    base = {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}, "epochs": 2, "batch_size": 12}
    experiment = tiny(**{**base, **changes})
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    record = read_one(RunFolder(outcome.path))
    data = load_data(experiment.dataset, torch.device("cpu"))
    torch.manual_seed(experiment.seed)
    model = build_model(experiment.model, input_shape=data.shape, outputs=10, classes=10)
    executed(code(record.plain, record.environment), model=model, train_loader=Loader(data, experiment.batch_size))
    best = torch.load(outcome.path / "best.pt", weights_only=True)
    assert outcome.result is not None and outcome.result.best is not None
    assert outcome.result.best["epoch"] == outcome.result.epochs
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(weights, best[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["scaler.scale(loss).backward()", "scaler.step(optimizer)", "scaler.update()"]),
        ({"clip_grad_norm": 1.0}, ["scaler.unscale_(optimizer)", "torch.nn.utils.clip_grad_norm_(model"]),
        ({"schedule": "cosine"}, ["if scaler.get_scale() >= scale:  # the step was not skipped", "scheduler.step()"]),
        ({"accumulate": 2}, ["scaler.scale(loss * (len(targets) / examples)).backward()"]),
    ],
)
def test_the_code_of_fp16(changes: dict[str, Any], expected: list[str], tiny: Callable[..., Experiment]) -> None:
    text = code(tiny(precision="fp16", batch_size=12, **changes).plain(), environment(2, 2))
    at = [text.index(line) for line in ("scaler = torch.amp.GradScaler()", "dtype=torch.float16", *expected)]
    assert at == sorted(at), "in this order"
    compile(text, "code", "exec")


class Loader:
    """What a DataLoader would be: each time the next epoch, in lrbench's order."""

    def __init__(self, data: Any, size: int) -> None:
        self.data, self.size, self.epoch = data, size, -1

    def __iter__(self) -> Any:
        self.epoch += 1
        for inputs, targets in self.data.training_batches(self.size, 0, self.epoch):
            yield self.data.prepare(inputs, torch.device("cpu")), targets

    def __len__(self) -> int:
        return math.ceil(len(self.data.train) / self.size)


def test_a_run_s_logged_rates_and_momenta(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    cycled = {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]}
    for index, warmup in enumerate((None, {"for": "3 steps"})):
        optimizer = {"name": "adam", "lr": 0.01}
        experiment = tiny(optimizer=optimizer, schedule=cycled, warmup=warmup, epochs=5, batch_size=16, seed=index)
        (outcome,) = lrbench.run([experiment], runs=tmp_path)
        logged = pd.read_csv(outcome.path / "steps.csv")
        record = read_one(RunFolder(outcome.path))
        names = executed(setting_of(code(record.plain, record.environment)))
        rates, momenta = followed(names, len(logged))
        assert [rate for (rate,) in rates] == pytest.approx(logged["lr"].tolist(), rel=1e-9)
        assert momenta == pytest.approx(logged["momentum"].tolist(), rel=1e-9)
        assert ("torch_scheduler" in setting_of(code(record.plain, record.environment))) == (warmup is not None)


@pytest.mark.parametrize(
    "rule",
    [
        {"patience": 1},
        {"patience": 0, "factor": 0.3, "cooldown": 2, "min_lr": 0.01},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "start": 3},
        {"metric": "val_accuracy", "patience": 1},
    ],
    ids=str,
)
def test_a_plateau_rule_lowers_the_rate_at_the_same_epochs(
    rule: dict[str, Any], tiny: Callable[..., Experiment]
) -> None:
    experiment = tiny(plateau=rule, epochs=12)
    assert isinstance(experiment.plateau, PlateauRule)
    values = [2.0, 1.5, 1.5, 1.49, math.nan, 1.6, 1.2, 1.3, 1.3, 1.3, 1.3, 1.3]
    lower = experiment.plateau.metric != "val_accuracy"
    state, expected, found = PlateauState(), [], []
    names: dict[str, Any] = {}

    def evaluate(_: Any) -> float:
        found.append(names["optimizer"].param_groups[0]["lr"])
        return values[len(found) - 1]

    for value in values:
        expected.append(state.apply(experiment.plateau, 0.1))
        state.update(experiment.plateau, value, lower=lower)
    names |= {"model": small_model(), "train_loader": [], "evaluate": evaluate}
    exec(code(experiment.plain(), environment(12, 1)), names)
    assert found == pytest.approx(expected, rel=1e-9)
    assert min(found) < 0.1


def test_the_code_of_an_older_run_has_its_learning_rates(tiny: Callable[..., Experiment]) -> None:
    part = {"name": "timm/multistep", "decay_t": [1], "decay_rate": 0.1}
    for as_of, first in ((2, 0.01), (None, 0.1)):
        experiment = tiny(schedule=part, as_of=as_of)
        names = executed(code(experiment.plain(), environment(4, 2)), train_loader=[])
        assert names["optimizer"].param_groups[0]["lr"] == pytest.approx(first)


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [
        ("cosine", {"patience": 1}),
        ({"name": "step", "every": 4}, {"patience": 0, "factor": 0.3, "cooldown": 2, "min_lr": 0.01}),
        ("torch/CosineAnnealingLR", {"patience": 1, "start": 3}),
        ("constant", {"patience": 1, "growth": {"factor": 1.2}}),
    ],
    ids=str,
)
def test_a_schedule_and_a_plateau_rule_are_one_scheduler(
    schedule: Any, rule: dict[str, Any], tiny: Callable[..., Experiment]
) -> None:
    if schedule == "torch/CosineAnnealingLR":
        schedule = {"name": schedule, "T_max": 12}
    experiment = tiny(schedule=schedule, plateau=rule, epochs=12)
    alone = build_schedule(experiment.schedule, lr=0.1, total_steps=12, steps_per_epoch=1)
    values = [2.0, 1.5, 1.5, 1.49, math.nan, 1.6, 1.2, 1.3, 1.3, 1.3, 1.3, 1.3]
    state, expected, found = PlateauState(), [], []
    for epoch, value in enumerate(values):
        expected.append(state.apply(experiment.plateau, alone(epoch)))
        state.update(experiment.plateau, value, lower=True, lr=alone(epoch), done=(epoch + 1) / 12)
    left = iter(values)
    names: dict[str, Any] = {"model": torch.nn.Linear(2, 3), "evaluate": lambda _: next(left)}
    names["model"].register_forward_hook(lambda *_: found.append(names["optimizer"].param_groups[0]["lr"]))
    names["train_loader"] = [(torch.ones(4, 2), torch.zeros(4, dtype=torch.long))]
    exec(code(experiment.plain(), environment(12, 1)), names)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found != pytest.approx([alone(epoch) for epoch in range(12)], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"clip_grad_norm": 2.0}, ["torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)"]),
        ({"loss": {"label_smoothing": 0.1, "name": "cross_entropy"}}, ["label_smoothing=0.1)"]),
        ({"precision": "bf16"}, ["with torch.autocast(inputs.device.type, dtype=torch.bfloat16):"]),
        ({"precision": "tf32"}, ["torch.backends.cudnn.allow_tf32 = True"]),
        ({"on_non_finite": "skip", "max_skipped": 3}, ["not finite", "at most 3 times"]),
        ({"early_stopping": {"patience": 4}}, ["val_loss had not improved for 4 epochs"]),
        (
            {"plateau": {"patience": 2}, "schedule": "cosine", "eval_every": "1 steps"},
            ["# not in this code: the plateau rule", "0.5"],
        ),
        (
            {"plateau": {"growth": {"factor": 1.2}}, "eval_every": "1 epochs"},
            ["the learning rate by 1.2 after 1 evaluation of improvement"],
        ),
        ({"plateau": {"metric": "val_own"}, "schedule": "cosine"}, ["# not in this code: the plateau rule"]),
        ({"optimizer": "schedule_free_sgd"}, ["# pip install schedulefree", "optimizer.train()", "optimizer.eval()"]),
        ({"optimizer": "prodigy"}, ["# pip install prodigyopt", "prodigyopt.Prodigy(model.parameters(), lr=1.0)"]),
        (
            {"model": {"name": "mlp", "parametrization": "mup", "base_width": 64}},
            ["lrbench.build_optimizer(", "the model is in μP, lrbench's own mlp"],
        ),
        ({"optimizer": "muon"}, ['lrbench.build_optimizer({"name": "muon"}, model)', "AdamW for all other parameters"]),
        ({"lr_scaling": {"base_batch_size": 64}}, ["0.1 is scaled to 0.05 (linear, batch 32 of 64)", "lr=0.05)"]),
        ({"dataset": {"name": "digits", "augment": ["crop"], "normalize": True}}, ["augmented: crop", "normalized"]),
        ({"optimizer": "my.optim:Lion"}, ["from my.optim import Lion", "optimizer = Lion(model.parameters())"]),
        ({"optimizer": {"name": "my.optim:A.B", "lr": 1}, "schedule": "cosine"}, ["A.B(model.parameters(), lr=1)"]),
        ({"optimizer": "my.optim:Lion", "schedule": "cosine"}, ["lrbench.torch_scheduler(", '"cosine"']),
        ({"loss": {"name": "my.losses:loss", "gamma": 2}}, ["loss as imported_loss", "targets, gamma=2)"]),
        ({"loss": "mse", "dataset": "my.data:load"}, ["outputs.reshape(targets.shape)"]),
        ({"schedule": "my.rates:rate"}, ["scheduler = lrbench.torch_scheduler(", '"my.rates:rate",']),
    ],
    ids=str,
)
def test_what_changes_training_is_in_the_lines_or_said(
    changes: dict[str, Any], fragments: list[str], tiny: Callable[..., Experiment]
) -> None:
    told = environment(2, 2)
    if "dataset" in changes and "my.data" in changes["dataset"]:
        told["sizes"]["classes"] = None
    text = code(tiny(**changes).plain(), told)
    compile(text, "the lines", "exec")
    joined = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for fragment in fragments:
        assert fragment in text or fragment in joined, text


@pytest.mark.parametrize("told", [{}, {"sizes": None}, {"sizes": {"steps_per_epoch": 0}}])
def test_without_the_environment_the_lines_take_the_sizes_from_the_data(
    told: Any, tiny: Callable[..., Experiment]
) -> None:
    known = code(tiny(schedule="cosine").plain(), told)
    assert "total_steps = 4  # 2 epochs of 2 steps" in known  # of the built-in data sets
    for budget in ({"epochs": 3}, {"epochs": None, "steps": 10}):
        experiment = tiny(dataset="my.data:load", schedule="cosine", accumulate=2, **budget)
        names = executed(code(experiment.plain(), told), train_loader=[(torch.ones(4, 3), torch.ones(4).long())] * 7)
        assert names["scheduler"].total_steps == (12 if "steps" not in budget else 10)
        assert names["scheduler"].last_epoch == names["scheduler"].total_steps  # every one was done, and no more


def test_no_optimizer_or_no_config_gives_nothing() -> None:
    for plain in ({}, {"name": "x"}, {"optimizer": None}, {"optimizer": {"name": "adam"}}, {"optimizer": 7}, None):
        assert code(plain, {}) == ""


HOSTILE = [
    "a\nimport os",
    '"""\nprint(1)\n"""',
    'it\'s "both" \\',
    "\r\x0c\u2028\x85print(1)",
    "🙂 # fmt: off",
    "coding=utf-7",
    "{0} %s \\N{DASH}",
    "\u202eabc",
    "x " * 5000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_of_the_config_stay_in_comments_and_strings(text: str, tiny: Callable[..., Experiment]) -> None:
    plain = tiny(schedule="cosine").plain()
    usual = ast.dump(ast.parse(code(plain, {})))
    assert ast.dump(ast.parse(code({**plain, "name": text}, {}))) == usual
    own = {"name": "my.optim:Lion", "lr": 0.1, "words": [text, {text: text}], text: 1, "lambda": 2}
    made = ast.parse(code({**plain, "optimizer": own}, {}))
    (made_by,) = [node.value for node in ast.walk(made) if isinstance(node, ast.Assign) and "Lion" in ast.dump(node)]
    assert isinstance(made_by, ast.Call)
    assert ast.literal_eval(made_by.keywords[1].value) == [text, {text: text}]
    assert ast.literal_eval(made_by.keywords[-1].value) == {text: 1, "lambda": 2}
    grouped = {"name": "sgd", "lr": 0.1, "lr_factors": {text: 0.5}}
    assert "lr_factors={" in code({**plain, "optimizer": grouped}, {})
    for key in ("optimizer", "loss"):
        assert code({**plain, key: {"name": f"my:{text}"}}, {}) in ("",) or text.isidentifier()
    assert ast.parse(code({**plain, "schedule": {"name": f"my:{text}", text: text}}, {}))
    assert ast.parse(
        code({**plain, "dataset": {"name": "my:data", text: text}}, {"device": text, "sizes": {text: text}})
    )


def test_the_lines_are_as_ruff_would_have_them(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    """Of all configs that come with lrbench, all schedules, and the rest."""
    configs = [load_config(path) for path in sorted(CONFIGS.rglob("*.yaml")) if path.parent.name != "sweeps"]
    optimizer = {"name": "adamw", "lr": 0.05, "betas": [0.9, 0.95], "lr_factors": {"conv*": 0.1, 'a"b': 1e-7}}
    for name in (*OWN, *PEERS):
        configs.append(tiny(schedule=schedule(name, 0.1), optimizer={"name": "sgd", "lr": 0.1}, epochs=9))
        configs.append(tiny(schedule=schedule(name, 0.05), optimizer=optimizer, warmup={"for": "10%"}, epochs=9))
    configs += [tiny(schedule=part, optimizer={"name": "sgd", "lr": 0.1}, epochs=9) for part in MORE]
    configs += [
        tiny(accumulate=3, plateau={"start": 2, "min_lr": 1e-6}, clip_grad_norm=1.0, batch_size=16),
        tiny(optimizer="schedule_free_adamw", early_stopping={"patience": 3}, on_non_finite="skip", warmup="20%"),
        tiny(optimizer={"name": "my.optim:Lion", "a_long_name": ["a" * 30] * 4}, loss={"name": "torch.nn:HuberLoss"}),
        tiny(optimizer="muon", loss="my.losses:loss", plateau={"growth": {"factor": 1.1}}, steps=7, epochs=None),
    ]
    digits = 0.12345678901234567
    slow = {"for": "20%", "from_factor": digits, "shape": "cosine"}
    for part in (
        *MORE[:12],
        {"name": "linear", "decrement": digits / 99},
        {"name": "one_cycle", "initial_factor": digits},
    ):
        configs.append(tiny(schedule=part, optimizer={"name": "sgd", "lr": digits / 3}, warmup=slow, epochs=9))
    for index, experiment in enumerate(configs):
        for told, where in ((environment(experiment.epochs or 9, 11, device="cuda:0"), "run"), ({}, "data")):
            text = code(experiment.plain(), told)
            compile(text, experiment.name, "exec")
            assert max(map(len, text.splitlines())) <= 100, text
            (tmp_path / f"{index}-{where}.py").write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    checks = (
        [*ruff, "format", "--isolated", "--line-length", "100", "--diff", str(tmp_path)],
        [
            *ruff,
            "check",
            "--isolated",
            "--line-length",
            "100",
            "--select",
            "E,F,I,W",
            "--ignore",
            "F821",
            str(tmp_path),
        ],
    )
    for check in checks:
        done = subprocess.run(check, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[:3000] + done.stderr[:1000]
