"""Other programs' logs: rows as they were written, and what they mean."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.errors import FolderError, UsageError
from lrbench.runs import Meaning, guessed, read_log
from lrbench.runs.logs.read import LOGS, number, pattern_of, read_csv, read_jsonl, read_printed, read_trainer_state


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


@pytest.mark.parametrize("pattern", ["no names", "(?P<a>[", ""])
def test_wrong_patterns(pattern: str) -> None:
    with pytest.raises(UsageError):
        pattern_of(pattern)


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
        {"step": 0.0, "train/epoch_loss": 2.0, "validation/epoch_loss": 2.5},
        {"step": 1.0, "train/epoch_loss": 1.0, "validation/epoch_loss": 1.5},
    ]
    assert [row["val_loss"] for row in meaning(rows).evaluations] == [2.5, 1.5]


# -- their meaning


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
    assert number(value) == wanted
