"""Metrics are open: a task's own ones reach every file, rule, table, sentence and figure, and bring nothing else."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from torch import Tensor

import lrbench
from lrbench.analysis import families, family_words, grouped, measure_named, read_runs
from lrbench.cli.progress import Lines
from lrbench.components import KNOWN, LOSS, Metric, recorded
from lrbench.components.tasks.class_meters import Accuracy
from lrbench.components.tasks.meters import Meter
from lrbench.components.tasks.pairs import PairTask
from lrbench.config import Experiment
from lrbench.errors import ConfigError, Interrupted, UsageError
from lrbench.events import Event, silent
from lrbench.reports import summary, summary_words
from lrbench.reports.code import code
from lrbench.reports.figures.sensitivity import draw
from lrbench.reports.page.chart_data import charted
from lrbench.reports.reporting import Report, gather, report
from lrbench.reports.reporting import formatted_table as table
from lrbench.reports.sentences import against
from lrbench.reports.tables import Column, _few_metrics
from lrbench.runs import Environment, RunFolder, RunResult, Status
from lrbench.training import build, check
from lrbench.training.kinds import PlainTraining
from lrbench.training.loop import train

ERROR_RATE = Metric("error_rate", "lower", "percent")
MARGIN = Metric("margin", "higher")
OWN = (ERROR_RATE, MARGIN)
MakeRun = Callable[..., Path]
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("sketches")
CHROMIUM = os.environ.get("LRBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


class Wrong(Accuracy):
    """The fraction of wrong answers."""

    def __init__(self) -> None:
        self.metric = ERROR_RATE

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float:
        return 1 - sums[0] / examples


class Margin(Meter):
    """By how much the right class's output lies above the best other one."""

    length = 1

    def __init__(self) -> None:
        self.metric = MARGIN

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        outputs = outputs.double()
        right = outputs.gather(1, targets[:, None]).squeeze(1)
        others = outputs.scatter(1, targets[:, None], -math.inf).max(1).values
        return (right - others).sum().reshape(1)

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float:
        return sums[0] / examples


def margins(experiment: Experiment, data: Any, *others: Any) -> PairTask:
    return PairTask(build.built_loss(experiment, data, others[-1]), [Wrong(), Margin()])


@pytest.fixture
def own_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is trained here measures an error rate and a margin."""
    monkeypatch.setattr(build, "built_task", margins)
    monkeypatch.setattr(check, "built_task", margins)


def trained(experiment: Experiment, root: Path) -> tuple[Path, RunResult, pd.DataFrame]:
    """A run, its result, and the rows of its epochs."""
    (outcome,) = lrbench.run([experiment], runs=root)
    assert outcome.result is not None, outcome.message
    return outcome.path, outcome.result, pd.read_csv(outcome.path / "epochs.csv")


def all_text(folder: Path) -> str:
    """Everything that can be read in a folder."""
    files = [path for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".yaml", ".md", ".html", ".svg")]
    return "\n".join(path.read_text(encoding="utf-8").lower() for path in files)


def finished(
    root: Path,
    rows: Sequence[tuple[float, ...]],
    metrics: Sequence[Metric] = OWN,
    *,
    tiny: Make,
    lr: float = 0.1,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """A run's folder with these validation losses, error rates and margins, or what of these `metrics` names."""
    experiment = tiny(optimizer={"name": "sgd", "lr": lr}, seed=seed, epochs=len(rows), **changes)
    folder = RunFolder.of(root, experiment)
    sizes = {"steps_per_epoch": 2, "total_steps": 2 * len(rows)}
    folder.create(experiment, {"threads": 1, "metrics": recorded(metrics), "sizes": sizes})
    folder.open_logs(metrics)
    folder.steps.append({"step": i + 1, "lr": lr, "loss": 1.0, "grad_norm": 1.0} for i in range(2 * len(rows)))
    names = [metric.name for metric in metrics]
    made = []
    for epoch, (loss, *values) in enumerate(rows, start=1):
        row: dict[str, Any] = {"epoch": epoch, "step": 2 * epoch, "train_loss": 2 * loss, "val_loss": loss}
        for name, value in zip(names, values, strict=False):
            row |= {f"train_{name}": value, f"val_{name}": value}
        made.append(row)
    folder.epochs.append({**row, "lr": lr, "seconds": 1.0, "examples_per_second": 10.0} for row in made)
    folder.close_logs()
    test = {name: made[-1][f"val_{name}"] for name in ("loss", *names)}
    counts: dict[str, Any] = {"epochs": len(rows), "steps": 2 * len(rows), "evaluations": len(rows)}
    counts |= {"seconds": 1.5, "effective_lr": lr}
    best = min(made, key=lambda row: row["val_loss"])
    result = RunResult(Status.FINISHED, **counts, final=made[-1], best=best, test=test, test_best=test)
    folder.finish(experiment, result)
    return folder.path


@pytest.fixture
def made(tmp_path: Path, tiny: Make) -> Path:
    """Three rates of two seeds each. The losses rise with the rate; the margin is best in the middle, below 0 first."""
    root = tmp_path / "runs"
    for lr, loss, error, margin in ((0.01, 0.3, 0.31, -0.5), (0.1, 0.4, 0.1, 3.0), (1.0, 0.5, 0.2, 1.0)):
        for seed in range(2):
            moved = seed / 100
            rows = [(2.0, 0.9, -2.0), (loss + moved, error + moved, margin + moved)]
            finished(root, rows, lr=lr, seed=seed, tiny=tiny, name=f"at {lr:g}".replace(" ", "-"))
    return root


# -- training


def test_own_metrics_are_in_every_file_of_a_run(own_task: None, tiny: Make, tmp_path: Path) -> None:
    path, result, rows = trained(tiny(epochs=3, optimizer={"name": "sgd", "lr": 0.3}), tmp_path)
    header = "epoch,step,lr,train_loss,val_loss,train_error_rate,val_error_rate,train_margin,val_margin"
    assert ",".join(rows.columns) == f"{header},seconds,examples_per_second" and len(rows) == 3
    assert not rows.isna().any(axis=None)
    environment = json.loads((path / "env.json").read_text())
    assert environment["metrics"] == {
        "error_rate": {"better": "lower", "form": "percent"},
        "margin": {"better": "higher", "form": "number"},
    }
    plain = json.loads((path / "result.json").read_text())
    values = {f"{split}_{name}" for split in ("train", "val") for name in ("loss", "error_rate", "margin")}
    assert plain["final"].keys() == plain["best"].keys() == {"epoch", "step"} | values
    assert plain["test"].keys() == plain["test_best"].keys() == {"loss", "error_rate", "margin"}
    assert plain["final"]["val_margin"] == rows["val_margin"].iloc[-1]
    assert result.metric("best_val_margin") == rows["val_margin"].tolist()[rows["val_loss"].argmin()]
    assert result.metric("test_error_rate") == plain["test"]["error_rate"]
    assert "accuracy" not in all_text(path)


def test_they_are_measured_as_the_built_in_one_is(monkeypatch: pytest.MonkeyPatch, tiny: Make, tmp_path: Path) -> None:
    """Of the same training: an error rate is what an accuracy leaves."""
    experiment = tiny(epochs=3, batch_size=24)
    _, usual, rows = trained(experiment, tmp_path / "usual")
    monkeypatch.setattr(build, "built_task", margins)
    monkeypatch.setattr(check, "built_task", margins)
    _, own, others = trained(experiment, tmp_path / "own")
    assert others["val_loss"].tolist() == rows["val_loss"].tolist()
    for split in ("train", "val"):
        assert (1 - others[f"{split}_error_rate"]).tolist() == pytest.approx(rows[f"{split}_accuracy"].tolist())
    assert usual.test is not None and own.test is not None
    assert 1 - own.test["error_rate"] == pytest.approx(usual.test["accuracy"])  # type: ignore[operator]


WILD: dict[str, Any] = {"optimizer": {"name": "sgd", "lr": 6.0, "momentum": 0.5}, "epochs": 10, "batch_size": 16}


@pytest.mark.parametrize(("by", "sign"), [("val_margin", -1), ("val_error_rate", 1)])
def test_the_best_weights_are_by_the_metric_in_its_own_direction(
    by: str, sign: int, own_task: None, tiny: Make, tmp_path: Path
) -> None:
    path, result, rows = trained(tiny(**WILD, best_by=by), tmp_path)
    values = (sign * rows[by]).tolist()
    best = values.index(min(values)) + 1
    assert result.best is not None and result.best["epoch"] == best
    assert best < 10, "else this would show nothing"
    assert result.test_best != result.test and (path / "best.pt").exists()


@pytest.mark.parametrize(("metric", "sign"), [("val_margin", -1), ("val_error_rate", 1)])
def test_early_stopping_waits_in_the_metrics_own_direction(
    metric: str, sign: int, own_task: None, tiny: Make, tmp_path: Path
) -> None:
    rule = {"metric": metric, "patience": 2}
    _, result, rows = trained(tiny(**{**WILD, "epochs": 40}, early_stopping=rule), tmp_path)
    values = (sign * rows[metric]).tolist()
    best, waited, stopped = math.inf, 0, None
    for epoch, value in enumerate(values, start=1):
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited == 2 and stopped is None:
            stopped = epoch
    assert result.status is Status.STOPPED_EARLY and result.epochs == len(rows) == stopped
    assert result.reason == f"{metric} has not improved on {sign * best:.4g} for 2 epochs"


@pytest.mark.parametrize(("metric", "sign"), [("val_margin", -1), ("val_error_rate", 1)])
def test_plateaus_are_seen_in_the_metrics_own_direction(
    metric: str, sign: int, own_task: None, tiny: Make, tmp_path: Path
) -> None:
    rule = {"metric": metric, "patience": 0, "factor": 0.5, "threshold": 0.0}
    _, _, rows = trained(tiny(**WILD, plateau=rule), tmp_path)
    lr, best, expected = 6.0, math.inf, []
    for value in (sign * rows[metric]).tolist():
        best, lr = (value, lr) if value < best else (best, lr / 2)
        expected.append(lr)  # with which the next epoch trains
    path = next(tmp_path.glob("tiny-*"))
    steps = pd.read_csv(path / "steps.csv")
    per_epoch = len(steps) // 10
    assert steps["lr"].tolist() == [rate for rate in (6.0, *expected[:-1]) for _ in range(per_epoch)]
    assert len(set(expected)) > 2, "else this would show nothing"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"best_by": "val_accuracy"}, "best_by"),
        ({"plateau": {"metric": "val_accuracy"}}, "plateau.metric"),
        ({"early_stopping": {"metric": "val_accuracy"}}, "early_stopping.metric"),
    ],
)
def test_a_metric_that_the_task_does_not_have_is_refused_before_anything_is_written(
    changes: dict[str, Any], key: str, own_task: None, tiny: Make, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="this task has no 'val_accuracy'") as caught:
        lrbench.run([tiny(**changes)], runs=tmp_path / "runs")
    assert key in str(caught.value)
    assert all(name in str(caught.value) for name in ("val_loss", "val_error_rate", "val_margin"))
    assert not (tmp_path / "runs").exists()


def test_a_run_goes_on_with_its_own_metrics(own_task: None, tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(epochs=4, batch_size=16, dataset={"name": "digits", "train_size": 64})
    _, whole, rows = trained(experiment, tmp_path / "whole")
    folder = RunFolder.of(tmp_path / "parts", experiment)
    folder.create(experiment, {})
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        train(folder, experiment, PlainTraining(), watch=silent, stop=lambda: next(calls) >= 6)  # inside epoch 2
    _, resumed, again = trained(experiment, tmp_path / "parts")
    timed = ["seconds", "examples_per_second"]
    assert rows.drop(columns=timed).equals(again.drop(columns=timed))
    assert (resumed.final, resumed.test) == (whole.final, whole.test)


def test_progress_tells_them_in_their_own_form(own_task: None, write_config: Any, cli: Any, tmp_path: Path) -> None:
    code_, out, err = cli("run", write_config(epochs=1))
    (path,) = (tmp_path / "runs").glob("tiny-*")
    final = json.loads((path / "result.json").read_text())["final"]
    told = f"val error rate {100 * final['val_error_rate']:.2f} %, val margin {final['val_margin']:.4g}"
    assert code_ == 0 and told in out + err
    assert "test loss" in out + err and "error rate" in out and "accuracy" not in (out + err).lower()


def test_only_a_start_tells_what_the_metrics_are() -> None:
    lines = Lines(Console(file=io.StringIO()))
    lines(Event("run", "progress", values={"train_loss": 0.5}))
    assert lines.metrics == KNOWN
    lines(Event("run", "start", values={"metrics": recorded(OWN)}))
    assert lines.metrics == {**KNOWN, "loss": LOSS, "error_rate": ERROR_RATE, "margin": MARGIN}


def test_lines_of_progress_show_what_they_do_not_know_as_numbers() -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text, width=200))
    lines(Event("run", "start", values={"metrics": recorded(OWN)}))
    result = RunResult(Status.FINISHED, final={"val_error_rate": 0.25, "val_other": 0.25}, test={"error_rate": 0.5})
    lines(Event("run", "end", values={"result": result}))
    assert "val error rate 25.00 %, val other 0.25; test error rate 50.00 %" in text.getvalue()


# -- tables, sentences, files


def test_load_runs_has_their_columns_alone(made: Path) -> None:
    frame = lrbench.load_runs(made)
    wanted = {
        f"{point}_{name}"
        for point in ("train", "val", "best_val", "test", "test_best")
        for name in ("loss", "error_rate", "margin")
    }
    assert wanted <= set(frame.columns) and not any("accuracy" in name for name in frame.columns)
    row = frame[(frame["config.optimizer.lr"] == 0.1) & (frame.seed == 0)].iloc[0]
    assert (row.val_margin, row.best_val_margin, row.test_error_rate) == (3.0, 3.0, 0.1)
    assert "reference_test_margin" in frame and not any("published" in name for name in frame.columns)


@pytest.mark.parametrize(
    ("metric", "said", "order"),
    [
        ("val_margin", "has the highest validation margin, 3.005", ["at-0.1", "at-1", "at-0.01"]),
        ("val_error_rate", "has the lowest validation error rate, 10.50%", ["at-0.1", "at-1", "at-0.01"]),
        ("test_margin", "has the highest test margin, 3.005", ["at-0.1", "at-1", "at-0.01"]),
        ("best_val_margin", "has the highest validation margin at its best epoch", ["at-0.1", "at-1", "at-0.01"]),
        ("val_loss", "has the lowest validation loss, 0.305", ["at-0.01", "at-0.1", "at-1"]),
    ],
)
def test_groups_are_ranked_and_told_in_the_metrics_own_direction(
    made: Path, metric: str, said: str, order: list[str]
) -> None:
    shown = gather([made], metric=metric)
    assert [group.label for group in shown.groups] == order
    assert shown.comparison is not None and shown.comparison.best.group.label == order[0]
    (first, *_) = summary(shown)
    assert first.startswith(f"{order[0]} {said}")
    assert "accuracy" not in " ".join(summary(shown)).lower()


def test_the_test_value_told_beside_a_validation_value_is_one_of_their_own(made: Path) -> None:
    (first, *_) = summary(gather([made]))
    assert first.endswith(", and a test error rate of 31.50%.")


def test_tables_have_their_columns_in_their_own_form(made: Path) -> None:
    shown = gather([made])
    text = table(shown, "markdown")
    header, _, *rows = text.splitlines()
    headings = [cell.strip() for cell in header.split("|")]
    assert {"val error rate", "val margin", "test error rate", "test margin"} <= set(headings)
    assert not any("accuracy" in heading for heading in headings)
    (middle,) = (row for row in rows if row.startswith("| at-0.1 "))
    cells = [cell.strip() for cell in middle.split("|")]
    assert cells[headings.index("val error rate")] == "10.50 % (10.00 % … 11.00 %)"
    assert cells[headings.index("val margin")] == "3.005 (3 … 3.01)"
    found = {row["run"]: row for row in csv.DictReader(io.StringIO(table(shown, "csv")))}
    assert float(found["at-0.01"]["val_margin_low"]) == -0.5 and "published_test_margin" in found["at-0.01"]
    for form in ("csv", "json", "markdown", "latex"):
        assert "accuracy" not in table(shown, form)


def test_the_terminal_has_them_too(made: Path, cli: Any) -> None:
    exit_code, out, _ = cli("report", made, "--metric", "val_margin", "--target", "val_margin=2")
    assert exit_code == 0 and "at-0.1 has the highest validation margin" in " ".join(out.split())
    assert "10.50 %" in out and "3.005" in out and "accuracy" not in out.lower()


def test_percentages_are_compared_by_points_and_numbers_by_ratios(made: Path) -> None:
    shown = gather([made], metric="val_error_rate", baseline="at-1")
    assert shown.comparison is not None
    told = {row.group.label: against(row, shown.comparison) for row in shown.comparison.rows}
    assert told["at-0.1"].startswith("-10.00 points (") and told["at-0.1"].endswith(", better")
    assert told["at-0.01"].startswith("+11.00 points (") and told["at-0.01"].endswith(", worse")
    assert shown.method is not None and "±0.2 points" in shown.method and "interval" in shown.method


def test_of_margins_more_is_better_and_one_below_zero_has_all_compared_by_difference(made: Path) -> None:
    shown = gather([made], metric="val_margin", baseline="at-1")
    assert shown.comparison is not None
    told = {row.group.label: against(row, shown.comparison) for row in shown.comparison.rows}
    assert told["at-0.1"].startswith("+2 (") and told["at-0.1"].endswith(", better")
    assert told["at-0.01"].startswith("-1.5 (") and told["at-0.01"].endswith(", worse")
    assert "points" not in " ".join(told.values())


@pytest.mark.parametrize(
    ("target", "words", "reached"),
    [
        ("val_margin=2", "val_margin ≥ 2", "at-0.1"),
        ("val_margin=-1", "val_margin ≥ -1", None),
        ("val_error_rate=0.15", "val_error_rate ≤ 0.15", "at-0.1"),
        ("val_error_rate=15%", "val_error_rate ≤ 0.15", "at-0.1"),
        ("train_error_rate=0.15", "train_error_rate ≤ 0.15", "at-0.1"),
    ],
)
def test_targets_are_reached_in_the_metrics_own_direction(
    made: Path, target: str, words: str, reached: str | None
) -> None:
    shown = gather([made], target=target)
    assert shown.target is not None and shown.target.words == words
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(table(shown, "csv")))}
    there = [name for name, row in rows.items() if row["reached_target"] == "2"]
    assert there == ([reached] if reached else ["at-0.01", "at-0.1", "at-1"])
    assert all(rows[name]["epochs_to_target"] == "2" for name in there)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"metric": "val_accuracy"}, "metric val_accuracy: no such metric; known: train_loss"),
        ({"target": "val_accuracy=0.9"}, "target val_accuracy=0.9: must be a metric (train_loss"),
        ({"target": "val_error_rate=2"}, "val_error_rate must be between 0 and 1"),
        ({"target": "test_margin=2"}, "target test_margin=2: must be a metric"),
    ],
)
def test_metrics_that_no_run_has_are_refused(made: Path, words: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        gather([made], **words)
    text = str(caught.value)
    assert problem in text
    if "between" not in problem:
        listed = text.partition(": ")[2]
        assert "val_margin" in listed and "accuracy" not in listed


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("metric", ["val_margin", "test_error_rate"])
def test_a_whole_report_names_nothing_else(made: Path, metric: str) -> None:
    written = report([made], metric=metric, target="val_error_rate=0.15")
    text = all_text(written.page.parent)
    assert "accuracy" not in text and "error rate" in text and "margin" in text
    assert {"seeds.png", "rates.svg", "target.svg", "winner.py", "runs.csv"} <= {path.name for path in written.files}
    assert all(path.stat().st_size > 300 for path in written.files)


def test_a_published_result_of_an_own_metric_is_shown(tmp_path: Path, tiny: Make) -> None:
    finished(tmp_path / "runs", [(0.5, 0.2, 1.0)], tiny=tiny, reference={"test_margin": 1.25, "source": "a book"})
    shown = gather([tmp_path / "runs"])
    assert "published test margin" in table(shown, "markdown") and "1.25" in table(shown, "markdown")
    (row,) = csv.DictReader(io.StringIO(table(shown, "csv")))
    assert row["published_test_margin"] == "1.25"
    assert lrbench.load_runs(tmp_path / "runs")["reference_test_margin"].tolist() == [1.25]


def test_generated_code_knows_the_direction(tiny: Make) -> None:
    experiment = tiny(plateau={"metric": "val_margin", "patience": 1})
    text = code(experiment.plain(), Environment(metrics=recorded(OWN)))
    assert 'mode="max"' in text and "val_margin = evaluate(model)  # your function: margin on the validation" in text
    assert "threshold equals lrbench's as long as the margin is above 0" in text
    experiment = tiny(plateau={"metric": "val_error_rate", "patience": 1})
    text = code(experiment.plain(), Environment(metrics=recorded(OWN)))
    assert "mode=" not in text and "plateau.step(val_error_rate)" in text and "above 0" not in text


def test_generated_code_says_how_often_the_run_looked(tiny: Make) -> None:
    rules: dict[str, Any] = {"plateau": {"patience": 2}, "early_stopping": {"patience": 4}}
    text = code(tiny(eval_every="3 steps", **rules).plain(), Environment())
    joined = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    assert "not in this code: the plateau rule. After each evaluation, every 3 steps, lrbench multiplied" in joined
    assert "for more than 2 evaluations" in joined
    assert "had not improved for 4 evaluations; it evaluated every 3 steps" in joined
    assert "ReduceLROnPlateau" not in text and "evaluat" not in code(tiny().plain(), Environment())


# -- figures


def test_the_sensitivity_is_by_the_metric_in_its_own_direction(made: Path) -> None:
    records = read_runs([made])
    groups = grouped(records)
    margin, error = measure_named(records, "val_margin"), measure_named(records, "val_error_rate")
    (found,) = families(groups, margin)
    best = found.best(margin)
    assert best is not None and best.lr == 0.1 and found.edge(margin) == ""
    assert family_words(found, margin).startswith("at: best at 0.1 (val margin 3.005, mean of 2 seeds); no ")
    assert "within 10 % of it" in family_words(found, margin)
    (found,) = families(groups, error)
    assert family_words(found, error).startswith("at: best at 0.1 (val error rate 10.50 %, mean of 2 seeds); no ")
    assert "within 1.1 points of it" in family_words(found, error), "a tenth of the errors"
    upper = draw([found], error).axes[0]
    assert upper.get_ylabel() == "validation error rate" and upper.get_yscale() == "linear"
    upper = draw(families(groups, margin), margin).axes[0]
    assert upper.get_ylabel() == "validation margin" and upper.get_ylim()[0] < -0.5


def test_charts_have_their_curves(made: Path) -> None:
    data = charted(gather([made]).groups)
    assert data["metrics"] == {
        "loss": {"better": "lower", "form": "number"},
        "error_rate": {"better": "lower", "form": "percent"},
        "margin": {"better": "higher", "form": "number"},
    }
    (middle,) = (group for group in data["groups"] if group["label"] == "at-0.1")
    assert middle["val_margin"]["median"] == [-2, 3.005] and middle["train_error_rate"]["high"] == [0.9, 0.11]
    assert not any("accuracy" in key for group in data["groups"] for key in group)


@pytest.fixture
def page(rendered: None) -> Iterator[Callable[[Path], Any]]:
    """Opens a page in a real browser, in which nothing may go wrong."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, or its path in LRBENCH_CHROMIUM")
    wrong: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def opened(path: Path) -> Any:
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            tab.set_default_timeout(10_000)
            tab.on("console", lambda message: wrong.append(message.text))
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.goto(path.as_uri())
            tab.locator("html.ready").wait_for(state="attached")
            return tab

        yield opened
        browser.close()
    assert wrong == []


def test_the_page_switches_between_them(made: Path, page: Callable[[Path], Any]) -> None:
    tab = page(report([made]).page)
    title, values = tab.locator("[data-title=s1]"), tab.locator(".legend .value, .ends .value")

    def read_the_last() -> list[str]:
        tab.locator(".overlay").focus()
        tab.keyboard.press("End")
        return sorted(values.all_inner_texts())

    labels = tab.locator("input[data-view=measure]").evaluate_all("all => all.map(one => one.parentElement.innerText)")
    assert labels == ["loss", "error rate", "margin"]
    tab.get_by_label("error rate", exact=True).check()
    assert title.inner_text() == "Validation error rate", "less is better already: it is not turned"
    assert read_the_last() == ["10.50 %", "20.50 %", "31.50 %"]
    tab.get_by_label("margin", exact=True).check()
    assert title.inner_text() == "Validation margin"
    assert read_the_last() == ["-0.495", "1.005", "3.005"], "below 0 too"
    assert tab.get_by_label("loss or error").is_disabled(), "there is no log axis for these"
    tab.get_by_label("training", exact=True).check()
    assert title.inner_text() == "Training margin"
    tab.locator("#panels .card .both").first.focus()
    tab.keyboard.press("End")
    told = tab.locator("#panels .readout").first.inner_text()
    assert "epoch 2: validation -0.495, training -0.495, learning rate 0.01" in told
    tab.get_by_label("loss", exact=True).check()
    assert tab.get_by_label("loss or error").is_enabled()
    assert "accuracy" not in tab.locator("body").inner_text().lower()


# -- other tasks beside them, or none


def test_a_regression_has_no_accuracy_anywhere(
    cli: Any, write_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    config = write_config(dataset="golden.parts:regression", loss="mse", optimizer={"name": "sgd", "lr": 0.01})
    exit_code, out, err = cli("run", config, "--seeds", "2")
    assert exit_code == 0, err
    said = [out + err, cli("report", "runs")[1], cli("report", "runs", "--format", "csv")[1]]
    assert "accuracy" not in "".join(said).lower() and "test" in said[1]
    assert "accuracy" not in all_text(tmp_path / "runs")
    header = next((tmp_path / "runs").glob("tiny-*/epochs.csv")).read_text().splitlines()[0]
    assert header == "epoch,step,lr,train_loss,val_loss,seconds,examples_per_second"
    assert not any("accuracy" in name for name in lrbench.load_runs(tmp_path / "runs").columns)
    exit_code, _, err = cli("report", "runs", "--metric", "val_accuracy")
    assert exit_code == 2 and "no such metric" in err


def test_nor_has_one_in_a_folder_of_format_1(tmp_path: Path, tiny: Make) -> None:
    """Whose columns were there, and empty."""
    path = finished(tmp_path / "runs", [(0.5,), (0.4,)], (), tiny=tiny, loss="mse")
    environment = json.loads((path / "env.json").read_text())
    for key in ("metrics", "format"):
        environment.pop(key)
    (path / "env.json").write_text(json.dumps(environment))
    plain = json.loads((path / "result.json").read_text())
    plain["final"] |= {"train_accuracy": None, "val_accuracy": None}
    plain["test"]["accuracy"] = plain["test_best"]["accuracy"] = None
    (path / "result.json").write_text(json.dumps({**plain, "format": 1}))
    lines = ["epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds,images_per_second"]
    lines += ["1,2,0.1,1.0,,0.5,,1.0,10.0", "2,4,0.1,0.8,,0.4,,1.0,10.0"]
    (path / "epochs.csv").write_text("\n".join(lines) + "\n")
    shown = gather([tmp_path / "runs"])
    assert shown.records[0].status is Status.FINISHED, shown.records[0].problem
    assert "accuracy" not in table(shown, "csv") + table(shown, "markdown")
    assert not any("accuracy" in name for name in lrbench.load_runs(tmp_path / "runs").columns)


def mixed(make_run: MakeRun, tiny: Make, root: Path) -> None:
    """Runs with an accuracy, with metrics of their own, with none, and a run that was not begun."""
    for lr in (0.1, 0.2, 0.4):
        make_run([1.0, 0.5 + lr], lr=lr)
        finished(root, [(1.0, 0.5, 0.0), (0.4 + lr, 0.2, 1.0)], lr=lr, tiny=tiny, name="own", batch_size=16)
        finished(root, [(0.3 + lr,)], (), lr=lr, tiny=tiny, name="none", batch_size=8)
    begun = tiny(name="begun", batch_size=4)
    RunFolder.of(root, begun).create(begun, {"threads": 1})


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy", "val_margin", "test_error_rate", "best_val_margin"])
def test_runs_with_different_metrics_are_reported_together(
    make_run: MakeRun, tiny: Make, tmp_path: Path, metric: str
) -> None:
    root = tmp_path / "runs"
    mixed(make_run, tiny, root)
    written: Report = report([root], metric=metric, target="val_margin=0.5")
    assert not written.damaged and len(written.groups) == 10
    assert written.comparison is not None
    names = {row.group.first.name for row in written.comparison.rows}
    assert names == ({"tiny", "own", "none"} if metric == "val_loss" else {"tiny"} if "acc" in metric else {"own"})
    rows = list(csv.DictReader(io.StringIO(table(written.shown, "csv"))))
    for row in rows:
        name = row["run"].split()[0]
        assert bool(row["val_accuracy"]) == (name == "tiny") and bool(row["val_margin"]) == (name == "own")
    header = table(written.shown, "markdown").splitlines()[0]
    assert all(f" {heading} |" in header for heading in ("val accuracy", "val error rate", "val margin"))
    frame = lrbench.load_runs(root)
    assert frame.set_index("name").loc["own"].val_accuracy.isna().all() and frame.val_margin.notna().sum() == 3
    data = charted(written.groups)
    assert set(data["metrics"]) == {"loss", "accuracy", "error_rate", "margin"}


def test_the_page_of_different_metrics(
    make_run: MakeRun, tiny: Make, tmp_path: Path, page: Callable[[Path], Any]
) -> None:
    mixed(make_run, tiny, tmp_path / "runs")
    tab = page(report([tmp_path / "runs"]).page)
    offered = {
        tuple(one.locator("input[data-view=measure]").evaluate_all("all => all.map((one) => one.value)"))
        for one in tab.locator(".switches").all()
    }
    assert offered == {("loss", "error_rate", "margin", "accuracy")}
    own = tab.locator(".switches", has=tab.locator("input[value=margin]"))
    own.get_by_label("margin", exact=True).check()
    assert tab.locator("[data-title]").all_inner_texts() == ["Validation margin"]


def test_what_was_not_begun_brings_no_metric(made: Path, tiny: Make) -> None:
    begun = tiny(name="begun", batch_size=4)
    RunFolder.of(made, begun).create(begun, {"threads": 1})
    (made / "broken").mkdir()
    (made / "broken" / "config.yaml").write_text("name: [")
    shown = gather([made])
    assert len(shown.groups) == 5
    assert "accuracy" not in table(shown, "csv") + table(shown, "markdown")
    assert not any("accuracy" in name for name in lrbench.load_runs(made).columns)


def test_before_any_run_is_begun_the_usual_metrics_can_be_asked_for(tmp_path: Path, tiny: Make) -> None:
    begun = tiny()
    RunFolder.of(tmp_path, begun).create(begun, {"threads": 1})
    assert gather([tmp_path], metric="val_accuracy").comparison is None


def test_a_sweep_sums_them_up(own_task: None, write_config: Any, tmp_path: Path) -> None:
    config = write_config(epochs=2)
    asked = lrbench.sweep([config], runs=tmp_path / "runs", jobs=1, lr=[0.01, 0.1, 1.0], seeds=2)
    rows = list(asked.summary().rows())
    assert {"val_margin_median", "val_error_rate_low", "test_margin_high", "test_error_rate_median"} <= rows[0].keys()
    assert not any("accuracy" in key for row in rows for key in row)
    assert "accuracy" not in " ".join(summary_words(asked.summary()))
    shutil.rmtree(asked.outcomes[0].path)  # one that is still to be done
    left = asked.summary()
    assert left.missing == 1 and not any("accuracy" in key for row in left.rows() for key in row)


def test_many_metrics_share_a_column_of_the_terminal() -> None:
    def column(name: str, text: str) -> Column:
        return Column(name, lambda _: text, lambda _: {}, name=name.replace(" ", "_"))

    few = [column("run", "a"), column("test loss", "1"), *(column(f"test m{i}", str(i)) for i in range(3))]
    assert _few_metrics(few) == few
    *_, merged, last = _few_metrics([*few, column("test m3", "–"), column("time", "1 s")])
    group: Any = None
    assert merged.heading == "test metrics" and merged.lines(group) == ["m0 0", "m1 1", "m2 2"]
    assert last.heading == "time"
