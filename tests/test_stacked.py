"""Stacked training: runs trained together by one program have the results of runs trained one by one, to rounding."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lrbench.config import Experiment, load_config
from lrbench.errors import UsageError
from lrbench.events import Event
from lrbench.runs import RunFolder
from lrbench.sweeps import Sweep, sweep
from lrbench.training import Orders, RunOptions, orders, run
from lrbench.training.kinds import PlainTraining
from lrbench.training.pruning import Prune, PrunedTraining
from lrbench.training.run_one import WorkItem
from lrbench.training.stacked import execution, family, family_of, lockstep, remembered, stacks, trial, would_gain
from lrbench.training.stacked.program import Program
from lrbench.training.stacked.trial import judged

Cli = Callable[..., tuple[int, str, str]]
TOLERANCE = 2e-4  # of losses and gradient norms, after a few dozen updates
SMALL = {
    "name": "small",
    "dataset": {"name": "digits", "train_size": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "epochs": 3,
    "batch_size": 32,
    "device": "cpu",
}
GRID: dict[str, Any] = {"lr": [0.003, 0.01], "seeds": 2, "schedules": ["constant", "cosine"]}


def config(**changes: Any) -> Experiment:
    return Experiment.model_validate({**SMALL, **changes})


def table(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


def stacked(folder: Path) -> bool:
    return bool(json.loads((folder / "env.json").read_text()).get("stacked"))


def results(root: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in root.glob("*/result.json")}


def compare(alone: Path, together: Path, tolerance: float = TOLERANCE) -> None:
    """All that two folders of one run say, but for times: equal, or to the tolerance where it was computed."""
    exact = {"step", "epoch", "lr", "momentum"}
    for name in ("steps.csv", "epochs.csv"):
        one, other = table(alone / name), table(together / name)
        assert len(one) == len(other)
        assert one or name == "epochs.csv"
        for row, twin in zip(one, other, strict=True):
            assert list(row) == list(twin)
            for column in row.keys() - {"seconds", "examples_per_second"}:
                within = 0 if column in exact else tolerance
                if "accuracy" in column:
                    within = 0.01  # one answer of a hundred that hangs in the balance
                assert twin[column] == pytest.approx(row[column], rel=within, abs=within, nan_ok=True), (name, column)
    one, other = RunFolder(alone).result(), RunFolder(together).result()
    assert one is not None and other is not None
    assert (one.status, one.steps, one.epochs, one.evaluations) == (
        other.status,
        other.steps,
        other.epochs,
        other.evaluations,
    )
    assert (one.identity, one.group, one.effective_lr) == (other.identity, other.group, other.effective_lr)
    for mine, its in ((one.final, other.final), (one.best, other.best), (one.test, other.test)):
        assert (mine is None) == (its is None)
        if mine is not None and its is not None:
            assert its.keys() == mine.keys()
            losses = [name for name in mine if name.endswith("loss")]
            assert [its[name] for name in losses] == pytest.approx([mine[name] for name in losses], rel=tolerance)
    if one.best is not None:
        weights, twins = RunFolder(alone).load_best(), RunFolder(together).load_best()
        assert weights.keys() == twins.keys()
        for name, weight in weights.items():
            assert torch.allclose(weight, twins[name], rtol=0, atol=10 * tolerance), name
            assert twins[name].untyped_storage().nbytes() == twins[name].nbytes, "the whole stack was saved with it"


def both(tmp_path: Path, base: Experiment, jobs: int = 1, tolerance: float = TOLERANCE, **grid: Any) -> Sweep:
    """Train a sweep in stacks, and its runs one by one, and compare them."""
    done = sweep([base], runs=tmp_path / "together", jobs=jobs, stack="yes", **{**GRID, **grid})
    alone = run([outcome.experiment for outcome in done.outcomes], runs=tmp_path / "alone")
    assert len(alone) == len(done.outcomes) >= 4
    for single, outcome in zip(alone, done.outcomes, strict=True):
        assert stacked(outcome.path) and not stacked(single.path)
        compare(single.path, outcome.path, tolerance)
    return done


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": {"name": "mlp", "hidden": [16], "dropout": 0.3, "activation": "gelu"}}, id="dropout"),
        pytest.param(
            {
                "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
                "eval_every": "5 steps",
            },
            id="momentum",
        ),
        pytest.param({"optimizer": {"name": "sgd", "lr": 0.1}, "drop_last": True, "warmup": "4 steps"}, id="sgd"),
        pytest.param(
            {
                "model": {"name": "cnn", "padding": 1, "width": 4},
                "optimizer": {"name": "adamw", "lr": 0.003, "weight_decay": 0.1},
            },
            id="cnn",
        ),
        pytest.param(
            {"model": "logistic", "loss": {"name": "cross_entropy", "weight": "balanced"}, "clip_grad_norm": 0.5},
            id="logistic, class weights, clipping",
        ),
        pytest.param(
            {
                "dataset": {"name": "text", "path": __file__, "context": 16},
                "task": "language_model",
                "model": {"name": "gpt", "layers": 1, "width": 16, "heads": 2},
                "epochs": None,
                "steps": 12,
                "eval_every": "6 steps",
            },
            id="gpt",
        ),
        pytest.param(
            {"task": "regression", "plateau": {"metric": "val_loss", "factor": 0.5, "patience": 1}}, id="regression"
        ),
    ],
)
def test_stacked_runs_have_the_results_of_single_ones(tmp_path: Path, changes: dict[str, Any]) -> None:
    done = both(tmp_path, config(**changes))
    assert all(outcome.status.complete for outcome in done.outcomes)


def test_schedules_that_cycle_the_momentum_and_a_last_batch_of_its_own(tmp_path: Path) -> None:
    schedules = [{"name": "one_cycle", "cycle_momentum": [0.85, 0.95]}, {"name": "step", "every": "1 epoch"}]
    both(tmp_path, config(optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9}, epochs=4), schedules=schedules)


def test_a_run_that_diverges_or_stops_early_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    rule = {"metric": "val_loss", "patience": 2, "min_delta": 0.05}
    base = config(optimizer={"name": "sgd", "lr": 0.1}, epochs=8, early_stopping=rule)
    done = both(tmp_path, base, lr=[1e-5, 0.3, 1e30], schedules=["constant"])
    states = {outcome.experiment.plain()["optimizer"]["lr"]: outcome.status.value for outcome in done.outcomes}
    assert (states[1e-5], states[1e30]) == ("stopped_early", "diverged")
    assert states[0.3] in ("finished", "stopped_early")


def test_workers_share_the_stacks(tmp_path: Path) -> None:
    said: list[str] = []
    done = sweep(
        [config()], runs=tmp_path, jobs=2, stack="yes", **GRID,
        watch=lambda event: said.append(event.values["text"]) if event.kind == "message" else None,
    )  # fmt: skip
    assert all(outcome.status.complete and stacked(outcome.path) for outcome in done.outcomes)
    assert "2 workers, 1 thread each" in " ".join(said) or os.cpu_count() != 2
    assert not any("died" in text for text in said)


# -- killed, stopped, failed

KILLED = """
import os, signal, sys
from lrbench.config import load_config
from lrbench.sweeps import sweep
from lrbench.training.stacked import lockstep
from lrbench.training.stacked.program import Program

lockstep.READ_BACK_SECONDS = lockstep.CHECKPOINT_SECONDS = 0.0
inner, steps = Program.update, int(sys.argv[3])

def update(self, batch):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(self, batch)

Program.update = update
grid = {"lr": [0.003, 0.01], "seeds": 2, "schedules": ["constant", "cosine"]}
sweep([load_config(sys.argv[1])], runs=sys.argv[2], jobs=1, stack="yes", **grid)
"""


@pytest.mark.parametrize("then", ["yes", "no"])
def test_a_killed_sweep_goes_on_stacked_or_alone(tmp_path: Path, then: str) -> None:
    base = config(model={"name": "mlp", "hidden": [16], "dropout": 0.25})
    file = tmp_path / "small.yaml"
    file.write_text(base.yaml())
    command = [sys.executable, "-c", KILLED, str(file), str(tmp_path / "killed"), "10"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    left = sorted(path.parent for path in (tmp_path / "killed").glob("*/checkpoint.pt"))
    assert len(left) == 8 and not results(tmp_path / "killed")
    sizes = {path.stat().st_size for folder in left for path in folder.glob("checkpoint.pt")}
    assert max(sizes) < 100_000, "each checkpoint holds its own run alone"
    done = sweep([load_config(file)], runs=tmp_path / "killed", jobs=1, stack=then, **GRID)
    alone = run([outcome.experiment for outcome in done.outcomes], runs=tmp_path / "alone")
    for single, outcome in zip(alone, done.outcomes, strict=True):
        assert outcome.status.complete
        assert len(json.loads((outcome.path / "env.json").read_text())["resumed"]) == 1
        compare(single.path, outcome.path)


def test_a_killed_worker_s_runs_are_resumed_one_by_one(tmp_path: Path) -> None:
    said: list[str] = []
    killed: list[int] = []

    def watch(event: Event) -> None:
        if event.kind == "message":
            said.append(event.values["text"])
        if event.kind == "epoch" and not killed:
            owner = RunFolder(tmp_path / "together" / event.run).owner
            assert owner is not None and owner.pid != os.getpid()
            killed.append(owner.pid)
            os.kill(owner.pid, signal.SIGKILL)

    base = config(epochs=12)
    done = sweep([base], runs=tmp_path / "together", jobs=2, stack="yes", **GRID, watch=watch)
    assert killed and any("one by one in a new one" in text for text in said)
    alone = run([outcome.experiment for outcome in done.outcomes[::3]], runs=tmp_path / "alone")
    for single, outcome in zip(alone, done.outcomes[::3], strict=True):
        assert outcome.status.complete
        compare(single.path, outcome.path, tolerance=0.05)


def test_ctrl_c_writes_checkpoints_and_the_same_command_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, steps = Program.update, iter(range(1000))

    def update(program: Program, batch: Any) -> torch.Tensor:
        if next(steps) == 8:
            sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))  # no code of the run
            sender.start(), sender.join()
        return inner(program, batch)

    monkeypatch.setattr(Program, "update", update)
    stopped = sweep([config()], runs=tmp_path / "together", jobs=1, stack="yes", **GRID)
    assert {outcome.status.value for outcome in stopped.outcomes} == {"interrupted"}
    assert all(RunFolder(outcome.path).has_checkpoint for outcome in stopped.outcomes)
    assert not any((outcome.path / "lock").exists() for outcome in stopped.outcomes)
    both(tmp_path, config())


def test_a_run_is_dropped_from_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(lockstep, "READ_BACK_SECONDS", 0.0)
    asked = tmp_path / "asked"
    asked.mkdir()
    done = sweep([config()], runs=tmp_path / "runs", jobs=1, stack="no", **GRID)
    items = []
    for outcome in done.outcomes:
        RunFolder(outcome.path).clear()
        items.append(WorkItem(outcome.path, outcome.experiment, orders=Orders(asked), family="one", stack="yes"))
    dropped = items[3].path.name

    def watch(event: Event) -> None:
        if event.kind == "epoch" and event.epoch == 1:
            (asked / f"drop-{dropped}").touch()

    told: dict[str, Any] = {}
    execution.do_stack(
        items, threads=1, watch=watch, stop=lambda: False,
        tell=lambda path, result: told.update({path.name: result.status.value}),
    )  # fmt: skip
    assert told.pop(dropped) == "pruned"
    assert set(told.values()) == {"finished"} and len(told) == 7


def test_runs_whose_stack_fails_are_trained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, steps, said = Program.update, iter(range(1000)), []

    def update(program: Program, batch: Any) -> torch.Tensor:
        if next(steps) == 5:
            raise RuntimeError("no batching rule")
        return inner(program, batch)

    def watch(event: Event) -> None:
        if event.kind == "message":
            said.append(event.values["text"])

    monkeypatch.setattr(Program, "update", update)
    done = sweep([config()], runs=tmp_path / "together", jobs=1, stack="yes", **GRID, watch=watch)
    alone = run([outcome.experiment for outcome in done.outcomes], runs=tmp_path / "alone")
    assert len([text for text in said if "no batching rule" in text]) == 1
    for single, outcome in zip(alone, done.outcomes, strict=True):
        assert (single.path / "steps.csv").read_bytes() == (outcome.path / "steps.csv").read_bytes()


# -- which runs, and when

ALONE: dict[str, dict[str, Any]] = {
    "accumulated batches": {"accumulate": 2},
    "mixed precision": {"precision": "bf16"},
    "skipped steps": {"on_non_finite": "skip"},
    "a kept state": {"keep": "state"},
    "compiled": {"compile": True},
    "another optimizer": {"optimizer": {"name": "rmsprop", "lr": 0.01}},
    "groups of weights": {"optimizer": {"name": "adamw", "lr": 0.01, "decay_biases_and_norms": False}},
    "AMSGrad": {"optimizer": {"name": "adam", "lr": 0.01, "amsgrad": True}},
    "augmented images": {"dataset": {"name": "digits", "augment": ["crop"]}},
    "imported code": {"model": "tests.test_stacked:config"},
}


@pytest.mark.parametrize("changes", ALONE.values(), ids=ALONE)
def test_what_is_trained_alone(changes: dict[str, Any]) -> None:
    assert family_of(config(**changes), PlainTraining()) is None
    assert family_of(config(), PlainTraining()) is not None


def test_a_pruned_run_is_trained_alone() -> None:
    assert family_of(config(), PrunedTraining(Prune())) is None


def test_a_family_differs_in_what_a_stack_can_tell_apart() -> None:
    def family(**changes: Any) -> str | None:
        return family_of(config(**changes), PlainTraining())

    same = {"seed": 5, "optimizer": {"name": "adam", "lr": 0.5, "weight_decay": 0.1}, "schedule": "cosine"}
    assert family() == family(**same, warmup="10%", name="other")
    others = [
        {"batch_size": 16},
        {"epochs": 4},
        {"model": {"name": "mlp", "hidden": [17]}},
        {"optimizer": {"name": "adamw", "lr": 0.01}},
        {"clip_grad_norm": 1.0},
        {"eval_every": "5 steps"},
        {"dataset": {"name": "digits", "train_size": 201}},
    ]
    found = [family(), *(family(**changes) for changes in others)]
    assert len(set(found)) == len(found)
    momenta = [family(optimizer={"name": "sgd", "lr": 0.1, "momentum": value}) for value in (0.0, 0.5, 0.9)]
    assert momenta[0] != momenta[1] == momenta[2]


def item(tmp_path: Path, seed: int, stack: str = "yes", **changes: Any) -> WorkItem:
    experiment = config(seed=seed, **changes)
    family = family_of(experiment, PlainTraining())
    return WorkItem(tmp_path / f"{seed}", experiment, family=family, stack=stack)


def test_families_are_divided_among_workers(tmp_path: Path) -> None:
    items = [item(tmp_path, seed) for seed in range(10)]
    assert [len(stack) for stack in stacks(items, 2)] == [5, 5]
    assert [len(stack) for stack in stacks(items, 8)] == [5, 5], "at least four runs in a stack"
    assert [len(stack) for stack in stacks(items * 13, 1)] == [43, 43, 44]
    assert [len(stack) for stack in stacks(items[:3], 1)] == [1, 1, 1]
    short = [item(tmp_path, seed, "auto") for seed in range(10)]
    assert {len(stack) for stack in stacks(short, 2)} == {1}, "too short for a trial"
    longer = [item(tmp_path, seed, "auto", epochs=100) for seed in range(10)]
    assert [len(stack) for stack in stacks(longer, 2)] == [5, 5]


def test_a_model_with_running_statistics_says_why_it_is_not_stacked(tmp_path: Path) -> None:
    items = [item(tmp_path, seed, model={"name": "resnet20", "width": 2}) for seed in range(4)]
    verdict = judged(items)
    assert verdict.most == 0 and "buffers" in str(verdict.said)


def test_auto_stacks_where_a_trial_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LEAST_STEPS", 0)
    items = [item(tmp_path, seed, "auto") for seed in range(6)]
    for gain, most in ((0.9, 0), (1.1, 0), (3.0, 6)):
        monkeypatch.setattr(remembered, "gain", lambda key, measure, gain=gain: gain)
        assert judged(items).most == most
    monkeypatch.setattr(trial, "_free", lambda device: 1_000_000)
    few = judged(items).most
    assert 2 <= few < 6, "as many as the memory takes"


def test_a_gain_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LEAST_STEPS", 0)
    measured: list[int] = []

    def gain(self: trial.Trial, count: int) -> float:
        measured.append(count)
        return 2.5

    monkeypatch.setattr(trial.Trial, "gain", gain)
    items = [item(tmp_path, seed, "auto") for seed in range(6)]
    said = {judged(items).said, judged(items[:5]).said}
    assert measured == [6] and any("2.5 times as fast" in str(text) for text in said)
    judged([item(tmp_path, seed, "auto", batch_size=16) for seed in range(6)])
    assert measured == [6, 6]
    remembered._file().write_text("[1, {")
    assert judged(items).most == 6 and measured == [6, 6, 6]


def test_the_trial_measures_a_gain(tmp_path: Path) -> None:
    items = [item(tmp_path, seed) for seed in range(4)]
    tried = trial.Trial.of([one.experiment for one in items], torch.device("cpu"))  # type: ignore[misc]
    assert tried.refused() is None and tried.gain(4) > 0


def test_a_model_whose_steps_are_slow_alone_gets_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item(tmp_path, seed) for seed in range(4)]
    tried = trial.Trial.of([one.experiment for one in items], torch.device("cpu"))  # type: ignore[misc]
    monkeypatch.setattr(trial, "SLOW", 0.0)
    monkeypatch.setattr(Program, "update", None)
    assert tried.gain(4) == 1.0


def test_a_stacked_step_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Program.gradient
    monkeypatch.setattr(Program, "gradient", lambda self, batch: tuple(1.01 * found for found in inner(self, batch)))
    verdict = judged([item(tmp_path, seed) for seed in range(4)])
    assert verdict.most == 0 and "differ" in str(verdict.said)


def test_the_option(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(config().yaml())
    asked = ("sweep", str(file), "--lr", "1e-3:1e-1:4", "--jobs", "1", "--runs", str(tmp_path / "runs"))
    code, _, said = cli(*asked, "--stack", "maybe")
    assert code == 2 and "unknown --stack 'maybe'" in said
    code, *_ = cli(*asked, "--stack", "yes")
    assert code == 0 and all(map(stacked, results(tmp_path / "runs").values()))
    with pytest.raises(UsageError, match="stack"):
        RunOptions(stack="maybe")


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({}, {"executor": "slurm", "slurm": "cluster=local"}, "4 runs, because each Slurm job trains one run"),
        ({"stall": 600}, {}, "4 runs, because a timeout, stall or memory limit needs a process for each"),
        ({}, {"prune": Prune(halve=True)}, "4 runs, because they are pruned or halved"),
        ({"accumulate": 2}, {}, "4 runs, because stacks don't have `accumulate`"),
        ({"optimizer": {"name": "adam", "amsgrad": True}}, {}, "4 runs, because stacks don't have `optimizer.amsgrad`"),
        (
            {},
            {"stack": "auto"},
            "4 runs, because they have fewer than 5,000 steps in all, too few for a trial to pay off",
        ),
        ({}, {}, ""),
        ({"stall": 600}, {"stack": "no"}, ""),
    ],
)
def test_what_is_not_stacked_is_told_with_the_reason(
    changes: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    how = RunOptions(**{"stack": "yes", **options})
    runs = [config(**changes, seed=seed) for seed in range(4)]
    outcomes: Any = [SimpleNamespace(experiment=one, kind=how.kind_of(one)) for one in runs]
    assert how.not_stacked(outcomes).startswith(f"not stacked: {reason}" if reason else "")
    assert bool(how.not_stacked(outcomes)) is bool(reason)


def test_a_few_runs_are_not_stacked_and_that_is_told() -> None:
    how = RunOptions(stack="yes")
    outcomes: Any = [SimpleNamespace(experiment=config(seed=seed), kind=PlainTraining()) for seed in range(3)]
    few = "3 runs, because a stack has at least 4 runs that differ only in learning rate, schedule or seed"
    assert how.not_stacked(outcomes) == f"not stacked: {few}"


def test_a_sweep_says_whether_its_runs_are_stacked(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(config().yaml())
    asked = ("sweep", file, "--lr", "1e-3:1e-1:4", "--jobs", "1", "--stack", "yes")
    _, said, _ = cli(*asked, "--runs", tmp_path / "together")
    assert "training 4 runs as one stack\n" in said and "not stacked" not in said
    assert "4 of 4 runs were trained in stacks, equal to single training up to rounding." in said
    _, said, _ = cli(*asked, "--runs", tmp_path / "alone", "--set", "stall=10min", "--confirm", "1")
    assert said.count("not stacked: ") == 1 and "in stacks" not in said


def test_runs_in_another_process_are_left_to_it(tmp_path: Path) -> None:
    """A stack of those that remain is trained without it."""
    done = sweep([config()], runs=tmp_path, jobs=1, stack="no", **GRID)
    taken, *others = done.outcomes
    for outcome in done.outcomes:
        (outcome.path / "result.json").unlink()
    told: dict[str, Any] = {}
    items = [WorkItem(o.path, o.experiment, family="one", stack="yes") for o in done.outcomes]
    with RunFolder(taken.path).lock():
        execution.do_stack(
            items, threads=1, watch=lambda event: None, stop=lambda: False,
            tell=lambda path, result: told.update({path.name: result}),
        )  # fmt: skip
    assert type(told.pop(taken.path.name)).__name__ == "LockedError"
    assert {one.path.name for one in others} == told.keys()
    assert all(result.status.complete for result in told.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_on_a_gpu(tmp_path: Path) -> None:
    both(tmp_path, config(device="cuda"), tolerance=1e-3)


@pytest.mark.parametrize(
    ("changes", "count", "gains"),
    [
        ({}, 24, 24),
        ({"model": {"name": "mlp", "hidden": [256]}}, 24, 0),
        ({"model": {"name": "cnn", "padding": 1}}, 24, 0),
        ({"batch_size": 512}, 24, 0),
        ({"steps": 1_000}, 24, 0),
        ({"accumulate": 2}, 24, 0),
        ({}, 7, 0),
    ],
    ids=str,
)
def test_which_runs_are_known_to_gain(changes: dict[str, Any], count: int, gains: int) -> None:
    runs = [(config(epochs=None, **{"steps": 50_000, **changes}, seed=seed), PlainTraining()) for seed in range(count)]
    assert would_gain(runs) == gains
    outcomes: Any = [SimpleNamespace(experiment=experiment, kind=kind) for experiment, kind in runs]
    assert RunOptions().gains_by_stacking(outcomes) == gains
    assert RunOptions(stack="yes").gains_by_stacking(outcomes) == 0


def test_a_long_sweep_of_small_runs_tells_once_what_stacking_would_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(config(epochs=1).yaml())
    asked = ("sweep", str(file), "--lr", "1e-3:1e-1:8", "--jobs", "1")
    assert "--stack" not in "".join(cli(*asked, "--runs", str(tmp_path / "short"))[1:])
    monkeypatch.setattr(family, "LONG", 0)
    said = "".join(cli(*asked, "--runs", str(tmp_path / "long"), "--confirm", "2")[1:])
    assert said.count("--stack yes would train 8 small runs about twice as fast") == 1
