"""`eval_every`: evaluations inside epochs, or seldom; and that what is checked is what trains."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import MLP, SMALL_CNN, after, assert_same_run, column, go, go_on, table, timeless
from torch import Tensor, nn

from lrbench.analysis import load_runs
from lrbench.config import group, identity, load_config, run_name
from lrbench.errors import ConfigError, Interrupted
from lrbench.events import Event
from lrbench.runs import RunFolder, Status
from lrbench.training import build, run
from lrbench.training.check import check
from lrbench.training.executors.pool import threads_of

CPU = torch.device("cpu")


# -- when


@pytest.mark.parametrize(
    ("every", "changes", "steps"),
    [
        ("0.5 epochs", {}, [17, 34, 51, 68]),
        ("0.1 epochs", {"epochs": 1}, [3, 7, 10, 14, 17, 20, 24, 27, 31, 34]),
        ("0.3 epochs", {}, [10, 20, 31, 41, 51, 61, 68]),
        ("7 steps", {}, [7, 14, 21, 28, 35, 42, 49, 56, 63, 68]),
        (30, {}, [30, 60, 68]),
        ("25%", {}, [17, 34, 51, 68]),
        ("1.5 epochs", {"epochs": 4}, [51, 102, 136]),
        ("34 steps", {}, [34, 68]),
        ("100 epochs", {}, [68]),
        ("0.001 epochs", {"epochs": None, "steps": 5}, [1, 2, 3, 4, 5]),
        ("1 epochs", {"epochs": None, "steps": 40}, [34, 40]),
        ("16 steps", {"epochs": None, "steps": 40, "accumulate": 5, "batch_size": 16}, [16, 32, 40]),
    ],
)
def test_evaluations_come_when_they_are_asked_for_and_at_the_end(
    tmp_path: Path, tiny: Any, every: Any, changes: dict[str, Any], steps: list[int]
) -> None:
    experiment = tiny(**{**MLP, **changes}, eval_every=every)
    folder, result = go(tmp_path, experiment)
    total, in_epoch = steps[-1], build.assemble(experiment, CPU).steps_per_epoch
    rows = table(folder.path / "epochs.csv")
    assert [row["step"] for row in rows] == steps, "one row an evaluation"
    assert [row["epoch"] for row in rows] == [step / in_epoch for step in steps]
    assert (result.status, result.evaluations, result.steps) == (Status.FINISHED, len(steps), total)
    assert result.epochs == total // in_epoch, "whole ones"
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in rows))
    losses = [row["val_loss"] for row in rows]
    for kept, row in ((result.final, rows[-1]), (result.best, rows[losses.index(min(losses))])):
        assert kept == {name: row[name] for name in kept} and {"epoch", "step"} <= kept.keys()


def test_epochs_are_fractions_inside_and_whole_at_their_ends(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(**MLP, eval_every="0.5 epochs"))
    lines = (folder.path / "epochs.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["0.5", "17"], ["1", "34"], ["1.5", "51"], ["2", "68"]]
    assert result.final["epoch"] == 2 and isinstance(result.final["epoch"], int)


@pytest.mark.parametrize(
    "every", ["0", "0 steps", "0 epochs", "0%", "-1 steps", "often", "3 hours", True, [1], 0.5, "1.5 steps"], ids=str
)
def test_what_is_no_interval_is_refused(tiny: Any, every: Any) -> None:
    with pytest.raises(ConfigError, match=r"eval_every: must be (a duration|longer than 0|a whole number of steps)"):
        tiny(eval_every=every)


# -- what they do not change


@pytest.mark.parametrize(
    "changes",
    [
        {**MLP, "optimizer": {"name": "adam", "lr": 0.01}, "schedule": "cosine"},
        {**SMALL_CNN, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, "epochs": 3},
        {
            "dataset": {"name": "digits", "train_size": 104, "augment": ["crop", "flip"], "normalize": True},
            "model": {"name": "resnet20", "width": 2},
            "batch_size": 16,
        },
        {**MLP, "batch_size": 10, "accumulate": 4, "clip_grad_norm": 0.5},
    ],
    ids=["mlp", "dropout", "augmented, with norms", "accumulated"],
)
@pytest.mark.parametrize("every", ["3 steps", "0.4 epochs", "1.5 epochs"])
def test_a_run_is_the_same_to_the_bit_however_often_it_is_evaluated(
    tmp_path: Path, tiny: Any, changes: dict[str, Any], every: str
) -> None:
    plain, _ = go(tmp_path / "plain", tiny(**changes))
    often, _ = go(tmp_path / "often", tiny(**changes, eval_every=every))
    assert (often.path / "steps.csv").read_bytes() == (plain.path / "steps.csv").read_bytes()
    one, other = ({row["step"]: row for row in table(f.path / "epochs.csv")} for f in (plain, often))
    shared = one.keys() & other.keys()
    assert max(one) in shared, "the last at least"
    names = ("epoch", "lr", "val_loss", "val_accuracy")
    for step in shared:
        assert [one[step][name] for name in names] == [other[step][name] for name in names]


def test_once_an_epoch_is_what_there_is_without_it(tmp_path: Path, tiny: Any) -> None:
    for changes in ({}, {"early_stopping": {"patience": 1, "min_delta": 0.3}, "epochs": 9}):
        plain, _ = go(tmp_path / "plain", tiny(**MLP, **changes))
        asked, _ = go(tmp_path / "asked", tiny(**MLP, **changes, eval_every="1 epochs"))
        steps, rows, result = timeless(plain)
        their_steps, their_rows, their_result = timeless(asked)
        assert (steps, rows) == (their_steps, their_rows)
        theirs = {"identity", "group", "reason"}
        assert {k: v for k, v in result.items() if k not in theirs} == {
            k: v for k, v in their_result.items() if k not in theirs
        }


def test_a_row_s_training_values_are_those_since_the_row_before(tmp_path: Path, tiny: Any) -> None:
    folder, _ = go(tmp_path, tiny(**MLP, eval_every="20 steps"))
    weights = ([32] * 33 + [22]) * 2
    losses, before = column(folder, "loss"), 0
    for row in table(folder.path / "epochs.csv"):
        here = slice(before, int(row["step"]))
        mean = sum(w * x for w, x in zip(weights[here], losses[here], strict=True)) / sum(weights[here])
        assert row["train_loss"] == pytest.approx(mean, rel=1e-12)
        right = row["train_accuracy"] * sum(weights[here])
        assert right == pytest.approx(round(right), abs=1e-6), "a part of these examples alone"
        assert row["examples_per_second"] * row["seconds"] == pytest.approx(sum(weights[here]))
        before = int(row["step"])
    assert before == 68


def test_identity_is_another_only_where_it_is_given(tiny: Any, write_config: Any) -> None:
    plain = tiny()
    assert identity(tiny(eval_every=None)) == identity(plain) and "eval_every" not in plain.plain()
    asked = tiny(eval_every="200 steps")
    assert identity(asked) != identity(plain) and group(asked) != group(plain)
    assert identity(tiny(eval_every=200)) == identity(tiny(eval_every="200.0 steps")) == identity(asked)
    assert identity(tiny(eval_every="2 epochs")) != identity(asked)
    assert asked.plain()["eval_every"] == "200 steps"
    read = load_config(write_config(), ["eval_every=0.5 epochs"])
    assert str(read.eval_every) == "0.5 epochs" and identity(read) == identity(tiny(eval_every="0.5 epochs"))


# -- what counts them


def test_early_stopping_counts_evaluations(tmp_path: Path, tiny: Any) -> None:
    early = {"patience": 3, "min_delta": 0.05, "start": 2}
    settings = {"epochs": 60, "optimizer": {"name": "sgd", "lr": 0.5}, "early_stopping": early}
    folder, result = go(tmp_path, tiny(**settings, batch_size=16, eval_every="3 steps"))  # 4 updates an epoch
    best, waited, ended = math.inf, 0, None
    losses = column(folder, "val_loss", "epochs")
    for evaluation, loss in enumerate(losses, 1):
        if loss < best - 0.05:
            best, waited = loss, 0
        elif evaluation > 2:
            waited += 1
        if waited >= 3:
            ended = evaluation
            break
    assert ended == len(losses) == result.evaluations < 80
    assert (result.status, result.steps, result.epochs) == (Status.STOPPED_EARLY, 3 * ended, 3 * ended // 4)
    assert result.reason == f"val_loss has not improved on {best:.4g} for 3 evaluations"
    assert result.test is not None and result.best["step"] == 3 * (losses.index(min(losses)) + 1)


def test_plateau_counts_evaluations_and_acts_at_once(tmp_path: Path, tiny: Any) -> None:
    plateau = {"factor": 0.5, "patience": 1, "threshold": 0.1}
    experiment = tiny(epochs=10, optimizer={"name": "sgd", "lr": 0.8}, batch_size=16, plateau=plateau, eval_every=3)
    folder, _ = go(tmp_path, experiment)
    scale, best, bad, expected = 1.0, 1e9, 0, []
    for loss in column(folder, "val_loss", "epochs"):
        expected += [0.8 * scale] * 3
        best, bad = (loss, 0) if loss < best - 0.1 * abs(best) else (best, bad + 1)
        if bad > 1:
            scale, bad = scale / 2, 0
    assert scale < 0.5, "it came down more than once, or this shows little"
    assert column(folder, "lr") == pytest.approx(expected[:40], rel=1e-12)


def test_every_evaluation_is_told_with_its_speed(tmp_path: Path, tiny: Any) -> None:
    seen: list[Event] = []
    _, result = go(tmp_path, tiny(batch_size=16, eval_every="3 steps"), watch=seen.append)
    told = [event for event in seen if event.kind == "epoch"]
    assert [(e.step, e.total_steps, e.epoch, e.epochs) for e in told] == [(3, 8, 0, 2), (6, 8, 1, 2), (8, 8, 2, 2)]
    assert all(event.examples_per_second and event.examples_per_second > 0 for event in told)
    assert {"epoch": 2, "step": 8, **told[-1].values} == result.final


def test_runs_evaluated_inside_epochs_are_read(tmp_path: Path, tiny: Any) -> None:
    run([tiny(**MLP, eval_every="0.3 epochs"), tiny(**MLP)], runs=tmp_path)
    told = load_runs(tmp_path)
    assert set(told["state"]) == {"finished"} and set(told["problem"]) == {""} and set(told["epochs"]) == {2}
    assert len(set(told["val_loss"])) == 1 and len(set(told["test_loss"])) == 1


# -- resuming


@pytest.mark.parametrize("every", ["10 steps", "0.3 epochs", "1.5 epochs"])
@pytest.mark.parametrize(
    "changes",
    [
        {**SMALL_CNN, "optimizer": {"name": "adam", "lr": 0.001}, "epochs": 4},
        {
            **SMALL_CNN,
            "optimizer": {"name": "sgd", "lr": 0.2, "momentum": 0.9},
            "plateau": {"patience": 0, "threshold": 0.3},
            "early_stopping": {"patience": 4, "min_delta": 0.3},
            "best_by": "val_accuracy",
            "epochs": 4,
        },
        {"batch_size": 16, "optimizer": {"name": "schedule_free_adamw", "lr": 0.01}, "epochs": 7},
    ],
    ids=["dropout", "rules", "schedule-free"],
)
def test_a_run_killed_between_evaluations_goes_on_bit_for_bit(
    tmp_path: Path, tiny: Any, every: str, changes: dict[str, Any]
) -> None:
    """Both inside an interval and just before or after an evaluation; 28 updates, 7 or 4 an epoch."""
    experiment = tiny(**changes, eval_every=every)
    whole, expected = go(tmp_path / "whole", experiment)
    for updates in (1, 4) if every == "0.3 epochs" else (7, 10, 4):
        folder, result, interruptions = go_on(tmp_path / str(updates), experiment, lambda updates=updates: updates)
        assert interruptions == expected.steps // updates
        assert_same_run(folder, whole)
        assert result.status is expected.status and result.evaluations == expected.evaluations
    chance = random.Random(every)
    folder, _, _ = go_on(tmp_path / "random", experiment, lambda: chance.randint(2, 12))
    assert_same_run(folder, whole)


def test_a_checkpoint_inside_an_interval_holds_what_was_seen_of_it(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(**MLP, eval_every="10 steps")
    with pytest.raises(Interrupted):
        go(tmp_path, experiment, after(25))
    folder = RunFolder(tmp_path / run_name(experiment))
    found = folder.load_checkpoint(identity(experiment), build.assemble(experiment, CPU).task.metrics)
    assert found is not None
    state = found["state"]
    assert (state["step"], state["batch"], state["epoch"]) == (25, 25, 0)
    assert (state["evaluated"], state["evaluations"], state["examples"]) == (20, 2, 5 * 32)
    assert state["loss_sum"] == pytest.approx(32 * sum(column(folder, "loss")[20:]))
    assert len(table(folder.path / "epochs.csv")) == 2


# -- what is checked is what trains


class Counted(nn.Module):
    """A model of the user's own that counts how often one is made, draws numbers, and changes when it is asked."""

    made = 0

    def __init__(self, outputs: int) -> None:
        super().__init__()
        type(self).made += 1
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, outputs)
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        out: Tensor = self.head(self.body(x)) * (1 + 0.1 * torch.sin(self.asked))
        return out


class Uncopied(Counted):
    """One that can't be copied, so that what was checked can't be what trains."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("not to be copied")


class Cooling(nn.Module):
    """A loss of the user's own that changes each time it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.asked += 1
        return nn.functional.cross_entropy(outputs * (1 + 1 / self.asked), targets)


@pytest.fixture
def made() -> Callable[[type], int]:
    """How many were made since the test began."""
    before = {kind: kind.made for kind in (Counted, Uncopied)}
    return lambda kind: kind.made - before[kind]


def counted(tiny: Any, kind: type = Counted, **changes: Any) -> Any:
    return tiny(model=f"{__name__}:{kind.__name__}", **changes)


def test_what_is_built_to_be_checked_is_what_trains(tmp_path: Path, tiny: Any, made: Callable[[type], int]) -> None:
    run([counted(tiny)], runs=tmp_path / "one")
    assert made(Counted) == 1, "once for the check and the training"
    run([counted(tiny)], runs=tmp_path / "one")
    assert made(Counted) == 1, "what is done already is not built"
    run([counted(tiny)], runs=tmp_path / "three", seeds=3)
    assert made(Counted) == 1 + 3
    rates = [counted(tiny, optimizer={"name": "sgd", "lr": lr}) for lr in (0.3, 0.01, 0.1)]
    run(rates, runs=tmp_path / "rates")
    assert made(Counted) == 1 + 3 + 3
    assert not build.checked, "nothing is left over"


def test_a_model_that_cannot_be_copied_is_built_anew(tmp_path: Path, tiny: Any, made: Callable[[type], int]) -> None:
    (outcome,) = run([counted(tiny, Uncopied)], runs=tmp_path / "checked")
    assert made(Uncopied) == 2
    folder, _ = go(tmp_path / "alone", counted(tiny, Uncopied))
    assert_same_run(RunFolder(outcome.path), folder)


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, tiny: Any, made: Callable[[type], int]) -> None:
    several = [counted(tiny, epochs=epochs) for epochs in range(1, 7)]
    outcomes = run(several, runs=tmp_path / "together")
    assert made(Counted) == 6 + 6 - build.KEPT_PARTS
    for outcome, experiment in zip(outcomes, several, strict=True):
        folder, _ = go(tmp_path / "alone", experiment)
        assert_same_run(RunFolder(outcome.path), folder)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": f"{__name__}:Cooling"},
        {"optimizer": {"name": "schedule_free_adamw", "lr": 0.01}},
        {"eval_every": "1 steps", "precision": "bf16"},
    ],
    ids=["as it is", "loss with a memory", "schedule-free", "evaluated often"],
)
def test_a_check_leaves_what_it_keeps_as_it_was_built(tmp_path: Path, tiny: Any, changes: dict[str, Any]) -> None:
    """The model that is kept has not been asked, nor its loss, and no random number is missing."""
    experiment = counted(tiny, **changes)
    alone, _ = go(tmp_path / "alone", experiment)
    torch.rand(3)
    (outcome,) = run([experiment], runs=tmp_path / "checked")
    assert_same_run(RunFolder(outcome.path), alone)


def test_what_was_kept_for_a_run_that_did_not_begin_is_not_used_later(
    tmp_path: Path, tiny: Any, made: Callable[[type], int]
) -> None:
    for epochs in range(1, 5):
        check(counted(tiny, epochs=epochs), CPU, keep=True)
    assert made(Counted) == len(build.checked) == build.KEPT_PARTS == 4
    run([counted(tiny, epochs=1)], runs=tmp_path)
    assert made(Counted) == 5, "the code may be another by now"
    assert not build.checked


@pytest.mark.slow
def test_workers_who_build_their_own_parts_come_to_the_same_bits(tmp_path: Path, tiny: Any) -> None:
    shared = {"epochs": 3, "batch_size": 16, "eval_every": "0.3 epochs"}
    experiments = [
        counted(tiny, **shared),
        counted(tiny, **shared, loss=f"{__name__}:Cooling"),
        tiny(**shared, model={"name": "cnn", "padding": 1}, optimizer={"name": "adam", "lr": 0.001}),
    ]
    workers = run(experiments, runs=tmp_path / "workers", jobs=2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(2) or 0)
    try:
        here = run(experiments, runs=tmp_path / "here")
    finally:
        torch.set_num_threads(before)
    for one, other in zip(workers, here, strict=True):
        assert one.status is other.status is Status.FINISHED and not (one.found or other.found)
        assert_same_run(RunFolder(one.path), RunFolder(other.path))
