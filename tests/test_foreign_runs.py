"""Runs of other programs in the analysis, the report and the summary of a sweep."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from foreign import command_run, curve, foreign_run, recorded_run, rows

from lrbench.analysis import (
    DEFAULT_METRIC,
    Target,
    budgets,
    compare_groups,
    default_metric,
    doubts,
    families,
    family_words,
    grouped,
    kept,
    load_runs,
    measure_named,
    read_runs,
    task_of,
    time_to_target,
)
from lrbench.analysis.verdicts import Curves, verdict
from lrbench.config import dump_yaml, read_config
from lrbench.errors import UsageError
from lrbench.reports import compare as lrbench_compare
from lrbench.reports import report, save_summary, summary, summary_words
from lrbench.reports.headline import charted_metrics, headline
from lrbench.reports.page.chart_data import charted
from lrbench.reports.reporting import gather
from lrbench.reports.winner import winner
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.sweeps import SweepFolder
from lrbench.sweeps.plan import Plan, Planned
from lrbench.sweeps.status import Board, board_of
from lrbench.sweeps.summary import summarize

MakeRun = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")


def groups_in(root: Path, **how: Any) -> list[Any]:
    return grouped(read_runs([root]), **how)


# -- reading


def test_rows_stay_that_know_neither_epoch_nor_step_nor_learning_rate(tmp_path: Path) -> None:
    path = recorded_run(tmp_path, [{"val_f1": 0.5}, {"val_f1": 0.75}], seed=3)
    (record,) = read_runs([tmp_path])
    assert record.status is Status.FINISHED and record.problem == ""
    assert record.foreign and record.source == "lrbench.record"
    assert record.epochs["val_f1"].tolist() == [0.5, 0.75]
    assert np.isnan(record.epochs["epoch"]).all() and np.isnan(record.epochs["lr"]).all()
    assert list(record.metrics) == ["f1"]
    assert record.metric("val_f1") == 0.75 and record.metric("val_loss") is None
    assert record.verdict is None and record.epochs_done is None
    assert RunFolder(path).result_of(record.experiment) is not None  # type: ignore[arg-type]


def test_the_final_values_are_those_of_the_last_evaluation_on_validation_data(tmp_path: Path) -> None:
    found = [
        {"val_loss": 0.5, "step": 10},
        {"val_loss": 0.4, "val_f1": 0.6, "step": 20},
        {"train_loss": 0.3, "step": 20},
    ]
    recorded_run(tmp_path, found)
    (record,) = read_runs([tmp_path])
    assert record.result is not None and record.result.evaluations == 3 and record.result.steps == 20
    wanted = {"step": 20, "val_loss": 0.4, "val_f1": 0.6, "train_loss": 0.3}
    assert {name: record.result.final[name] for name in wanted} == wanted  # type: ignore[index]
    assert groups_in(tmp_path)[0].lost("val_f1") == 0


def test_a_metric_that_the_last_evaluation_lacks_is_lost(tmp_path: Path) -> None:
    recorded_run(tmp_path, [{"val_loss": 0.5, "val_f1": 0.6}, {"val_loss": 0.4, "val_f1": math.nan}])
    (group,) = groups_in(tmp_path)
    assert (group.lost("val_f1"), group.lost("val_loss"), group.lost("val_accuracy")) == (1, 0, 0)


def test_columns_that_a_file_lacks_are_unknown(tmp_path: Path) -> None:
    path = recorded_run(tmp_path, rows([0.5, 0.4]))
    (path / "epochs.csv").write_text("step,val_loss\n10,0.5\n20,0.4\n")
    (record,) = read_runs([tmp_path])
    assert record.problem == "" and record.epochs["step"].tolist() == [10, 20]
    assert np.isnan(record.epochs["train_loss"]).all()


def test_what_is_wrong_with_recorded_json_is_told(tmp_path: Path) -> None:
    path = recorded_run(tmp_path, rows([0.5]))
    (path / "recorded.json").write_text("{")
    (record,) = read_runs([tmp_path])
    assert record.status is Status.DAMAGED and "recorded.json" in record.problem


def test_without_a_result_and_without_a_lock_it_was_interrupted(tmp_path: Path) -> None:
    path = command_run(tmp_path, rows([0.5, 0.4], epochs=False, every=30), status=None, total_steps=300)
    assert groups_in(tmp_path)[0].status() == "interrupted, 60 of 300 steps done"
    with RunFolder(path).lock():
        assert groups_in(tmp_path)[0].status() == "running, 60 of 300 steps done"
    (path / "epochs.csv").unlink()
    assert read_runs([tmp_path])[0].status is Status.INTERRUPTED


def test_the_table_of_runs_names_their_source(tmp_path: Path, make_run: MakeRun) -> None:
    make_run([0.5])
    command_run(tmp_path / "runs", rows([0.4, 0.3]), test={"f1": 0.75})
    recorded_run(tmp_path / "runs", [{"val_f1": 0.5}], by="tensorboard")
    table = load_runs(tmp_path / "runs").set_index("name")
    assert table["source"].to_dict() == {"tiny": "lrbench", "train": "a command", "script": "tensorboard"}
    assert table.loc["train", ["epochs", "val_loss", "test_f1", "config.params.lr"]].tolist() == [2, 0.3, 0.75, 0.1]
    assert np.isnan(table.loc["script", "epochs"]) and np.isnan(table.loc["script", "val_loss"])


# -- groups


def test_repeats_of_unknown_seed_are_independent(tmp_path: Path) -> None:
    for name, level in (("a", 0.5), ("b", 0.7)):
        for number in range(3):
            recorded_run(tmp_path, rows([level + number / 100]), name=name, run=str(number))
    first, second = groups_in(tmp_path)
    assert len(first.values("val_loss")) == 3 and first.label == "a"
    assert not first.values("val_loss").keys() & second.values("val_loss").keys()
    compared = compare_groups([first, second])
    assert compared is not None
    difference = compared.row(second).difference  # type: ignore[union-attr]
    assert difference is not None and not difference.paired and difference.n == 3
    said = [text for _, text in doubts([first, second], compared.measure)]
    assert "No seeds are known, so each repeat counts as an independent run." in said


def test_one_seed_twice_is_two_runs(tmp_path: Path) -> None:
    for run in "ab":
        recorded_run(tmp_path, rows([0.5]), seed=0, run=run)
    (only,) = groups_in(tmp_path)
    assert len(only.values("val_loss")) == 2


def test_known_seeds_pair(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for seed in range(3):
            command_run(tmp_path, rows([lr + seed]), lr=lr, seed=seed)
    compared = compare_groups(groups_in(tmp_path))
    assert compared is not None and compared.rows[1].difference.paired  # type: ignore[union-attr]
    assert doubts([row.group for row in compared.rows], compared.measure) == []


def test_a_metric_that_a_program_does_not_measure_is_not_lost(tmp_path: Path) -> None:
    for run in "ab":
        recorded_run(tmp_path, rows([0.4], f1=True), name="f1", run=run)
        recorded_run(tmp_path, rows([0.4]), name="loss", run=run)
    compared = compare_groups(groups_in(tmp_path), "val_loss")
    assert compared is not None and [row.group.label for row in compared.rows] == ["loss"]


@pytest.mark.parametrize(
    ("epochs", "every", "axis", "places"),
    [(True, 10, "epoch", [1, 2]), (False, 10, "step", [10, 20]), (False, 0, "evaluation", [1, 2])],
)
def test_curves_are_drawn_over_what_all_runs_know(
    tmp_path: Path, epochs: bool, every: int, axis: str, places: list[int]
) -> None:
    command_run(tmp_path, rows([0.5, 0.4], epochs=epochs, every=every))
    command_run(tmp_path, rows([0.5, 0.4], every=10), seed=1)
    (group,) = groups_in(tmp_path)
    assert group.axis == axis
    assert group.curve("val_loss").places.tolist() == places
    assert charted([group])["axis"] == axis


def test_own_runs_are_drawn_over_steps_beside_runs_that_know_no_epochs(tmp_path: Path, make_run: MakeRun) -> None:
    make_run([0.5, 0.4])
    command_run(tmp_path / "runs", rows([0.5, 0.4], epochs=False, every=10))
    own, theirs = sorted(groups_in(tmp_path / "runs"), key=lambda group: group.foreign)
    assert own.curve("val_loss").places.tolist() == [2, 4] and own.rates()[0].tolist() == [1, 2, 3, 4]
    assert theirs.last == 20 and not len(theirs.rates()[0])


def test_learning_rates_by_epoch_from_steps_or_else_from_evaluations(tmp_path: Path) -> None:
    command_run(tmp_path / "a", rows([0.5, 0.4], every=2), rates=lambda step: 0.1 / (step + 1))
    places, rates = groups_in(tmp_path / "a")[0].rates()
    assert places.tolist() == [0.5, 1, 1.5, 2] and np.allclose(rates, [0.1, 0.05, 0.1 / 3, 0.025])
    recorded_run(tmp_path / "b", [{"epoch": 1, "val_loss": 0.5, "lr": 0.2}, {"epoch": 2, "val_loss": 0.4, "lr": 0.1}])
    places, rates = groups_in(tmp_path / "b")[0].rates()
    assert (places.tolist(), rates.tolist()) == ([1, 2], [0.2, 0.1])


# -- the metric


def test_the_metric_is_the_loss_or_what_runs_have(tmp_path: Path, make_run: MakeRun) -> None:
    recorded_run(tmp_path / "runs", [{"val_accuracy": 0.5, "val_f1": 0.6}])
    assert default_metric(read_runs([tmp_path / "runs"])) == "val_accuracy"
    foreign_run(
        tmp_path / "runs", [{"val_f1": 0.6, "val_accuracy": 0.1}], {"name": "b", "recorded": "x", "best_by": "val_f1"}
    )
    assert default_metric(read_runs([tmp_path / "runs"])) == "val_f1"
    make_run([0.5])
    assert default_metric(read_runs([tmp_path / "runs"])) == DEFAULT_METRIC


def test_runs_with_only_a_training_loss_are_compared_by_it(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        command_run(tmp_path, [{"train_loss": lr, "step": 5}], lr=lr)
    shown = gather([tmp_path])
    assert shown.comparison is not None and shown.comparison.measure.name == "train_loss"
    assert shown.comparison.best.group.label == "train lr=0.1"
    assert headline(shown.groups).name == "train_loss"


def test_only_f1(tmp_path: Path) -> None:
    for lr, level in ((0.1, 0.3), (0.2, 0.5)):
        for seed in range(2):
            command_run(tmp_path, rows([level + seed / 50], f1=True), lr=lr, seed=seed)
    made = report([tmp_path], tmp_path / "out", target="val_f1=70%")
    assert made.metric == "val_f1" and made.groups[0].label == "train lr=0.1"
    assert list(charted_metrics(made.groups)) == ["f1", "loss"]  # the training loss is there
    text = " ".join(summary(made))
    assert "has the highest validation F1" in text
    assert "No run has a val loss, so runs are compared by val F1." in text
    assert "lrbench did not train these runs; their source is a command." in text
    assert "lr 0.1 reaches val_f1 ≥ 0.7 first, after 1 epoch (0.0 s); never: lr 0.2." in text
    page = made.page.read_text()
    assert ">Validation F1</h2>" in page and "val F1" in page.split("<thead", 1)[1]
    assert not re.search(r">\s*val loss\s*<", page), "no column of it"
    assert "validation F1" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(UsageError, match=r"no such metric; known: .*val_f1"):
        report([tmp_path], metric="val_loss_of_nothing")


# -- labels, filters, families


def test_labels_are_short(tmp_path: Path) -> None:
    for version, schedule in (("a", "cosine"), ("b", "linear")):
        config = {"files": {"train.py": version * 64}}
        command_run(tmp_path, rows([0.5]), schedule=schedule, lr=0.1 if version == "a" else 0.2, config=config)
    labels = sorted(group.label for group in groups_in(tmp_path))
    assert labels == [
        "train lr=0.1 schedule=cosine train.py=aaaaaaa",
        "train lr=0.2 schedule=linear train.py=bbbbbbb",
    ]


def test_a_parameter_called_name_hides_no_others(tmp_path: Path) -> None:
    for name, width in (("a", 1), ("b", 2)):
        recorded_run(tmp_path, rows([0.5]), params={"name": name, "width": width})
    assert sorted(group.label for group in groups_in(tmp_path)) == ["script name=a width=1", "script name=b width=2"]


def test_parameters_with_the_same_end_are_written_in_full(tmp_path: Path) -> None:
    for encoder, decoder in ((1, 2), (3, 4)):
        recorded_run(tmp_path, rows([0.5]), params={"encoder": {"width": encoder}, "decoder": {"width": decoder}})
    labels = sorted(group.label for group in groups_in(tmp_path))
    assert labels[0] == "script encoder.width=1 decoder.width=2"


def test_filters_by_parameters(tmp_path: Path, make_run: MakeRun) -> None:
    make_run([0.5], lr=0.1)
    for lr in (0.1, 0.3):
        command_run(tmp_path / "runs", rows([0.5]), lr=lr, schedule="cosine")
    recorded_run(tmp_path / "runs", rows([0.5]), params={"optim": {"learning_rate": 0.3}, "model": {"name": "cnn"}})
    records = read_runs([tmp_path / "runs"])
    for text, count in (
        ("lr=0.1", 2),
        ("lr>=0.3", 2),
        ("schedule=cosine", 2),
        ("schedule=constant", 1),
        ("params.lr=0.3", 1),
        ("model=cnn", 1),
    ):
        assert len(kept(records, [text])) == count, text


def test_families_of_learning_rates_by_schedule(tmp_path: Path) -> None:
    for schedule, best in (("constant", 0.1), ("cosine", 0.3)):
        for lr in (0.03, 0.1, 0.3):
            for seed in range(2):
                loss = 0.2 + abs(math.log10(lr / best)) + seed / 100
                command_run(tmp_path, rows(curve(loss), f1=True), lr=lr, schedule=schedule, seed=seed)
    groups = groups_in(tmp_path)
    measure = measure_named(read_runs([tmp_path]), "val_f1")
    found = families(groups, measure)
    assert {family.label for family in found} == {"schedule constant", "schedule cosine"}
    words = {family.label: family_words(family, measure) for family in found}
    assert "best at 0.1 (val F1" in words["schedule constant"]
    assert "so try higher ones" in words["schedule cosine"]


# -- what may be compared, and what weakens it


def test_data_sets_that_parameters_name_are_not_mixed(tmp_path: Path, make_run: MakeRun) -> None:
    for dataset in ("mnist", "cifar10"):
        recorded_run(tmp_path / "runs", rows([0.5]), name=dataset, params={"dataset": dataset})
    shown = gather([tmp_path / "runs"])
    assert shown.comparison is None and "different tasks (cifar10; mnist)" in summary(shown)[0]
    assert report([tmp_path / "runs"], standalone=True).incomplete.startswith("winner.py is not written")
    shown = gather([tmp_path / "runs"], filters=["dataset=mnist"])
    assert shown.comparison is not None and task_of(shown.groups[0]) == "mnist"
    make_run([0.5])
    assert gather([tmp_path / "runs"], filters=["dataset=mnist|tiny"]).comparison is not None


def test_a_script_alone_and_in_a_command_is_one_program(tmp_path: Path) -> None:
    alone = {"arguments": ["/home/me/train.py", "--lr", "0.1"]}
    recorded_run(tmp_path / "runs", rows([0.5, 0.4]), seed=0, environment=alone)
    command_run(tmp_path / "runs", rows([0.5, 0.3]))
    assert "Different programs" not in " ".join(summary(gather([tmp_path / "runs"])))
    other = {"arguments": ["/home/me/other.py"]}
    recorded_run(tmp_path / "runs", rows([0.5, 0.4]), seed=0, name="other", environment=other)
    assert "Different programs trained these runs (" in " ".join(summary(gather([tmp_path / "runs"])))


def test_own_and_foreign_runs_are_compared_with_a_warning_and_marked(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in range(2):
        make_run([0.5, 0.4 + seed / 100], seed=seed, name="own")
        command_run(tmp_path / "runs", rows([0.5, 0.3 + seed / 100]), seed=seed, name="theirs")
    made = report([tmp_path / "runs"])
    assert [group.label for group in made.groups] == ["theirs (a command)", "own"]
    text = " ".join(summary(made))
    assert "Runs that lrbench did not train name their source" in text
    assert "Different programs trained these runs (python train.py --lr {lr} --schedule {schedule}; lrbench)" in text
    assert "Unequal" not in text and "No seeds" not in text
    assert "theirs (a command)" in (tmp_path / "runs/report/report.md").read_text()
    table = (tmp_path / "runs/report/report.csv").read_text().splitlines()
    assert table[0].split(",")[4] == "source" and table[1].split(",")[4] == "a command"


def said_of(root: Path, metric: str | None = None) -> str:
    compared = compare_groups(groups_in(root), metric)
    assert compared is not None
    return " ".join(text for _, text in doubts([row.group for row in compared.rows], compared.measure))


def test_unequal_lengths(tmp_path: Path) -> None:
    command_run(tmp_path, rows([0.5, 0.4, 0.3]), lr=0.1)
    command_run(tmp_path, rows([0.5, 0.4]), lr=0.2)
    found = {words: [group.label for group in members] for words, members in budgets(groups_in(tmp_path)).items()}
    assert found == {"2 epochs": ["train lr=0.2"], "3 epochs": ["train lr=0.1"]}
    recorded_run(tmp_path, rows([0.5], epochs=False))  # neither epochs nor steps are known of all
    assert budgets(groups_in(tmp_path)) == {}


def test_the_same_length_is_no_warning(tmp_path: Path) -> None:
    command_run(tmp_path, rows([0.5, 0.4], epochs=False, every=100), lr=0.1)
    command_run(tmp_path, rows([0.5, 0.4], epochs=False, every=102), lr=0.2)
    assert list(budgets(groups_in(tmp_path))) == ["200 steps"]
    assert said_of(tmp_path) == ""


def test_intervals_notes_and_machines(tmp_path: Path) -> None:
    smooth = "values are smoothed (0.6)"
    command_run(tmp_path, rows(curve(0.3, 4), every=5), lr=0.1, environment={"host": "a"}, notes=(smooth,))
    command_run(tmp_path, rows(curve(0.3, 2), epochs=False, every=10), lr=0.2, environment={"host": "b"})
    text = said_of(tmp_path)
    assert f"lr 0.1: {smooth}." in text
    assert "Evaluated at different intervals (every 5 steps: lr 0.1; every 10 steps: lr 0.2)" in text
    assert "These runs ran on 2 machines (a, b), so their times can't be compared." in text


@pytest.mark.parametrize(
    ("metric", "config"), [("val_best_f1", {}), ("val_f1", {"metrics": {"val_f1": "best_f1"}})], ids=["name", "column"]
)
def test_a_value_that_is_the_best_of_the_run(tmp_path: Path, metric: str, config: dict[str, Any]) -> None:
    command_run(tmp_path, [{metric: 0.5}], config=config)
    assert "is 'best_f1': by its name, the best of the run, not the last." in said_of(tmp_path)
    command_run(tmp_path / "other", [{"val_f1": 0.5}])
    assert said_of(tmp_path / "other") == ""


def test_seeds_that_change_nothing_are_told(tmp_path: Path) -> None:
    for seed, value in ((0, 0.5), (1, 0.5)):
        command_run(tmp_path, rows([value]), lr=0.1, seed=seed)
        command_run(tmp_path, rows([value + seed / 100]), lr=0.2, seed=seed)
    text = said_of(tmp_path)
    assert "All seeds of lr 0.1 have exactly the same validation loss" in text
    assert "nothing is known of the spread" in text


def test_scripts_that_changed(tmp_path: Path) -> None:
    for lr, version in ((0.1, "a"), (0.2, "a"), (0.3, "b")):
        command_run(tmp_path, rows([lr]), lr=lr, config={"files": {"train.py": version * 64}})
    assert "train.py changed between these runs (aaaaaaa: " in said_of(tmp_path)


def test_own_runs_have_no_caveats(tmp_path: Path, make_run: MakeRun) -> None:
    make_run([0.5], lr=0.1)
    make_run([0.5, 0.4], lr=0.2)
    assert said_of(tmp_path / "runs") == ""


def test_two_groups_and_a_target(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in range(3):
        make_run([0.5, 0.4 + seed / 100], seed=seed, name="own")
        for lr in (0.1, 0.9):
            loss = [0.5, lr + seed / 100]
            command_run(tmp_path / "runs", rows(loss, epochs=False, every=10), lr=lr, seed=seed)
    better = lrbench_compare("train lr=0.1*", "own", runs=[tmp_path / "runs"])
    assert better.word == "better" and "different_programs" in [warning.code for warning in better.warnings]
    passes = lrbench_compare("train lr=0.1*", target="val_loss=0.3", runs=[tmp_path / "runs"])
    assert passes.word == "passes" and "it first passes at step 20" in passes.text and "nan" not in passes.text


# -- verdicts


def verdict_of(losses: list[float], **changes: Any) -> Any:
    known = {"lr": [], "train_loss": [math.nan] * len(losses), "own": False, "unit": "evaluation", **changes}
    return verdict(Curves(val_loss=losses, status="finished", **known))


def test_verdicts_without_training_loss_and_learning_rate() -> None:
    risen = verdict_of([1.0, 0.5, 0.4, 0.45, 0.5, 0.6, 0.7, 0.7])
    assert risen.label == "past its best" and "training loss" in risen.evidence
    assert risen.advice == "stop at evaluation 3, or decay the learning rate"
    slow = verdict_of([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert slow.label == "too slow" and slow.advice == "train longer, or try 3 times larger"
    assert verdict_of([1.0, 0.5, 0.4, 0.4, 0.4, 0.4]).label == "converged"
    fell = verdict_of([1.0, 0.5, 0.4, 0.45, 0.5, 0.6, 0.7, 0.7], train_loss=[1.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])
    assert fell.label == "overfitting" and "best.pt" not in fell.advice


def test_a_verdict_of_a_recorded_run(tmp_path: Path) -> None:
    command_run(tmp_path, [*rows([1.0, 0.9]), {"train_loss": 0.1}, *rows([0.8, 0.7], epochs=False)], lr=0.2)
    (record,) = read_runs([tmp_path])
    assert record.verdict is not None and not record.by_epoch
    assert record.verdict.label == "too slow" and record.verdict.advice.endswith("try 3 times larger, 0.6")


def test_diverged(tmp_path: Path) -> None:
    recorded_run(tmp_path, rows([1.0, math.nan], epochs=False), params={"lr": 1.0})
    (group,) = groups_in(tmp_path)
    assert group.status() == "diverged" and group.lost("val_loss") == 1
    assert group.first.verdict.advice == "try 10 times smaller, 0.1"


# -- targets


def test_targets_in_steps_and_in_evaluations(tmp_path: Path) -> None:
    for every, axis, count in ((100, "step", 200.0), (0, "evaluation", 2.0)):
        root = tmp_path / axis
        command_run(root, rows([0.5, 0.3, 0.1], epochs=False, every=every))
        target = Target.parse("val_loss=0.3", read_runs([root]))
        (group,) = groups_in(root)
        found = time_to_target(group, target, axis)  # type: ignore[arg-type]
        assert found is not None and found.times == (count,) and time_to_target(group, target, "epoch") is None
        shown = gather([root], target="val_loss=0.3")
        assert f"first, after {count:.0f} {axis}s" in " ".join(summary(shown))
        headings = [column.heading.partition(" to")[0] for column in shown.columns]
        unit = "updates" if axis == "step" else "evaluations"
        assert headings[:3] == [unit, "time", unit], "the third is the one from which on it stays"


# -- the page and what is written beside it


def test_details_of_commands_and_failed_ones(tmp_path: Path) -> None:
    command_run(tmp_path, rows([0.5, 0.4]), schedule="cosine with warmup")
    output = "\n".join(f"line {number}" for number in range(40)) + "\n 10%\r 20%\r<b>CUDA</b> out of memory\n"
    command_run(tmp_path, [], lr=0.2, status="failed", reason="ended with exit code 1", output=output)
    made = report([tmp_path], tmp_path / "out")
    page = made.page.read_text()
    assert "python train.py --lr 0.1 --schedule &#39;cosine with warmup&#39;" in page
    assert "ended with exit code 1" in page and "Last output of train-seed0-" in page
    assert "&lt;b&gt;CUDA&lt;/b&gt; out of memory" in page and "line 39" in page
    assert "line 10\n" not in page and "<b>CUDA" not in page


def test_the_winner_of_commands_is_a_command_and_its_config(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("pass")
    config = {"folder": str(tmp_path)}
    for lr in (0.1, 0.2):
        command_run(tmp_path / "runs", rows([lr]), lr=lr, config=config)
    made = report([tmp_path / "runs"])
    best = winner(made.shown)
    assert best is not None and best.code == "python train.py --lr 0.1 --schedule constant\n"
    assert best.heading == "The command of lr 0.1" and "torch" not in best.code + best.config
    written = tmp_path / "runs/report/winner.yaml"
    assert not written.with_suffix(".py").exists() and yaml.safe_load(written.read_text())["files"] == ["train.py"]
    assert read_config(written).experiment().plain() == made.groups[0].first.experiment.plain()  # type: ignore[union-attr]
    assert "```sh\npython train.py" in (tmp_path / "runs/report/report.md").read_text()


def test_the_winner_of_recorded_runs_is_their_parameters(tmp_path: Path) -> None:
    recorded_run(tmp_path, rows([0.5]), params={"lr": 0.1, "batch": 16})
    best = winner(gather([tmp_path]))
    assert best is not None and (best.code, best.config) == (dump_yaml({"lr": 0.1, "batch": 16}), "")
    recorded_run(tmp_path / "bare", rows([0.5]))
    assert winner(gather([tmp_path / "bare"])) is None


def test_a_panel_without_a_learning_rate_has_no_empty_axes(tmp_path: Path) -> None:
    from lrbench.reports.figures import overview
    from lrbench.reports.figures.axes import thousands

    command_run(tmp_path, rows([0.5, 0.4], epochs=False, every=10000))
    command_run(tmp_path, rows([0.5, 0.4], epochs=False, every=3), lr=0.2, rates=lambda step: 0.2)
    figure = overview.draw(groups_in(tmp_path))
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels.count("step") == 3 and len(figure.axes) == 4  # the overlay, two panels and one learning rate
    assert thousands(20000) == "20k" and thousands(500) == "500"


@pytest.mark.parametrize("kind", ["only test values", "nothing", "interrupted", "one evaluation"])
def test_odd_runs_are_reported(tmp_path: Path, kind: str) -> None:
    if kind == "only test values":
        recorded_run(tmp_path, [], test={"f1": 0.5})
        result = RunResult(Status.FINISHED, test={"f1": 0.5}, evaluations=0)
        folder = read_runs([tmp_path])[0]
        folder.folder.finish(folder.experiment, result)  # type: ignore[arg-type]
    elif kind == "one evaluation":
        recorded_run(tmp_path, [{"val_psnr": -3.0}])
    else:
        recorded_run(tmp_path, [], status=None if kind == "interrupted" else "failed")
    made = report([tmp_path], tmp_path / "out")
    assert not made.damaged and made.page.exists()
    if kind == "only test values":
        assert made.metric == "test_f1"


# -- sweeps


def sweep_of(root: Path, *, f1: bool) -> tuple[SweepFolder, Plan]:
    cells = []
    for lr in (0.1, 0.2, 0.3):
        for seed in range(2):
            path = command_run(root, rows([lr + seed / 100], f1=f1, train=False), lr=lr, seed=seed)
            plain = read_config(path / "config.yaml").experiment()
            result = json.loads((path / "result.json").read_text())
            cells.append(Planned(path.name, result["identity"], result["group"], "constant", plain.lr, seed))
    return SweepFolder.of(root, "s"), Plan("s", tuple(cells))


def test_the_summary_of_a_sweep_by_f1(tmp_path: Path) -> None:
    folder, plan = sweep_of(tmp_path, f1=True)
    found = summarize(folder, plan)
    assert found.measure.name == "val_f1"
    assert found.winner is not None and found.winner[1].lr == 0.1
    words = summary_words(found)
    assert words[0] == "The best learning rate tried is 0.1, with a validation F1 of 90.50% (two seeds)."
    assert "No run has a val loss, so runs are compared by val F1." in words
    assert "val_f1_median" in save_summary(found, folder)[0].read_text()


def test_a_lost_seed_is_the_worst_of_a_metric_that_should_be_high(tmp_path: Path) -> None:
    folder, plan = sweep_of(tmp_path, f1=True)
    run = folder.run(plan.cells[0])
    config = read_config(run.path / "config.yaml").experiment()
    run.finish(config, RunResult(Status.DIVERGED, steps=1, evaluations=1, final={"val_f1": None}))
    row = next(summarize(folder, plan).rows())
    assert row["diverged"] == 1 and row["val_f1_median"] == ""  # of two, one lost: the median is lost


def test_the_board_shows_the_metric_that_runs_have(tmp_path: Path) -> None:
    folder, plan = sweep_of(tmp_path, f1=True)
    board = board_of(folder, plan)
    assert board.metric.name == "f1" and board.value[plan.cells[0].run] == pytest.approx(1 / 1.1, abs=1e-6)
    live = Board(plan)
    live.show("a", {"train_loss": 0.5}, ("val_", "train_"))
    assert live.value == {"a": 0.5}
    live.show("b", {"train_loss": 0.5, "val_f1": 0.25}, ("val_", "train_"))
    assert live.value == {"b": 0.25} and live.metric.form == "percent"
