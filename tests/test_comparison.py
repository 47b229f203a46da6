"""Reports that compare: the best and the baseline, filters, targets, budgets, formats; run folders made by hand."""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrbench.analysis import compare_groups, families, family_words, grouped, read_runs
from lrbench.analysis.comparison import Row, judged_rows
from lrbench.analysis.estimates import estimate
from lrbench.components import LOSS, measures
from lrbench.errors import UsageError
from lrbench.reports.comparison_columns import columns
from lrbench.reports.page.chart_data import charted
from lrbench.reports.prose.curves import sentences
from lrbench.reports.reporting import formatted_table as table
from lrbench.reports.reporting import gather, report
from lrbench.reports.sentences import against, unequal
from lrbench.reports.shown import Shown, summary
from lrbench.reports.winner import winner
from lrbench.runs import Status

pytestmark = pytest.mark.usefixtures("sketches")
MakeRun = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
DRAWS = 1000
NEAR = (0.100, 0.102, 0.098, 0.101, 0.099, 0.1005, 0.0995, 0.1)


def arm(make_run: MakeRun, name: str, lr: float, times: float = 1.0, seeds: int = 8) -> None:
    """Runs whose losses are those of NEAR times a number, each a little off in a way of its own."""
    for seed, value in enumerate(NEAR[:seeds]):
        make_run([1.0, value * times * (1 + 0.01 * ((seed * lr * 7919) % 1 - 0.5))], name=name, lr=lr, seed=seed)


@pytest.fixture(scope="module")
def runs(make_run_in: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four groups that are only read."""
    root = tmp_path_factory.mktemp("comparison") / "runs"
    make_run = functools.partial(make_run_in, root)
    arm(make_run, "base", 0.1)
    arm(make_run, "same", 0.11)
    arm(make_run, "twice", 0.2, 2.0)
    arm(make_run, "half", 0.3, 0.5)
    return root


def test_all_are_compared_with_the_best(runs: Path) -> None:
    found = gather([runs]).comparison
    assert found is not None and found.against.group.label == "half" and not found.chosen
    assert [(row.group.label, row.answer and row.answer.word) for row in found.rows] == [
        ("half", None),
        *((name, "worse") for name in (found.rows[1].group.label, found.rows[2].group.label)),
        ("twice", "worse"),
    ]
    assert {row.group.label for row in found.rows[1:3]} == {"base", "same"}
    assert [row.ranks for row in found.rows] == [(1, 1), (2, 3), (2, 3), (4, 4)]
    rank = next(column for column in columns(found) if column.heading == "rank")
    assert [rank.text(row.group) for row in found.rows] == ["1", "2–3", "2–3", "4"]


def test_or_with_the_baseline(runs: Path) -> None:
    shown = gather([runs], baseline="base")
    assert shown.comparison is not None and shown.comparison.chosen
    words = {row.group.label: row.answer.word for row in shown.comparison.rows if row.answer}
    assert words == {"half": "better", "same": "tie", "twice": "worse"}
    told = " ".join(summary(shown))
    assert told.startswith("half has the lowest validation loss, ")
    assert "half is better than base, by 50% (" in told and "; same is as good as base, within 5%; " in told
    assert "; twice is worse than base, by a factor of 2 (" in told
    twice = next(row for row in shown.comparison.rows if row.group.label == "twice")
    assert against(twice, shown.comparison).startswith("+100 % (+")
    assert twice.permutation == pytest.approx(2 / 2**8)
    assert shown.method is not None and "pairs of equal seeds" in shown.method and "±5%" in shown.method


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"baseline": "bse"}, ["baseline bse: no such group", "base", "half"]),
        ({"metric": "loss"}, ["metric loss: no such metric", "val_loss"]),
        ({"metric": "best_epoch"}, ["no such metric"]),
        ({"filters": ["nothing*"]}, ["no run has this name", "base"]),
        ({"filters": ["optimizer.rate=0.1"]}, ["no run's config has the key 'optimizer.rate'", "optimizer.lr"]),
        ({"filters": ["optimizer.lr=7"]}, ["no run matches", "0.1", "0.2"]),
        ({"filters": ["base|optimizer.rate=0.1"]}, ["base|optimizer.rate=0.1: no run's config has the key 'opt"]),
        ({"target": "val_accuracy"}, ["target val_accuracy: must be a metric (", "such as val_loss=0.1"]),
        ({"target": "speed=3"}, ["a metric (train_loss, train_accuracy, val_loss, val_accuracy), = and a number"]),
        ({"target": "val_loss=nan"}, ["and a number"]),
        ({"target": "val_accuracy=99"}, ["between 0 and 1"]),
        ({"baseline": "half", "filters": ["base"]}, ["no such group"]),
    ],
    ids=str,
)
def test_mistakes(runs: Path, words: dict[str, object], problem: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        gather([runs], **words)  # type: ignore[arg-type]
    assert all(part in str(caught.value) for part in problem), str(caught.value)


def test_a_baseline_with_two_groups_is_asked_about(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "base", 0.1)
    arm(make_run, "base", 0.2)
    with pytest.raises(UsageError, match=r"several groups have this name; choose one of: base lr=0\.2, base lr=0\.1"):
        gather([tmp_path / "runs"], baseline="base")
    assert gather([tmp_path / "runs"], baseline="base lr=0.2").comparison is not None


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (["*e"], {"base", "same", "twice"}),
        (["optimizer.lr=0.2"], {"twice"}),
        (["optimizer.lr=2e-1"], {"twice"}),
        (["optimizer.lr!=0.2"], {"base", "same", "half"}),
        (["optimizer=sgd", "b*"], {"base"}),
        (["seed=3", "*e"], {"base", "same", "twice"}),
        (["half-seed2-*"], {"half"}),
        (["half|tw*"], {"half", "twice"}),
        (["optimizer.lr=0.1 | optimizer.lr>0.25", "*a*"], {"base", "half"}),
    ],
)
def test_filters(runs: Path, filters: list[str], kept: set[str]) -> None:
    assert {group.label for group in gather([runs], filters=filters).groups} == kept


def rows_of(arms: Any) -> list[Row]:
    """Rows of arms of losses, the best first, without groups."""
    values = [dict(enumerate(map(float, arm))) for arm in arms]
    found = [Row(None, one, estimate(list(one.values())), 0) for one in values]  # type: ignore[arg-type]
    return sorted(found, key=lambda row: row.centre)


@pytest.mark.parametrize(("arms", "seeds"), [(5, 3), (5, 8), (10, 5)])
def test_the_best_of_equals_is_rarely_said_to_be_better(arms: int, seeds: int) -> None:
    rng = np.random.default_rng(arms * seeds)
    wrong = 0
    for _ in range(DRAWS // 4):
        rows = rows_of(rng.normal(0.03, 0.003, (arms, seeds)))
        judged, _ = judged_rows(rows, rows[0], measures([LOSS])["val_loss"], chosen=False, looked=1)
        wrong += any(row.answer is not None and row.answer.word in ("better", "worse") for row in judged)
    assert wrong <= 0.05 * DRAWS // 4 + 6


def test_one_seed_is_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    for name, lr, value in (("a", 0.1, 0.5), ("b", 0.2, 0.6)):
        make_run([value], name=name, lr=lr)
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None and columns(shown.comparison) == [] and shown.method is None
    assert shown.comparison.rows[1].answer is None


def test_diverged_seeds_are_said_and_are_in_no_mean(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "steady", 0.1)
    arm(make_run, "wild", 0.3, 0.5, seeds=6)
    for seed in (6, 7):
        make_run([1.0], status="diverged", name="wild", lr=0.3, seed=seed, schedule="cosine")
    for seed in (6, 7):
        make_run([1.0, 1.0], status="diverged", name="wild", lr=0.3, seed=seed)
    found = compare_groups([g for g in grouped(read_runs([tmp_path / "runs"])) if len(g.records) == 8])
    assert found is not None and found.best is found.against and found.best.group.label == "steady"
    wild = next(row for row in found.rows if row.group.first.name == "wild")
    assert (wild.lost, wild.ended, wild.estimate.n) == (2, 8, 6)
    assert wild.difference is not None and wild.difference.relative[0] == pytest.approx(-0.5, abs=0.01)
    assert wild.answer is not None and wild.answer.word == "undecided", "half the loss is not better"
    assert against(wild, found).endswith("undecided; 2 of 8 seeds diverged, against 0 of 8 (Fisher's exact p 0.47)")
    first, others = sentences(found)
    assert first.startswith("steady is first, since only it lost no seed, with a validation loss of 0.1")
    assert others.startswith("With eight seeds each, wild")
    assert others.endswith(" (2 of 8 seeds diverged) can't be distinguished from it.")


def test_failed_seeds_count_like_diverged_ones(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "steady", 0.1)
    arm(make_run, "crashing", 0.3, 0.9, seeds=5)
    for seed in (5, 6, 7):
        make_run([1.0, 1.0], status="failed", name="crashing", lr=0.3, seed=seed)
    found = gather([tmp_path / "runs"]).comparison
    assert found is not None and [row.lost for row in found.rows] == [0, 3]
    assert "crashing (3 of 8 seeds failed)" in sentences(found)[1]


def test_one_statistic_orders_shows_and_decides(make_run: MakeRun, tmp_path: Path) -> None:
    """The median of `a` is lower, its geometric mean higher: by that it is second, shown and compared."""
    for seed, (a, b) in enumerate(((0.10, 0.11), (0.10, 0.11), (0.10, 0.11), (0.40, 0.11), (0.40, 0.11))):
        make_run([a], name="a", lr=0.1, seed=seed)
        make_run([b], name="b", lr=0.2, seed=seed)
    shown = gather([tmp_path / "runs"])
    assert [group.label for group in shown.groups] == ["b", "a"] and shown.comparison is not None
    row = shown.comparison.rows[1]
    middle = (0.1**3 * 0.4**2) ** (1 / 5)
    assert row.estimate.centre == pytest.approx(middle) and row.difference is not None
    assert row.difference.relative[0] == pytest.approx(middle / 0.11 - 1)
    told = json.loads(table(shown, "json"))[1]
    assert (told["val_loss"], told["val_loss_median"]) == (pytest.approx(middle), 0.1)
    assert f"{middle:.4g} (0.1 … 0.4)" in table(shown, "markdown")


def test_what_few_seeds_show_but_can_not_prove_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    for at in range(12):
        for seed, wobble in enumerate((0.98, 1.0, 1.03)):
            value = 0.1 * wobble ** (1 + at % 3) if at < 11 else 0.6 * (1.0, 1.3, 0.8)[seed]
            make_run([value], name=f"n{at}", lr=0.1 + at / 100, seed=seed)
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None and not shown.comparison.ranked
    told = sentences(shown.comparison)[1]
    assert (
        told == "With three seeds each, n3 and nine others can't be distinguished from it; "
        "n11 is probably worse, by a factor of 6.1 (2.9 to 12)."
    )
    assert "rank" not in [column.heading for column in columns(shown.comparison) if column.shown], (
        "1–12 for all says nothing"
    )


def test_unequal_budgets_are_flagged(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(2):
        make_run([0.5, 0.4], name="short", lr=0.1, seed=seed)
        make_run([0.5, 0.4, 0.3, 0.2], name="long", lr=0.1, seed=seed)
    made = report([tmp_path / "runs"])
    warning = "Unequal budgets: 4 epochs (long); 2 epochs (short). More training alone may explain a lower loss."
    assert unequal(made.groups) == warning
    assert f'<p class="warning" role="note">{warning}</p>' in made.page.read_text()
    assert f"**{warning}**" in made.page.with_suffix(".md").read_text()


def test_equal_budgets_are_not(runs: Path) -> None:
    assert unequal(gather([runs]).groups) is None


def test_the_time_to_a_target(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, losses in enumerate(([0.9, 0.5, 0.2], [0.9, 0.4, 0.3], [0.9, 0.8, 0.7])):
        make_run(losses, name="some", seed=seed)
    for seed in range(3):
        make_run([0.9, 0.8, 0.7], name="none", lr=0.2, seed=seed)
    shown = gather([tmp_path / "runs"], target="val_loss=0.5")
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(table(shown, "csv")))}
    assert (rows["some"]["epochs_to_target"], rows["some"]["reached_target"]) == ("2", "2")
    assert (rows["none"]["epochs_to_target"], rows["none"]["reached_target"]) == ("", "0")
    assert rows["some"]["seconds_to_target"] == "2.0", "a second an epoch"
    text = table(shown, "markdown")
    assert "some reaches val_loss ≤ 0.5 first, after 2 epochs (2.0 s), in 2 of 3 seeds" in " ".join(summary(shown))
    assert "never: none." in " ".join(summary(shown)) and r"$\le$" in table(shown, "latex")
    assert "epochs to val_loss ≤ 0.5" in text and "2 (2 of 3 reached it)" in text and "not reached" in text


def test_the_columns_say_which_metric_is_compared(runs: Path) -> None:
    shown = gather([runs], metric="train_loss")
    text = table(shown, "markdown")
    assert text.startswith("| run | train loss | against the best |") and "95 % interval of training loss" in text
    (row, *_) = json.loads(table(shown, "json"))
    assert row["metric"] == "train_loss" and row["interval_low"] < row["median"] < row["interval_high"]


def test_formats_hold_the_same_numbers(runs: Path) -> None:
    shown = gather([runs], baseline="base")
    rows = json.loads(table(shown, "json"))
    texts = list(csv.DictReader(io.StringIO(table(shown, "csv"))))
    assert [row["run"] for row in rows] == [row["run"] for row in texts] == ["half", *(r["run"] for r in rows[1:])]
    for row, text in zip(rows, texts, strict=True):
        assert row["val_loss"] == float(text["val_loss"]) and (row["answer"] or "") == text["answer"]
    latex = table(shown, "latex")
    assert "\n\\begin{tabular}{l" in latex and latex.count(r"\\") == 5 and r"99\%" not in latex.split("&")[0]
    assert "| half |" in table(shown, "markdown")
    with pytest.raises(UsageError, match="no such format; choices: csv, json, latex, markdown"):
        table(shown, "xml")


def test_latex_escapes_names(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5], name="a_b @+=()")
    assert r"a\_b @+=()" in table(gather([tmp_path / "runs"]), "latex")


def test_the_command(runs: Path, cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    runs = Path(shutil.copytree(runs, tmp_path / "runs"))
    code, out, _ = cli("report", runs, "--baseline", "base", "--filter", "b*", "--format", "json")
    assert code == 0 and [row["run"] for row in json.loads(out)] == ["base"]
    assert not (runs / "report").exists(), "only printed"
    code, out, _ = cli("report", runs, "--baseline", "base", "--target", "val_loss=0.3")
    assert (
        code == 0
        and "half is better than base, by 50%" in out
        and "same is as good as base" in out
        and (runs / "report" / "report.html").exists()
    )
    code, _, err = cli("report", runs, "--baseline", "bas")
    assert code == 2 and "no such group" in err
    code, _, err = cli("report", runs, "--format", "xml")
    assert code == 2 and "--format xml" in err


def test_runs_of_different_tasks_are_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5], name="a")
    make_run([0.5], name="b", loss="mse")
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is None and "different tasks" in summary(shown)[0]
    with pytest.raises(UsageError, match="different tasks"):
        gather([tmp_path / "runs"], baseline="a")
    assert isinstance(shown, Shown)


def test_panels_of_different_tasks_share_no_loss_axis(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0, 0.5], name="a")
    make_run([1.0, 0.6], name="c", lr=0.2)
    assert "All panels share one loss axis" in report([tmp_path / "runs"]).page.read_text()
    make_run([900.0, 800.0], name="b", loss="mse")
    made = report([tmp_path / "runs"])
    assert "Panels of the same task share one loss axis" in made.page.read_text()
    data = charted(made.groups)
    limits = {group["label"]: data["limits"][group["task"]]["both"] for group in data["groups"]}
    assert limits["a"][1] < 10 and limits["b"][0] > 10


def test_the_labels_that_a_report_prints_can_be_filtered_by(make_run: MakeRun, tmp_path: Path) -> None:
    for lr in (0.1, 0.15, 0.2):
        make_run([lr], name="own", lr=lr)
    make_run([0.5], name="other", lr=0.3)
    labels = [group.label for group in gather([tmp_path / "runs"], filters=["own lr=0.1*"]).groups]
    assert labels == ["own lr=0.1", "own lr=0.15"]
    assert len(gather([tmp_path / "runs"], filters=["own lr=0.2|other"]).groups) == 2


def with_code(run: Path, started: str, **environment: object) -> None:
    told = json.loads((run / "env.json").read_text())
    (run / "env.json").write_text(json.dumps({**told, "started": started, **environment}))


def test_seeds_trained_with_other_code_are_another_row(make_run: MakeRun, tmp_path: Path, cli: Cli) -> None:
    days = ("2026-11-20T10:00:00+00:00", "2026-11-21T10:00:00+00:00", "2026-11-25T10:00:00+00:00")
    for seed, (day, code) in enumerate(zip(days, ("a", "a", "b"), strict=True)):
        with_code(make_run([0.5, 0.1 + seed / 10], seed=seed), day, user_code={"nets": code})
    shown = gather([tmp_path / "runs"])
    assert {group.label: len(group.records) for group in shown.groups} == {
        "tiny (code of 2026-11-20)": 2,
        "tiny (code of 2026-11-25)": 1,
    }
    said = "The imported code changed between the seeds of tiny: "
    said += "code of 2026-11-20: seeds 0, 1; code of 2026-11-25: seed 2"
    assert shown.warnings == [f"{said}. So each has a row of its own; pool_code joins them."]
    pooled = gather([tmp_path / "runs"], pool_code=True)
    assert [(group.label, len(group.records)) for group in pooled.groups] == [("tiny", 3)]
    assert pooled.warnings == [f"{said}. So they share a row, as pool_code asks."]
    code, out, _ = cli("report", tmp_path / "runs", "--format", "csv", "--pool-code")
    assert code == 0 and len(out.splitlines()) == 2


def test_a_run_resumed_with_other_code_is_apart_and_days_alike_are_told_by_time(
    make_run: MakeRun, tmp_path: Path
) -> None:
    one, other = {"user_code": {"nets": "a"}}, {"user_code": {"nets": "b"}}
    with_code(make_run([0.1], seed=0), "2026-11-20T10:00:00+00:00", **one)
    with_code(make_run([0.2], seed=1), "2026-11-20T11:30:00+00:00", **one, resumed_with=other)
    with_code(make_run([0.3], seed=2), "2026-11-20T11:00:00+00:00", **one, resumed_with={"lrbench": "0.2", **one})
    shown = gather([tmp_path / "runs"])
    assert {group.label: len(group.records) for group in shown.groups} == {
        "tiny (code of 2026-11-20 10:00)": 2,
        "tiny (code of 2026-11-20 11:30)": 1,
    }


def test_an_identical_run_is_shown_under_the_name_asked_for(write_config: Callable[..., Path], cli: Cli) -> None:
    assert cli("run", write_config(epochs=1, name="old"))[0] == 0
    code, out, _ = cli("run", write_config(epochs=1, name="new"))
    table_, _, rest = out.partition("1 of 1 was already finished")
    assert code == 0 and rest and "new" in table_.split() and "old" not in table_.split()


def test_groups_that_reach_a_target_together_are_first_together(make_run: MakeRun, tmp_path: Path) -> None:
    for name, lr in (("one", 0.1), ("two", 0.2)):
        make_run([0.9, 0.4], name=name, lr=lr)
    told = " ".join(summary(gather([tmp_path / "runs"], target="val_loss=0.5")))
    assert "one, two reach val_loss ≤ 0.5 first, all after 2 epochs" in told


def test_the_first_group_is_not_worse_for_seeds_that_another_has_alone(make_run: MakeRun, tmp_path: Path) -> None:
    for name, lr, losses in (("r", 0.1, (0.5, 0.6, 0.7)), ("q", 0.2, (0.4, 0.48, 0.56, 0.9, 0.95))):
        for seed, loss in enumerate(losses):
            make_run([loss], name=name, lr=lr, seed=seed)
    shown = gather([tmp_path / "runs"])
    assert [group.label for group in shown.groups] == ["r", "q"] and shown.comparison is not None
    assert sentences(shown.comparison)[1].startswith("q can't be distinguished from it")
    assert json.loads(table(shown, "json"))[1]["p_permutation"] is None


def losses_of(make_run: MakeRun, arms: dict[str, list[Any]]) -> None:
    """Runs of each arm with these losses; None is a diverged seed."""
    for number, (name, losses) in enumerate(arms.items(), start=1):
        for seed, loss in enumerate(losses):
            status = "diverged" if loss is None else "finished"
            make_run([1.0, 1.0 if loss is None else loss], name=name, lr=number / 10, seed=seed, status=status)


def told_of(tmp_path: Path, **words: Any) -> tuple[Shown, list[str]]:
    shown = gather([tmp_path / "runs"], **words)
    assert shown.comparison is not None
    return shown, sentences(shown.comparison)


def test_a_group_that_is_worse_is_nowhere_as_good(make_run: MakeRun, tmp_path: Path) -> None:
    fine = [1.0, 1.02, 0.99, 1.01, 1.0, 0.98]
    others = {f"o{i}": [value * (1 + i / 1000) for value in reversed(fine)] for i in range(1)}
    losses_of(make_run, {"a": fine, **others, "e": [*[None] * 5, 1.0]})
    shown, (_, said) = told_of(tmp_path, baseline="a")
    assert said.endswith("; e (5 of 6 seeds diverged) is worse.") and "probably" not in said
    best = winner(shown)
    assert best is not None and "may be as good: " in best.words and "e (5" not in best.words
    row = next(row for row in shown.comparison.rows if row.group.label == "e")  # type: ignore[union-attr]
    assert row.ranks is not None and row.ranks[0] > 1


def test_the_group_with_too_few_seeds_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.1, 0.11], "b": [0.2, 0.21], "c": [0.3]})
    assert told_of(tmp_path, baseline="c")[1][1] == "c has too few seeds to compare a and b with it."
    assert told_of(tmp_path)[1][1].endswith("b is worse, by 95%; c has too few seeds to compare.")


def test_equal_groups_are_said_to_be_equal(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.1, 0.1], "b": [0.1, 0.1], "c": [0.1, 0.1]})
    shown, (first,) = told_of(tmp_path)
    assert first.startswith("All three runs have the same validation loss, 0.1 (two seeds)")
    (family,) = families(shown.groups, shown.comparison.measure)  # type: ignore[union-attr]
    assert "so try" not in family_words(family, shown.comparison.measure)  # type: ignore[union-attr]


def test_the_first_of_several_that_lost_equally_few_is_said_to_be_so(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.5, 0.5], "b": [0.6, 0.6], "c": [0.1, None]})
    assert told_of(tmp_path)[1][0].startswith(
        "Of those that lost no seed, a has the lowest validation loss, 0.5 (two seeds)"
    )


def test_a_finished_run_without_a_value_is_not_called_diverged(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.5] * 3, "b": [0.6, 0.6]})
    result = make_run([1.0, 0.6], name="b", lr=0.2, seed=2) / "result.json"
    plain = json.loads(result.read_text())
    plain["final"]["val_loss"] = None
    result.write_text(json.dumps(plain))
    assert "b (1 of 3 seeds without a validation loss)" in told_of(tmp_path)[1][1]


@pytest.mark.parametrize(("column", "value"), [("epoch", "inf"), ("step", "1e300"), ("epoch", "nan"), ("step", "-inf")])
def test_an_impossible_epoch_or_step_damages_a_run(make_run: MakeRun, tmp_path: Path, column: str, value: str) -> None:
    table = make_run([1.0, 0.6], name="b") / "epochs.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    rows[1][column] = value
    table.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n")
    (record,) = read_runs([tmp_path / "runs"])
    assert record.status is Status.DAMAGED and "epochs.csv" in record.problem


def test_the_terminal_shows_the_metric_that_it_compares(runs: Path, tmp_path: Path, cli: Cli) -> None:
    exit_code, out, _ = cli("report", runs, "--metric", "best_val_accuracy", "--out", tmp_path / "report")
    assert exit_code == 0 and "best val" in out
    shown = gather([runs], metric="best_val_accuracy").brief_table
    assert [c.heading for c in shown.columns][:3] == ["run", "best val accuracy", "against the best"]
    assert [c.heading for c in gather([runs]).brief_table.columns][:3] == ["run", "val loss", "against the best"]


def test_a_sweeps_short_key_filters_too(runs: Path) -> None:
    assert {r.name for r in gather([runs], filters=["lr<0.15"]).records} == {"base", "same"}


NEAR_ZERO: dict[str, list[Any]] = {
    "a": [0.030, 0.031, 0.0305, 0.0302, 0.0308, 0.0303],
    "b": [0.060, 0.0615, 0.061, 0.0605, 0.062, 0.0606],
}


def test_a_loss_of_zero_changes_only_comparisons_with_its_own_group(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {**NEAR_ZERO, "c": [2.0, 2.1, 2.05, 2.2, 2.1, 0.0]})
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None and shown.method is not None
    a, b, c = shown.comparison.rows
    assert [row.group.label for row in (a, b, c)] == ["a", "b", "c"]
    assert a.centre == pytest.approx(float(np.exp(np.log(NEAR_ZERO["a"]).mean())))
    assert c.centre == pytest.approx((2.0 + 2.1 + 2.05 + 2.2 + 2.1) / 6), "the arithmetic mean"
    assert b.answer is not None and b.answer.word == "worse" and b.difference is not None and b.difference.logs
    assert b.difference.relative[0] == pytest.approx(1.0, abs=0.01)
    assert c.difference is not None and not c.difference.logs
    assert c.difference.margin == pytest.approx(0.05 * sum(NEAR_ZERO["a"]) / 6)
    assert "within ±5%, also" in shown.method and "points" not in shown.method
    assert "A group with a value of 0 has an arithmetic mean" in shown.method
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(table(shown, "csv")))}
    assert (rows["b"]["relative"], rows["c"]["relative"]) == ("True", "False")
    assert "The same in all rows: 6 seeds" in table(shown, "markdown") and float(rows["c"]["val_loss"]) == c.centre


def test_two_small_losses_with_a_zero_are_no_tie(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.0, *NEAR_ZERO["a"][1:]], "b": NEAR_ZERO["b"]})
    (_, b) = gather([tmp_path / "runs"]).comparison.rows  # type: ignore[union-attr]
    assert b.answer is not None and b.answer.word == "worse"


def test_a_zero_elsewhere_does_not_change_which_group_is_best(make_run: MakeRun, tmp_path: Path) -> None:
    losses_of(make_run, {"a": [0.01, 0.05, 2.0], "b": [0.5, 0.5, 0.5], "c": [3.0, 3.0, 0.0]})
    found = gather([tmp_path / "runs"]).comparison
    assert found is not None and [row.group.label for row in found.rows] == ["a", "b", "c"]


def test_a_difference_that_contradicts_the_order_of_two_kinds_of_means_decides_nothing(
    make_run: MakeRun, tmp_path: Path
) -> None:
    losses_of(make_run, {"a": [0.01, 0.05, 2.0] * 5, "b": [0.4, 0.4, 0.0] * 5})
    (a, b) = gather([tmp_path / "runs"]).comparison.rows  # type: ignore[union-attr]
    assert a.centre < b.centre and b.difference is not None and b.difference.mean < 0
    assert b.answer is not None and b.answer.word == "undecided"


def test_nobody_is_first_and_last(make_run: MakeRun, tmp_path: Path) -> None:
    """The first group lost no seed, but has the higher loss; and two groups are alike."""
    for seed in range(3):
        make_run([0.6], name="q", lr=0.1, seed=seed)
        make_run([0.5], name="p", lr=0.2, seed=seed, status="finished" if seed else "diverged")
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is not None
    assert sentences(shown.comparison)[0].startswith("q is first, since only it ")
    assert "highest" not in sentences(shown.comparison)[0]


def test_arms_that_lost_all_or_all_but_one_of_their_seeds_are_compared_by_the_shares(
    make_run: MakeRun, tmp_path: Path
) -> None:
    arm(make_run, "steady", 0.1, seeds=6)
    arm(make_run, "rough", 0.2, 0.5, seeds=1)
    for name, lr, first in (("rough", 0.2, 1), ("wild", 0.3, 0)):
        for seed in range(first, 6):
            make_run([1.0, 1.0], status="diverged", name=name, lr=lr, seed=seed)
    make_run([1.0, 1.0], status="diverged", name="once", lr=0.4)
    made = report([tmp_path / "runs"])
    found = made.comparison
    assert found is not None and found.best.group.label == "steady"
    words = {row.group.label: (against(row, found), row.ranks) for row in found.rows}
    # Fisher's exact test by hand: 2/C(12, 6) = 0.00216 and 2·6/C(12, 5) = 0.0152
    assert words == {
        "steady": ("–", (1, 1)),
        "rough": ("worse (5 of 6 diverged, p = 0.02)", (2, 3)),
        "wild": ("worse (6 of 6 diverged, p = 0.002)", (2, 3)),
    }
    assert sentences(found)[1] == "rough (5 of 6 seeds diverged) and wild (6 of 6 seeds diverged) are worse."
    for file in (made.page, made.page.with_suffix(".md")):
        assert "worse (6 of 6 lost)" in file.read_text()
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(made.page.with_suffix(".csv").read_text()))}
    wild = rows["wild"]
    assert (wild["answer"], wild["lost"], wild["n"], wild["difference"], wild["p"]) == ("worse", "6", "0", "", "")
    assert float(wild["p_lost"]) == pytest.approx(2 / 924)
    assert float(wild["p_corrected"]) == pytest.approx(3 * 2 / 924)
    assert rows["once"]["answer"] == "", "one seed is too few"
    assert json.loads(table(made, "json"))[-1]["difference"] is None
    lost = gather([tmp_path / "runs"], baseline="wild").comparison
    assert lost is not None
    words = {row.group.label: against(row, lost) for row in lost.rows}
    assert words == {
        "steady": "better (0 of 6 lost, against 6 of 6, p = 0.002)",
        "rough": "undecided (5 of 6 diverged, against 6 of 6, p = 1)",
        "wild": "–",
    }


def test_lost_shares_that_few_seeds_can_not_prove_are_said(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "steady", 0.1, seeds=4)
    arm(make_run, "same", 0.11, seeds=4)
    for seed in range(4):
        make_run([1.0], status="diverged", name="wild", lr=0.3, seed=seed)
    found = gather([tmp_path / "runs"]).comparison
    assert found is not None
    assert sentences(found)[1].endswith("wild (4 of 4 seeds diverged) is probably worse.")


def test_lost_arms_of_another_task_are_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    arm(make_run, "steady", 0.1, seeds=2)
    for seed in range(2):
        make_run([1.0], status="diverged", name="other", loss="mse", seed=seed)
    found = gather([tmp_path / "runs"]).comparison
    assert found is not None and [row.group.label for row in found.rows] == ["steady"]
    assert gather([tmp_path / "runs"], filters=["other"], baseline="other").comparison is None, "nothing has ended"
