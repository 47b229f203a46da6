"""Weights that are frozen, unfrozen during training, or warmed up by themselves; and what is logged of all rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import after, assert_same_run, column, go, go_on, table

from lrbench.components import build_optimizer
from lrbench.components.optimizers.stages import Stage, Stages
from lrbench.config import identity
from lrbench.errors import ConfigError, Interrupted
from lrbench.lr_finder.settings import Ramp
from lrbench.reports.code import code
from lrbench.runs import Environment
from lrbench.runs.csv_log import CsvLog
from lrbench.training.build import assemble
from lrbench.training.check import check

CPU = torch.device("cpu")
RULES = {"freeze": ["1.*"], "unfreeze": {"1.weight": "1 epochs"}, "group_warmup": {"1.w*": "2 steps", "3.bias": 3}}
ADAMW = {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}


def test_factors_by_hand() -> None:
    assert [Stage("", 2, 4).factor(step) for step in range(8)] == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert [Stage("", 1, 0).factor(step) for step in range(3)] == [0, 1, 1]
    assert [Stage("", 0, 0).factor(step) for step in range(2)] == [1, 1]


def reference(experiment: Any, steps: int, factors: dict[str, list[float]]) -> dict[str, torch.Tensor]:
    """The weights after a plain loop; while a weight's factor is 0, its optimizer does not exist yet."""
    parts = assemble(experiment, CPU)
    weights = dict(parts.model.named_parameters())
    optimizers = {n: torch.optim.AdamW([p], lr=0.01, weight_decay=0.1, fused=True) for n, p in weights.items()}
    batches = [b for epoch in range(3) for b in parts.data.training_batches(32, experiment.seed, epoch)]
    for step in range(steps):
        batch = parts.batch(batches[step])
        parts.model.zero_grad()
        parts.task.measure(parts.model, batch)[0].backward()
        for name, optimizer in optimizers.items():
            factor = factors.get(name, [1.0] * steps)[step]
            if factor:
                optimizer.param_groups[0]["lr"] = 0.01 * factor
                optimizer.step()
    return {name: weight.detach().clone() for name, weight in weights.items()}


def test_a_run_freezes_unfreezes_and_warms_up(tmp_path: Path, tiny: Any) -> None:
    plain = tiny(optimizer=ADAMW, epochs=3)  # 2 steps an epoch
    experiment = tiny(optimizer={**ADAMW, **RULES}, epochs=3, best_by="val_accuracy")
    factors = {
        "1.weight": [0, 0, 0.5, 1, 1, 1],
        "1.bias": [0] * 6,
        "3.bias": [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1],  # a bare number counts epochs
    }
    with pytest.raises(Interrupted):
        go(tmp_path / "part", experiment, after(2))
    stopped, _ = next((tmp_path / "part").iterdir()), None
    half = torch.load(stopped / "checkpoint.pt", weights_only=True)["model"]
    first = reference(plain, 0, {})
    assert torch.equal(half["1.weight"], first["1.weight"]) and not torch.equal(half["3.weight"], first["3.weight"])
    expected = reference(plain, 6, factors)
    with pytest.raises(Interrupted):
        go(tmp_path / "part", experiment, after(4))
    found = torch.load(stopped / "checkpoint.pt", weights_only=True)["model"]
    assert torch.equal(found["1.bias"], first["1.bias"])
    for name, weight in expected.items():
        assert torch.allclose(found[name], weight, rtol=0, atol=1e-7), name


def test_what_is_logged(tmp_path: Path, tiny: Any) -> None:
    folder, _ = go(tmp_path, tiny(optimizer={**ADAMW, **RULES}, epochs=3, schedule="linear"))
    lr = column(folder, "lr")
    assert lr == pytest.approx([0.01 * (6 - t) / 6 for t in range(6)])
    assert column(folder, "lr_1.weight") == [0.0, 0.0, lr[2] / 2, *lr[3:]]
    assert column(folder, "lr_3.bias") == pytest.approx([rate * (t + 1) / 6 for t, rate in enumerate(lr)])
    assert list(table(folder.path / "steps.csv")[0])[5:] == ["lr_1.weight", "lr_3.bias"]
    groups = folder.environment().plain["groups"]
    first = {"pattern": "1.weight", "start": 2, "warmup_steps": 2, "column": "lr_1.weight"}
    last = {"pattern": "3.bias", "start": 0, "warmup_steps": 6, "column": "lr_3.bias"}
    assert groups == [
        {"ratio": 1.0, "parameters": 512, "weight_decay": 0.1, **first},
        {"ratio": 1.0, "parameters": 80, "weight_decay": 0.1},
        {"ratio": 1.0, "parameters": 10, "weight_decay": 0.1, **last},
    ]


def test_fixed_ratios_are_told_once(tmp_path: Path, tiny: Any) -> None:
    block = {**ADAMW, "layer_decay": 0.5, "decay_biases_and_norms": False}
    folder, _ = go(tmp_path, tiny(optimizer=block, epochs=1))
    assert list(table(folder.path / "steps.csv")[0]) == ["step", "lr", "momentum", "loss", "grad_norm"]
    told = [(g["ratio"], g["parameters"], g["weight_decay"]) for g in folder.environment().plain["groups"]]
    assert told == [(0.5, 512, 0.1), (0.5, 8, 0.0), (1.0, 80, 0.1), (1.0, 10, 0.0)]
    folder, _ = go(tmp_path, tiny(epochs=1))
    assert "groups" not in folder.environment().plain


@pytest.mark.parametrize(
    "optimizer",
    [
        {**ADAMW, **RULES},
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "unfreeze": {"1.*": "50%"}, "layer_decay": 0.5},
        {
            "name": "muon",
            "lr": 0.01,
            "adamw_lr": 0.001,
            "unfreeze": {"1.*": "3 steps"},
            "group_warmup": {"*": "4 steps"},
        },
        {"name": "schedule_free_sgd", "lr": 0.5, "unfreeze": {"1.*": "3 steps"}},
        {"name": "prodigy", "unfreeze": {"1.*": "3 steps"}},
    ],
    ids=lambda optimizer: optimizer["name"],
)
def test_resumed_at_every_step(tmp_path: Path, tiny: Any, optimizer: Any) -> None:
    experiment = tiny(optimizer=optimizer, epochs=3, model={"name": "mlp", "hidden": [8, 8]})
    whole, _ = go(tmp_path / "whole", experiment)
    stopped, _, interruptions = go_on(tmp_path / "stopped", experiment, lambda: 1)
    assert interruptions == 6
    assert_same_run(whole, stopped)


def test_the_earliest_start_and_the_longest_warm_up_count() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    rules = {"freeze": ["*"], "unfreeze": {"1.*": 0, "*": "4 epochs", "0.weight": "10 steps"}}
    optimizer = build_optimizer({"name": "sgd", "lr": 0.1, **rules, "group_warmup": {"0.*": "5 steps", "*": 1}}, model)
    stages = Stages.of(optimizer, [1.0] * len(optimizer.param_groups), total_steps=12, steps_per_epoch=8)
    assert stages is not None
    found = {(stage.name, stage.start, stage.rise) for stage in stages.stages}
    assert found == {("0.weight", 10, 8), ("*", 32, 8), ("*", 0, 8)}
    assert stages.unreached(12) == ["optimizer.unfreeze: '*' would stay frozen, to the end of the run and beyond"]
    assert list(stages.columns) == ["lr_0.weight", "lr_*", "lr_*#2"]
    assert [stages.column_of(index) for index in range(3)] == list(stages.columns)
    stages.enter(0)
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    stages.enter(11)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    stages.enter(3)  # a pure function of the step
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


@pytest.mark.parametrize(
    ("rules", "fragment"),
    [
        ({"freeze": ["encoder.*"]}, "optimizer.freeze: 'encoder.*' matches no parameter; the model has 1.weight"),
        ({"unfreeze": {"encoder.*": 1}}, "optimizer.unfreeze: 'encoder.*' matches no parameter"),
        ({"freeze": ["1.*"], "group_warmup": {"1.*": 1}}, "optimizer.group_warmup: '1.*' matches no parameter"),
        ({"freeze": ["*"]}, "has no parameters to train"),
        ({"unfreeze": {"*": 1}}, "optimizer.unfreeze: freezes every parameter at the start"),
        ({"unfreeze": {"1.*": "soon"}}, "optimizer.unfreeze.1.*: must be a duration"),
        ({"freeze": []}, "optimizer.freeze: must have at least 1 item"),
        ({"freeze": 3}, "optimizer.freeze: must be a"),
        ({"unfreeze": ["1.*"]}, "optimizer.unfreeze: must be a mapping"),
    ],
)
def test_wrong_rules(tiny: Any, rules: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble(tiny(optimizer={**ADAMW, **rules}), CPU)
    assert fragment in str(caught.value)


def test_what_is_never_unfrozen_is_said(tiny: Any) -> None:
    doubts = check(tiny(optimizer={**ADAMW, "unfreeze": {"1.*": "2 epochs"}}), CPU)  # of 2
    assert doubts == ["optimizer.unfreeze: '1.*' would stay frozen, to the end of the run and beyond"]


def test_one_identity_however_it_is_written(tiny: Any) -> None:
    one = tiny(optimizer={**ADAMW, "freeze": "3.*", "unfreeze": {"1.*": 1}})
    other = tiny(optimizer={**ADAMW, "freeze": ["3.*", "3.*"], "unfreeze": {"1.*": "1.0 epoch"}})
    assert identity(one) == identity(other) != identity(tiny(optimizer={**ADAMW, "freeze": ["3.*"]}))
    assert one.plain()["optimizer"] == {**ADAMW, "freeze": ["3.*"], "unfreeze": {"1.*": "1 epochs"}}


def test_a_range_test_trains_what_trains_at_the_start(tiny: Any) -> None:
    rules = {"freeze": ["1.bias"], "unfreeze": {"1.weight": 1, "3.*": 0}, "group_warmup": {"3.*": "10%"}}
    tested = Ramp().over(tiny(optimizer={**ADAMW, **rules}), 0).optimizer.params
    assert tested == {
        "lr": 10.0,
        "weight_decay": 0.1,
        "freeze": ["1.bias", "1.weight"],
        "unfreeze": {"3.*": "0 epochs"},
    }


def test_the_code_of_a_run_says_what_it_leaves_out(tiny: Any) -> None:
    text = " ".join(code(tiny(optimizer={**ADAMW, **RULES}).plain(), Environment()).replace("#", "").split())
    assert 'freeze=["1.*"]' in text and 'unfreeze={"1.weight": "1 epochs"}' in text
    assert "not in this code: '1.weight' was frozen for the first 1 epochs; '1.w*' had a warm-up of its own" in text


# -- Prodigy


def test_prodigy_s_estimate_is_logged(tmp_path: Path, tiny: Any) -> None:
    folder, _ = go(tmp_path, tiny(optimizer={"name": "prodigy", "lr": 0.5}, epochs=4, schedule="linear"))
    d, lr = column(folder, "d"), column(folder, "lr")
    assert d[0] == 1e-6 and d[-1] > d[0] and d == sorted(d)
    assert column(folder, "effective_lr") == [one * rate for one, rate in zip(d, lr, strict=True)]


def test_a_file_that_is_there_keeps_its_columns(tmp_path: Path) -> None:
    """A run that an earlier lrbench began goes on without them."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    log = CsvLog(path, ("a", "b"), ("c",))
    log.open(8)
    log.append([{"a": 5, "b": 6, "c": 7}])
    log.close()
    assert path.read_bytes() == b"a,b\n1,2\n5,6\n"
    log = CsvLog(path, ("a", "b"), ("c",))
    log.open()
    log.append([{"a": 5, "b": 6, "c": 7}])
    assert path.read_bytes() == b"a,b,c\n5,6,7\n" and log.end_of(log.mark) == 12
    log.close()
