"""Branches from one trunk equal, bit for bit, the same runs trained alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Starts
from test_train import after, assert_same_run, column, go, timeless
from torch import nn

import lrbench
from lrbench.config import Trunk, branched, identity, load_config, run_name
from lrbench.errors import Interrupted
from lrbench.events import Event
from lrbench.runs import RunFolder, Status, describe
from lrbench.training import RunOptions, look, run
from lrbench.training.kinds import PlainTraining
from lrbench.training.outcome import Outcome
from lrbench.training.run_one import WorkItem, do_run
from lrbench.types import Duration

ADAM = {"name": "adam", "lr": 0.01}
WSD = {"name": "warmup_stable_decay", "warmup": "2 steps"}
SQRT = {"for": "5 steps", "shape": "sqrt", "final_factor": 0.1}


def wsd(cooldown: int, **more: Any) -> dict[str, Any]:
    """The schedule of a run trained alone, as one writes it by hand."""
    return {**WSD, "cooldown": f"{cooldown} steps", **more}


def shared(root: Path, experiment: Any, **options: Any) -> list[Outcome]:
    """Train a config with branches. The trunk comes first."""
    return run([experiment], runs=root, **options)


def folders(outcomes: Sequence[Outcome]) -> dict[str, RunFolder]:
    return {outcome.experiment.name: RunFolder(outcome.path) for outcome in outcomes}


def kept(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.path.glob("step-*.pt"))


# -- equal to the same runs trained alone

SETTINGS = {
    "adam": {"optimizer": ADAM},
    "dropout": {"model": {"name": "cnn", "padding": 1}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
    "muon": {"optimizer": {"name": "muon", "lr": 0.02}},
    "schedule-free": {"optimizer": {"name": "schedule_free_sgd", "lr": 0.5}},
    "accumulate, evaluations within epochs": {"batch_size": 8, "accumulate": 4, "eval_every": "3 steps"},
    "evaluation where branches begin": {"eval_every": "3 steps", "best_by": "val_accuracy"},
    "plateau": {"plateau": {"factor": 0.5, "patience": 0, "threshold": 1.0}, "eval_every": "2 steps"},
    "warm-up block": {"warmup": "3 steps", "clip_grad_norm": 0.5},
    "unfreeze": {"optimizer": {"name": "sgd", "lr": 0.1, "unfreeze": {"1.*": "5 steps"}}},
    "skip": {"on_non_finite": "skip", "lr_scaling": {"rule": "linear", "base_batch_size": 16}},
    "text": {
        "dataset": {"name": "text", "context": 8, "path": "own.txt"},
        "model": {"name": "gpt", "layers": 1, "width": 8, "heads": 2},
        "optimizer": {"name": "adamw", "lr": 0.001},
        "eval_every": "4 steps",
        "batch_size": 4,
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_branch_equals_the_same_run_trained_alone(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.txt").write_text("to be, or not to be: that is the question. " * 20)
    settings = {**SETTINGS[name], "epochs": None, "keep": "state"}
    by_hand = {
        "tiny-trunk": tiny(**settings, steps=9, schedule=wsd(0)),
        "tiny-at6-decay5-sqrt": tiny(**settings, steps=11, schedule=wsd(5, shape="sqrt", final_factor=0.1)),
        "tiny-at9-decay5-sqrt": tiny(**settings, steps=14, schedule=wsd(5, shape="sqrt", final_factor=0.1)),
    }
    branches = {"at": [6, 9], "decay": SQRT}  # 2 steps an epoch: 9 lies within one
    found = folders(shared(tmp_path / "shared", tiny(**settings, schedule=WSD, branches=branches)))
    assert found.keys() == by_hand.keys()
    for label, experiment in by_hand.items():
        alone, _ = go(tmp_path / "alone", experiment)
        assert found[label].identity() == identity(experiment)
        assert_same_run(found[label], alone)
        final, other = found[label].load_final(), alone.load_final()
        assert all(torch.equal(final["model"][key], other["model"][key]) for key in other["model"])
        known = found[label].environment().branched
        assert (None if known is None else known.step) == (None if label == "tiny-trunk" else int(label[7]))
        assert not found[label].environment().resumed


def test_lengths_in_epochs_and_percent(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(lrbench.LrbenchError, match=r"20% of a branch after 2 epochs is 0\.5 epochs"):
        tiny(epochs=4, schedule=WSD, branches={"at": ["50%"], "decay": "20%"})
    found = folders(
        shared(tmp_path, tiny(epochs=4, schedule=WSD, branches={"at": ["50%", "100%"], "decay": "1 epoch"}))
    )
    assert list(found) == ["tiny-trunk", "tiny-at2epochs-decay1epochs", "tiny-at4epochs-decay1epochs"]
    alone, _ = go(tmp_path / "alone", tiny(epochs=3, schedule={**WSD, "cooldown": "1 epoch"}))
    assert_same_run(found["tiny-at2epochs-decay1epochs"], alone)
    with pytest.raises(AssertionError):
        assert_same_run(found["tiny-at4epochs-decay1epochs"], alone)


# -- interrupted, failed and found


def all_of(folders_: dict[str, RunFolder]) -> dict[str, Any]:
    return {name: timeless(folder) for name, folder in folders_.items()}


BRANCHES = {"at": [6, 9], "decay": ["25%", SQRT]}


def stopping_at(step: int, name: str) -> Any:
    """A watch that sends this process SIGINT, as Ctrl-C does, once a run has reached a step."""

    def watch(event: Event) -> None:
        if name in event.run and event.kind in ("progress", "epoch") and event.step >= step:
            os.kill(os.getpid(), signal.SIGINT)

    return watch


@pytest.mark.parametrize(
    ("name", "step"), [("trunk", 3), ("trunk", 6), ("trunk", 9), ("at6-decay2", 7), ("at9-decay5", 14)]
)
def test_ctrl_c_and_the_same_command_again(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, name: str, step: int
) -> None:
    monkeypatch.setattr("lrbench.training.loop.READ_BACK_SECONDS", -1.0)  # an event after every step
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES, optimizer=ADAM)
    whole = folders(shared(tmp_path / "whole", experiment))
    stopped = shared(tmp_path / "stopped", experiment, watch=stopping_at(step, name))
    assert any(outcome.status is Status.INTERRUPTED for outcome in stopped)
    again = shared(tmp_path / "stopped", experiment)
    assert all(outcome.status is Status.FINISHED for outcome in again)
    assert all_of(folders(again)) == all_of(whole)
    assert not kept(RunFolder(again[0].path))
    taken = [RunFolder(one.path).environment().branched for one in again[1:]]
    assert [one and one.step for one in taken] == [6, 6, 9, 9]


def test_what_is_kept_until_all_branches_have_ended(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES)
    trunk, *branches = branched(experiment)
    outcomes = [look(tmp_path, one, RunOptions().kind_of(one), False) for one in (trunk, *branches)]
    blocked = outcomes[1].path
    blocked.mkdir()
    (blocked / "epochs.csv").mkdir()  # where no file can be written
    done = shared(tmp_path, experiment)
    assert [outcome.status for outcome in done] == [Status.FINISHED, Status.FAILED, *[Status.FINISHED] * 3]
    assert kept(RunFolder(done[0].path)) == ["step-6.pt", "step-9.pt"]
    (blocked / "epochs.csv").rmdir()
    again = shared(tmp_path, experiment)
    assert again[1].status is Status.FINISHED and [one.found for one in again] == [True, False, True, True, True]
    assert not kept(RunFolder(done[0].path))
    alone, _ = go(tmp_path / "alone", tiny(epochs=None, steps=8, schedule=wsd(2)))
    assert_same_run(RunFolder(again[1].path), alone)


def test_a_run_trained_alone_before_is_found_and_one_begun_goes_on_from_the_trunk(tmp_path: Path, tiny: Any) -> None:
    alone, _ = go(tmp_path, tiny(name="alone", epochs=None, steps=12, schedule=wsd(3)))
    with pytest.raises(Interrupted):
        go(tmp_path, tiny(name="begun", epochs=None, steps=8, schedule=wsd(2)), after(3))
    done = shared(tmp_path, tiny(epochs=None, schedule=WSD, branches={"at": [6, 9], "decay": "25%"}))
    assert [one.found for one in done] == [False, False, True] and done[2].path == alone.path
    assert done[1].path.name.startswith("begun-")
    known = RunFolder(done[1].path).environment().branched
    assert known is not None and known.step == 6 and known.source == done[0].path.name
    assert len(column(RunFolder(done[1].path), "loss")) == 8


def test_a_branch_added_later_is_trained_alone_unless_the_trunk_kept_its_state(tmp_path: Path, tiny: Any) -> None:
    for keep, step in ((None, None), ("state", 6)):
        root = tmp_path / str(keep)
        shared(root, tiny(epochs=None, keep=keep, schedule=WSD, branches={"at": [6], "decay": 2}))
        seen: list[Event] = []
        more = {"at": [6], "decay": [2, 3]}
        done = shared(root, tiny(epochs=None, keep=keep, schedule=WSD, branches=more), watch=seen.append)
        assert [one.found for one in done] == [True, True, False]
        known = RunFolder(done[2].path).environment().branched
        assert (known and known.step) == step
        said = "\n".join(event.values["text"] for event in seen if event.kind == "message")
        assert ("it has no checkpoint of step 6 any more" in said) == (keep is None)
        alone, _ = go(tmp_path / "alone", tiny(epochs=None, steps=9, schedule=wsd(3)))
        assert_same_run(RunFolder(done[2].path), alone)


def test_a_trunk_that_diverges_or_stops_early(tmp_path: Path, tiny: Any) -> None:
    for changes, status in (
        ({"optimizer": {"name": "sgd", "lr": 1e18}}, Status.DIVERGED),
        (
            {"optimizer": {"name": "sgd", "lr": 1e-9}, "early_stopping": {"patience": 1, "min_delta": 1.0}},
            "stopped_early",
        ),
    ):
        settings = {**changes, "epochs": None}
        done = shared(tmp_path, tiny(**settings, schedule=WSD, branches={"at": [20], "decay": 4}))
        assert [one.status for one in done] == [status, status]
        alone, _ = go(tmp_path / "alone", tiny(**settings, steps=24, schedule=wsd(4)))
        assert timeless(RunFolder(done[1].path)) == timeless(alone)


def test_again_trains_all_anew(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES)
    before = all_of(folders(shared(tmp_path, experiment)))
    again = shared(tmp_path, experiment, again=True)
    assert not any(one.found for one in again) and all_of(folders(again)) == before
    branch = again[1]
    (alone,) = run([branch.experiment.replace(name="alone")], runs=tmp_path, again=True)
    assert alone.path == branch.path and RunFolder(alone.path).environment().branched is None


def test_branches_wait_for_a_trunk_that_failed(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES)
    trunk, *_ = branched(experiment)
    blocked = tmp_path / run_name(trunk) / "epochs.csv"
    blocked.mkdir(parents=True)
    done = shared(tmp_path, experiment)
    assert {one.status for one in done} == {Status.FAILED}
    assert done[1].message.endswith(f"not started because its trunk {run_name(trunk)} failed")
    blocked.rmdir()
    assert {one.status for one in shared(tmp_path, experiment)} == {Status.FINISHED}


def test_branches_are_left_to_the_process_that_trains_their_trunk(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES)
    trunk = RunFolder(tmp_path / run_name(branched(experiment)[0]))
    trunk.path.mkdir(parents=True)
    with trunk.lock():
        done = shared(tmp_path, experiment, wait=False)
    assert {one.status for one in done} == {Status.RUNNING}
    assert done[1].message.endswith(f"waits for its trunk {trunk.name}, which another process trains")
    assert {one.status for one in shared(tmp_path, experiment)} == {Status.FINISHED}


def test_a_trunk_that_is_another_one_is_not_used(tmp_path: Path, tiny: Any) -> None:
    """Whatever a trunk's folder holds, a branch whose steps would not be its own is trained alone."""
    experiment = tiny(epochs=None, keep="state", schedule=WSD, branches={"at": [6], "decay": 2})
    trunk, branch = (RunFolder(one.path) for one in shared(tmp_path, experiment))
    for change, reason in (
        ({"device": "cuda:1"}, "it was trained on cuda:1, not on cpu"),
        ({"lrbench": "0.0.1"}, "since it was trained"),
        ({"sizes": {"steps_per_epoch": 3, "total_steps": 6}}, "its epochs have 3 steps, those of this run 2"),
    ):
        before = trunk.environment().plain
        with trunk.lock():
            trunk.amend_environment(change)
        shutil.rmtree(branch.path)
        seen: list[Event] = []
        done = shared(tmp_path, experiment, watch=seen.append)
        assert done[1].status is Status.FINISHED and branch.environment().branched is None
        said = [event.values["text"] for event in seen if event.kind == "message"]
        assert any(re.search(reason, text) for text in said), said
        with trunk.lock():
            trunk.amend_environment({key: before[key] for key in change})
    rows = (trunk.path / "steps.csv").read_text()
    (trunk.path / "steps.csv").write_text(rows.replace("0.1", "0.2", 1))
    shutil.rmtree(branch.path)
    shared(tmp_path, experiment)
    assert branch.environment().branched is None


@pytest.mark.parametrize(("at", "shares"), [(6, True), (7, False)])
def test_schedules_are_compared_step_by_step(tmp_path: Path, tiny: Any, at: int, shares: bool) -> None:
    """A constant learning rate and one that drops after 6 steps share 6 steps, and no more."""
    constant, dropping = tiny(epochs=5), tiny(epochs=4, schedule={"name": "step", "every": "3 epochs"})
    where = Duration(float(at), "steps")
    made = []
    for experiment, kind in (
        (constant, PlainTraining(keeps=(where,))),
        (dropping, PlainTraining(trunk=Trunk(identity(constant), run_name(constant), where))),
    ):
        folder = RunFolder(tmp_path / run_name(experiment))
        folder.create(experiment, describe(experiment, device="cpu"))
        seen: list[Event] = []
        do_run(WorkItem(folder.path, experiment, kind), threads=None, watch=seen.append, stop=lambda: False)
        made.append(folder)
    assert (made[1].environment().branched is not None) == shares
    said = [event.values["text"] for event in seen if event.kind == "message"]
    assert any("its learning rate differs at step 6: 0.1, here 0.05" in text for text in said) != shares
    alone, _ = go(tmp_path / "alone", dropping)
    assert_same_run(made[1], alone)


def test_python_objects(tmp_path: Path) -> None:
    inputs = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    settings: dict[str, Any] = {
        "model": lambda: nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.2), nn.Linear(8, 2)),
        "data": (inputs, (inputs.sum(1) > 0).long()),
        "optimizer": ADAM,
        "batch_size": 16,
        "progress": False,
    }
    done = lrbench.run(**settings, schedule=WSD, branches={"at": [15], "decay": "25%"}, runs=tmp_path / "shared")
    (alone,) = lrbench.run(**settings, schedule=wsd(5), steps=20, runs=tmp_path / "alone")
    assert_same_run(RunFolder(done[1].path), RunFolder(alone.path))


# -- as users type it


def test_a_sweep_over_learning_rates_and_seeds(tmp_path: Path, cli: Any, write_config: Callable[..., Path]) -> None:
    settings: dict[str, Any] = {"schedule": WSD, "epochs": None}
    write_config(**settings, branches={"at": [3, 6], "decay": "25%"})
    words = ("sweep", "tiny.yaml", "--lr", "0.05,0.1", "--seeds", 2, "--jobs", 1)
    status, out, _ = cli(*words, "--dry-run")
    assert status == 0 and not (tmp_path / "runs").exists()
    assert "12 runs, 0 already finished." in out
    assert "8 branches of 4 trunks: 36 steps to train instead of 48." in out  # 4 · (6 + 1 + 2) and 4 · (4 + 8)
    status, out, err = cli(*words)
    assert status == 0, err
    assert "8 branches share 4 trunks of 6 steps: 36 steps trained instead of 48" in out
    for line in ("tiny-trunk", "tiny-at3-decay1", "tiny-at6-decay2"):
        assert line in out and len(list((tmp_path / "runs").glob(f"{line}-seed*"))) == 4
    for seed in (0, 1):
        by_hand = load_config(write_config("alone.yaml", **settings, steps=8, seed=seed), ["schedule.cooldown=2 steps"])
        alone, _ = go(tmp_path / "alone", by_hand)
        assert_same_run(RunFolder(tmp_path / "runs" / f"tiny-at6-decay2-seed{seed}-{identity(by_hand)[:8]}"), alone)
    status, out, _ = cli(*words, "--dry-run")
    assert "12 runs, 12 already finished." in out
    status, out, _ = cli("sweep", "--status", "--name", "tiny-trunk+tiny-at3-decay1+tiny-at6-decay2")
    assert status == 0 and "12 runs: 12 finished" in out


def test_json_lines_preview_and_find_lr(tmp_path: Path, cli: Any, write_config: Callable[..., Path]) -> None:
    path = write_config(schedule=WSD, epochs=None, branches={"at": [3, 6], "decay": "25%"})
    status, out, _ = cli("run", path, "--json")
    assert status == 0
    told = [json.loads(line) for line in out.splitlines()]
    said = [line["text"] for line in told if line["event"] == "message"]
    assert "2 branches share 6 steps: 9 steps trained instead of 12" in said
    names = ["tiny-trunk", "tiny-at3-decay1", "tiny-at6-decay2"]
    (summary,) = (line for line in told if line["event"] == "summary")
    assert [one["name"] for one in summary["runs"]] == names
    previews = lrbench.preview([path])
    assert [one.label for one in previews] == names
    assert previews[2].rates == column(RunFolder(Path(summary["runs"][2]["folder"])), "lr")
    finding = lrbench.find_lr(path, runs=tmp_path / "runs", seeds=1, iterations=20)
    assert len(finding.curves) == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schedule": "cosine"}, "branches: need `schedule: warmup_stable_decay`.*got cosine"),
        (
            {"schedule": "warmup_stable_decay"},
            "schedule.warmup: is 5% of the run, whose length differs between branches",
        ),
        ({"warmup": "10%"}, "warmup.for: is 10% of the run"),
        ({"eval_every": "25%"}, "eval_every: is 25% of the run"),
        ({"optimizer": {"name": "sgd", "unfreeze": {"1.*": "50%"}}}, "optimizer.unfreeze: is 50% of the run"),
        ({"plateau": {"growth": {"factor": 2.0, "on": "plateau"}}}, "plateau.growth: ends at a fraction of the run"),
        ({"steps": 4}, "branches.at: lies beyond the end of the config, 4 steps .got 6 steps"),
        ({"epochs": 4}, "branches.at: is in steps, and the length of the config in epochs"),
        ({"branches": {"at": [1]}}, "branches.at: lies in the warm-up, which takes 2 steps"),
        ({"branches": {"at": [6, 6]}}, "branches.at: names 6 steps twice"),
        ({"branches": {"at": [6.5], "decay": 2}, "steps": 9}, "branches.at: must be a whole number of steps"),
        ({"branches": {"at": [0], "decay": 2}, "steps": 9}, "branches.at: must be a whole number of steps, at least 1"),
        ({"branches": {"at": []}, "steps": 9}, "branches.at: must have at least 1 item"),
        ({"branches": {"decay": 2}, "steps": 9}, "branches.at: is missing"),
        ({"branches": {"at": ["soon"]}, "steps": 9}, "must be a duration such as '15 epochs'"),
        ({"branches": {"at": [6], "decays": 2}}, "unknown key 'decays'; did you mean 'decay'"),
        ({"branches": {"at": [6], "decay": {"fro": 2}}}, "unknown key 'fro'; .*for, shape|unknown key 'fro'; .*'for'"),
        ({"branches": {"at": [6], "decay": {"for": 2, "shape": "cubic"}}}, "must be 'linear', 'cosine' or 'sqrt'"),
        ({"branches": {"at": [6], "decay": 0}}, "branches.decay: must be longer than 0, since the trunk has no decay"),
        ({"branches": {"at": [6], "decay": "100%"}}, "branches.decay: must be above 0% and below 100%"),
        ({"branches": {"at": [6], "decay": "1 epoch"}}, "branches.decay: must be in steps, like `at`"),
        ({"branches": {"at": [6], "decay": {"for": 2, "final_factor": 0.1, "final_lr": 0.1}}}, "not both"),
        ({"branches": {"at": [6], "decay": {"for": 2, "final_lr": 1.0}}}, "above the peak"),
        ({"branches": 6}, "branches: must be a mapping"),
    ],
)
def test_what_is_told_before_anything_is_trained(
    tmp_path: Path, cli: Any, write_config: Callable[..., Path], changes: Any, problem: str
) -> None:
    usual = {"schedule": WSD, "epochs": None, "branches": {"at": [6]}}
    for command in ("run", "sweep"):
        status, _, err = cli(command, write_config(**{**usual, **changes}))
        assert status == 2 and re.search(problem, " ".join(err.split())), err
        assert "tiny.yaml" in err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", [("--prune", "0.25"), ("--halve",)])
def test_branches_are_not_pruned(cli: Any, write_config: Callable[..., Path], option: tuple[str, ...]) -> None:
    path = write_config(schedule=WSD, epochs=None, branches={"at": [6]})
    status, _, err = cli("sweep", path, *option)
    assert status == 2 and "is a branch, which reuses the first steps of its trunk unchanged" in err


KILLED = """
import os, signal, sys
import lrbench
from lrbench.events import Event

def watch(event: Event) -> None:
    if event.kind in ("progress", "epoch") and sys.argv[2] in event.run and event.step >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

import lrbench.training.loop
lrbench.training.loop.READ_BACK_SECONDS = -1.0
lrbench.run([sys.argv[1]], runs="runs", watch=watch)
"""


@pytest.mark.slow
def test_killed_anywhere_and_gone_on_with_in_two_workers(
    tmp_path: Path, cli: Any, write_config: Callable[..., Path], forks: Starts
) -> None:
    path = write_config(schedule=WSD, epochs=None, branches=BRANCHES, optimizer=ADAM)
    whole = folders(run([path], runs=tmp_path / "whole"))
    for name, step in (("trunk", 4), ("trunk", 7), ("trunk", 9), ("at6-decay2", 7), ("at9-decay3", 12)):
        done = forks.run(["-c", KILLED, path, name, str(step)], cwd=tmp_path, timeout=240)
        assert done.returncode == -signal.SIGKILL
    assert cli("sweep", path, "--jobs", 2)[0] == 0
    found = [RunFolder(one) for one in (tmp_path / "runs").iterdir() if one.name.startswith("tiny-")]
    assert all_of({folder.name.partition("-seed")[0]: folder for folder in found}) == all_of(whole)
    assert not any(kept(folder) for folder in found)


@pytest.mark.slow
def test_sweeps_in_workers_equal_runs_trained_alone(
    tmp_path: Path, cli: Any, write_config: Callable[..., Path]
) -> None:
    settings: dict[str, Any] = {"schedule": WSD, "epochs": None, "optimizer": ADAM}
    path = write_config(**settings, branches=BRANCHES)
    assert cli("sweep", path, "--lr", "0.01,0.02", "--seeds", 2, "--jobs", 2)[0] == 0
    by_hand = load_config(write_config("alone.yaml", **settings, steps=12, seed=1), ["schedule.cooldown=3 steps"])
    alone, _ = go(tmp_path / "alone", by_hand)
    assert_same_run(RunFolder(tmp_path / "runs" / f"tiny-at9-decay3-seed1-{identity(by_hand)[:8]}"), alone)
