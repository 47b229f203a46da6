"""The recorder: rows, names, ends, identity, commands, ranks, forks and kills; `lrbench.param`."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import errno
import importlib.util
import json
import math
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from forked import Starts
from recording import nothing_recorded, only_run, table

import lrbench
from lrbench.errors import ArgumentError, ConfigError, FolderError, UsageError
from lrbench.integrations import recording
from lrbench.integrations.processes import rank, script_name
from lrbench.integrations.values import number, rates, settings, settled, split_name
from lrbench.runs import RunFolder, Status, metrics_in, read_csv

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


def steps_of(run: lrbench.integrations.Recorder) -> dict[str, list[float]]:
    assert run.path is not None
    return {name: values.tolist() for name, values in read_csv(run.path / "steps.csv").items()}


def evaluations_of(run: lrbench.integrations.Recorder) -> dict[str, list[float]]:
    assert run.path is not None
    return {name: values.tolist() for name, values in read_csv(run.path / "epochs.csv").items()}


def script(text: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script that imports lrbench, and return how it ended."""
    Path("train.py").write_text("import lrbench\n" + textwrap.dedent(text))
    environment = {**os.environ, **variables}
    command = [sys.executable, "train.py", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


# -- what is recorded


def test_a_run_is_recorded_and_reported(cli: Cli) -> None:
    for seed in (0, 1):
        with lrbench.record("mine", config={"lr": 0.1, "width": 8}, seed=seed, total_steps=4) as run:
            for step in (1, 2, 3, 4):
                run.step(lr=0.1 / step, loss=1.0 / step)
                if step % 2 == 0:
                    run.evaluate(val_loss=2.0 / step, accuracy=0.2 * step, epoch=step // 2)
            run.test(loss=0.4, accuracy=0.75)
    assert run.path is not None
    assert run.path.name.startswith("mine-seed1-")
    assert steps_of(run)["lr"] == [0.1, 0.05, 0.1 / 3, 0.025]
    assert steps_of(run)["loss"] == [1.0, 0.5, 1 / 3, 0.25]
    table = evaluations_of(run)
    assert table["step"] == [2, 4] and table["epoch"] == [1, 2] and table["lr"] == [0.05, 0.025]
    assert table["val_loss"] == [1.0, 0.5] and table["val_accuracy"] == [0.4, 0.8]
    assert table["train_loss"] == pytest.approx([0.75, (1 / 3 + 0.25) / 2])  # means of the steps' own losses
    folder = RunFolder(run.path)
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED
    assert (result.steps, result.epochs, result.evaluations, result.effective_lr) == (4, 2, 2, 0.1)
    assert result.test == {"loss": 0.4, "accuracy": 0.75} and result.metric("best_val_loss") == 0.5
    environment = folder.environment()
    assert environment.sizes.total_steps == 4 and environment.metrics == {
        "accuracy": {"better": "higher", "form": "percent"}
    }
    code, out, _ = cli("report", "--runs", "runs")
    assert code == 0 and "mine" in out and "75.00 %" in out
    table_of_runs = lrbench.load_runs("runs")
    assert sorted(table_of_runs["seed"]) == [0, 1] and table_of_runs["val_loss"].tolist() == [0.5, 0.5]


def test_without_with_it_ends_with_finish() -> None:
    run = lrbench.record("plain")
    run.evaluate(val_loss=1.0)
    run.finish()
    assert run.path is not None
    assert RunFolder(run.path).status() is Status.FINISHED
    run.finish()  # once is enough, twice is no error
    with pytest.raises(UsageError, match="is finished"):
        run.step(lr=0.1)


@pytest.mark.parametrize(
    ("lr", "columns"),
    [
        (0.5, {"lr": 0.5}),
        (np.float32(0.5), {"lr": 0.5}),
        (torch.tensor(0.5), {"lr": 0.5}),
        ([0.5, 0.25], {"lr": 0.5, "lr_0": 0.5, "lr_1": 0.25}),
        ([0.5], {"lr": 0.5}),
        ({"head": 0.5, "the body": 0.25}, {"lr": 0.5, "lr_head": 0.5, "lr_the_body": 0.25}),
        (None, {"lr": None}),
    ],
)
def test_learning_rates_of_groups(lr: Any, columns: dict[str, float]) -> None:
    assert rates(lr) == columns


def two_groups() -> torch.optim.Optimizer:
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    return torch.optim.SGD([{"params": weights[:1], "name": "head"}, {"params": weights[1:], "lr": 0.2}], lr=0.4)


def test_an_optimizer_is_read() -> None:
    with lrbench.record("groups") as run:
        run.step(two_groups(), loss=1.0)
        run.evaluate(val_loss=1.0)
    assert {name: values for name, values in steps_of(run).items() if name.startswith("lr")} == {
        "lr": [0.4],
        "lr_head": [0.4],
        "lr_1": [0.2],
    }


def test_a_watched_optimizer_tells_what_its_steps_used_whatever_the_scheduler_does_after() -> None:
    optimizer = two_groups()
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    used = []
    with lrbench.record("watched") as run:
        run.watch(optimizer)
        for _ in range(3):
            used.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
            run.step(loss=1.0)
        run.evaluate(val_loss=1.0)
    table = steps_of(run)
    assert list(zip(table["lr"], table["lr_1"], strict=True)) == [tuple(pair) for pair in used]
    assert used == [[0.4, 0.2], [0.2, 0.1], [0.1, 0.05]]


def test_columns_come_when_they_are_given() -> None:
    with lrbench.record("wide") as run:
        run.step(lr=0.1, loss=1.0)
        run.step(lr=0.1, loss=0.9, grad_norm=2.0, **{"scale/amp": 8})
        run.evaluate(val_loss=1.0)
        run.evaluate(val_loss=0.9, f1=0.5)
    assert steps_of(run)["grad_norm"][1] == 2.0 and math.isnan(steps_of(run)["grad_norm"][0])
    assert steps_of(run)["scale_amp"][1] == 8
    assert evaluations_of(run)["val_f1"][1] == 0.5


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ("val_loss", "val_loss"),
        ("eval/loss", "val_loss"),
        ("valid_f1", "val_f1"),
        ("validation_top-5", "val_top_5"),
        ("accuracy", "val_accuracy"),
        ("loss", "val_loss"),
        ("train_loss", "train_loss"),
        ("test_accuracy", "test_accuracy"),
        ("Eval_Loss", "val_Loss"),
        ("val", "val_val"),
        ("lr", "lr"),
    ],
)
def test_names_of_values(given: str, column: str) -> None:
    assert split_name(given) == column


def test_directions_of_metrics() -> None:
    found = metrics_in(["val_accuracy", "val_auc", "val_mse", "val_set2_acc", "val_error", "val_rougeL", "val_loss"])
    assert {name: metric.better for name, metric in found.items()} == {
        "accuracy": "higher",
        "auc": "higher",
        "mse": "lower",
        "set2_acc": "higher",
        "error": "lower",
        "rougeL": "higher",
    }
    with lrbench.record("directions", metrics={"val_charm": "higher"}, best_by="val_charm") as run:
        for charm in (1.0, 3.0, 2.0):
            run.evaluate(charm=charm)
    assert run.path is not None
    result = RunFolder(run.path).result()
    assert result is not None and result.best is not None and result.best["val_charm"] == 3.0
    with pytest.raises(ArgumentError, match="'lower' or 'higher'"):
        lrbench.record("directions", metrics={"charm": "up"})


def test_percentages_of_a_hundred_are_no_fractions() -> None:
    with lrbench.record("percent") as run:
        run.evaluate(val_loss=1.0, accuracy=0.9)  # per cent
        run.evaluate(val_loss=0.5, accuracy=93.0)
    assert run.path is not None
    assert RunFolder(run.path).environment().metrics == {"accuracy": {"better": "higher", "form": "number"}}


class Lazy:
    """A tensor on a device without one: reading it back is counted."""

    read = 0

    def __init__(self, value: float) -> None:
        self.value = value
        self.device = argparse.Namespace(type="elsewhere")

    def detach(self) -> Lazy:
        return self

    def numel(self) -> int:
        return 1

    def clone(self) -> Lazy:
        return Lazy(self.value)

    def __float__(self) -> float:
        Lazy.read += 1
        return self.value


def test_values_on_a_device_are_copied_and_read_back_later() -> None:
    static = Lazy(1.0)
    with lrbench.record("lazy") as run:
        run.step(lr=0.1, loss=static)
        static.value = 0.5  # as a replayed CUDA graph does
        run.step(lr=0.1, loss=static)
        assert Lazy.read == 0
        run.evaluate(val_loss=Lazy(0.25), test_loss=Lazy(0.125))
    assert Lazy.read == 4
    assert steps_of(run)["loss"] == [1.0, 0.5] and evaluations_of(run)["train_loss"] == [0.75]
    result = RunFolder(run.path).result() if run.path else None
    assert result is not None and (result.metric("val_loss"), result.metric("test_loss")) == (0.25, 0.125)


def test_arrays_of_jax() -> None:
    """In a process of its own: once JAX has computed something, every fork of its process warns."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs jax")
    done = script("""
        from jax.numpy import float32
        with lrbench.record("jax") as run:
            run.step(lr=float32(0.5), loss=float32(2.0))
            run.evaluate(val_loss=float32(0.25))
        """)
    assert done.returncode == 0, done.stderr
    assert table(only_run(), "steps")["loss"] == [2.0] and table(only_run(), "epochs")["val_loss"] == [0.25]


def test_settled_rows_hold_numbers() -> None:
    rows = [{"step": 1, "loss": torch.tensor(0.5, dtype=torch.bfloat16)}, {"step": 2, "loss": torch.tensor([2.0])}]
    assert settled(rows[:1]) == [{"step": 1, "loss": 0.5}]
    assert settled([*rows, {"step": 3, "loss": object()}])[1:] == [{"step": 2, "loss": 2.0}, {"step": 3, "loss": None}]


@pytest.mark.parametrize("value", [1, 0.5, np.int64(3), np.float32(0.5), np.array([2.0]), torch.tensor([[4.0]]), None])
def test_numbers(value: Any) -> None:
    found = number(value)
    assert found == value and type(found) in (int, float, type(None))


@pytest.mark.parametrize("value", ["0.5", True, [1.0], torch.ones(2), np.ones(2), object(), b"1"])
def test_what_is_no_number_is_told_once_and_left_empty(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with lrbench.record("odd") as run:
        run.step(lr=0.1, loss=value)
        run.step(lr=0.1, loss=value)
        run.evaluate(val_loss=1.0)
    assert capsys.readouterr().err.count("loss was left out") == 1
    assert np.isnan(steps_of(run)["loss"]).all() and len(steps_of(run)["loss"]) == 2


def test_wrong_use_raises_at_the_first_call_and_never_later(capsys: pytest.CaptureFixture[str]) -> None:
    with lrbench.record("wrong") as run:
        with pytest.raises(ArgumentError, match="lr must be"):
            run.step(lr="fast", loss=1.0)
        with pytest.raises(ArgumentError, match=r"step must be a whole number \(got 'a'\)"):
            run.step(lr=0.1, step="a")  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match=r"step must be a whole number \(got 2.5\)"):
            run.evaluate(val_loss=1.0, step=2.5)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="letters or digits"):
            run.evaluate(**{"%": 1.0})
        with pytest.raises(ArgumentError, match="needs values"):
            run.evaluate()
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
        run.step(lr="fast", loss=0.5)
        run.evaluate(**{"%": 1.0, "val_loss": 0.5}, epoch="two")  # type: ignore[arg-type]
    assert "lr must be" in capsys.readouterr().err
    assert evaluations_of(run)["val_loss"] == [1.0, 0.5] and steps_of(run)["loss"] == [1.0, 0.5]
    assert np.isnan(evaluations_of(run)["epoch"]).all() and steps_of(run)["step"] == [1, 2]


def test_a_loss_that_is_not_finite_at_the_end_is_a_divergence() -> None:
    with lrbench.record("lost") as run:
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
        run.step(lr=0.1, loss=math.nan)
    assert run.path is not None
    result = RunFolder(run.path).result()
    assert result is not None and result.status is Status.DIVERGED and "step 2" in result.reason


def test_steps_may_be_sparse_but_not_go_back(capsys: pytest.CaptureFixture[str]) -> None:
    with lrbench.record("sparse") as run:
        for step in (10, 20, 15, 30):
            run.step(lr=0.1, loss=1.0, step=step)
        run.evaluate(val_loss=1.0)
        run.note("the losses are smoothed")
        run.note("the losses are rounded")
        run.note("the losses are smoothed")
    assert run.path is not None
    assert steps_of(run)["step"] == [10, 20, 30] and evaluations_of(run)["step"] == [30]
    notes = RunFolder(run.path).recorded()["notes"]
    assert len(notes) == 3 and notes[1:] == ["the losses are smoothed", "the losses are rounded"]
    assert "step 15 came after step 20" in notes[0]


# -- identity


class Mode(enum.Enum):
    FAST = "fast"


@dataclasses.dataclass
class Settings:
    lr: float = 0.1
    layers: tuple[int, ...] = (1, 2)
    path: Path = Path("data")
    mode: Mode = Mode.FAST


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"lr": np.float32(0.5), "n": np.int64(3)}, {"lr": 0.5, "n": 3}),
        (argparse.Namespace(lr=0.1, model=None), {"lr": 0.1, "model": None}),
        (Settings(), {"lr": 0.1, "layers": [1, 2], "path": "data", "mode": "fast"}),
        ({"a b": {"c.d": 1}}, {"a_b": {"c_d": 1}}),
        ({"f": math.sqrt, "o": object(), "inf": math.inf}, {"f": "math.sqrt", "o": "builtins.object", "inf": "inf"}),
        (None, {}),
    ],
)
def test_settings_become_plain(given: Any, plain: dict[str, Any]) -> None:
    assert settings(given) == plain


@pytest.mark.parametrize("given", [3, "lr=0.1", [1], print])
def test_settings_need_names(given: Any) -> None:
    with pytest.raises(ArgumentError, match="config must be a mapping"):
        lrbench.record("x", config=given)


def recorded_path(**arguments: Any) -> Path:
    with lrbench.record(**{"name": "same", **arguments}) as run:
        run.evaluate(val_loss=1.0)
    assert run.path is not None
    return run.path


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [({"rank": -1}, "rank must be"), ({"rank": "a"}, "rank must be"), ({"runs": None}, "runs must be the path")],
)
def test_wrong_places_to_record(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        lrbench.record("tiny", seed=0, **wrong)
    assert not Path("runs").exists()


def test_values_on_other_data_are_no_test() -> None:
    with lrbench.record("tiny", seed=0) as run:
        with pytest.raises(ArgumentError, match="val_loss is not a value on the test data"):
            run.test(val_loss=3.0)
        run.evaluate(val_loss=1.0)
        run.test(accuracy=0.5)


def test_the_same_again_starts_over_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    first = recorded_path(config={"lr": 1}, seed=0)
    assert "replaces" not in capsys.readouterr().err
    assert recorded_path(config={"lr": 1.0}, seed=0) == first
    assert "replaces one that was finished" in capsys.readouterr().err
    assert recorded_path(config={"lr": 2}, seed=0) != first
    assert recorded_path(config={"lr": 1}, seed=1) != first
    assert recorded_path(config={"lr": 1, "seed": 0}) == first


def test_runs_without_a_seed_are_repeats() -> None:
    paths = [recorded_path(config={"lr": 1}) for _ in range(2)]
    assert paths[0] != paths[1]
    results = [RunFolder(path).result() for path in paths]
    assert len({result.group for result in results if result is not None}) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": "0"}, "seed must be"),
        ({"seed": 1, "config": {"seed": 2}}, "give it once"),
        ({"total_steps": 0}, "total_steps must be"),
        ({"metrics": ["f1"]}, "metrics must be a mapping"),
        ({"name": "a/b"}, "must be a folder name"),
        ({"best_by": "loss"}, "must be val_loss"),
        ({"best_by": "acc"}, "must be val_loss"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises((ArgumentError, ConfigError), match=problem):
        lrbench.record(**arguments)
    assert not Path("runs").exists()


def test_the_scripts_name_is_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    for file, name in (("/a/train.py", "train"), ("/a/pkg/__main__.py", "pkg"), ("/a/~odd!.py", "odd")):
        monkeypatch.setattr(main, "__file__", file, raising=False)
        assert script_name() == name


def test_resuming_keeps_the_rows_before_the_first_step_that_comes_again() -> None:
    def begun(resume: bool) -> Any:
        return lrbench.record("again", config={"lr": 0.1}, seed=0, resume=resume)

    run = begun(resume=True)
    for step in range(1, 7):
        run.step(lr=0.1, loss=float(step), step=step)
        if step % 2 == 0:
            run.evaluate(val_loss=float(step), f1=0.5)
    run.leave()
    assert RunFolder(run.path).status() is Status.INTERRUPTED
    with begun(resume=True) as run:  # from a checkpoint after step 4
        for step in range(5, 9):
            run.step(lr=0.1, loss=10.0 * step, step=step)
        run.evaluate(val_loss=8.0)
    assert steps_of(run)["step"] == list(range(1, 9))
    assert steps_of(run)["loss"] == [1, 2, 3, 4, 50, 60, 70, 80]
    assert evaluations_of(run)["step"] == [2, 4, 8] and evaluations_of(run)["val_f1"][:2] == [0.5, 0.5]
    assert len(RunFolder(run.path).environment().resumed) == 1
    with begun(resume=True) as run:  # without numbers, it goes on where it was
        run.step(lr=0.1, loss=0.0)
        run.evaluate(val_loss=1.0)
    assert steps_of(run)["step"] == list(range(1, 10))


# -- how it ends


def test_a_failure_is_recorded_and_raised() -> None:
    with pytest.raises(ZeroDivisionError), lrbench.record("fails") as run:
        run.evaluate(val_loss=1.0)
        1 / 0  # noqa: B018
    assert run.path is not None
    result = RunFolder(run.path).result()
    assert result is not None and result.status is Status.FAILED
    assert result.reason == "ZeroDivisionError: division by zero"
    assert "1 / 0" in (run.path / "error.log").read_text()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), Status.INTERRUPTED),
        (SystemExit(0), Status.FINISHED),
        (SystemExit(3), Status.FAILED),
        (GeneratorExit(), Status.INTERRUPTED),
    ],
)
def test_other_ends(error: BaseException, status: Status) -> None:
    run = lrbench.record("ends")
    with pytest.raises(type(error)), run:
        run.evaluate(val_loss=1.0)
        raise error
    assert run.path is not None
    assert RunFolder(run.path).status() is status


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("1 / 0", Status.FAILED),
        pytest.param("raise KeyboardInterrupt", Status.INTERRUPTED, marks=pytest.mark.slow),
        ("run.step(lr=0.1)", Status.FINISHED),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)", Status.INTERRUPTED, marks=pytest.mark.slow
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Status.INTERRUPTED),
    ],
)
def test_programs_that_never_call_finish(last: str, status: Status) -> None:
    done = script(f"run = lrbench.record(config={{'lr': 0.1}}, seed=0)\nrun.evaluate(val_loss=0.5)\n{last}")
    folder = only_run()
    assert folder.status() is status, done.stderr
    assert folder.name.startswith("train-seed0-")
    assert read_csv(folder.path / "epochs.csv")["val_loss"].tolist() == [0.5]
    assert "train.py" in folder.environment().user_code
    if last == "1 / 0":
        assert "ZeroDivisionError" in (folder.path / "error.log").read_text()


@pytest.mark.slow
def test_a_killed_program_loses_at_most_a_second() -> None:
    """By its own clock: when a busy machine lets this process read what it prints says nothing."""
    Path("endless.py").write_text(
        "import lrbench, time, itertools\n"
        "with lrbench.record(seed=0) as run:\n"
        "    for step in itertools.count(1):\n"
        "        began = time.monotonic()\n"
        "        run.step(lr=0.1, loss=1.0)\n"
        "        print(began, flush=True)\n"
        "        time.sleep(0.002)\n"
    )
    shown: list[float] = []
    with subprocess.Popen([sys.executable, "endless.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            shown.append(float(line))
            if shown[-1] - shown[0] > 1.4:
                break
        process.kill()
    folder = only_run()
    written = len(read_csv(folder.path / "steps.csv")["step"])
    assert written >= sum(shown[-1] - moment > 1 for moment in shown) > 0
    assert folder.status() is Status.INTERRUPTED


def test_evaluations_after_the_end_of_training_still_count() -> None:
    run = lrbench.record("after")
    run.evaluate(val_loss=1.0)
    run.ended()
    run.test(accuracy=0.5)
    assert run.path is not None
    result = RunFolder(run.path).result()
    assert result is not None and result.test == {"accuracy": 0.5}


def test_a_run_without_evaluations_is_told(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    with lrbench.record("nothing", seed=0) as run:
        run.step(lr=0.1, loss=1.0)
    assert "has recorded no evaluation" in capsys.readouterr().err
    code, _, err = cli("report", "--runs", "runs")
    assert code == 1 and "nothing-seed0" in err, "there is nothing to report"


def test_an_interrupted_run_is_reported_as_such(cli: Cli) -> None:
    run = lrbench.record("stopped", config={"lr": 0.1}, seed=0)
    run.evaluate(val_loss=1.0)
    run.leave()
    with lrbench.record("whole", config={"lr": 0.1}, seed=0) as other:
        other.evaluate(val_loss=0.5)
    code, out, err = cli("report", "--runs", "runs")
    assert code == 0 and "interrupted" in out + err


# -- trouble


def test_a_column_that_can_not_be_added_costs_no_other_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lrbench.runs import csv_log

    with lrbench.record("wide", seed=0) as run:
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
        with monkeypatch.context() as broken:

            def refuse(path: Path) -> Any:
                raise OSError(errno.ENOSPC, "No space left on device")

            broken.setattr(csv_log, "replacing", refuse)
            run.step(lr=0.1, loss=0.5, grad_scale=2.0)
            run.evaluate(val_loss=0.5, f1=0.5)
        run.step(lr=0.1, loss=0.25)
        run.evaluate(val_loss=0.25)
    assert "No space left" in capsys.readouterr().err
    assert evaluations_of(run)["val_loss"] == [1.0, 0.25] and steps_of(run)["loss"] == [1.0, 0.25]


def test_a_full_disk_is_told_once_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = True
    with lrbench.record("full") as run:
        assert run.place is not None
        file = run.place.folder.steps._file
        assert file is not None
        write = file.write

        def refuse(text: str) -> int:
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(text)

        monkeypatch.setattr(file, "write", refuse, raising=False)
        for _ in range(3):
            run.step(lr=0.1, loss=1.0)
            run.place.writer._flushed = -10.0  # a second has passed
        full = False
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
    told = capsys.readouterr().err
    assert told.count("No space left on device") == 1 and "training goes on" in told
    assert run.path is not None
    assert RunFolder(run.path).status() is Status.FINISHED


def test_a_folder_that_can_not_be_made_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(FolderError):
        lrbench.record("x")


def test_a_removed_folder_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    with lrbench.record("gone") as run:
        assert run.path is not None
        shutil.rmtree(run.path)
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
    assert "could not record" in capsys.readouterr().err
    assert not run.path.exists()


def test_another_live_process_has_the_run() -> None:
    run = lrbench.record("train", config={"lr": 0.1}, seed=0)
    done = script("lrbench.record('train', config={'lr': 0.1}, seed=0)")
    assert done.returncode == 1 and "LockedError" in done.stderr and "give this one another name" in done.stderr
    assert run.path is not None
    run.evaluate(val_loss=1.0)
    run.finish()
    assert RunFolder(run.path).status() is Status.FINISHED


def test_in_one_process_the_later_one_replaces_the_earlier() -> None:
    first = lrbench.record("notebook", seed=0)
    first.evaluate(val_loss=9.0)
    with lrbench.record("notebook", seed=0) as second:
        second.evaluate(val_loss=1.0)
    assert evaluations_of(second)["val_loss"] == [1.0]
    with pytest.raises(UsageError, match="is finished"):
        first.evaluate(val_loss=9.0)


def test_threads_share_a_recorder() -> None:
    with lrbench.record("threads") as run:

        def some() -> None:
            for _ in range(500):
                run.step(lr=0.1, loss=1.0)

        threads = [threading.Thread(target=some) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.evaluate(val_loss=1.0)
    assert steps_of(run)["step"] == list(range(1, 2001))


def test_forks_never_write() -> None:
    done = script(
        """
        import os
        with lrbench.record(seed=0) as run:
            run.step(lr=0.1, loss=1.0)
            if (child := os.fork()) == 0:
                run.step(lr=0.1, loss=2.0)
                run.evaluate(val_loss=2.0)
                raise SystemExit(0)  # as __exit__ and atexit see it
            os.waitpid(child, 0)
            run.evaluate(val_loss=1.0)
        """
    )
    assert done.returncode == 0, done.stderr
    folder = only_run()
    assert read_csv(folder.path / "steps.csv")["loss"].tolist() == [1.0]
    assert read_csv(folder.path / "epochs.csv")["val_loss"].tolist() == [1.0]
    assert folder.status() is Status.FINISHED


# -- ranks


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, 0),
        ({"RANK": "0", "LOCAL_RANK": "0"}, 0),
        ({"RANK": "3", "LOCAL_RANK": "0"}, 3),
        ({"LOCAL_RANK": "1"}, 1),
        ({"LOCAL_RANK": "0", "GROUP_RANK": "1"}, 1),
        ({"LOCAL_RANK": "0", "NODE_RANK": "2"}, 2),
        ({"SLURM_PROCID": "2"}, 2),
        ({"RANK": "0", "SLURM_PROCID": "2"}, 0),
        ({"OMPI_COMM_WORLD_RANK": "1"}, 1),
        ({"PMI_RANK": "1"}, 1),
        ({"RANK": "none"}, 0),
    ],
)
def test_ranks(variables: dict[str, str], found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert rank()[0] == found


def test_only_rank_0_writes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    with lrbench.record("ranks") as run:
        run.watch(two_groups())
        run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
        run.note("nothing")
        run.tell(total_steps=3)
        run.test(loss=1.0)
    run.finish()
    assert run.path is None and not Path("runs").exists()
    assert "rank 1 (SLURM_PROCID) records nothing" in capsys.readouterr().err
    with lrbench.record("ranks", rank=0) as run:
        run.evaluate(val_loss=1.0)
    assert run.path is not None


@pytest.mark.slow
def test_torchrun_records_on_rank_0(forks: Starts) -> None:
    Path("train.py").write_text(
        "import lrbench, torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "total = torch.ones(1) * dist.get_rank()\n"
        "with lrbench.record(config={'lr': 0.1}, seed=0) as run:\n"
        "    for step in range(5):\n"
        "        dist.all_reduce(total)\n"
        "        run.step(lr=0.1, loss=float(dist.get_rank()))\n"
        "    run.evaluate(val_loss=1.0)\n"
        "assert (run.path is None) == (dist.get_rank() == 1)\n"
        "dist.destroy_process_group()\n"
    )
    forks.shims(Path())
    started = Path("python").absolute() if Path("python").exists() else sys.executable  # by torchrun
    environment = {**os.environ, "PYTHON_EXEC": str(started)}
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    done = forks.run(words, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert read_csv(only_run().path / "steps.csv")["loss"].tolist() == [0.0] * 5


# -- commands


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose command is this program."""
    path = tmp_path / "given"
    path.mkdir()
    monkeypatch.setenv("LRBENCH_RUN", str(path))
    told = {"params": {"lr": 0.5, "model": {"width": 8}, "warm": True}, "seed": 3, "name": "mine"}
    monkeypatch.setenv("LRBENCH_PARAMS", json.dumps(told))
    return path


def test_a_command_records_into_its_run(
    cell: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with lrbench.record("other", config={"lr": 0.1, "extra": 1}, seed=0) as run:
        run.step(lr=0.5, loss=1.0)
        run.evaluate(val_loss=1.0)
    assert run.path == cell and not Path("runs").exists()
    recorded = RunFolder(cell).recorded()
    assert recorded["params"] == {"lr": 0.1, "extra": 1, "name": "other", "seed": 0}
    assert len(recorded["notes"]) == 2 and "lr is 0.1, where its config says 0.5" in recorded["notes"][0]
    assert "seed is 0, where lrbench gave it 3" in capsys.readouterr().err
    assert not (cell / "result.json").exists() and not (cell / "config.yaml").exists()
    with pytest.raises(UsageError, match="recorded already"):
        lrbench.record("other")
    monkeypatch.setattr(recording, "_of_commands", {})  # as another process of the same command
    with lrbench.record("other") as run:
        run.evaluate(val_loss=0.5)
    assert evaluations_of(run)["val_loss"] == [0.5]
    assert "another process of this command has recorded before" in capsys.readouterr().err


def test_a_command_may_try_again_after_a_failure(cell: Path) -> None:
    for batch_size in (64, 32):
        try:
            with lrbench.record() as run:
                run.step(lr=0.5, loss=batch_size)
                if batch_size == 64:
                    raise MemoryError
        except MemoryError:
            continue
    assert steps_of(run)["loss"] == [32]


def test_a_resumed_command_keeps_its_rows(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lrbench.record() as run:
        for _ in range(4):
            run.step(lr=0.5, loss=1.0)
        run.evaluate(val_loss=1.0)
    monkeypatch.setattr(recording, "_of_commands", {})  # as in another process
    monkeypatch.setenv("LRBENCH_RESUMED", "1")
    with lrbench.record() as run:
        run.step(lr=0.5, loss=2.0, step=4)
        run.evaluate(val_loss=0.5)
    assert steps_of(run)["loss"] == [1, 1, 1, 2] and evaluations_of(run)["val_loss"] == [0.5]


def test_parameters_of_the_cell(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lrbench.param("lr", 0.1) == 0.5 and lrbench.param("lr") == 0.5
    assert lrbench.param("model.width", 4) == 8 and lrbench.param("seed", 0) == 3
    assert lrbench.param("model", None) == {"width": 8} and lrbench.param("warm", False) is True
    width = lrbench.param("model.width", 4.0)
    assert width == 8.0 and type(width) is float
    assert lrbench.param("momentum", 0.9) == 0.9 and lrbench.param("momentum", 0.9) == 0.9
    assert capsys.readouterr().err.count("params has no 'momentum'") == 1
    with pytest.raises(ConfigError, match=r"params\.lr: must be an integer, as its default 1 is"):
        lrbench.param("lr", 1)
    with pytest.raises(ConfigError, match="must be text"):
        lrbench.param("lr", "constant")
    with pytest.raises(ConfigError, match="must be a number"):
        lrbench.param("warm", 0.5)
    with pytest.raises(UsageError, match="have none"):
        lrbench.param("nothing")


def test_parameters_elsewhere_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lrbench.param("lr", 0.1) == 0.1 and lrbench.param("seed", 0) == 0
    with pytest.raises(UsageError, match="did not start this program"):
        lrbench.param("lr")
    monkeypatch.setenv("LRBENCH_PARAMS", "{")
    with pytest.raises(UsageError, match="must be JSON"):
        lrbench.param("lr", 0.1)


def test_a_sweep_of_a_script_that_records(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import lrbench\n"
        "lr, seed = lrbench.param('lr', 0.1), lrbench.param('seed', 0)\n"
        "with lrbench.record(config={'lr': lr}, seed=seed, total_steps=3) as run:\n"
        "    for step in range(3):\n"
        "        run.step(lr=lr, loss=abs(lr - 0.1) + 0.1)\n"
        "    run.evaluate(val_loss=abs(lr - 0.1) + 0.1, epoch=1)\n"
    )
    plain = {"name": "mine", "command": [sys.executable, "train.py"], "params": {"lr": 0.1}, "cwd": "."}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    code, out, err = cli("sweep", "mine.yaml", "--lr", "0.01:1:3", "--seeds", "1")
    assert code == 0, out + err
    table = lrbench.load_runs("runs")
    best = table.loc[table["val_loss"].idxmin()]
    assert len(table) == 3 and best["val_loss"] == pytest.approx(0.1)


# -- cost


def test_recording_imports_nothing_heavy() -> None:
    done = script(
        """
        import sys
        with lrbench.record(seed=0) as run:
            run.step(lr=lrbench.param("lr", 0.1), loss=1.0)
            run.evaluate(val_loss=1.0)
        heavy = {"torch", "pandas", "matplotlib", "scipy", "rich", "sklearn"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_million_steps_take_no_memory() -> None:
    done = script(
        """
        import resource
        def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with lrbench.record(seed=0) as run:
            for step in range(1_000_000):
                run.step(lr=0.1, loss=1.0)
                if step == 50_000:
                    before = most()
            after = most()
            run.evaluate(val_loss=1.0)
        assert after - before < 5_000, (before, after)  # kB
        """
    )
    assert done.returncode == 0, done.stderr


# -- examples

EXAMPLES = Path(__file__).parent.parent / "examples"
RECORDED = ["huggingface", "jax", "keras", "lightning", "record"]
"""Folders whose train.py records itself, with an accuracy and a schedule."""


@pytest.mark.parametrize("name", RECORDED)
def test_each_example_has_a_config_that_starts_it(name: str) -> None:
    from lrbench.config import CommandConfig, read_config, validate

    plain = {key: value for key, value in read_config(EXAMPLES / name / "train.yaml").plain.items() if key != "sweep"}
    config = validate({**plain, "folder": str(EXAMPLES / name)}, {}, name)
    assert isinstance(config, CommandConfig) and config.lr is not None
    assert config.arguments(Path("run"))[1] == str(EXAMPLES / name / "train.py")


def test_resumed_steps_without_numbers_are_told() -> None:
    for resume in (False, True):
        run = lrbench.record("unnumbered", seed=0, resume=resume)
        for _ in range(3):
            run.step(lr=0.1, loss=1.0)
        run.evaluate(val_loss=1.0)
        run.leave()
    assert run.path is not None
    (note,) = RunFolder(run.path).recorded()["notes"]
    assert "resumed without step numbers, so steps were counted on from 3; steps that it repeated count twice" in note
    run = lrbench.record("numbered", seed=0)
    run.step(lr=0.1, loss=1.0)
    run.leave()
    run = lrbench.record("numbered", seed=0, resume=True)
    run.step(lr=0.1, loss=0.5, step=1)
    run.finish()
    assert run.path is not None and RunFolder(run.path).recorded()["notes"] == []
    assert steps_of(run)["loss"] == [0.5]


def test_rows_of_another_program_are_not_gone_on_with() -> None:
    with lrbench.record("mine", seed=0) as run:
        run.step(lr=0.1, loss=1.0)
    assert run.path is not None
    (run.path / "steps.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FolderError, match="so it is damaged; without `resume` the run starts over"):
        lrbench.record("mine", seed=0, resume=True)
    with lrbench.record("mine", seed=0) as run:
        run.step(lr=0.1, loss=2.0)
    assert steps_of(run)["loss"] == [2.0]
