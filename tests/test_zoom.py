"""`sweep --zoom`: what it adds to a line and when it ends, planned by hand and on simulated curves; the command."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrbench
from lrbench.analysis import Family, Group, Point, Record
from lrbench.components.metrics import LOSS, measures
from lrbench.errors import UsageError
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.sweeps import Zoom
from lrbench.sweeps.zoom import FARTHEST, LATTICE, Step, next_step, on_lattice, told

VAL_LOSS = measures((LOSS,))["val_loss"]
LOST = math.nan
Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")


def line(values: dict[float, Sequence[float]]) -> Family:
    """A line of a sweep: the losses of the seeds by learning rate; NaN diverged."""
    points = []
    for lr, losses in sorted(values.items()):
        records = []
        for seed, loss in enumerate(losses):
            status = Status.FINISHED if math.isfinite(loss) else Status.DIVERGED
            result = RunResult(status, final={"val_loss": loss} if math.isfinite(loss) else None)
            records.append(Record(RunFolder(Path(f"{lr}-{seed}")), status, plain={"seed": seed}, result=result))
        points.append(Point(lr, Group(f"lr={lr}", tuple(records))))
    return Family("line", tuple(points))


def step(values: dict[float, Sequence[float]], width: float = 0.15, grid: Sequence[float] = ()) -> Step:
    return next_step(line(values), VAL_LOSS, grid or sorted(values), width)


def three(loss: float, noise: float = 0.002) -> list[float]:
    """Three seeds; what they add is common to all learning rates."""
    return [loss * (1 - noise), loss, loss * (1 + noise)]


def bowl(at: float, curved: float = 0.4, noise: float = 0.0) -> Callable[[float], list[float]]:
    """A parabola of the log loss over decades, with noise that depends on the learning rate alone."""

    def losses(lr: float) -> list[float]:
        found = []
        for seed in range(3):
            shaken = math.sin(1e4 * (seed + 1) * math.log10(lr))
            found.append(math.exp(curved * (math.log10(lr) - at) ** 2 + 0.1 * seed + noise * shaken))
        return found

    return losses


# The planner, by hand.


@pytest.mark.parametrize(
    ("losses", "rates", "words"),
    [
        # The best is the lowest or the highest: two more there, as far apart as the grid is.
        ([1, 2, 3], (0.0001, 1e-5), "the best is the lowest learning rate tried"),
        ([3, 2, 1], (1.0, 10.0), "the best is the highest learning rate tried"),
        # Nothing has a value: lower.
        ([LOST, LOST, LOST], (0.0001, 1e-5), "no learning rate has a value"),
        # Below the best nothing is lost, above it everything is: between the two.
        ([2, 1, LOST], (0.03162, 0.01778), "3 of 3 seeds diverged or failed at 0.1, next to the best, 0.01"),
        # The lowest three give the same: lower ones promise nothing.
        ([1, 1.001, 1.0015], (), "the lowest three hardly differ"),
    ],
)
def test_a_grid_of_three(losses: list[float], rates: tuple[float, ...], words: str) -> None:
    found = step({lr: three(loss) for lr, loss in zip((0.001, 0.01, 0.1), losses, strict=True)})
    assert found.rates == rates and words in found.reason and "try " not in found.reason


def test_a_lost_seed_of_the_best_itself() -> None:
    """Between its neighbours, if they lost one too; else one without a loss is the best."""
    found = step({0.001: [LOST, 2, 2.1], 0.01: [LOST, 1, 1.1], 0.1: [LOST, 3, 3.1]})
    assert found.rates == (0.003162, 0.03162) and "diverged" in found.reason
    assert step({0.001: three(2), 0.01: [LOST, 1, 1], 0.1: [LOST] * 3}).rates == (0.0001, 1e-5)


def test_a_minimum_that_may_lie_where_seeds_diverged() -> None:
    """The best has finished neighbours, but the curve still falls towards 1, where every seed diverged."""
    losses = bowl(-0.39, 0.0876, 0.171)
    values = {10 ** (-4 + 0.2 * k): losses(10 ** (-4 + 0.2 * k)) for k in range(20)} | {1.0: [LOST] * 3}
    found = step(values)
    assert all(min(values) < lr < 1 for lr in found.rates)


def test_one_seed_says_nothing_of_the_noise() -> None:
    found = step({0.001: [2.0], 0.01: [1.0], 0.1: [2.0]})
    assert found.rates == () and "train at least 3" in found.reason


def test_unknown_rates() -> None:
    made = Family("line", (Point(None, line({0.1: three(1)}).points[0].group),))
    assert next_step(made, VAL_LOSS, [0.1]).reason == "no learning rate is known"


def test_one_learning_rate_goes_down_then_up() -> None:
    assert step({0.01: three(1)}).rates == (0.003162, 0.001)
    assert step({0.001: three(3), 0.003162: three(2), 0.01: three(1)}, grid=[0.01]).rates == (0.03162, 0.1)


def test_a_wide_interval_is_halved_and_a_narrow_one_ends_it() -> None:
    losses = bowl(-2.0)
    values = {10.0**k: losses(10.0**k) for k in range(-4, 1)}
    first = step(values)
    assert 0 < len(first.rates) <= 2 and "decades wide" in first.reason
    assert all(0.001 < lr < 0.1 for lr in first.rates)
    while (found := step(values)).rates:
        values |= {lr: losses(lr) for lr in found.rates}
    assert "decades wide" in found.reason and "more seeds" not in found.reason
    assert len(values) <= 12


def test_where_noise_alone_is_left_more_seeds_are_asked_for() -> None:
    losses = bowl(-2.0, curved=0.1, noise=0.05)
    values = {10.0**k: losses(10.0**k) for k in range(-4, 1)}
    while (found := step(values, grid=[1e-4, 1.0])).rates:
        values |= {lr: losses(lr) for lr in found.rates}
    assert "only more seeds would narrow it" in found.reason or "would not narrow it" in found.reason
    assert len(values) < 40


def test_two_minima_are_not_taken_for_one() -> None:
    """Equally deep, two decades apart: it ends without an interval."""

    def losses(lr: float) -> list[float]:
        place = math.log10(lr)
        return three(math.exp(0.5 * min((place + 3) ** 2, (place + 1) ** 2)), 0.05)

    values = {10 ** (k / 2): losses(10 ** (k / 2)) for k in range(-8, 1)}
    while (found := step(values)).rates:
        values |= {lr: losses(lr) for lr in found.rates}
    assert "decades wide" not in found.reason and len(values) < 30


def test_it_goes_no_farther_than_four_decades() -> None:
    values, grid = {10.0**k: three(10.0**-k) for k in (-3, -2, -1)}, [0.001, 0.01, 0.1]
    while (found := step(values, grid=grid)).rates:
        values |= {lr: three(1 / lr) for lr in found.rates}
    assert found.reason.endswith("the zoom is already 4 decades above the grid")
    assert max(values) == 10 ** (-1 + FARTHEST)


def test_the_lattice() -> None:
    assert on_lattice(-2.0) == 0.01 and on_lattice(-2.03) == 0.01 and on_lattice(-2.04) == 0.00866
    found = step({0.002: three(3), 0.02: three(1), 0.2: three(3)})
    assert all(abs(math.log10(lr) * LATTICE - round(math.log10(lr) * LATTICE)) < 0.01 for lr in found.rates)


def test_what_a_grid_as_fine_would_have_taken() -> None:
    """5 learning rates of 3 seeds, 0.5 decades apart over 4: a grid has 9, which is 27 runs."""
    made = line({lr: three(1) for lr in (1e-4, 1e-3, 10**-2.5, 1e-2, 1.0)})
    text = told(made, 15, Step((), "it is narrow"))
    assert text == (
        "line: it is narrow; tried 5 learning rates in 15 runs. "
        "A grid with steps of 0.5 decades from 0.0001 to 1 needs 9 learning rates and 27 runs."
    )
    even = line({lr: three(1) for lr in (1e-3, 1e-2, 1e-1)})
    assert told(even, 9, Step((), "it is narrow")) == "line: it is narrow; tried 3 learning rates in 9 runs."
    assert "not finished" in told(made, 15, Step((0.1,), "it is wide"))


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf, 0.06, "wide", None, True])
def test_widths_that_make_no_sense(width: Any) -> None:
    with pytest.raises(UsageError, match=r"^Zoom\.width must be at least 0\.0625 decades"):
        Zoom(width)


@pytest.mark.parametrize("most", [0, -3, 1.5, "many", True])
def test_limits_that_make_no_sense(most: Any) -> None:
    with pytest.raises(UsageError, match=r"^max_runs must be a whole number, at least 1"):
        Zoom(max_runs=most)


# On simulated curves.


def zoomed(grid: Sequence[float], losses: Callable[[float], list[float]], width: float) -> list[tuple[float, ...]]:
    """Return the rounds until the end."""
    values, rounds = {lr: losses(lr) for lr in grid}, []
    while (found := step(values, width, grid)).rates:
        assert not set(found.rates) & set(values)
        values |= {lr: losses(lr) for lr in found.rates}
        rounds.append(found.rates)
        assert len(rounds) < 60, "it does not end"
    return rounds


@settings(max_examples=5, deadline=None)
@given(
    at=st.floats(-5, 1),
    curved=st.floats(0.02, 1.0),
    noise=st.floats(0.0, 0.2),
    cliff=st.floats(-2, 3),
    points=st.integers(1, 7),
    spacing=st.floats(0.11, 1.2),
    width=st.sampled_from([0.0625, 0.15, 0.5]),
)
def test_it_ends_repeats_no_rate_and_plans_the_same_again(
    at: float, curved: float, noise: float, cliff: float, points: int, spacing: float, width: float
) -> None:
    bowl_at = bowl(at, curved, noise)

    def losses(lr: float) -> list[float]:
        return [LOST] * 3 if math.log10(lr) > cliff else bowl_at(lr)

    grid = [10 ** (-4 + spacing * k) for k in range(points)]
    rounds = zoomed(grid, losses, width)
    places = sorted(math.log10(lr) for lr in [*grid, *(lr for rates in rounds for lr in rates)])
    assert all(b - a > 0.025 for a, b in pairwise(places)), "no two learning rates are nearly the same"
    assert math.log10(grid[0]) - FARTHEST - 0.04 <= places[0] and places[-1] <= math.log10(grid[-1]) + FARTHEST + 0.04
    done = {lr: losses(lr) for lr in [*grid, *(rounds[0] if rounds else ())]}
    again = step(done, width, grid).rates  # a command begun anew after the first round
    assert again == (rounds[1] if len(rounds) > 1 else ())


# The command.


def state(name: str = "tiny") -> set[tuple[str, float, int, int]]:
    cells = json.loads(Path(f"runs/sweeps/{name}/plan.json").read_text())["cells"]
    return {(cell["series"], cell["lr"], cell["seed"], cell.get("zoom", 0)) for cell in cells}


def test_the_command(cli: Cli, write_config: Write) -> None:
    """Two schedules on digits; the same again trains nothing; with results deleted, it comes to the same runs."""
    words = ["sweep", write_config(), "--lr", "0.01:1:3", "--schedule", "constant,cosine", "--seeds", "2",
             "--zoom", "--zoom-width", "0.3", "--max-runs", "18", "--jobs", "1"]  # fmt: skip
    code, out, err = cli(*words)
    flat = " ".join(out.split())
    assert (code, err) == (0, "")
    assert "zoom 1, constant: " in flat and "zoom 1, cosine: " in flat and "; next: " in flat
    assert "Zoom: constant: " in flat and "Zoom: cosine: " in flat and "; tried " in flat
    planned = state()
    assert 12 < len(planned) <= 18
    assert {zoom for *_, zoom in planned if zoom} and {seed for _, _, seed, _ in planned} == {0, 1}
    rates = {lr: {seed for _, other, seed, _ in planned if other == lr} for _, lr, _, _ in planned}
    assert all(seeds == {0, 1} for seeds in rates.values()), "all seeds of a learning rate"
    with Path("runs/sweeps/tiny/summary.csv").open(newline="") as file:
        rows = {(row["series"], float(row["lr"])) for row in csv.DictReader(file)}
    assert rows == {(series, lr) for series, lr, _, _ in planned}
    told = [part for part in out.splitlines() if part.startswith("Zoom: ")]

    code, out, _ = cli(*words)
    assert code == 0 and f"{len(planned)} of {len(planned)} were already finished" in " ".join(out.split())
    assert state() == planned and [part for part in out.splitlines() if part.startswith("Zoom: ")] == told
    code, out, _ = cli("sweep", "--status")
    assert code == 0 and f"{len(planned)} runs: {len(planned)}" in out

    folders = sorted(path.parent for path in Path("runs").glob("*/result.json"))
    for folder in folders[::3]:
        shutil.rmtree(folder)
    code, out, _ = cli(*words)
    assert code == 0 and state() == planned
    assert sorted(path.parent for path in Path("runs").glob("*/result.json")) == folders


def test_more_runs_continue_a_zoom_and_share_its_runs(cli: Cli, write_config: Write) -> None:
    words = ["sweep", write_config(), "--lr", "0.01:1:3", "--seeds", "2", "--zoom", "--jobs", "1", "--max-runs"]
    code, out, _ = cli(*words, "7")
    assert code == 0 and "but --max-runs 7 allows no more" in " ".join(out.split()) and len(state()) == 6
    assert cli(*words, "8")[0] == 0
    first = state()
    assert len(first) == 8
    assert cli(*words, "12")[0] == 0
    assert {row[:3] for row in first} <= {row[:3] for row in state()} and len(state()) <= 12


def test_a_dry_run_lists_the_grid(cli: Cli, write_config: Write) -> None:
    words = ["sweep", write_config(), "--lr", "0.01:1:3", "--zoom", "--max-runs", "9", "--dry-run"]
    code, out, _ = cli(*words)
    assert code == 0 and "3 runs, 0 already finished" in out and not Path("runs").exists()
    assert "Then --zoom adds learning rates, up to 9 runs in all, depending on the results." in out


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--zoom", "--zoom-width", "0"], "--zoom-width must be at least 0.0625 decades (got 0.0)"),
        (["--zoom", "--zoom-width", "nan"], "--zoom-width must be at least 0.0625 decades (got nan)"),
        (["--zoom", "--zoom-width", "wide"], "--zoom-width must be a number (got 'wide')"),
        (["--zoom-width", "0.2"], "--zoom-width needs --zoom"),
        (["--max-runs", "20"], "--max-runs needs --zoom"),
        (["--zoom", "--max-runs", "0"], "--max-runs must be a whole number, at least 1 (got 0)"),
        (["--zoom", "--max-runs", "2"], "--max-runs 2 is less than the 3 runs of the grid"),
        (["--zoom", "--max-runs", "2", "--dry-run"], "--max-runs 2 is less than the 3 runs of the grid"),
        (["--lr", "0.1", "--halve"], "learning rates, and there is only one; give several with --lr, or leave it out"),
        (["--lr", "0.1", "--halve", "--dry-run"], "and there is only one; give several with --lr"),
        (["--zoom", "--halve"], "--zoom needs complete runs: leave out --prune and --halve"),
        (["--zoom", "--prune", "0.5"], "--zoom needs complete runs: leave out --prune and --halve"),
    ],
)
def test_mistakes(cli: Cli, write_config: Write, words: Sequence[str], fragment: str) -> None:
    rates = () if "--lr" in words else ("--lr", "0.01:1:3")
    code, _, err = cli("sweep", write_config(), *rates, *words)
    assert code == 2 and fragment in " ".join(err.replace("│", " ").split()) and not Path("runs").exists()


def test_a_single_seed_is_told(cli: Cli, write_config: Write) -> None:
    code, out, _ = cli("sweep", write_config(), "--lr", "0.01:1:3", "--zoom", "--jobs", "1")
    assert code == 0 and "train at least 3" in " ".join(out.split()) and len(state()) == 3


SCRIPT = """
import math, sys
lr, seed = float(sys.argv[1]), int(sys.argv[2])
loss = math.exp(0.5 * (math.log10(lr) + 2.3) ** 2 + 0.05 * seed)
if len(sys.argv) > 3 and lr < 0.009 and lr > 0.0011:
    sys.exit("out of memory")
print(f"step 1 val {loss}")
"""

READ = 'read: {stdout: "step {step} val {val_loss}"}\n'


def test_commands(cli: Cli, tmp_path: Path) -> None:
    Path("train.py").write_text(SCRIPT)
    config = Path("mine.yaml")
    config.write_text("name: mine\ncommand: python train.py {lr} {seed}\nparams: {lr: 0.01}\n" + READ)
    code, out, err = cli("sweep", config, "--lr", "1e-3:0.1:3", "--seeds", "2", "--zoom", "--max-runs", "12")
    assert (code, err) == (0, "") and "zoom 1, mine: " in out
    assert any(zoom for *_, zoom in state("mine")) and len(state("mine")) <= 12

    config.write_text("name: bad\ncommand: python train.py {lr} {seed} fail\nparams: {lr: 0.01}\n" + READ)
    code, out, _ = cli("sweep", config, "--lr", "1e-3:0.1:3", "--seeds", "2", "--zoom", "--max-runs", "12")
    flat = " ".join(out.split())
    assert code == 1 and "no further zoom yet: " in flat and "not finished because runs have no result: " in flat


def test_from_python(tmp_path: Path, tiny: Any) -> None:
    words = {"lr": "0.01:1:3", "seeds": 2, "runs": tmp_path / "runs", "jobs": 1}
    done = lrbench.sweep([tiny()], zoom=Zoom(0.3, max_runs=8), **words)
    assert len(done.plan.cells) == 8 and [cell.zoom for cell in done.plan.cells] == [0] * 6 + [1] * 2
    assert list(done.steps) == ["tiny"] and "max_runs 8 allows no more" in done.summary().zoomed[0]
    with pytest.raises(TypeError, match="zoom must be True, a Zoom or a number of decades or None"):
        lrbench.sweep([tiny()], zoom="wide", **words)
    with pytest.raises(UsageError, match=r"^Zoom\.width must be"):
        lrbench.sweep([tiny()], zoom=0.0, **words)
    assert Zoom.asked(True) == Zoom() and Zoom.asked(False) is None and Zoom.asked(0.2) == Zoom(0.2)
