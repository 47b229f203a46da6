"""Branches from one trunk equal, bit for bit, the same runs trained alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import after, assert_same_run, column, go, timeless

import lrbench
from lrbench.config import branched, identity, run_name
from lrbench.errors import Interrupted
from lrbench.events import Event
from lrbench.runs import RunFolder, Status
from lrbench.training import RunOptions, look, run
from lrbench.training.outcome import Outcome

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
    with pytest.raises(lrbench.LrbenchError, match="20% of a branch after 2 epochs is 0[.]5 epochs"):
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
    (alone,) = run([tiny(**branch.experiment.plain())], runs=tmp_path, again=True)
    assert alone.path == branch.path and RunFolder(alone.path).environment().branched is None


def test_branches_wait_for_a_trunk_that_failed(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=None, schedule=WSD, branches=BRANCHES)
    trunk, *_ = branched(experiment)
    blocked = tmp_path / run_name(trunk) / "epochs.csv"
    blocked.mkdir(parents=True)
    done = shared(tmp_path, experiment)
    assert {one.status for one in done} == {Status.FAILED}
    assert done[1].message.endswith(f"not started, since its trunk {run_name(trunk)} failed")
    blocked.rmdir()
    assert {one.status for one in shared(tmp_path, experiment)} == {Status.FINISHED}
