"""lrbench sweep: the command, its folder, its summary; resumed, topped up, pruned, confirmed, shared, killed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from _pytest.outcomes import Failed
from forked import Starts
from rich.console import Console
from rich.text import Text
from torch import Tensor, nn

import lrbench
from lrbench.analysis import Family, Group, Optimum, Point, Record
from lrbench.cli import sweep_table
from lrbench.cli.app import app
from lrbench.components.metrics import ACCURACY, LOSS, measures
from lrbench.config import identity, load_config
from lrbench.errors import RunError, UsageError
from lrbench.events import Event
from lrbench.reports import save_summary, summary_words
from lrbench.reports.figures.sensitivity import draw
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.sweeps import Planned, Summary, SweepFolder, plan_sweep
from lrbench.sweeps.halving import loss_at, worse_half
from lrbench.sweeps.plan import Plan
from lrbench.sweeps.status import expected_seconds, left_words
from lrbench.sweeps.summary import summarize
from lrbench.training import Outcome, Prune, RunOptions, build, default_jobs, executors, run
from lrbench.training.device import resolve_device
from lrbench.training.executors import shared_data
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.executors.serial import ThisProcess
from lrbench.training.pruning import chance
from lrbench.training.run_one import WorkItem

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")
NO_TIMES = ("seconds", "examples_per_second")
VAL_LOSS = measures((LOSS, ACCURACY))["val_loss"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in NO_TIMES} for row in csv.DictReader(file)]


def runs_of(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/config.yaml"))


def state_of(root: Path) -> dict[str, Any]:
    """All that a sweep's cells have come to, timings aside."""
    found = {}
    for path in runs_of(root):
        result = json.loads((path / "result.json").read_text())
        kept = {k: v for k, v in result.items() if k not in NO_TIMES}
        found[path.name] = (kept, rows_of(path / "epochs.csv"), rows_of(path / "steps.csv"))
    return found


# -- the command


@pytest.mark.usefixtures("rendered")
def test_the_command(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"schedule": ["constant", "cosine"]})
    code, out, err = cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2", "--jobs", "1")
    assert (code, err) == (0, "")
    assert "12 of 12 runs pending; plan: runs/sweeps/tiny/plan.json\n" in out
    assert "\nWrote runs/sweeps/tiny/summary.csv, summary.png, summary.svg\n" in out
    assert "12/12 cosine, lr 1, seed 1 (tiny-seed1-" in out and "finished" in out
    for line in ("constant: best at 1 (val loss ", "cosine: best at ", "has the lowest validation loss, "):
        assert line in out
    assert len(runs_of(Path("runs"))) == 12
    folder = Path("runs/sweeps/tiny")
    assert {path.name for path in folder.iterdir()} == {"plan.json", "summary.csv", "summary.png", "summary.svg"}
    with (folder / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["series"], float(row["lr"])) for row in rows] == [
        (line, lr) for line in ("constant", "cosine") for lr in (0.01, 0.1, 1.0)
    ]
    assert all(row["seeds"] == row["finished"] == "2" and float(row["val_loss_median"]) > 0 for row in rows)
    assert sum(row["best"] == "1" for row in rows) == 2

    code, out, _ = cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2")
    assert code == 0 and "0 of 12 runs pending" in out and "12 of 12 were already finished" in out
    code, out, _ = cli("run", config, "--set", "sweep=null", "--set", "optimizer.lr=0.1")
    assert code == 0 and "1 of 1 was already finished" in out, "a cell is an ordinary run"
    code, out, _ = cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2")
    told = re.findall(r"(?:constant|cosine): (best at .*?\.) ", " ".join(out.split()))
    code, out, _ = cli("report")
    assert code == 0 and "tiny" in out
    said = " ".join(Path("runs/report/report.md").read_text().split())
    assert len(told) == 2 and all(sentence in said for sentence in told), "the report says the same of each line"


def test_more_seeds_or_rates_only_add_what_is_missing(cli: Cli, write_config: Write) -> None:
    config = write_config()
    assert "2 of 2 runs pending" in cli("sweep", config, "--lr", "0.01:1:2", "--jobs", "1")[1]
    assert "1 of 3 runs pending" in cli("sweep", config, "--lr", "0.01:1:3", "--jobs", "1")[1]
    assert "3 of 6 runs pending" in cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2", "--jobs", "1")[1]
    assert "0 of 2 runs pending" in cli("sweep", config, "--lr", "0.1", "--seeds", "2", "--jobs", "1")[1]


@contextmanager
def no_training() -> Iterator[None]:
    """Fails the test where the training loop is entered, or work is handed to whoever enters it."""

    def entered(*args: object, **more: object) -> None:
        pytest.fail("something is trained")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lrbench.training.loop.train", entered)
        for executor in (ThisProcess, WorkerProcesses):
            patched.setattr(executor, "execute", entered)
        yield


def test_a_dry_run_trains_and_writes_nothing(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"lr": [0.1, 0.2, 0.1]})
    with no_training():
        code, out, _ = cli("sweep", config, "--seeds", "2", "--dry-run")
    assert code == 0 and not Path("runs").exists()
    assert "4 runs (duplicates left out: 2), 0 already finished." in out
    assert out.count("pending") == 4 and out.count("2 epochs") == 4
    cli("sweep", config, "--lr", "0.1", "--jobs", "1")
    before = sorted(Path("runs").rglob("*"))
    with no_training():
        code, out, _ = cli("sweep", config, "--dry-run")
    assert "2 runs (duplicates left out: 1), 1 already finished." in out
    assert out.count("pending") == 1 and sorted(Path("runs").rglob("*")) == before


def test_progress_lines_tell_what_differs_between_the_cells(cli: Cli, write_config: Write) -> None:
    config = write_config(epochs=1, sweep={"lr": [0.1, 0.2], "schedule": ["constant", "cosine"]})
    code, out, err = cli("sweep", config, "--jobs", "1")
    assert code == 0, err
    for count, label in enumerate(
        ("constant, lr 0.1", "constant, lr 0.2", "cosine, lr 0.1", "cosine, lr 0.2"), start=1
    ):
        assert re.search(rf"^{count}/4 {label} \(tiny-seed0-\w{{8}}\): finished; ", out, re.MULTILINE), out
    code, out, err = cli("sweep", config, "--lr", "0.1", "--schedule", "constant", "--seeds", "2", "--jobs", "1")
    assert re.search(r"^2/2 tiny, seed 1 \(tiny-seed1-\w{8}\): finished; ", out, re.MULTILINE), out


def test_the_live_table_tells_which_cell_failed() -> None:
    cells = ((0.1, 0), (0.2, 0), (0.2, 1))
    rows = tuple(Planned(f"tiny-{lr}-{seed}", f"{lr}{seed}", "", "step", lr, seed) for lr, seed in cells)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with sweep_table.display(console) as watch:
        watch(Event("", "plan", values={"plan": Plan("tiny", rows), "results": {}}))
        watch(Event("tiny-0.2-1", "end", values={"result": RunResult(Status.FAILED, "a reason")}))
    assert "step, lr 0.2, seed 1 (tiny-0.2-1):" in Text.from_ansi(console.file.getvalue()).plain


def test_a_dry_run_of_automatic_rates_trains_nothing_and_says_what_comes_first(cli: Cli, write_config: Write) -> None:
    config = write_config(dataset="digits", model={"name": "mlp", "hidden": [32]}, optimizer="adam", epochs=1)
    words = ["sweep", config, "--lr", "auto", "--seeds", "2", "--dry-run"]
    with no_training():
        code, out, _ = cli(*words)
    assert code == 0 and not Path("runs").exists()
    assert "lr: auto: first a range test of tiny, then 7 learning rates around its suggestion." in out
    assert out.count(" auto ") == 2 and out.count("1 epoch ") == 2
    assert "Expected time: unknown until a run of each size has finished." in out
    with pytest.raises(Failed, match="something is trained"), no_training():
        cli("find-lr", config)
    assert cli("find-lr", config)[0] == 0
    finding = json.loads(next(Path("runs/find-lr").glob("*/finder.json")).read_text())
    before = sorted(Path("runs").rglob("*"))
    with no_training():
        code, out, _ = cli(*words)
    assert code == 0 and "first a range test" not in out and sorted(Path("runs").rglob("*")) == before
    assert (
        f"around {finding['advice']['initial']:.2g}, which its range test suggests" in out
        and "14 runs, 0 already finished" in out
    )


def test_a_dry_run_gives_a_time_only_where_runs_of_the_same_size_are_done(cli: Cli, write_config: Write) -> None:
    config, unknown = write_config(), "Expected time: unknown until a run of each size has finished."
    words = ["sweep", config, "--lr", "0.1,0.2", "--dry-run", "--jobs", "1"]
    assert unknown in cli(*words)[1]
    cli("run", config)
    code, out, _ = cli(*words, "--seeds", "2", "--schedule", "constant,cosine")
    assert code == 0 and "8 runs, 1 already finished." in out
    assert "from finished runs" in out and unknown not in out, "neither the schedule nor the seed matters"
    for other in ("epochs=3", "batch_size=16", "model.hidden=[9]", "optimizer=adam", "dataset.train_size=80"):
        assert unknown in cli(*words, "--set", other)[1], other
    assert unknown in cli(*words, "--set", "sweep.epochs=[2, 3]")[1], "not of a part of them"
    assert unknown not in cli("sweep", config, "--lr", "0.3,0.4", "--dry-run", "--jobs", "1")[1], "none is of the grid"
    cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1")
    out = cli(*words)[1]
    assert unknown not in out and "About" not in out, "nothing is left to do"


def test_torch_is_asked_for_gpus_only_where_there_may_be_some(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(7)))
    for may, device, expected in ((True, "auto", 3), (False, "auto", 7), (True, "cpu", 7)):
        monkeypatch.setattr(executors, "_may_have_gpu", lambda may=may: may)
        assert default_jobs([tiny(device=device)]) == expected


def test_the_time_that_is_left_by_hand(tiny: Any) -> None:
    def done(seconds: float, status: Status = Status.FINISHED, **changes: Any) -> Outcome:
        outcome = Outcome(tiny(**changes), Path(), Status.PENDING)
        outcome.ended(RunResult(status, seconds=seconds), found=True)
        return outcome

    def left(**changes: Any) -> Outcome:
        return Outcome(tiny(**changes), Path(), Status.PENDING)

    known = [done(10.0), done(14.0, seed=1), done(99.0, seed=2)]
    assert expected_seconds([*known, left(seed=3), left(seed=4)], 1) == 28.0, "the median of those that are done"
    assert expected_seconds([*known, left(seed=3), left(seed=4)], 2) == 14.0
    assert expected_seconds([*known, left(seed=3)], 8) == 14.0, "never less than the longest run"
    assert expected_seconds([*known, done(7.0, epochs=3), left(epochs=3), left(seed=3)], 1) == 21.0
    assert expected_seconds([*known, left(seed=3), left(epochs=3)], 1) is None
    for status in (Status.DIVERGED, Status.PRUNED, Status.FAILED):
        assert expected_seconds([done(10.0, status), left(seed=3)], 1) is None, "they ended before their time"
    assert expected_seconds(known, 1) == 0.0


def test_other_runs_in_the_folder_tell_the_time_of_sizes_that_the_sweep_has_not_finished(
    tiny: Any, tmp_path: Path
) -> None:
    for seed, (seconds, epochs) in enumerate([(3.0, 2), (5.0, 2), (60.0, 9), (0.5, 3)]):
        folder = RunFolder(tmp_path / f"run-{seed}")
        experiment = tiny(seed=seed, epochs=epochs, schedule="cosine")
        folder.create(experiment, {})
        values = {"train_loss": 1.0, "val_loss": 1.0, "epoch": epochs, "step": 2 * epochs}
        folder.finish(experiment, RunResult(Status.FINISHED, final=values, best=values, steps=4, seconds=seconds))
    (tmp_path / "run-3" / "config.yaml").write_text("epochs: [")
    left = [Outcome(tiny(seed=7, optimizer={"name": "sgd", "lr": 0.7}), Path(), Status.PENDING)]
    assert expected_seconds(left, 1, tmp_path) == 4.0
    assert expected_seconds(left, 1, tmp_path / "none") is None
    assert expected_seconds([Outcome(tiny(epochs=3), Path(), Status.PENDING)], 1, tmp_path) is None, "it is damaged"
    done = Outcome(tiny(seed=8), Path(), Status.PENDING)
    done.ended(RunResult(Status.FINISHED, seconds=9.0), found=True)
    assert expected_seconds([done, *left], 1, tmp_path) == 9.0, "the sweep's own runs tell more"


def test_the_status_from_elsewhere(cli: Cli, write_config: Write) -> None:
    code, _, err = cli("sweep", "--status")
    assert code == 2 and "no sweep in runs/sweeps" in err
    config = write_config()
    cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1")
    cli("sweep", config, "--lr", "0.1,1e30", "--jobs", "1", "--name", "other")
    folder = next(
        path for path in runs_of(Path("runs")) if load_config(path / "config.yaml").optimizer.params["lr"] == 0.2
    )
    (folder / "result.json").unlink()
    with RunFolder(folder).lock():
        code, out, _ = cli("sweep", "--status")
        assert (
            code == 0
            and "tiny  2 runs: 1 finished, 1 running" in out
            and "other  2 runs: 1 finished, 1 diverged" in out
        )
        assert "●" in out and "▸" in out and "✕" in out
    code, out, _ = cli("sweep", "--status", "--name", "tiny")
    assert "2 runs: 1 finished, 1 interrupted" in out and "other" not in out
    assert cli("sweep", "--status", "--name", "absent")[0] == 2


def test_a_learning_rate_with_a_dropped_seed_has_a_dash(
    cli: Cli, tiny: Callable[..., Any], make_run: Callable[..., Path]
) -> None:
    asked = plan_sweep([tiny(epochs=2)], {"lr": [0.1, 0.2], "seeds": 2})
    asked.folder.write(asked.plan)
    for lr, status in ((0.1, "pruned"), (0.2, "finished")):
        make_run([0.8, 0.6], lr=lr)
        make_run([0.8, 0.6], lr=lr, seed=1, status=status)
    code, out, _ = cli("sweep", "--status")
    rows = [line.split() for line in out.splitlines() if line.split()[:1] in (["0.1"], ["0.2"])]
    assert code == 0 and rows == [["0.1", "●✂", "–"], ["0.2", "●●", "0.6"]]


def test_the_time_left_in_words() -> None:
    assert [left_words(seconds) for seconds in (None, 0.0, 0.9, 7.0, 348.0)] == [
        "", "less than a second left", "less than a second left", "about 7.0 s left", "about 5:48 left",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--lr", "1e-5:1"], "--lr: must be from:to:points"),
        (["--lr", "0:1:3"], "--lr: bounds on a log scale must be greater than 0"),
        (["--lr", "nan"], "--lr: a learning rate must be a number greater than 0"),
        (["--lr", "-1"], "--lr: a learning rate must be a number greater than 0"),
        (["--lr", "1e-5:1:1001"], "the grid has 1,001 runs; --yes allows more than 1,000"),
        (
            ["--lr", "1e-5:1:1000", "--seeds", "1000"],
            "1,000,000 runs, but a sweep can have at most 100,000",
        ),
        (["--schedule", "cosin"], "did you mean 'cosine'"),
        (["--schedule", "cosine,,step"], "--schedule must be names separated by commas"),
        (["--prune", "0"], "--prune must be a fraction above 0 and below 1"),
        (["--prune", "nan"], "--prune must be a fraction above 0 and below 1"),
        (["--name", "../x"], "--name may contain letters, digits and any of"),
        (["--name", ""], "--name is empty: --name TEXT"),
        (["--epsilon", "inf"], "--epsilon must be a finite number"),
        (["--set", "sweep.device=[cpu]"], "can't be varied: 'device' does not change what is trained"),
        (["--executor", "rya"], "did you mean 'ray'"),
        (["--address", "auto"], "--address needs --executor ray"),
        (["--set", "sweep.lr=[]"], "must have at least one value"),
        (["--set", "sweep.batch_sise=[8]"], "unknown key 'batch_sise'"),
        (["--set", "model=nets:Absent"], "nets"),
        (["--runs", "tiny.yaml"], "is a file, not a folder"),
    ],
)
def test_mistakes(cli: Cli, write_config: Write, words: Sequence[str], fragment: str) -> None:
    code, _, err = cli("sweep", write_config(), *words)
    assert code == 2 and fragment in err and not Path("runs").exists()


def test_no_config(cli: Cli) -> None:
    code, _, err = cli("sweep")
    assert code == 2 and "give at least one CONFIG" in err


def test_several_configs_are_lines_of_one_sweep(cli: Cli, write_config: Write) -> None:
    first, second = write_config("a.yaml", name="a"), write_config("b.yaml", name="b", schedule="cosine")
    code, out, _ = cli("sweep", first, second, "--lr", "0.1,0.2", "--jobs", "1")
    assert code == 0 and "\na: best at " in out and "\nb: best at " in out
    assert Path("runs/sweeps/a+b/plan.json").exists()


# -- failures


def breaks(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that breaks while a file `broken` is there."""
    if outputs.requires_grad and Path("broken").exists():
        tries = Path("tries")
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if len(tries.read_text()) <= int(Path("broken").read_text()):
            raise ValueError("broken")
    return nn.functional.cross_entropy(outputs, targets)


def test_failures_are_shown_and_tried_again(cli: Cli, write_config: Write) -> None:
    config = write_config(loss=f"{__name__}:breaks")
    Path("broken").write_text("99")
    code, out, _ = cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1")
    assert code == 1 and out.count("ValueError: broken") >= 2
    assert "2 of 2 runs failed; the same command tries them again." in out
    assert out.count(" and 1 more: ") == 1, "alike failures are told once"
    Path("tries").unlink()
    Path("broken").write_text("1")
    code, out, _ = cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1", "--retries", "1")
    assert code == 0 and out.count("failed and is retried (") == 1


class Fails:
    """An executor whose runs fail before they leave anything in their folders, such as jobs that can't start."""

    in_process = False

    def execute(self, items: Sequence[WorkItem], watch: Any, stop: Any) -> Iterator[tuple[Path, Exception]]:
        return ((item.path, RunError("no such module")) for item in items)


def test_runs_that_failed_without_a_result_are_not_told_as_pending(tmp_path: Path, tiny: Any) -> None:
    done = lrbench.sweep([tiny()], lr=[0.1, 0.2], runs=tmp_path, executor=lambda count: Fails())
    said = summary_words(done.summary())
    assert "tiny: no run has a result (2 failed)." in said
    assert "2 of 2 runs failed; the same command tries them again." in said
    assert [row["failed"] for row in done.summary().rows()] == [1, 1]


def test_no_more_is_begun_after_too_many_failures(cli: Cli, write_config: Write) -> None:
    config = write_config(loss=f"{__name__}:breaks")
    Path("broken").write_text("99")
    code, out, _ = cli("sweep", config, "--lr", "0.1:1:4", "--jobs", "1", "--fail-fast")
    assert code == 1 and "stopping after 1 failure" in out and "3 runs were not started" in out
    code, out, _ = cli("sweep", config, "--lr", "0.1:1:4", "--jobs", "1", "--max-failures", "2")
    assert code == 1 and "stopping after 2 failures" in out and "2 runs were not started" in out
    assert not list(Path("runs").glob("*/lock"))


# -- pruning


def test_chance_is_the_loss_of_the_best_constant_answer(tiny: Any) -> None:
    def found(**changes: Any) -> float | None:
        experiment = tiny(**changes)
        return chance(experiment, build.assemble(experiment, resolve_device("cpu")))

    assert found(dataset="digits") == pytest.approx(math.log(10), abs=2e-3)
    targets = {"dataset": f"{__name__}:numbers", "model": f"{__name__}:Line", "loss": "mse"}
    assert found(**targets) == pytest.approx(1.25)  # the mean of 0 … 3 is 1.5, so the mean square is (1.5² + 0.5²)/2
    assert found(loss=f"{__name__}:breaks") is None


def numbers() -> Any:
    targets = torch.arange(4).float().repeat(25)[:, None]
    return (targets.clone(), targets), (targets[:4].clone(), targets[:4]), (targets[:4].clone(), targets[:4])


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)  # type: ignore[no-any-return]


HOPELESS = {"dataset": "digits", "epochs": 8, "model": {"name": "mlp", "hidden": [16]}}


def test_hopeless_runs_end_early_and_can_go_on(cli: Cli, write_config: Write, tmp_path: Path) -> None:
    config = write_config(**HOPELESS)
    sweep = ["sweep", config, "--lr", "1e-7,0.1", "--jobs", "1"]
    code, out, _ = cli(*sweep, "--prune", "0.5")
    assert code == 0 and "pruned; validation loss 2.3" in out and "after 50% of the run, where chance is 2.303" in out
    assert "1 of 2 runs was pruned; its learning rate has no mean." in out
    states = {path: json.loads((path / "result.json").read_text()) for path in runs_of(tmp_path / "runs")}
    (cut,) = [path for path, result in states.items() if result["status"] == "pruned"]
    assert states[cut]["epochs"] == 4 and states[cut]["test"] is None and (cut / "checkpoint.pt").exists()
    code, out, _ = cli(*sweep, "--prune", "0.5")
    assert "0 of 2 runs pending" in out, "it stays pruned as long as that is asked for"
    code, out, _ = cli("report")
    assert code == 0 and "pruned" in out

    code, out, _ = cli(*sweep)
    assert code == 0 and "1 of 2 runs pending" in out and "resumed after step" not in out
    assert not (cut / "checkpoint.pt").exists()
    cli(*sweep, "--runs", "whole")
    assert state_of(tmp_path / "runs") == state_of(tmp_path / "whole"), "as if it had never been pruned"


def test_a_rule_has_bounds() -> None:
    for wrong in (0, 1, -0.5, math.nan, math.inf):
        with pytest.raises(UsageError, match=r"^Prune\.after must be"):
            Prune(wrong)


def test_the_worse_half_of_each_line_is_dropped_at_the_rungs(cli: Cli, write_config: Write, tmp_path: Path) -> None:
    some = {**HOPELESS, "dataset": {"name": "digits", "train_size": 256}}
    config = write_config(**some, sweep={"schedule": ["constant", "cosine"]})
    words = ["sweep", config, "--lr", "1e-4,1e-3,1e-2,0.1", "--seeds", "2", "--jobs", "1"]
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and "after 25% of the run, in the worse half of its schedule's learning rates" in out
    assert out.count("checking ") == 1, "not at every rung"
    plan = SweepFolder(tmp_path / "runs/sweeps/tiny").plan()
    results = {c: json.loads((tmp_path / "runs" / c.run / "result.json").read_text()) for c in plan.cells}
    for line in ("constant", "cosine"):
        epochs = {c.lr: results[c]["epochs"] for c in plan.cells if c.series == line}
        assert epochs == {1e-4: 2, 1e-3: 2, 1e-2: 4, 0.1: 8}
    assert "12 of 16 runs were pruned; their learning rates have no mean." in out
    before = state_of(tmp_path / "runs")
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and "0 of 16 runs pending" in out and state_of(tmp_path / "runs") == before

    for cell in plan.cells:  # as if it had been killed after the first rung
        if results[cell]["epochs"] == 8:
            (tmp_path / "runs" / cell.run / "result.json").unlink()
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and state_of(tmp_path / "runs") == before, "what was dropped before is not counted again"

    code, out, _ = cli(*words, "--halve", "--again")
    resumed = [json.loads((path / "env.json").read_text())["resumed"] for path in runs_of(tmp_path / "runs")]
    assert code == 0 and sorted(map(len, resumed)) == [0] * 8 + [1] * 4 + [2] * 4, "anew once, not at every rung"
    assert state_of(tmp_path / "runs") == before

    assert cli(*words)[0] == 0
    assert cli(*words, "--runs", "whole")[0] == 0
    assert state_of(tmp_path / "runs") == state_of(tmp_path / "whole"), "as if nothing had been dropped"


def test_halving_by_hand() -> None:
    def cells(line: str, *rates: float) -> tuple[Planned, ...]:
        return tuple(Planned(f"{line}{lr:g}-{seed}", "i", "g", line, lr, seed) for lr in rates for seed in (0, 1, 2))

    plan = Plan("p", (*cells("a", 1, 2, 3), *cells("b", 1, 2)))
    losses = {f"a{lr}-{seed}": loss for lr, loss in ((1, 5.0), (2, 4.0), (3, 9.0)) for seed in (0, 1, 2)}
    losses |= {f"b{lr}-{seed}": 100.0 * lr for lr in (1, 2) for seed in (0, 1, 2)}
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a3", "b2"}, "each line by itself"
    losses |= {"a3-0": 1.0, "a3-1": 1.0}  # the geometric mean is 9^(1/3) = 2.1
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a1", "b2"}, "by the mean of the seeds"
    losses |= {"a3-0": 1.0, "a3-1": 1.0, "a3-2": 200.0}  # 5.8, though the median is 1
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a3", "b2"}, "not by their median"
    losses |= {"a3-2": math.inf}
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a3", "b2"}, "a lost seed is worse than any"
    losses |= {"a3-2": 1.0}
    gone = frozenset(f"a1-{seed}" for seed in (0, 1, 2))
    assert {c.run[:2] for c in worse_half(plan, losses, gone)} == {"a2", "b2"}


def test_the_loss_at_a_rung(make_run: Callable[..., Path]) -> None:
    whole = RunFolder(make_run([0.8, 0.6, 0.4, 0.2]))
    assert [loss_at(whole, rung) for rung in (0.25, 0.3, 1.0)] == [0.8, 0.6, 0.2]
    lost = make_run([0.8, 0.6], status="diverged", seed=1)
    stopped = make_run([0.8, 0.6], status="stopped_early", seed=2)
    for path in (lost, stopped):
        told = json.loads((path / "env.json").read_text())
        (path / "env.json").write_text(json.dumps({**told, "sizes": {**told["sizes"], "total_steps": 20}}))
    assert loss_at(RunFolder(lost), 0.5) == math.inf and loss_at(RunFolder(stopped), 0.5) == 0.6


# -- confirmation, and rates from find-lr


def test_the_winner_is_confirmed_with_fresh_seeds(cli: Cli, write_config: Write) -> None:
    config = write_config()
    words = ["sweep", config, "--lr", "0.01,0.1", "--seeds", "2", "--jobs", "1", "--confirm", "3"]
    code, out, _ = cli(*words)
    assert code == 0 and "With 3 fresh seeds, tiny at 0.1 has a validation loss of" in out
    plan = SweepFolder(Path("runs/sweeps/tiny")).plan()
    fresh = [cell for cell in plan.cells if cell.confirms]
    assert [cell.seed for cell in fresh] == [2, 3, 4] and {cell.lr for cell in fresh} == {0.1}
    assert len(plan.grid) == 4 and len(runs_of(Path("runs"))) == 7
    code, out, _ = cli("report", "--format", "json")
    rows = {row["run"]: row["seeds"] for row in json.loads(out)}
    assert code == 0 and rows == {"tiny lr=0.1": 2, "tiny lr=0.1 (confirmation)": 3, "tiny lr=0.01": 2}
    told = " ".join(cli("report")[1].split())
    assert "With 3 fresh seeds, tiny at 0.1 has a validation loss of" in told and "lr 0.01 " in told
    assert cli(*words[:-2])[0] == 0 and len(SweepFolder(Path("runs/sweeps/tiny")).plan().cells) == 7, "still known"
    more = cli("sweep", config, "--lr", "0.01,0.1", "--seeds", "3", "--jobs", "1")
    assert more[0] == 0, "now seed 2 is of the selection"
    rows = {row["run"]: row["seeds"] for row in json.loads(cli("report", "--format", "json")[1])}
    assert rows["tiny lr=0.1"] == 3 and rows["tiny lr=0.1 (confirmation)"] == 2
    code, out, _ = cli(*words)
    assert code == 0 and "7 of 7 were already finished" in out


def test_auto_centres_the_grid_on_what_find_lr_says(cli: Cli, write_config: Write) -> None:
    config = write_config(dataset="digits", model={"name": "mlp", "hidden": [32]}, optimizer="adam", epochs=1)
    code, out, _ = cli("sweep", config, "--lr", "auto", "--jobs", "2")
    found = json.loads(next(Path("runs/find-lr").glob("*/finder.json")).read_text())
    initial = float(f"{found['advice']['initial']:.2g}")
    rates = SweepFolder(Path("runs/sweeps/tiny")).plan().rates
    assert code == 0 and rates[3] == initial and len(rates) == 7
    assert f"around {initial:.2g}" in out
    assert "0 of 7 runs pending" in cli("sweep", config, "--lr", "auto")[1]


def test_auto_without_a_suggestion(cli: Cli, write_config: Write) -> None:
    code, _, err = cli("sweep", write_config(loss=f"{__name__}:level"), "--lr", "auto")
    assert code == 1 and "lr: auto: no suggestion from the range test of tiny" in err and "give --lr" in err


def level(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs * 0).sum() + 1.0


# -- from Python


def test_from_python(tmp_path: Path, tiny: Any) -> None:
    told: list[str] = []
    done = lrbench.sweep(
        [tiny()], runs=tmp_path, lr=[0.1, 0.2], seeds=[3, 5], schedules=["constant", {"name": "step", "every": 1}],
        jobs=1, watch=lambda event: told.append(event.kind),
    )  # fmt: skip
    assert [(c.series, c.lr, c.seed) for c in done.plan.cells] == [
        (line, lr, seed) for seed in (3, 5) for line in ("constant", "step") for lr in (0.1, 0.2)
    ]
    assert {(outcome.found, outcome.status) for outcome in done.outcomes} == {(False, Status.FINISHED)}
    winner = done.summary().winner
    costs = [cost for line in done.summary().lines for cost in line.costs(VAL_LOSS)]
    assert winner is not None and winner[1].standing(VAL_LOSS)[1] == min(costs) < math.inf and len(costs) == 4
    assert told.count("end") == 8
    for wrong, problem in (
        ({"jobs": 0}, "at least 1"),
        ({"prune": 0.25}, "prune must be a Prune"),
        ({"lr": "x"}, "a learning rate must be a number"),
        ({"lr": [0.1, "x"]}, "a learning rate must be a number"),
        ({"seeds": 0}, "number of seeds"),
        ({"name": ""}, "^name may contain letters, digits and any of"),
    ):
        with pytest.raises(UsageError, match=problem):
            lrbench.sweep([tiny()], runs=tmp_path, **wrong)
    assert lrbench.sweep([tiny()], runs=tmp_path, lr=0.1, jobs=1).plan.rates == [0.1]


# -- the summary, by hand


def record(status: str, loss: float | None = None, seed: int = 0, lr: float = 0.1, plain: Any = None) -> Record:
    """A run that came to that loss, or to none."""
    known, result = Status(status), None
    if known.ended or known is Status.PRUNED:
        ended = {} if loss is None else {"final": {"val_loss": loss}, "test": {"loss": loss, "accuracy": 0.9}}
        result = RunResult(known, **ended)  # type: ignore[arg-type]
    return Record(RunFolder(Path(f"r{lr}-{seed}")), known, plain={"seed": seed, **(plain or {})}, result=result)


def point(lr: float | None, *losses: float | None) -> Point:
    """A rate whose seeds came to these losses; None diverged."""
    made = (record("diverged" if x is None else "finished", x, seed) for seed, x in enumerate(losses))
    return Point(lr, Group(str(lr), tuple(made)))


def summary_of(*lines: Family, fresh: Point | None = None) -> Summary:
    cells = tuple(
        Planned(f"r{p.lr}-{seed}", "i", "g", line.label, p.lr, seed)
        for line in lines for p in line.points for seed, _ in enumerate(p.group.records)
    )  # fmt: skip
    records = tuple(r for line in lines for p in line.points for r in p.group.records)
    return Summary(Plan("p", cells), VAL_LOSS, lines, records, () if fresh is None else ((lines[0].label, fresh),))


def test_a_diverged_seed_is_worse_than_any_and_enters_no_mean() -> None:
    assert point(0.1, 4.0, 1.0, 2.0).standing(VAL_LOSS) == (0, pytest.approx(2.0))
    assert point(0.1, 1.0, None, 4.0).standing(VAL_LOSS) == (pytest.approx(1 / 3), pytest.approx(2.0))
    assert point(0.1, 1.0, None, 2.0).values(VAL_LOSS) == (1.0, 2.0)
    assert point(0.1, 1.0, None, None).standing(VAL_LOSS) == (math.inf, math.inf)
    lost = Family("line", (point(0.1, 1.0, None, 2.0), point(0.2, 1.0, None, None)))
    one, two = summary_of(lost).rows()
    assert (one["val_loss_median"], one["val_loss_low"], one["val_loss_high"]) == ("2.0", "1.0", "2.0")
    assert (one["finished"], one["diverged"], two["finished"], two["diverged"]) == (2, 1, 1, 2)
    assert two["val_loss_median"] == two["val_loss_low"] == two["val_loss_high"] == ""
    assert one["test_loss_median"] == "1.5", "of those that have one"


def test_the_best_rate_its_edge_and_the_width_of_what_is_near() -> None:
    points = tuple(point(lr, x) for lr, x in ((1e-3, 2.0), (1e-2, 1.05), (1e-1, 1.0), (1, 1.09), (10, None)))

    def near(epsilon: float, *points: Point) -> tuple[float, float] | None:
        good = Family("line", points, epsilon).good(VAL_LOSS)
        return None if good is None else (good.low, good.high)

    line = Family("line", points)
    assert line.best(VAL_LOSS) is points[2] and line.edge(VAL_LOSS) == ""
    assert near(0.1, *points) == (1e-2, 1) and near(0.06, *points) == (1e-2, 1e-1) and near(0.0, *points) == (0.1, 0.1)
    assert (
        Family("line", points[2:]).edge(VAL_LOSS) == "lowest" and Family("line", points[:3]).edge(VAL_LOSS) == "highest"
    )
    assert Family("line", points[2:3]).edge(VAL_LOSS) == "", "one rate has no edges"
    broken = (point(1e-3, 1.0), point(1e-2, 5.0), point(1e-1, 1.0))
    assert near(0.1, *broken) == (1e-3, 1e-3), "what lies beyond a gap is not near"
    marks = [(row["lr"], row["best"], row["near"], row["edge"]) for row in summary_of(Family("line", points)).rows()]
    assert marks == [
        ("0.001", 0, 0, ""), ("0.01", 0, 1, ""), ("0.1", 1, 1, ""), ("1", 0, 1, ""), ("10", 0, 0, "")
    ]  # fmt: skip
    assert [row["edge"] for row in summary_of(Family("line", points[2:])).rows()] == ["lowest", "", ""]


def test_the_minimum_between_the_rates_is_in_the_row_of_the_best() -> None:
    points = tuple(point(lr, x, 1.02 * x, 0.98 * x) for lr, x in ((1e-3, 2.0), (1e-2, 1.05), (1e-1, 1.0), (1, 1.6)))
    summary = summary_of(Family("line", points))
    found = summary.optima["line"]
    assert isinstance(found, Optimum) and 1e-2 < found.low < found.lr < found.high < 1
    columns = ("optimum", "optimum_low", "optimum_high", "no_optimum")
    told = [tuple(row[column] for column in columns) for row in summary.rows()]
    assert told == [("",) * 4, ("",) * 4, (repr(found.lr), repr(found.low), repr(found.high), ""), ("",) * 4]
    (_, last) = summary_of(Family("line", points[1:3])).rows()
    assert last["optimum"] == "" and last["no_optimum"] == "2 learning rates are too few: it needs at least 3"


def test_pruned_and_missing_runs_are_in_no_median() -> None:
    runs = (record("finished", 1.0), record("pruned", 0.1, 1), record("failed", seed=2), record("pending", seed=3))
    some = Point(0.1, Group("some", runs))
    assert some.standing(VAL_LOSS)[1] == math.inf and some.unfinished == 1 and some.pruned == 1
    line = Family("line", (some, point(1.0, 2.0)), 10)
    good = line.good(VAL_LOSS)
    assert line.best(VAL_LOSS) is line.points[1] and good is not None and (good.low, good.high) == (1.0, 1.0)
    row, _ = summary_of(line).rows()
    told = {name: row[name] for name in ("seeds", "finished", "diverged", "pruned", "failed", "missing")}
    assert told == {"seeds": 4, "finished": 1, "diverged": 0, "pruned": 1, "failed": 1, "missing": 1}
    assert row["val_loss_median"] == row["test_loss_median"] == "", "the rest is a choice"


def words_of(*lines: Family, fresh: Point | None = None) -> str:
    return "\n".join(summary_words(summary_of(*lines, fresh=fresh)))


def test_the_words() -> None:
    good = Family("cosine", (point(0.01, 2.0, 2.2, 2.1), point(0.1, 1.0, 1.2, 1.1), point(1, 3.0, 3.0, 3.0)))
    worse = Family("constant", (point(0.01, 5.0, 5.0, 5.0), point(0.1, 4.0, 4.0, 4.0)))
    near = Family("step", (point(0.1, 1.3, 1.1, 1.2),))
    text = words_of(good, worse)
    assert (
        "cosine: best at 0.1 (val loss 1.097, geometric mean of 3 seeds); no neighbour is within 10 % of it. " in text
    )
    assert "constant: best at 0.1 (val loss 4, geometric mean of 3 seeds); no neighbour is within 10 % of it; " in text
    assert "the best is the highest learning rate tried, so try higher ones." in text
    assert text.startswith(
        "cosine has the lowest validation loss, 1.097 (95% interval 0.875 to 1.38, three seeds), at its"
    )
    assert "\nconstant is worse, by a factor of 3.6 (2.8 to 4.7).\nThey were tuned unequally: " in text
    assert "\nWith three seeds each, step can't be distinguished from it (about " in words_of(good, near)
    assert "b is next, 2; with one seed each, small differences may be chance: train at least 3 seeds." in words_of(
        Family("a", (point(0.1, 1.0),)), Family("b", (point(0.1, 2.0),))
    )
    text = words_of(good, fresh=point(0.1, 1.1, 1.65))
    told = "1.347 (1.1 … 1.65), +23% compared with the seeds that chose it, but not clearly worse: undecided."
    assert f"With 2 fresh seeds, cosine at 0.1 has a validation loss of {told}" in text
    assert "; that is clearly worse: not confirmed." in words_of(good, fresh=point(0.1, 1.9, 1.95, 1.92))
    assert "-23% compared with the seeds that chose it: confirmed." in words_of(good, fresh=point(0.1, 0.9, 0.8))
    assert "+2% compared with the seeds that chose it: confirmed." in words_of(good, fresh=point(0.1, 1.05, 1.2))
    assert "undecided." in words_of(good, fresh=point(0.1, 1.0, 1.1, 1.2, 2.3, 2.3)), "two of five are at chance"
    assert "meant to confirm cosine at 0.1 have no finite validation loss." in words_of(good, fresh=point(0.1, None))
    only = "The only learning rate with a result is"
    assert words_of(Family("a", (point(0.1, 1.0),))) == f"{only} 0.1: a validation loss of 1 (one seed)."
    assert words_of(Family("a", (point(None, 1.0, 2.0),))) == (
        f"{only} the optimizer's default: a validation loss of 1.414 (two seeds)."
    )
    assert words_of(Family("a", (point(0.1, None),))).endswith("\nAt 0.1, the run diverged.")
    unfinished = Family("a", (Point(0.1, Group("a", (record("running"),))),))
    text = words_of(good, unfinished)
    assert text.startswith("So far, with 9 of 10 runs ended, three seeds locate the best learning rate only between ")
    assert "\na: no run has a result yet (1 running).\n" in text
    assert text.endswith("\n1 of 10 runs has no result yet (1 running), so this may change.")
    half = Family("a", (point(0.1, 1.0), Point(1.0, Group("a", (record("running"), record("failed"))))))
    assert words_of(half).startswith("So far, with 2 of 3 runs ended, the best learning rate tried is 0.1, with a ")
    assert "\nAt 1, one of two runs failed." in words_of(half)


def test_seeds_trained_with_other_code_are_told_as_in_the_report(cli: Cli, write_config: Write) -> None:
    words = ["sweep", write_config(epochs=1), "--lr", "0.01,0.03,0.1", "--seeds", "2", "--jobs", "1"]
    assert cli(*words)[0] == 0
    for seed, (day, code) in enumerate((("2026-11-20", "a"), ("2026-11-25", "b"))):
        for path in Path("runs").glob(f"tiny-seed{seed}-*/env.json"):
            told = json.loads(path.read_text())
            path.write_text(json.dumps({**told, "started": f"{day}T10:00:00+00:00", "user_code": {"nets": code}}))
    code, out, _ = cli(*words)
    said = (
        "The imported code changed between the seeds of tiny: code of 2026-11-20: seed 0; code of 2026-11-25: seed 1."
    )
    assert code == 0 and out.count(said) == 1 and cli("report")[1].count(said) == 1
    rows = list(csv.DictReader(io.StringIO(Path("runs/sweeps/tiny/summary.csv").read_text())))
    assert [(row["series"], row["lr"], row["seeds"]) for row in rows] == [
        (f"tiny (code of 2026-11-{day})", lr, "1") for lr in ("0.01", "0.03", "0.1") for day in (20, 25)
    ]
    reported = json.loads(cli("report", "--format", "json")[1])
    assert sorted(row["val_loss"] for row in reported) == sorted(float(row["val_loss"]) for row in rows)
    assert [row["edge"] for row in rows if row["best"] == "1"] == [
        "highest"
    ] and "tried is 0.1 with code of 2026-11-" in out


def test_lines_of_different_data_are_not_compared() -> None:
    def line(name: str, loss: float, data: str) -> Family:
        plain = {"dataset": {"name": data}, "loss": {"name": "mse"}}
        return Family(name, (Point(0.1, Group(name, (record("finished", loss, plain=plain),))),))

    text = words_of(line("a", 1.0, "digits"), line("b", 0.1, "mnist"))
    assert "compare" not in text and "lowest" not in text
    text = words_of(line("a", 1.0, "digits"), line("b", 0.1, "mnist"), line("c", 2.0, "digits"))
    assert "digits with mse: a has the lowest validation loss, 1 (one seed), at its best learning rate, 0.1.\n" in text


@pytest.mark.usefixtures("rendered")
def test_figures_and_tables_of_odd_sweeps(tmp_path: Path) -> None:
    for number, lines in enumerate((
        (Family("a", (point(0.1, None),)),),
        (Family("a", (point(0.1, -1.0), point(1, -2.0))),),
        tuple(Family(f"line {n}", (point(0.1, 1.0 + n), point(1, 2.0, None))) for n in range(12)),
        (Family("a", (point(0.1, 1.0), Point(1.0, Group("a", (record("pending"),))))),),
    )):  # fmt: skip
        figure = draw(lines, VAL_LOSS)
        assert len(figure.axes) == 2 and figure.axes[0].get_xlabel() == "peak learning rate"
        folder = SweepFolder(tmp_path / str(number))
        folder.path.mkdir()
        written = save_summary(summary_of(*lines), folder)
        assert [path.name for path in written] == ["summary.csv", "summary.png", "summary.svg"]
        assert written[1].read_bytes().startswith(b"\x89PNG")
    unknown, none = Family("a", (point(None, 1.0),)), Family("a", (Point(0.1, Group("a", (record("pending"),))),))
    for name, line in (("unknown", unknown), ("none", none)):
        folder = SweepFolder(tmp_path / name)
        folder.path.mkdir()
        assert [path.name for path in save_summary(summary_of(line), folder)] == ["summary.csv"], "no rates to draw"
        assert len((folder.path / "summary.csv").read_text().splitlines()) == 2


def test_the_figure_says_what_near_means() -> None:
    titles = [
        draw([Family("a", (point(0.1, 1.0), point(1, 1.15)), epsilon)], VAL_LOSS).axes[1].get_title(loc="left")
        for epsilon in (0.1, 0.25)
    ]
    assert titles == ["Learning rates within 10 % of the best", "Learning rates within 25 % of the best"]


def test_lines_that_differ_in_nothing_but_the_rate_stay_apart(cli: Cli, write_config: Write) -> None:
    low = write_config("low.yaml", name="low", optimizer={"name": "sgd", "lr": 0.01})
    high = write_config("high.yaml", name="high", optimizer={"name": "sgd", "lr": 0.1})
    code, out, _ = cli("sweep", low, high, "--jobs", "1")
    assert code == 0 and "no run has a result yet" not in out
    for name, rate in (("low", "0.01"), ("high", "0.1")):
        assert f"(one seed) at {rate}, the only learning rate tried." in next(
            line for line in out.splitlines() if line.startswith(f"{name}: ")
        )


def test_a_rate_that_the_config_leaves_to_the_optimizer_is_in_the_summary(cli: Cli, write_config: Write) -> None:
    config = write_config(optimizer="adam")
    code, out, _ = cli("sweep", config, "--schedule", "constant,cosine", "--jobs", "1")
    assert code == 0 and out.count("(one seed) at 0.001, the only learning rate tried.") == 2, "Adam's own"
    assert Path("runs/sweeps/tiny/summary.png").exists()


def test_what_is_missing_has_its_rows(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"schedule": ["constant", "cosine"]})
    cli("sweep", config, "--lr", "0.01,0.1", "--seeds", "2", "--jobs", "1")
    folder = SweepFolder(Path("runs/sweeps/tiny"))
    gone = [cell for cell in folder.plan().cells if cell.series == "cosine" or (cell.lr == 0.1 and cell.seed == 1)]
    for cell in gone:
        shutil.rmtree(folder.run(cell).path)
    summary = summarize(folder, folder.plan())
    told = [(row["series"], row["lr"], row["seeds"], row["finished"], row["missing"]) for row in summary.rows()]
    assert told == [
        ("constant", "0.01", 2, 2, 0), ("constant", "0.1", 2, 1, 1), ("cosine", "0.01", 2, 0, 2),
        ("cosine", "0.1", 2, 0, 2),
    ]  # fmt: skip
    assert summary.missing == 5 and summary.without == {"cosine": {"pending": 4}}
    assert "cosine: no run has a result yet (4 pending)." in summary_words(summary)
    assert "5 of 8 runs have no result yet (5 pending), so this may change." in "\n".join(summary_words(summary))


# -- workers


def test_workers_come_to_what_this_process_does_with_one_thread(tmp_path: Path, tiny: Any) -> None:
    experiments = [tiny(seed=seed, optimizer={"name": "adam", "lr": 0.01}) for seed in range(4)]
    before = torch.get_num_threads()
    torch.set_num_threads(max((os.cpu_count() or 1) // 2, 1))
    try:
        run(experiments, runs=tmp_path / "one")
    finally:
        torch.set_num_threads(before)
    run(experiments, runs=tmp_path / "two", jobs=2)
    assert state_of(tmp_path / "one") == state_of(tmp_path / "two")


def test_workers_see_the_variables_and_the_folder_of_their_parent(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("first", "second"):
        place = tmp_path / word
        place.mkdir()
        monkeypatch.chdir(place)
        monkeypatch.setenv("SAID", word)
        run([tiny(seed=n, loss=f"{__name__}:noting") for n in range(2)], runs=place / "runs", jobs=2)
        assert (place / "said").read_text() == word


def noting(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.requires_grad:
        Path("said").write_text(os.environ["SAID"])
    return nn.functional.cross_entropy(outputs, targets)


def test_data_are_shared_not_copied(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    monkeypatch.setattr(shared_data, "LEAST_BYTES", 1)
    monkeypatch.setattr(build, "held", {})
    assert shared_data.offered() is None
    data = build.load_data(tiny().dataset, resolve_device("cpu"))
    offered = shared_data.offered()
    assert offered is not None and len(offered) < 20_000, "a name of the memory, not what is in it"
    build.held.clear()
    shared_data.accept(offered)
    (accepted,) = build.held.values()
    assert torch.equal(accepted.train.inputs, data.train.inputs)  # type: ignore[attr-defined]
    data.train.inputs[0, 0] = 77  # type: ignore[attr-defined]
    assert accepted.train.inputs[0, 0].eq(77).all(), "it is the same memory"  # type: ignore[attr-defined]


def test_where_there_is_no_room_data_are_not_shared(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    monkeypatch.setattr(shared_data, "LEAST_BYTES", 1)
    monkeypatch.setattr(shared_data, "MEMORY", "/absent")
    monkeypatch.setattr(build, "held", {})
    build.load_data(tiny().dataset, resolve_device("cpu"))
    assert shared_data.offered() is None
    shared_data.accept(b"damaged")
    assert len(build.held) == 1


# -- real processes


@pytest.fixture
def begin(forks: Starts) -> Callable[..., subprocess.Popen[str]]:
    def start(config: Path, root: Path, *words: str) -> subprocess.Popen[str]:
        return forks.popen(
            ["-m", "lrbench", "sweep", config, "--runs", root, *words],
            cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    return start


@pytest.mark.slow
def test_killed_six_times_it_comes_to_the_same(
    write_config: Write, tmp_path: Path, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    model = {"name": "mlp", "hidden": [32]}
    config = write_config(
        dataset="digits", epochs=6, model=model, sweep={"schedule": ["constant", "cosine", "one_cycle"]}
    )
    words = ["--lr", "1e-5:1:5", "--seeds", "2", "--jobs"]
    whole = begin(config, tmp_path / "whole", *words, "1")
    output, _ = whole.communicate(timeout=400)
    assert whole.returncode == 0, output
    assert len(runs_of(tmp_path / "whole")) == 30

    def finished() -> int:
        return len(list((tmp_path / "killed").glob("*/result.json")))

    chance, kills = random.Random(7), 0
    for jobs in "121212":
        wanted = finished() + chance.randint(1, 4)
        process = begin(config, tmp_path / "killed", *words, jobs)
        while process.poll() is None and finished() < wanted:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 0.3))
        kills += process.poll() is None  # a very fast machine is done before
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert kills >= 3
    last = begin(config, tmp_path / "killed", *words, "2")
    output, _ = last.communicate(timeout=400)
    assert last.returncode == 0, output
    assert state_of(tmp_path / "killed") == state_of(tmp_path / "whole")


TOGETHER = """
import os, time
from pathlib import Path
from torch.nn.functional import cross_entropy

calls = 0

def loss(outputs, targets):
    global calls
    calls += 1
    if calls == 10:
        Path(f"here-{os.getpid()}").touch()
        while len(list(Path.cwd().glob("here-*"))) < 2:
            time.sleep(0.01)
    return cross_entropy(outputs, targets)
"""
"""Two processes train only once both do."""


@pytest.mark.slow
def test_two_commands_at_once_share_the_work(
    write_config: Write, tmp_path: Path, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "together.py").write_text(TOGETHER)
    config = write_config(epochs=30, loss="together:loss")
    words = ["--lr", "1e-4:1:9", "--seeds", "2", "--jobs", "1"]
    both = [begin(config, tmp_path / "both", *words) for _ in range(2)]
    outputs = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    begun = [sum(": started" in line or "; test loss" in line for line in text.splitlines()) for text in outputs]
    assert all(count > 0 for count in begun), "each did a part"
    for path in runs_of(tmp_path / "both"):
        assert json.loads((path / "env.json").read_text())["resumed"] == [], f"{path.name} was computed once"
    trained = sum(text.count("; test loss") for text in outputs)
    assert trained == 18, "each cell was computed once"
    assert len({identity(load_config(path / "config.yaml")) for path in runs_of(tmp_path / "both")}) == 18


def test_what_another_process_does_while_this_one_checks_is_found(tmp_path: Path, tiny: Any) -> None:
    told: list[Event] = []

    def watch(event: Event) -> None:
        told.append(event)
        if "checking" in str(event.values.get("text")):
            run([tiny()], runs=tmp_path)

    ours = run([tiny(), tiny(seed=1)], runs=tmp_path, watch=watch)
    assert [(outcome.found, outcome.status) for outcome in ours] == [(True, Status.FINISHED), (False, Status.FINISHED)]
    assert [event.run for event in told if event.kind == "start"] == [ours[1].path.name]
    again = run([tiny()], runs=tmp_path, again=True)
    assert [outcome.found for outcome in again] == [False]


def test_the_options_have_the_defaults_of_the_commands() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    ours = RunOptions()
    assert ours == RunOptions(again=False, wait=True, max_failures=None)
    for name in ("run", "sweep", "find-lr"):
        command = {p.name: p.default for p in commands[name].params}
        for key in command.keys() & {"executor", "address", "runs_per_gpu", "again", "max_failures", "retries"}:
            assert command[key] == getattr(ours, key), (name, key)


def test_a_rate_that_no_figure_has_room_for_has_a_summary(
    cli: Cli, write_config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object) -> None:
        raise UsageError("this figure of learning rates has no room")

    monkeypatch.setattr("lrbench.reports.figures.sensitivity.draw", draw)
    write_config(epochs=1)
    code, out, _ = cli("sweep", "tiny.yaml", "--lr", "1e300")
    assert code == 0 and "Every run diverged" in out and "summary.csv" in out and "summary.png" not in out
