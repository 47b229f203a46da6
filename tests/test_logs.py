"""Other programs' logs: rows as they were written, and what they mean."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.components import Metric
from lrbench.errors import FolderError, UsageError
from lrbench.runs import Meaning, guessed, read_events, read_log
from lrbench.runs.logs import patterns, read_number
from lrbench.runs.logs.patterns import SlowPattern, pattern_of, read_printed
from lrbench.runs.logs.read import (
    LOGS,
    MOST_LINE,
    read_csv,
    read_jsonl,
    read_trainer_state,
)


def written(tmp_path: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def meaning(log: list[dict[str, float]], **given: str | None) -> Meaning:
    return Meaning.of(log, given, {}, "a test")


# -- formats


def test_csv(tmp_path: Path) -> None:
    text = 'step,"eval, loss",note\n1,0.5,first\n2,,\n3,nan\n\n4,1e-3,x,too many\n'
    assert read_csv(written(tmp_path, text))[:2] == [{"step": 1.0, "eval, loss": 0.5}, {"step": 2.0}]
    rows = read_csv(written(tmp_path, text))
    assert math.isnan(rows[2]["eval, loss"])
    assert rows[3] == {"step": 4.0, "eval, loss": 1e-3}


@pytest.mark.parametrize(
    ("text", "name"), [("a\tb\n1\t2\n", "x.tsv"), ("a;b\n1;2\n", "x.csv"), ("\ufeffa,b\r\n1,2\r\n", "x.csv")]
)
def test_csv_of_other_programs(tmp_path: Path, text: str, name: str) -> None:
    assert read_csv(written(tmp_path, text, name)) == [{"a": 1.0, "b": 2.0}]


def test_jsonl(tmp_path: Path) -> None:
    text = '{"step": 1, "eval": {"loss": 0.5, "ok": true}, "name": "x"}\nnot json\n[1]\n'
    text += '{"step": 2, "lr": "1e-3"}\n{"step": 3, "lo'
    assert read_jsonl(written(tmp_path, text)) == [{"step": 1.0, "eval.loss": 0.5}, {"step": 2.0, "lr": 1e-3}]
    assert math.isnan(read_jsonl(written(tmp_path, '{"loss": NaN}\n'))[0]["loss"])


def test_trainer_state(tmp_path: Path) -> None:
    history: list[dict[str, Any]] = [
        {"epoch": 0.5, "step": 10, "loss": 2.0, "learning_rate": 1e-3, "grad_norm": 1.5},
        {"epoch": 1.0, "step": 20, "loss": 1.0, "learning_rate": 5e-4},
        {"epoch": 1.0, "step": 20, "eval_loss": 1.2, "eval_accuracy": 0.5, "eval_runtime": 3.0},
        {"epoch": 1.0, "step": 20, "train_runtime": 9.0, "train_loss": 1.5, "total_flos": 1.0},
    ]
    path = written(tmp_path, json.dumps({"log_history": history}), "trainer_state.json")
    found = Meaning.of(read_trainer_state(path), {}, {}, "trainer_state")
    assert found.columns["val_accuracy"] == "eval_accuracy"
    assert [row["step"] for row in found.steps] == [10, 20]
    assert found.steps[0] == {"step": 10, "lr": 1e-3, "loss": 2.0, "grad_norm": 1.5}
    (evaluation,) = found.evaluations
    assert evaluation["val_loss"] == 1.2
    assert evaluation["lr"] == 5e-4
    with pytest.raises(FolderError, match="has no log_history"):
        read_trainer_state(written(tmp_path, "{}", "x.json"))


def test_a_template_of_printed_text(tmp_path: Path) -> None:
    text = (
        "\x1b[32mstep   1\x1b[0m | loss: 2.5 val 1,234.5\n"
        "10%|##   | step 2 | loss: nan val 3e-1\rstep 3 | LOSS: -inf val 99%\n"
        "step x | loss: y val z\n"
    )
    rows = read_printed(written(tmp_path, text), "step {step} | loss: {train_loss} val {val_loss}")
    assert [row["step"] for row in rows] == [1.0, 2.0, 3.0]
    assert math.isnan(rows[1]["train_loss"])
    assert rows[2]["train_loss"] == -math.inf
    assert [row["val_loss"] for row in rows] == [1234.5, 0.3, 99.0]


def test_a_regular_expression_of_printed_text(tmp_path: Path) -> None:
    rows = read_printed(written(tmp_path, "it 7: a=1.5\nit 8: a=2\n"), r"it (?P<step>\d+): a=(?P<val_loss>\S+)")
    assert rows == [{"step": 7.0, "val_loss": 1.5}, {"step": 8.0, "val_loss": 2.0}]


def test_a_template_is_copied_from_a_print(tmp_path: Path) -> None:
    path = written(tmp_path, "step 1 loss 0.5000\n")
    assert read_printed(path, "step {step:>3d} loss {loss:.4f}") == [{"step": 1.0, "loss": 0.5}]


def test_a_template_begins_where_a_word_does(tmp_path: Path) -> None:
    path = written(tmp_path, "val_loss: 9 val/loss: 8 loss: 0.5\nloss: 0.25\n")
    assert [row["train_loss"] for row in read_printed(path, "loss: {train_loss}")] == [0.5, 0.25]


def test_several_patterns_of_printed_text(tmp_path: Path) -> None:
    path = written(tmp_path, "step 1 loss 2\nepoch 1 val 1.5\nstep 2 loss 1\n")
    rows = read_printed(path, "step {step} loss {loss}\n\nepoch {epoch} val {val_loss}")
    assert rows == [{"step": 1.0, "loss": 2.0}, {"epoch": 1.0, "val_loss": 1.5}, {"step": 2.0, "loss": 1.0}]


def test_a_long_progress_bar_is_one_line_for_each_state(tmp_path: Path) -> None:
    """A bar writes no newline until its end, so that its line in the file is megabytes long."""
    count = MOST_LINE // 12
    path = written(tmp_path, "".join(f"\rstep {step} loss 0.5" for step in range(count)))
    rows = read_printed(path, "step {step} loss {loss}")
    assert [row["step"] for row in rows] == list(range(count))


def test_a_line_that_is_too_long_is_left_out_whole(tmp_path: Path) -> None:
    path = written(tmp_path, '{"loss": 1}\n{"x": "' + "x" * MOST_LINE + '"}\n{"loss": 2}\n', "x.jsonl")
    assert read_jsonl(path) == [{"loss": 1.0}, {"loss": 2.0}]
    path = written(tmp_path, "x" * MOST_LINE + " loss 3\nloss 4\n")
    assert read_printed(path, "loss {loss}") == [{"loss": 4.0}]


@pytest.mark.parametrize("torn", ["3,0.", "3,0.1,", "3"])
def test_a_row_that_is_being_written_is_left_out(tmp_path: Path, torn: str) -> None:
    whole = "step,lr,loss,val_loss\n1,0.1,2,\n2,0.1,,0.5\n"
    assert len(read_csv(written(tmp_path, whole + torn))) == 2
    assert read_csv(written(tmp_path, whole + "3,0.1,,0.4"))[2] == {"step": 3.0, "lr": 0.1, "val_loss": 0.4}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert read_csv(written(tmp_path, "lr,b\n1,2\n3,4\n".encode(encoding))) == [{"lr": 1, "b": 2}, {"lr": 3, "b": 4}]


def test_the_newest_state_of_an_output_folder(tmp_path: Path) -> None:
    for time, step in enumerate((10, 9, 100)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        path = written(folder, json.dumps({"log_history": [{"step": step, "eval_loss": 1.0}]}), "trainer_state.json")
        os.utime(path, (time, time))
    assert read_log("trainer_state", tmp_path) == [{"step": 100.0, "eval_loss": 1.0}]
    with pytest.raises(FolderError, match=r"there is no .*checkpoint-9/x"):
        read_log("trainer_state", tmp_path / "checkpoint-9" / "x")
    with pytest.raises(FolderError, match=r"empty has no trainer_state.json; .* has no files"):
        (tmp_path / "empty").mkdir()
        read_log("trainer_state", tmp_path / "empty")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("no names", "names no values"), ("", "names no values"), ("(?P<a>[", "is not a regular expression"),
        ("(?P<a>x)(?R)", "is not a regular expression"), ("(" * 900 + "(?P<a>x)" + ")" * 900, "is not a regular"),
        ("(?P<a>((a{1000}){1000}){1000})", "repeats something more than 10,000 times; write a template"),
        ("(?P<a>x{2,20000})", "repeats something more than"), ("{a}" + " " * 2000, "is longer than 2,000 characters"),
    ],
)  # fmt: skip
def test_wrong_patterns(pattern: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        pattern_of(pattern)


@pytest.mark.parametrize(("pattern", "line"), [("(?P<x>(a|aa)+)b$", "a" * 100), ("(?P<v>.*.*.*.*.*=.*!)", "=" * 3000)])
def test_a_search_that_would_never_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, line: str
) -> None:
    monkeypatch.setattr(patterns, "LINE_SECONDS", 0.2)
    with pytest.raises(SlowPattern, match=rf"took more than 0.2 seconds on a line of {len(line):,} characters; write"):
        read_printed(written(tmp_path, f"{line}\n"), pattern)


def test_many_slow_searches_are_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "LEAST_SECONDS", 0.05)
    monkeypatch.setattr(patterns, "SECONDS_PER_LINE", 1e-7)
    path = written(tmp_path, f"{'=' * 60}\n" * 100_000)
    with pytest.raises(SlowPattern, match=r"took 0 seconds for [0-9,]+ lines; write a template"):
        read_printed(path, "(?P<v>.*.*.*=.*!)")


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("Val_Loss {x}", "val_loss 1\n"), ("a {x} longer: {y}", "A 1\x1b[0m lon\x1b[1mger: 2\n"),
        ("loss {x}", "lo\u017f\u017f 1\n"), ("steps?(?P<x>\\d)", "step1\n"), ("ab{1}(?P<x>\\d)", "AB1\n"),
        ("loss (?P<x>\\d)|b (?P<y>\\d)", "b 1\n"), ("ab*(?P<x>\\d)", "a1\n"), ("{x}", "1\n"),
    ],
)  # fmt: skip
def test_lines_that_fit_are_searched(tmp_path: Path, pattern: str, line: str) -> None:
    assert len(read_printed(written(tmp_path, f"other words\n{line}"), pattern)) == 1


def test_lines_that_can_t_fit_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search costs a hundred times as much as looking for a word that the pattern needs."""
    searched: list[str] = []
    found = patterns._found
    monkeypatch.setattr(patterns, "_found", lambda one, line: searched.append(line) or found(one, line))
    path = written(tmp_path, "line 17\n" * 1000 + "step 1 LOSS 0.5\n")
    assert read_printed(path, "step {step} loss {loss}") == read_printed(
        path, "step (?P<step>\\d+) loss (?P<loss>[\\d.]+)"
    )
    assert searched == ["step 1 LOSS 0.5\n"] * 2


def test_a_missing_log_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "other.csv").touch()
    with pytest.raises(FolderError) as error:
        read_log("csv", tmp_path / "logs" / "x" / "metrics.csv")
    assert f"there is no {tmp_path}/logs/x/metrics.csv; {tmp_path}/logs has other.csv" in str(error.value)
    with pytest.raises(FolderError):
        read_log("csv", tmp_path)  # a folder
    for kind in LOGS:
        with pytest.raises(FolderError):
            read_log(kind, tmp_path / "no")


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def write(folder: Path, rows: list[tuple[str, int, float]], time: float) -> None:
        writer = EventFileWriter(str(folder))
        for tag, step, value in rows:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(wall_time=time, step=step, summary=summary))
        writer.close()

    write(tmp_path / "run" / "train", [("epoch_loss", 0, 2.0), ("epoch_loss", 1, 1.0)], 1.0)
    write(tmp_path / "run" / "validation", [("epoch_loss", 0, 2.5), ("epoch_loss", 1, 1.5)], 1.0)
    rows = read_log("tensorboard", tmp_path / "run")
    assert rows == [
        {"step": 0.0, "wall_time": 1.0, "train/epoch_loss": 2.0, "validation/epoch_loss": 2.5},
        {"step": 1.0, "wall_time": 1.0, "train/epoch_loss": 1.0, "validation/epoch_loss": 1.5},
    ]
    assert [row["val_loss"] for row in meaning(rows).evaluations] == [2.5, 1.5]


def events(folder: Path, rows: list[tuple[str, int, float]]) -> Path:
    """Write a new event file with tensorboard's own writer."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    before = set(folder.glob("*"))
    writer = EventFileWriter(str(folder), filename_suffix=f".{len(before)}")
    for tag, step, value in rows:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Event(wall_time=1.0, step=step, summary=summary))
    writer.close()
    (made,) = set(folder.glob("*")) - before
    return made


def test_a_resumed_tensorboard_run_has_no_steps_after_its_end(tmp_path: Path) -> None:
    """It was killed after step 9, resumed from step 5 and stopped after step 7."""
    pytest.importorskip("tensorboard")
    events(tmp_path, [("val/loss", step, float(step)) for step in range(10)])
    events(tmp_path, [("val/loss", step, 100.0 + step) for step in range(5, 8)])
    rows = read_log("tensorboard", tmp_path)
    assert [(row["step"], row["val/loss"]) for row in rows] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 105), (6, 106), (7, 107),
    ]  # fmt: skip


def test_versions_of_lightning_continue_each_other(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for version, first in ((2, 0), (10, 3)):
        rows = [("val_loss", step, float(version)) for step in range(first, first + 4 - first // 3)]
        events(tmp_path / "logs" / f"version_{version}", rows)
    found = [(row["step"], row["val_loss"]) for row in read_log("tensorboard", tmp_path / "logs")]
    assert found == [(0, 2), (1, 2), (2, 2), (3, 10), (4, 10), (5, 10)]


def test_one_event_file_and_damaged_ones(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    made = events(tmp_path / "run", [("val/loss", step, 0.5) for step in range(10)])
    assert read_log("tensorboard", made) == read_log("tensorboard", made.parent)
    made.write_bytes(made.read_bytes()[:-20])
    assert [row["step"] for row in read_log("tensorboard", made)] == list(range(9))
    for content in (b"", b"garbage" * 100):
        made.write_bytes(content)
        with pytest.raises(FolderError, match="has no scalars that can be read in its event files"):
            read_log("tensorboard", made.parent)
    with pytest.raises(FolderError, match=r"has no event files; .* has run/"):
        made.unlink()
        read_log("tensorboard", tmp_path)


def test_hyperparameters_in_event_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("val/loss", 0.5, 3)
        writer.add_hparams({"lr": 0.1, "batch_size": 32, "schedule": "cosine", "nesterov": True}, {}, run_name=".")
    rows, settings = read_events(tmp_path)
    assert settings == {"lr": 0.1, "batch_size": 32, "schedule": "cosine", "nesterov": True}
    assert rows[-1]["val/loss"] == 0.5


# -- their meaning


def test_wall_times_tell_how_long_it_took() -> None:
    log = [{"step": 1.0, "wall_time": 100.0, "loss": 1.0}, {"step": 2.0, "wall_time": 104.0, "val_loss": 1.0}]
    log += [{"step": 3.0, "wall_time": 110.0, "val_loss": 0.5}, {"step": 4.0, "val_loss": 0.4}]
    assert [row.get("seconds") for row in meaning(log).evaluations] == [4.0, 6.0, None]


def test_an_accuracy_of_100_is_a_number() -> None:
    assert meaning([{"val_accuracy": 93.2}]).recorded.metrics["accuracy"].form == "number"
    for value in (0.932, 1.0, math.nan, math.inf):
        assert meaning([{"val_accuracy": value}]).recorded.metrics["accuracy"].form == "percent"
    found = Meaning.of([{"test_accuracy": 50.0}], {}, {"accuracy": Metric("accuracy", "higher", "percent")}, "x")
    assert found.recorded.metrics["accuracy"] == Metric("accuracy", "higher")


def test_usual_names() -> None:
    for columns, wanted in (
        (["step", "train/loss", "val/loss", "lr"],
         {"step": "step", "train_loss": "train/loss", "val_loss": "val/loss", "lr": "lr"}),
        (["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"],
         {"epoch": "epoch", "lr": "learning_rate", "val_accuracy": "val_accuracy", "val_loss": "val_loss",
          "train_loss": "loss", "train_accuracy": "accuracy"}),
        (["epoch", "step", "train_loss_step", "train_loss_epoch", "valid_loss", "lr-SGD", "lr-SGD/pg2"],
         {"step": "step", "epoch": "epoch", "loss": "train_loss_step", "train_loss": "train_loss_epoch",
          "val_loss": "valid_loss", "lr": "lr-SGD", "lr_sgd_pg2": "lr-SGD/pg2"}),
        (["Loss/val", "Accuracy/test", "eval_samples_per_second", "train_runtime"],
         {"val_loss": "Loss/val", "test_accuracy": "Accuracy/test"}),
        (["foo", "bar"], {}),
    ):  # fmt: skip
        assert guessed(columns) == wanted, columns


def test_rows_of_one_step_are_one(tmp_path: Path) -> None:
    """Lightning's CSV logger writes training and validation values in rows of their own."""
    text = "epoch,step,train_loss_step,train_loss_epoch,val_loss\n0,9,2.0,,\n0,19,1.0,,\n0,19,,,1.5\n"
    text += "0,19,,1.6,\n1,39,,,1.2\n"
    found = meaning(read_csv(written(tmp_path, text)))
    assert found.steps[:1] == [{"step": 9, "loss": 2.0}]
    assert found.evaluations == [
        {"epoch": 0, "step": 19, "val_loss": 1.5, "train_loss": 1.6}, {"epoch": 1, "step": 39, "val_loss": 1.2},
    ]  # fmt: skip


def test_a_training_loss_is_the_mean_since_the_last_evaluation() -> None:
    log = [{"step": 1.0, "loss": 4.0}, {"step": 2.0, "loss": 2.0}, {"step": 3.0, "val_loss": 1.0}]
    log += [{"step": 4.0, "loss": 1.0}, {"step": 5.0, "val_loss": 0.5}]
    found = meaning(log)
    assert [row["train_loss"] for row in found.evaluations] == [3.0, 1.0]
    assert [row["loss"] for row in found.steps] == [4.0, 2.0, 1.0]


def test_a_resumed_log_counts_its_steps_once() -> None:
    log = [{"step": float(s), "val_loss": float(v)} for s, v in ((1, 5), (2, 4), (3, 3), (2, 40), (3, 30), (4, 20))]
    assert [(row["step"], row["val_loss"]) for row in meaning(log).evaluations] == [(1, 5), (2, 40), (3, 30), (4, 20)]


def test_without_validation_training_values_are_the_evaluations() -> None:
    found = meaning([{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0}])
    assert found.evaluations == [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]
    assert found.steps == []


def test_test_values_are_of_the_end() -> None:
    found = meaning([{"val_loss": 1.0}, {"test_loss": 0.9, "test_accuracy": 0.8}])
    assert dict(found.recorded.test) == {"loss": 0.9, "accuracy": 0.8}
    assert len(found.evaluations) == 1


def test_a_last_loss_that_is_not_finite_is_told() -> None:
    assert (
        meaning([{"val_loss": 1.0}, {"val_loss": math.nan}]).recorded.lost == "the last validation loss was not finite"
    )
    assert meaning([{"val_loss": math.nan}, {"val_loss": 1.0}]).recorded.lost == ""
    assert meaning([{"step": 1.0, "loss": math.inf}]).recorded.lost == "the last loss was not finite"


def test_a_missing_column_is_told() -> None:
    with pytest.raises(FolderError, match="no column 'eval/los' for val_loss; did you mean 'eval/loss'"):
        meaning([{"eval/loss": 1.0}], val_loss="eval/los")
    assert meaning([{"x": 1.0}], val_f1="x", val_loss=None).columns == {"val_f1": "x"}


# -- anything


@given(st.binary(max_size=400))
def test_no_file_breaks_the_readers(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp(), content, "any")
    for read in (read_csv, read_jsonl, read_trainer_state):
        with contextlib.suppress(FolderError):
            meaning(read(path))
    read_printed(path, "a {step} b {val_loss}")


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["step", "epoch", "loss", "val_loss", "lr", "lr-a", "test_x"]), st.floats())
    )
)
def test_any_rows_have_a_meaning(rows: list[dict[str, float]]) -> None:
    found = meaning(rows)
    assert all(any(name.startswith(("val_", "train_")) for name in row) for row in found.evaluations)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, 1.0), ("1e3", 1000.0), (True, None), ("", None), ("x", None), (None, None), (10**400, None)],
)
def test_numbers(value: Any, wanted: float | None) -> None:
    assert read_number(value) == wanted
