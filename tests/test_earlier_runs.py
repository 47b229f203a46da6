"""Runs that start from another run's weights, or continue from its complete state."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import MLP, SMALL_CNN, after, assert_same_run, column, go, go_on, table

import lrbench
from lrbench.analysis import budgets, grouped, read_runs
from lrbench.config import identity, load_config
from lrbench.errors import ConfigError, Interrupted
from lrbench.events import Event
from lrbench.lr_finder.settings import Ramp
from lrbench.reports.code import code
from lrbench.runs import Environment, RunFolder
from lrbench.training import run
from lrbench.training.build import assemble
from lrbench.training.check import check

CPU = torch.device("cpu")
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}
ADAM = {"name": "adam", "lr": 0.01}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- continue


@pytest.mark.parametrize(
    "changes",
    [
        {**MLP, "optimizer": ADAM},
        {**SMALL_CNN, "optimizer": SGD},
        {"optimizer": {"name": "schedule_free_sgd", "lr": 0.5}},
    ],
    ids=["adam", "dropout", "schedule-free"],
)
def test_a_continued_run_is_the_second_half_of_a_longer_one(tmp_path: Path, tiny: Any, changes: Any) -> None:
    whole, _ = go(tmp_path, tiny(**{**changes, "epochs": 5}, keep="state"))
    first, _ = go(tmp_path, tiny(**{**changes, "epochs": 2}, keep="state"))
    following = {"run": str(first.path), "for": "3 epochs"}
    second, result = go(tmp_path, tiny(**{**changes, "epochs": None}, keep="state", **{"continue": following}))
    assert same(second.load_final()["model"], whole.load_final()["model"])
    before = len(column(first, "loss"))
    for name in ("lr", "loss", "grad_norm"):
        assert column(whole, name) == [*column(first, name), *column(second, name)]
    assert column(whole, "val_loss", "epochs") == [
        *column(first, "val_loss", "epochs"),
        *column(second, "val_loss", "epochs"),
    ]
    assert column(second, "step")[0] == 1 and result.steps == len(column(whole, "loss")) - before
    stopped, _, interruptions = go_on(
        tmp_path / "stopped",
        tiny(**{**changes, "epochs": None}, keep="state", **{"continue": following}),
        lambda: 1 if before < 10 else 9,
    )
    assert interruptions
    assert_same_run(second, stopped)


def test_what_the_schedule_does(tmp_path: Path, tiny: Any) -> None:
    settings = {"schedule": "cosine", "warmup": "2 steps", "keep": "state", "optimizer": SGD}  # 2 steps an epoch
    first, _ = go(tmp_path, tiny(**settings, epochs=3))
    seen: list[Event] = []
    block = {"run": str(first.path), "for": "8 steps"}
    extended, _ = go(tmp_path, tiny(**settings, epochs=None, **{"continue": block}), watch=seen.append)
    cosine = [0.05 * (1 + math.cos(math.pi * t / 12)) / 2 for t in range(12)]
    assert column(extended, "lr") == pytest.approx(cosine[4:])  # 14 steps in all, 2 of them the warm-up
    (said,) = [event.values["text"] for event in seen if event.kind == "message"]
    what = "the schedule covers the steps of both runs and continues at step 6"
    assert said == f"{extended.name}: continues {first.path} after its 6 steps; {what}"
    restarted, _ = go(tmp_path, tiny(**settings, epochs=None, **{"continue": {**block, "schedule": "restart"}}))
    assert column(restarted, "lr")[:3] == pytest.approx([0.025, 0.05, 0.05])
    assert len(column(restarted, "lr")) == 8
    third, _ = go(tmp_path, tiny(**settings, epochs=None, **{"continue": {**block, "run": str(extended.path)}}))
    cosine = [0.05 * (1 + math.cos(math.pi * t / 20)) / 2 for t in range(20)]
    assert column(third, "lr") == pytest.approx(cosine[12:])
    assert third.environment().plain["before"] == {"steps": 14, "epochs": 7}
    for folder in (extended, restarted, third):
        (previewed,) = lrbench.preview([folder.config()])
        assert previewed.rates == column(folder, "lr")


def test_the_optimizer_s_parameters_are_those_of_the_new_config(tmp_path: Path, tiny: Any) -> None:
    first, _ = go(tmp_path, tiny(optimizer={**ADAM, "weight_decay": 0.1}, keep="state", epochs=1))
    changed = {"optimizer": {"name": "adam", "lr": 0.002, "weight_decay": 0.3}, "epochs": 1}
    parts = assemble(tiny(**changed, **{"continue": {"run": str(first.path)}}), CPU)
    assert parts.optimizer.param_groups[0]["weight_decay"] == 0.3 and parts.peak_lr == 0.002
    state = parts.optimizer.state_dict()["state"]
    assert state and all(one["step"] == 2 for one in state.values())


def test_unfreezing_goes_on(tmp_path: Path, tiny: Any) -> None:
    optimizer = {**SGD, "unfreeze": {"1.*": "5 steps"}}
    first, _ = go(tmp_path, tiny(optimizer=optimizer, epochs=2, keep="state"))
    second, _ = go(tmp_path, tiny(optimizer=optimizer, epochs=None, **{"continue": {"run": str(first.path), "for": 1}}))
    assert column(second, "lr_1.*") == [0.0, 0.05]


def test_continue_in_a_run_s_own_config(tmp_path: Path, cli: Any, write_config: Callable[..., Path]) -> None:
    write_config(keep="state")
    assert cli("run", "tiny.yaml")[0] == 0
    (first,) = (path for path in (tmp_path / "runs").iterdir() if (path / "result.json").exists())
    status, out, _ = cli("run", f"runs/{first.name}/config.yaml", "--set", "continue=1 epoch", "--set", "name=longer")
    assert status == 0
    (longer,) = (tmp_path / "runs").glob("longer-*")
    assert len(table(longer / "steps.csv")) == 2 and "continues" in out
    plain = RunFolder(longer).config().plain()
    known = RunFolder(first).environment().identity
    assert plain["continue"] == {"run": f"runs/{first.name}", "schedule": "extend", "identity": known}
    status, _, err = cli("run", "tiny.yaml", "--set", "continue=1 epoch")
    assert status == 2 and "must name the run: {run: runs/…, for: 10 epochs}" in err
    status, _, err = cli("run", "tiny.yaml", "--set", f"continue={{run: runs/{longer.name}, for: 10%}}")
    assert status == 2 and "continue.for: must be whole epochs or steps" in err


def test_what_cannot_be_continued(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(Interrupted):
        go(tmp_path, tiny(seed=7), after(2))
    (unfinished,) = tmp_path.iterdir()
    plain, _ = go(tmp_path, tiny())
    kept, _ = go(tmp_path, tiny(keep="state", seed=3))
    for changes, run_, fragment in (
        ({}, unfinished, "continue.run: must be a finished run; .* is interrupted"),
        ({}, plain.path, "kept its best weights, but not its final state; repeat it with keep: state and again=True"),
        (
            {"model": {"name": "mlp", "hidden": [9]}},
            kept.path,
            "does not fit this model and optimizer: .*size mismatch",
        ),
        ({"optimizer": {**SGD, "layer_decay": 0.5}}, kept.path, "does not fit this model and optimizer"),
        (
            {"init_from": str(plain.path)},
            kept.path,
            "continue: starts from the complete state of a run; remove init_from",
        ),
    ):
        with pytest.raises(ConfigError, match=fragment):
            assemble(tiny(**changes, epochs=None, **{"continue": {"run": str(run_), "for": 1}}), CPU)
    (found,) = run([tiny(keep="state")], runs=tmp_path)
    assert found.found and "its final state was not kept" in found.warnings[-1]
    (again,) = run([tiny(keep="state")], runs=tmp_path, again=True)
    assert RunFolder(again.path).has_final and again.path == plain.path
    run([tiny()], runs=tmp_path, again=True)
    assert not plain.has_final


# -- init_from


@pytest.fixture
def pretrained(tmp_path: Path, tiny: Any) -> RunFolder:
    """A run whose best weights are not its last ones."""
    folder, result = go(tmp_path / "runs", tiny(optimizer={"name": "sgd", "lr": 4.0}, epochs=4, keep="state"))
    assert result.best is not None and result.best["step"] != result.steps
    return folder


def test_weights_of_another_run(pretrained: RunFolder, tiny: Any) -> None:
    for weights, expected in (("best", pretrained.load_best()), ("final", pretrained.load_final()["model"])):
        parts = assemble(tiny(init_from={"run": str(pretrained.path), "weights": weights}), CPU)
        assert same(parts.model.state_dict(), expected)
        assert parts.start.said == [f"starts from the {weights} weights of {pretrained.path}"]
        assert not parts.optimizer.state_dict()["state"] and parts.start.steps == 0
    assert not same(pretrained.load_best(), pretrained.load_final()["model"])
    averaged = assemble(tiny(init_from=str(pretrained.path), optimizer={"name": "schedule_free_sgd"}), CPU)
    assert same(averaged.model.state_dict(), pretrained.load_best())


def test_a_run_from_weights_goes_on_after_an_interruption(pretrained: RunFolder, tiny: Any, tmp_path: Path) -> None:
    experiment = tiny(init_from=str(pretrained.path))
    whole, _ = go(tmp_path / "whole", experiment)
    stopped, _, _ = go_on(tmp_path / "stopped", experiment, lambda: 1)
    assert_same_run(whole, stopped)
    fresh, _ = go(tmp_path / "fresh", tiny())
    assert column(fresh, "loss")[0] != column(whole, "loss")[0]


def test_weights_that_do_not_fit(pretrained: RunFolder, tiny: Any) -> None:
    model = {"name": "mlp", "hidden": [8, 10]}
    block = {"run": str(pretrained.path)}
    with pytest.raises(ConfigError) as caught:
        assemble(tiny(init_from=block, model=model), CPU)
    assert caught.value.key == "init_from"
    assert "5.weight is missing there" in str(caught.value) and "set strict: false" in str(caught.value)
    other = {"name": "mlp", "hidden": [8, 4]}
    experiment = tiny(init_from={**block, "strict": False}, model=other)
    parts = assemble(experiment, CPU)
    first = pretrained.load_best()
    assert torch.equal(parts.model.state_dict()["1.weight"], first["1.weight"])
    (said,) = parts.start.said
    assert "not taken: 3.weight has shape (10, 8) there, (4, 8) in the model; 3.bias" in said and "and 1 more" in said
    with pytest.raises(ConfigError, match=r"no weights of .* fit the model: conv1.weight is missing there; conv1.bias"):
        assemble(tiny(init_from={**block, "strict": False}, model={"name": "cnn", "padding": 1}), CPU)


def test_what_weights_cannot_be_taken_from(pretrained: RunFolder, tmp_path: Path, tiny: Any) -> None:
    for block, fragment in (
        ("runs/nothing", "init_from.run: must be a run's folder, .*; runs/nothing does not exist"),
        (3, "init_from: must be a run's folder, or .*got 3"),
        (str(tmp_path), "has no env.json or result.json of a run"),
        ({"weights": "best"}, "init_from.run: is missing"),
        ({"run": str(pretrained.path), "weights": "first"}, "init_from.weights: must be 'best' or 'final'"),
        ({"run": str(pretrained.path), "wieghts": "best"}, "unknown key 'wieghts'; did you mean 'weights'"),
        ({"run": str(pretrained.path), "identity": "0" * 64}, "is not the run that this config was made for"),
    ):
        with pytest.raises(ConfigError, match=fragment):
            check(tiny(init_from=block), CPU)
    (pretrained.path / "final.pt").unlink()
    with pytest.raises(ConfigError, match=r"kept only its best weights, of step \d of 8; use best"):
        check(tiny(init_from={"run": str(pretrained.path), "weights": "final"}), CPU)
    (pretrained.path / "best.pt").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"the weights of .* can't be read"):
        check(tiny(init_from=str(pretrained.path)), CPU)


def test_the_last_weights_are_the_best_ones_where_these_are_from_the_last_step(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(optimizer={"name": "sgd", "lr": 0.01}))
    assert result.best is not None and result.best["step"] == result.steps
    parts = assemble(tiny(init_from={"run": str(folder.path), "weights": "final"}), CPU)
    assert same(parts.model.state_dict(), folder.load_best())


def test_identity_is_that_of_the_run_and_what_is_taken(pretrained: RunFolder, tmp_path: Path, tiny: Any) -> None:
    shutil.copytree(pretrained.path, tmp_path / "moved")
    one, moved = tiny(init_from=str(pretrained.path)), tiny(init_from=str(tmp_path / "moved"))
    assert identity(one) == identity(moved)
    block = {"run": str(pretrained.path)}
    others = [tiny(), tiny(init_from={**block, "weights": "final"}), tiny(init_from={**block, "strict": False})]
    others += [
        tiny(**{"continue": {**block, "for": 2}}),
        tiny(**{"continue": {**block, "for": 2, "schedule": "restart"}}),
    ]
    assert len({identity(experiment) for experiment in (one, *others)}) == 6
    assert identity(tiny(keep="state")) == identity(tiny(keep="best")) == identity(tiny())
    path = tmp_path / "again.yaml"
    path.write_text(one.yaml())
    shutil.rmtree(pretrained.path)
    assert identity(load_config(path)) == identity(one), "the written config tells the identity by itself"
    text = " ".join(code(one.plain(), Environment()).replace("#", "").split())
    assert "not in this code: the model started from the best weights of" in text


def test_a_range_test_starts_where_the_run_would(pretrained: RunFolder, tiny: Any) -> None:
    block = {"run": str(pretrained.path), "for": 2}
    tested = Ramp().over(tiny(**{"continue": block}, epochs=None), 0)
    assert tested.continues is None and tested.init_from is not None and tested.init_from.weights == "final"
    assert Ramp().over(tiny(init_from=str(pretrained.path)), 0).init_from is not None


def test_a_comparison_says_what_came_before(tmp_path: Path, tiny: Any) -> None:
    first, _ = go(tmp_path, tiny(keep="state", name="first"))
    block = {"run": str(first.path), "for": 2}
    go(tmp_path, tiny(name="longer", epochs=None, **{"continue": block}))
    go(tmp_path, tiny(name="tuned", init_from=str(first.path)))
    found = budgets(grouped(read_runs([tmp_path])))
    assert {key: [group.first.name for group in groups] for key, groups in found.items()} == {
        "2 epochs of 64 examples": ["first"],
        f"2 epochs of 64 examples after those of {first.name}": ["longer"],
        f"2 epochs of 64 examples from the weights of {first.name}": ["tuned"],
    }
