"""lrbench sweep: the command, its folder, its summary; resumed, topped up, pruned, confirmed, shared, killed."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lrbench.reports.figures.sweeps import draw
from lrbench.sweeps.words import words
from lrbench.training.pruning_loop import chance
from lrbench.training.runner import Policy, run
from torch import Tensor, nn

import lrbench
from lrbench.config.identity import identity
from lrbench.config.load import load_config
from lrbench.errors import UsageError
from lrbench.runs.folder import RunFolder
from lrbench.sweeps.halving import worse_half
from lrbench.sweeps.plan import Plan, Planned, SweepFolder
from lrbench.sweeps.summary import Cell, Curve, Point, Summary
from lrbench.training import build
from lrbench.training.build import resolve_device
from lrbench.training.executors import shared_data
from lrbench.training.options import Prune

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
NO_TIMES = ("seconds", "images_per_second")


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


def test_the_command(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"schedule": ["constant", "cosine"]})
    code, out, err = cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2", "--jobs", "1")
    assert (code, err) == (0, "")
    assert "12 of 12 runs to do; the plan is runs/sweeps/tiny/plan.json" in out
    assert "12/12 tiny-seed1-" in out and "finished" in out
    for line in ("constant: lowest at", "cosine: lowest at", "The lowest of all is"):
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
    assert code == 0 and "0 of 12 runs to do" in out and "12 of 12 were done already" in out
    code, out, _ = cli("run", config, "--set", "sweep=null", "--set", "optimizer.lr=0.1")
    assert code == 0 and "1 of 1 was done already" in out, "a cell is an ordinary run"
    code, out, _ = cli("report")
    assert code == 0 and "tiny" in out


def test_more_seeds_or_rates_only_add_what_is_missing(cli: Cli, write_config: Write) -> None:
    config = write_config()
    assert "2 of 2 runs to do" in cli("sweep", config, "--lr", "0.01:1:2", "--jobs", "1")[1]
    assert "1 of 3 runs to do" in cli("sweep", config, "--lr", "0.01:1:3", "--jobs", "1")[1]
    assert "3 of 6 runs to do" in cli("sweep", config, "--lr", "0.01:1:3", "--seeds", "2", "--jobs", "1")[1]
    assert "0 of 2 runs to do" in cli("sweep", config, "--lr", "0.1", "--seeds", "2", "--jobs", "1")[1]


def test_a_dry_run_writes_nothing(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"lr": [0.1, 0.2, 0.1]})
    code, out, _ = cli("sweep", config, "--seeds", "2", "--dry-run")
    assert code == 0 and not Path("runs").exists()
    assert "4 runs (2 more were the same as another), 0 of them done already." in out
    assert "16 updates in 4 runs" in out and out.count("to do") == 4 and out.count("2 epochs") == 4
    cli("sweep", config, "--lr", "0.1", "--jobs", "1")
    code, out, _ = cli("sweep", config, "--dry-run")
    assert "2 runs (1 more was the same as another), 1 of them done already." in out
    assert out.count("to do") == 1


def test_the_status_from_elsewhere(cli: Cli, write_config: Write) -> None:
    code, _, err = cli("sweep", "--status")
    assert code == 2 and "there is no sweep in runs/sweeps" in err
    config = write_config()
    cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1")
    cli("sweep", config, "--lr", "0.1,1e30", "--jobs", "1", "--name", "other")
    folder = next(
        path for path in runs_of(Path("runs")) if load_config(path / "config.yaml").optimizer.params["lr"] == 0.2
    )
    (folder / "result.json").unlink()
    with RunFolder(folder).lock():
        code, out, _ = cli("sweep", "--status")
        assert code == 0 and "tiny  2 runs: 1 done, 1 running" in out and "other  2 runs: 1 done, 1 diverged" in out
        assert "●" in out and "▸" in out and "✕" in out
    code, out, _ = cli("sweep", "--status", "--name", "tiny")
    assert "2 runs: 1 done, 1 interrupted" in out and "other" not in out
    assert cli("sweep", "--status", "--name", "absent")[0] == 1


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--lr", "1e-5:1"], "--lr: must be from:to:points"),
        (["--lr", "0:1:3"], "--lr: bounds on a log scale must be greater than 0"),
        (["--lr", "nan"], "--lr: a rate must be a number greater than 0"),
        (["--lr", "-1"], "--lr: a rate must be a number greater than 0"),
        (["--lr", "1e-5:1:1001"], "the grid has 1,001 runs; --yes does so many"),
        (["--lr", "1e-5:1:1000", "--seeds", "1000"], "the grid has 1,000,000 runs; a sweep has at most 100,000"),
        (["--schedule", "cosin"], "did you mean 'cosine'"),
        (["--schedule", "cosine,,step"], "--schedule must be names with commas between"),
        (["--prune", "0"], "--prune must be a part of the run"),
        (["--prune", "nan"], "--prune must be a part of the run"),
        (["--name", "../x"], "--name must be a folder's name"),
        (["--name", ""], "--name must be a folder's name"),
        (["--epsilon", "inf"], "--epsilon must be a finite number"),
        (["--set", "sweep.device=[cpu]"], "can't be varied: 'device' is no part of what is trained"),
        (["--executor", "rya"], "did you mean 'ray'"),
        (["--address", "auto"], "are for --executor ray"),
        (["--set", "sweep.lr=[]"], "has no values, so there would be no runs"),
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
    assert code == 2 and "needs at least one CONFIG" in err


def test_several_configs_are_lines_of_one_sweep(cli: Cli, write_config: Write) -> None:
    first, second = write_config("a.yaml", name="a"), write_config("b.yaml", name="b", schedule="cosine")
    code, out, _ = cli("sweep", first, second, "--lr", "0.1,0.2", "--jobs", "1")
    assert code == 0 and "a: lowest at" in out and "b: lowest at" in out
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
    assert "2 of 2 cells have no result, so this is not the last word." in out
    assert out.count(" and 1 more: ") == 1, "alike failures are told once"
    Path("tries").unlink()
    Path("broken").write_text("1")
    code, out, _ = cli("sweep", config, "--lr", "0.1,0.2", "--jobs", "1", "--retries", "1")
    assert code == 0 and out.count("failed, and is tried again (") == 1


def test_no_more_is_begun_after_too_many_failures(cli: Cli, write_config: Write) -> None:
    config = write_config(loss=f"{__name__}:breaks")
    Path("broken").write_text("99")
    code, out, _ = cli("sweep", config, "--lr", "0.1:1:4", "--jobs", "1", "--fail-fast")
    assert code == 1 and "stopping: 1 failed" in out and "3 runs were not begun" in out
    code, out, _ = cli("sweep", config, "--lr", "0.1:1:4", "--jobs", "1", "--max-failures", "2")
    assert code == 1 and "stopping: 2 failed" in out and "2 runs were not begun" in out
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
    assert "1 of 2 cells was pruned; their rates have no numbers." in out
    states = {path: json.loads((path / "result.json").read_text()) for path in runs_of(tmp_path / "runs")}
    (cut,) = [path for path, result in states.items() if result["status"] == "pruned"]
    assert states[cut]["epochs"] == 4 and states[cut]["test"] is None and (cut / "checkpoint.pt").exists()
    code, out, _ = cli(*sweep, "--prune", "0.5")
    assert "0 of 2 runs to do" in out, "it stays pruned as long as that is asked for"
    code, out, _ = cli("report")
    assert code == 0 and "pruned" in out

    code, out, _ = cli(*sweep)
    assert code == 0 and "1 of 2 runs to do" in out and "goes on after update" not in out
    assert not (cut / "checkpoint.pt").exists()
    cli(*sweep, "--runs", "whole")
    assert state_of(tmp_path / "runs") == state_of(tmp_path / "whole"), "as if it had never been pruned"


def test_a_rule_has_bounds() -> None:
    for wrong in (0, 1, -0.5, math.nan, math.inf):
        with pytest.raises(UsageError, match="--prune must be"):
            Prune(wrong)


def test_the_worse_half_of_each_line_is_left_at_the_rungs(cli: Cli, write_config: Write, tmp_path: Path) -> None:
    some = {**HOPELESS, "dataset": {"name": "digits", "train_size": 512}}
    config = write_config(**some, sweep={"schedule": ["constant", "cosine"]})
    words = ["sweep", config, "--lr", "1e-4,1e-3,1e-2,0.1", "--seeds", "2", "--jobs", "1"]
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and "after 25% of the run, in the worse half of its schedule's rates" in out
    plan = SweepFolder(tmp_path / "runs/sweeps/tiny").plan()
    results = {c: json.loads((tmp_path / "runs" / c.run / "result.json").read_text()) for c in plan.cells}
    for line in ("constant", "cosine"):
        epochs = {c.lr: results[c]["epochs"] for c in plan.cells if c.series == line}
        assert epochs == {1e-4: 2, 1e-3: 2, 1e-2: 4, 0.1: 8}
    assert "12 of 16 cells were pruned" in out
    before = state_of(tmp_path / "runs")
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and "0 of 16 runs to do" in out and state_of(tmp_path / "runs") == before

    for cell in plan.cells:  # as if it had been killed after the first rung
        if results[cell]["epochs"] == 8:
            (tmp_path / "runs" / cell.run / "result.json").unlink()
    code, out, _ = cli(*words, "--halve")
    assert code == 0 and state_of(tmp_path / "runs") == before, "who was left before is not counted again"

    code, out, _ = cli(*words, "--halve", "--again")
    resumed = [json.loads((path / "env.json").read_text())["resumed"] for path in runs_of(tmp_path / "runs")]
    assert code == 0 and sorted(map(len, resumed)) == [0] * 8 + [1] * 4 + [2] * 4, "anew once, not at every rung"
    assert state_of(tmp_path / "runs") == before

    assert cli(*words)[0] == 0
    assert cli(*words, "--runs", "whole")[0] == 0
    assert state_of(tmp_path / "runs") == state_of(tmp_path / "whole"), "as if nothing had been left"


def test_halving_by_hand() -> None:
    def cells(line: str, *rates: float) -> tuple[Planned, ...]:
        return tuple(Planned(f"{line}{lr:g}-{seed}", "i", "g", line, lr, seed) for lr in rates for seed in (0, 1, 2))

    plan = Plan("p", (*cells("a", 1, 2, 3), *cells("b", 1, 2)))
    losses = {f"a{lr}-{seed}": loss for lr, loss in ((1, 5.0), (2, 4.0), (3, 9.0)) for seed in (0, 1, 2)}
    losses |= {f"b{lr}-{seed}": 100.0 * lr for lr in (1, 2) for seed in (0, 1, 2)}
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a3", "b2"}, "each line by itself"
    losses |= {"a3-0": 1.0, "a3-1": 1.0}
    assert {c.run[:2] for c in worse_half(plan, losses, frozenset())} == {"a1", "b2"}, "by the median of the seeds"
    gone = frozenset(f"a1-{seed}" for seed in (0, 1, 2))
    assert {c.run[:2] for c in worse_half(plan, losses, gone)} == {"a2", "b2"}


# -- confirmation, and rates from find-lr


def test_the_winner_is_confirmed_with_fresh_seeds(cli: Cli, write_config: Write) -> None:
    config = write_config()
    words = ["sweep", config, "--lr", "0.01,0.1", "--seeds", "2", "--jobs", "1", "--confirm", "3"]
    code, out, _ = cli(*words)
    assert code == 0 and "With 3 fresh seeds its loss is" in out
    plan = SweepFolder(Path("runs/sweeps/tiny")).plan()
    fresh = [cell for cell in plan.cells if cell.confirms]
    assert [cell.seed for cell in fresh] == [2, 3, 4] and {cell.lr for cell in fresh} == {0.1}
    assert len(plan.grid) == 4 and len(runs_of(Path("runs"))) == 7
    code, out, _ = cli(*words)
    assert code == 0 and "7 of 7 were done already" in out


def test_auto_centres_the_grid_on_what_find_lr_says(cli: Cli, write_config: Write) -> None:
    config = write_config(dataset="digits", model={"name": "mlp", "hidden": [32]}, optimizer="adam", epochs=1)
    code, out, _ = cli("sweep", config, "--lr", "auto", "--jobs", "2")
    found = json.loads(next(Path("runs/find-lr").glob("*/finder.json")).read_text())
    initial = float(f"{found['advice']['initial']:.2g}")
    rates = SweepFolder(Path("runs/sweeps/tiny")).plan().rates
    assert code == 0 and rates[3] == initial and len(rates) == 7
    assert f"around {initial:.2g}" in out
    assert "0 of 7 runs to do" in cli("sweep", config, "--lr", "auto")[1]


def test_auto_without_a_suggestion(cli: Cli, write_config: Write) -> None:
    code, _, err = cli("sweep", write_config(loss=f"{__name__}:level"), "--lr", "auto")
    assert code == 1 and "lr: auto: the range test of tiny has no suggestion" in err and "give --lr" in err


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
    assert {outcome.how for outcome in done.outcomes} == {"trained"}
    winner = done.summary().winner
    assert winner is not None and winner[1].loss == min(point.loss for c in done.summary().curves for point in c.points)
    assert told.count("end") == 8
    for wrong, problem in (
        ({"jobs": 0}, "at least 1"),
        ({"prune": 0.25}, "must be a lrbench.training.options.Prune"),
        ({"lr": "x"}, "a rate must be a number"),
        ({"lr": [0.1, "x"]}, "a rate must be a number"),
        ({"seeds": 0}, "count of seeds"),
        ({"name": ""}, "must be a folder's name"),
    ):
        with pytest.raises(UsageError, match=problem):
            lrbench.sweep([tiny()], runs=tmp_path, **wrong)
    assert lrbench.sweep([tiny()], runs=tmp_path, lr=0.1, jobs=1).plan.rates == [0.1]


# -- the summary, by hand


def cell(state: Any, loss: float | None = None, lr: float = 0.1, seed: int = 0, accuracy: float | None = None) -> Cell:
    result = {"final": {"val_loss": loss}, "test": {"loss": loss, "accuracy": accuracy}}
    return Cell(Planned(f"r{seed}", "i", "g", "line", lr, seed), state, result)


def point(lr: float, *losses: float | None) -> Point:
    """A rate whose seeds came to these losses; None diverged."""
    made = [cell("diverged" if x is None else "finished", x, lr, seed, 0.9) for seed, x in enumerate(losses)]
    return Point(lr, tuple(made))


def test_a_diverged_seed_is_worse_than_any_and_enters_no_mean() -> None:
    assert point(0.1, 3.0, 1.0, 2.0).loss == 2.0
    assert point(0.1, 1.0, None, 2.0).loss == 2.0
    spread = point(0.1, 1.0, None, 2.0).spread("val_loss")
    assert spread is not None and (spread.low, spread.high, spread.n) == (1.0, 2.0, 2)
    assert point(0.1, 1.0, None, None).loss == math.inf and point(0.1, 1.0, None, None).spread("val_loss") is None


def test_the_best_rate_its_neighbours_its_edge_and_the_width_of_what_is_near() -> None:
    curve = Curve(
        "line", tuple(point(lr, x) for lr, x in ((1e-3, 2.0), (1e-2, 1.05), (1e-1, 1.0), (1, 1.09), (10, None)))
    )
    assert curve.best is curve.points[2] and curve.edge == ""
    assert [p.lr for p in curve.neighbours if p] == [1e-2, 1]
    assert curve.near(0.1) == (1e-2, 1) and curve.near(0.06) == (1e-2, 1e-1) and curve.near(0.0) == (1e-1, 1e-1)
    assert Curve("line", curve.points[2:]).edge == "lowest" and Curve("line", curve.points[:3]).edge == "highest"
    assert Curve("line", curve.points[2:3]).edge == "", "one rate has no edges"
    broken = Curve("line", (point(1e-3, 1.0), point(1e-2, 5.0), point(1e-1, 1.0)))
    assert broken.near(0.1) == (1e-3, 1e-3), "what lies beyond a gap is not near"


def test_pruned_and_missing_cells_are_in_no_median() -> None:
    some = Point(
        0.1, (cell("finished", 1.0), cell("pruned", 0.1, seed=1), cell("failed", 0.2, seed=2), cell("new", seed=3))
    )
    assert some.loss == math.inf and some.missing == 2 and some.spread("test_loss") is None, "the rest is a choice"
    curve = Curve("line", (some, point(1.0, 2.0)))
    assert curve.best is curve.points[1] and curve.near(10) == (1.0, 1.0)


def words_of(*curves: Curve, fresh: Point | None = None) -> str:
    cells = tuple(c.planned for curve in curves for p in curve.points for c in p.cells)
    return "\n".join(words(Summary(Plan("p", cells), curves, fresh)))


def test_the_words() -> None:
    good = Curve("cosine", (point(0.01, 2.0, 2.2, 2.1), point(0.1, 1.0, 1.2, 1.1), point(1, 3.0, 3.0, 3.0)))
    worse = Curve("constant", (point(0.01, 5.0, 5.0, 5.0), point(0.1, 4.0, 4.0, 4.0)))
    near = Curve("step", (point(0.1, 1.15, 1.3, 1.2),))
    text = words_of(good, worse)
    beside = "2.1 (2 … 2.2) at 0.01, 3 (3 … 3) at 1"
    assert f"cosine: lowest at 0.1, 1.1 (1 … 1.2); beside it {beside}. No other rate is within 10% of it." in text
    assert "constant: its best rate is the highest of the grid, so a larger one may be better: widen the grid." in text
    chance = "of two lines that are equal, ranges of so few seeds lie apart 1 time in 10; --seeds 5 says more"
    assert f"The lowest of all is cosine at 0.1, and no other line's range reaches it ({chance})." in text
    assert "overlaps with that of step: undecided." in words_of(good, near)
    assert "with one seed, nothing tells that from chance (--seeds 3)" in words_of(
        Curve("a", (point(0.1, 1.0),)), Curve("b", (point(0.1, 2.0),))
    )
    text = words_of(good, worse, fresh=point(0.1, 1.1, 1.65))
    told = "its loss is 1.375 (1.1 … 1.65), +25% against when it was chosen; the ranges overlap: confirmed."
    assert f"With 2 fresh seeds {told}" in text
    assert "every fresh seed is worse than those it was chosen by: not confirmed." in words_of(
        good, worse, fresh=point(0.1, 1.3, 1.4)
    )
    assert "every fresh seed is better: confirmed." in words_of(good, worse, fresh=point(0.1, 0.9, 0.8))
    assert words_of(Curve("a", (point(0.1, 1.0),))) == "a: 1 at 0.1, its only rate."
    assert "a: every rate diverged, for half of the seeds or more." in words_of(Curve("a", (point(0.1, None),)))
    unfinished = Curve("a", (Point(0.1, (cell("running"),)),))
    text = words_of(good, unfinished)
    assert "a: no rate has a result." in text and "lowest of all" not in text
    assert "1 of 10 cells has no result, so this is not the last word." in text


def test_figures_of_odd_sweeps_are_drawn() -> None:
    for curves in (
        (Curve("a", (point(0.1, None),)),),
        (Curve("a", (Point(None, (cell("finished", 1.0),)),)),),
        (Curve("a", (point(0.1, -1.0), point(1, -2.0))),),
        tuple(Curve(f"line {n}", (point(0.1, 1.0 + n), point(1, 2.0, None))) for n in range(12)),
    ):
        cells = tuple(c.planned for curve in curves for p in curve.points for c in p.cells)
        figure = draw(Summary(Plan("p", cells), curves))
        assert len(figure.axes) == 2 and figure.axes[0].get_xlabel() == "peak learning rate"


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


def begin(config: Path, root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lrbench", "sweep", str(config), "--runs", str(root), *words]
    return subprocess.Popen(
        command, cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_killed_ten_times_it_comes_to_the_same(write_config: Write, tmp_path: Path) -> None:
    model = {"name": "mlp", "hidden": [32]}
    config = write_config(
        dataset="digits", epochs=12, model=model, sweep={"schedule": ["constant", "cosine", "one_cycle"]}
    )
    words = ["--lr", "1e-5:1:13", "--seeds", "3", "--jobs", "2"]
    whole = begin(config, tmp_path / "whole", *words)
    output, _ = whole.communicate(timeout=400)
    assert whole.returncode == 0, output
    assert len(runs_of(tmp_path / "whole")) == 117

    chance, killed = random.Random(7), 0
    while killed < 10:
        process = begin(config, tmp_path / "killed", *words)
        time.sleep(chance.uniform(6.0, 11.0))
        assert process.poll() is None or killed, "it should not be done before it was killed once"
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        if len(list((tmp_path / "killed").glob("*/result.json"))) == 117:
            break
    assert killed >= 5
    last = begin(config, tmp_path / "killed", *words)
    output, _ = last.communicate(timeout=400)
    assert last.returncode == 0, output
    assert state_of(tmp_path / "killed") == state_of(tmp_path / "whole")


@pytest.mark.slow
def test_two_commands_at_once_share_the_work(write_config: Write, tmp_path: Path) -> None:
    config = write_config(dataset="digits", epochs=30, model={"name": "mlp", "hidden": [32]})
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


def test_policy_has_the_defaults_of_the_command() -> None:
    assert Policy() == Policy(again=False, wait=True, max_failures=None)
