"""The time to a target over seeds, with those that never reach it; the step that stays; the area under the curve."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrbench.analysis import (
    Group,
    Target,
    TimeToTarget,
    areas,
    grouped,
    measures_of,
    read_runs,
    time_to_stay,
    time_to_target,
)
from lrbench.reports import gather, report
from lrbench.reports.figures.arrivals import draw
from lrbench.reports.figures.text import apart
from lrbench.reports.reporting import formatted_table as table
from lrbench.reports.targets import profile
from lrbench.runs import Status

MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
TREATED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
CENSORED = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)


def arrived(*times: float, censored: Any = (), never: Any = (), training: int = 0) -> TimeToTarget:
    return TimeToTarget("step", times, tuple(censored), tuple(never), training)


# -- Kaplan and Meier


def test_a_published_curve() -> None:
    """The 21 treated patients of Freireich et al. (1963), as in every textbook: S(6) = 0.857, … S(23) = 0.448."""
    one = arrived(*TREATED, censored=CENSORED, training=len(CENSORED))
    at, share = one.curve
    assert at.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert (1 - share).round(3).tolist() == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert one.median == 23 and one.interval == (13.0, math.inf), "as R's survfit with conf.type = 'log-log'"
    assert one.share is None and one.seeds == 21


def test_by_hand() -> None:
    """At 1, 1 of 4 arrives; at 2, 1 of 3; the one that trains still has got to 3; at 4 the last one arrives."""
    one = arrived(1.0, 2.0, 4.0, censored=[3.0], training=1)
    assert [one.reached_by(time) for time in (0.5, 1, 2, 3.9, 4, 99)] == pytest.approx([0, 0.25, 0.5, 0.5, 1, 1])
    assert one.median == 3.0, "the middle of the stretch at one half"


def test_seeds_that_never_arrive_are_at_risk_for_ever() -> None:
    """Two of three arrive, whenever the third was lost: not all of them, as if it had been censored."""
    assert arrived(1.0, 3.0, never=[2.0]).curve[1].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert arrived(1.0, 3.0, censored=[2.0], training=1).curve[1].tolist() == pytest.approx([1 / 3, 1.0])
    assert arrived(1.0, never=[2.0, 2.0]).median == math.inf and arrived(never=[1.0]).median == math.inf
    assert arrived().median == math.inf and arrived().share is None
    assert arrived(1.0, 2.0, never=[5.0, 5.0]).median == math.inf, "half never arrive"
    assert arrived(1.0, 2.0, 3.0, never=[5.0]).median == 2.5


def test_the_plain_share_without_seeds_that_train() -> None:
    times = (3.0, 5.0, 5.0, 8.0)
    one = arrived(*times, censored=[9.0, 9.0], never=[4.0])
    for time in range(10):
        assert one.reached_by(time) == pytest.approx(sum(t <= time for t in times) / 7)
    assert one.median == 8.0 == sorted([*times, 99, 99, 99])[3]


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_is_the_product_limit(seed: int) -> None:
    """Against the formula, time by time."""
    random = np.random.default_rng(seed)
    times, censored, never = (tuple(sorted(random.integers(1, 8, random.integers(1, 6)).tolist())) for _ in range(3))
    one = arrived(*times, censored=censored, never=never, training=len(censored))
    survive = 1.0
    for time in sorted(set(times)):
        at_risk = sum(t >= time for t in (*times, *censored)) + len(never)
        survive *= 1 - times.count(time) / at_risk
        assert one.reached_by(time) == pytest.approx(1 - survive)


def test_intervals_by_hand() -> None:
    """Clopper and Pearson's interval of 3 of 3 begins at 0.025 ** (1/3); of 6 of 6 above one half, of 5 of 5 below."""
    share = arrived(1.0, 2.0, 3.0).share
    assert share is not None and share == pytest.approx((1.0, 0.025 ** (1 / 3), 1.0))
    assert arrived(1.0, 2.0, 3.0, 4.0, 5.0).interval == (1.0, math.inf)
    assert arrived(1.0, 2.0, 3.0, 4.0, 5.0, 6.0).interval == (1.0, 6.0)
    assert arrived(6.0, 6.0, 6.0).interval == (6.0, math.inf)
    none = arrived(censored=[4.0, 4.0]).share
    assert none is not None and none == pytest.approx((0.0, 0.0, 1 - 0.025**0.5))


# -- from run folders


def group_of(root: Path, name: str = "a") -> Group:
    return next(group for group in grouped(read_runs([root / "runs"])) if group.first.name == name)


def test_what_becomes_of_each_seed(make_run: MakeRun, tmp_path: Path) -> None:
    statuses = ["finished", "finished", "stopped_early", "diverged", None, "pruned", "failed"]
    for seed, status in enumerate(statuses):
        make_run([0.9, 0.4 if seed == 0 else 0.8, 0.7], name="a", seed=seed, status=status)
    group = group_of(tmp_path)
    target = Target.parse("val_loss=0.5", group.records)
    found = time_to_target(group, target, "step")
    assert found == TimeToTarget("step", (4.0,), (6.0, 6.0), (6.0, 6.0, 6.0, 6.0), 1)
    assert time_to_stay(group, target, "step") is None, "a seed is still training"
    pending = replace(group, records=tuple(replace(r, status=Status.PENDING) for r in group.records))
    assert time_to_target(pending, target, "step") is None
    other = Target.parse("val_accuracy=0.95", group.records)
    missed = time_to_target(group, other, "seconds")
    assert missed is not None and not missed.times and missed.missed == (3.0,) * 7


def test_the_first_step_that_stays(make_run: MakeRun, tmp_path: Path) -> None:
    """Reached at evaluation 2 of each; for good at 4, at 2, and never, since its end is above."""
    for seed, losses in enumerate(([0.9, 0.4, 0.6, 0.3, 0.2], [0.9, 0.4, 0.3, 0.3, 0.2], [0.9, 0.4, 0.3, 0.3, 0.6])):
        make_run(losses, name="a", seed=seed)
    group = group_of(tmp_path)
    target = Target.parse("val_loss=0.5", group.records)
    places = [target.stays(record) for record in group.records]
    assert [None if one is None else (one["step"], one["epoch"], one["seconds"]) for one in places] == [
        (8.0, 4.0, 4.0), (4.0, 2.0, 2.0), None
    ]  # fmt: skip
    assert time_to_stay(group, target, "step") == 8.0 and time_to_stay(group, target, "evaluation") == 4.0
    always = Target.parse("val_loss=1", group.records)
    assert time_to_stay(group, always, "step") == 2.0
    assert time_to_stay(group, Target.parse("val_loss=0.1", group.records), "step") == math.inf


def test_the_area_under_the_curve_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    """Of losses, under the logarithm: from 4 to 1 in a line, its mean is log 2. Steps are 2 and 4."""
    for seed in range(2):
        make_run([4.0, 1.0], name="a", seed=seed)
        make_run([4.0, 4.0], name="b", lr=0.2, seed=seed)
        make_run([1.0, 1.0], name="lost", lr=0.3, seed=seed, status="diverged" if seed else "finished")
    groups = grouped(read_runs([tmp_path / "runs"]))
    known = measures_of([record for group in groups for record in group.records])
    found = areas(groups, known["val_loss"])
    assert found == {"a": pytest.approx(2.0), "b": pytest.approx(4.0)}
    assert areas(groups, known["val_accuracy"])["a"] == pytest.approx(0.9)
    make_run([4.0, 1.0, 1.0], name="longer", lr=0.4)
    longer = grouped(read_runs([tmp_path / "runs"]))
    assert areas(longer, known["val_loss"]) == {}, "budgets differ"
    assert areas([], known["val_loss"]) == {}


def test_one_evaluation_has_no_area(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0], name="a")
    group = group_of(tmp_path)
    assert areas([group], measures_of(group.records)["val_loss"]) == {}


# -- what users see


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Path:
    """`fast` arrives at epochs 1, 2, 2; `slow` at 2, 3 and never; `none` never."""
    for seed, (fast, slow) in enumerate((([0.4, 0.3, 0.3], [0.9, 0.4, 0.3]), ([0.9, 0.3, 0.6], [0.9, 0.8, 0.4]))):
        make_run(fast, name="fast", seed=seed)
        make_run(slow, name="slow", lr=0.2, seed=seed)
    make_run([0.9, 0.4, 0.3], name="fast", seed=2)
    make_run([0.9, 0.8, 0.8], name="slow", lr=0.2, seed=2, status="diverged")
    make_run([0.9, 0.9, 0.9], name="none", lr=0.3)
    return tmp_path / "runs"


def test_the_table(runs: Path) -> None:
    shown = gather([runs], target="val_loss=0.5")
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(table(shown, "csv")))}
    names = ("epochs_to_target", "steps_to_target", "steps_to_stay", "reached_target", "begun")
    assert [[rows[run][name] for name in names] for run in ("fast", "slow", "none")] == [
        ["2", "4", "4", "3", "3"], ["3", "6", "6", "2", "3"], ["", "", "", "0", "1"]
    ]  # fmt: skip
    within = [[float(rows[run][f"reached_within_{x}"]) for x in ("1", "1.5", "2")] for run in ("fast", "slow")]
    assert within == [pytest.approx([1, 1, 1]), pytest.approx([1 / 3, 2 / 3, 2 / 3])]
    assert float(rows["fast"]["reached_low"]) == pytest.approx(0.025 ** (1 / 3)) and rows["slow"]["mean_val_loss"] == ""
    text = table(shown, "markdown")
    assert "| updates to stay there | seeds that reach it | mean val loss over the run |" in text
    assert "3 (2 of 3 reached it)" in text and "3 of 3 (29 … 100 %)" in text


def test_the_distribution_in_words(runs: Path) -> None:
    shown = gather([runs], target="val_loss=0.5")
    assert shown.target is not None
    fast, slow, none, note = profile(shown.target, shown.groups)
    assert fast == (
        "fast: 3 of 3 seeds (95 % interval 29 … 100 %); median 2 epochs (95 % interval 1 … not known); "
        "within 1, 1.5, 2, 4 times the fastest median: 100, 100, 100, 100 %."
    )
    assert slow.endswith("within 1, 1.5, 2, 4 times the fastest median: 33, 67, 67, 67 %.")
    assert none == "none: 0 of 1 seed (95 % interval 0 … 98 %); not reached by half of the seeds."
    assert note.startswith("Seeds that diverged, failed, stopped early or were pruned")


@pytest.mark.usefixtures("sketches")
def test_the_page(runs: Path, tmp_path: Path) -> None:
    made = report([runs], tmp_path / "out", target="val_loss=0.5")
    assert {"arrivals.png", "arrivals.svg"} <= {path.name for path in made.files}
    assert "Seeds that have reached val_loss ≤ 0.5" in made.page.read_text()
    assert "![Seeds that have reached val_loss ≤ 0.5](arrivals.png)" in (tmp_path / "out" / "report.md").read_text()
    made = report([runs], tmp_path / "out", target="val_loss=0.01")
    assert not (tmp_path / "out" / "arrivals.png").exists(), "of the earlier report"


def test_the_figure(runs: Path) -> None:
    shown = gather([runs], target="val_loss=0.5")
    assert shown.target is not None
    figure = draw(shown.groups, shown.target)
    assert figure is not None
    axes, _ = figure.axes
    drawn = {text.get_text() for text in axes.texts}
    assert {"fast", "slow", "none"} <= drawn
    curves = [line.get_ydata()[-1] for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert sorted(np.asarray(curves, float)) == pytest.approx([0, 2 / 3, 1], abs=0.02)
    assert draw([], shown.target) is None
    nobody = Target(shown.target.measure, 0.01)
    assert draw(shown.groups, nobody) is None


def test_labels_do_not_overlap() -> None:
    placed = apart([1.0] * 8, [0.06] * 8)
    assert max(placed) <= 0.97 + 1e-6 and min(np.diff(sorted(placed))) >= 0.06 - 1e-6
    assert apart([0.0, 1.0], [0.06, 0.06]) == [0.0, 1.0]


def test_the_command(cli: Cli, runs: Path) -> None:
    code, out, _ = cli("compare", "slow", "fast", "--runs", runs, "--target", "val_loss=0.5", "--json")
    found = json.loads(out)
    assert code == 4
    assert found["a"]["time"] == {
        "unit": "step", "seeds": 3, "reached": 2, "times": [4.0, 6.0], "censored": [], "never": [6.0], "training": 0,
        "share": pytest.approx(2 / 3), "share_low": pytest.approx(0.0943, abs=1e-4),
        "share_high": pytest.approx(0.9916, abs=1e-4), "median": 6, "median_low": 4, "median_high": None,
        "to_stay": 6, "mean_level": None,
    }  # fmt: skip
    assert found["b"]["time"]["times"] == [2.0, 4.0, 4.0]
    assert "2 of 3 seeds reach it, the median after 6 steps, to stay there after 6." in found["text"]
    pages = (Path(__file__).parent.parent / "docs" / "automation.md").read_text()
    assert all(f"`{key}`" in pages for key in found["a"]["time"])
    code, out, _ = cli("compare", "none", "--runs", runs, "--target", "val_loss=0.5")
    assert "0 of 1 seed reaches it." in " ".join(out.split())
