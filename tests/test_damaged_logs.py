"""Other tools' logs: whatever is damaged, an import gives what is whole, and one clear message about the rest."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import Copies, answer, examples, hurt
from hypothesis import given
from hypothesis import strategies as st
from in_memory import folder_in_memory

import lrbench
from lrbench.analysis import read_runs
from lrbench.errors import LrbenchError
from lrbench.runs import Status, read_events

ENDS = (Status.FINISHED, Status.FAILED, Status.INTERRUPTED, Status.DIVERGED, Status.STOPPED_EARLY)

CSV = "epoch,accuracy,loss,val_accuracy,val_loss,lr\n" + "".join(
    f"{n},0.{n},{1 / n},0.5,{2 / n},0.1\n" for n in range(1, 9)
)
PANEL = '"Step","a - val/loss","a - val/loss__MIN","a - val/loss__MAX"\n"0","1.5","1.5","1.5"\n"10","0.5","0.5","0.5"\n'
TABLE = '"Name","State","Runtime","lr","val/loss"\n"a","finished","100","0.1","0.5"\n"b","crashed","50","0.1","0.7"\n'
HISTORY = [{"epoch": n / 2, "step": n, "loss": 1 / n, "learning_rate": 0.1, "eval_loss": 2 / n} for n in range(1, 9)]


def of_lightning(folder: Path) -> None:
    (folder / "version_0").mkdir(parents=True)
    (folder / "version_0" / "metrics.csv").write_text(
        "epoch,lr-SGD,step,train_loss_step,val_loss\n,0.1,0,2.0,\n0,,1,,0.9\n1,,3,,0.8\n"
    )
    (folder / "version_0" / "hparams.yaml").write_text("lr: 0.1\nwidth: 8\nseed: 3\n")


def of_trainer(folder: Path) -> None:
    (folder / "checkpoint-8").mkdir(parents=True)
    state = {
        "global_step": 8,
        "max_steps": 8,
        "log_history": HISTORY,
        "stateful_callbacks": {"TrainerControl": {"args": {}}},
    }
    (folder / "checkpoint-8" / "trainer_state.json").write_text(json.dumps(state))
    (folder / "config.json").write_text(json.dumps({"lr": 0.1, "seed": 1}))


def of_csv(folder: Path) -> None:
    folder.mkdir()
    (folder / "small.csv").write_text(CSV)
    (folder / "other.tsv").write_text(CSV.replace(",", "\t"))
    (folder / "args.json").write_text(json.dumps({"lr": 0.1, "seed": 1, "deep": {"width": 8}}))


def of_jsonl(folder: Path) -> None:
    folder.mkdir()
    rows = [{"step": n, "eval": {"loss": 1 / n}, "lr": 0.1, "name": "x"} for n in range(1, 9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text("lr: 0.1\nseed: 1\n")


def of_wandb_s_page(folder: Path) -> None:
    folder.mkdir()
    (folder / "panel.csv").write_text(PANEL)
    (folder / "table.csv").write_text(TABLE)


def of_wandb(folder: Path) -> None:
    """An offline run's log, in LevelDB's format: blocks of records, each with a checksum, a length and a kind."""
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    run = messages.RunRecord(run_id="abc", display_name="sky-1", project="mine")
    run.config.update.add(key="lr", value_json='{"desc": null, "value": 0.1}')
    records = [messages.Record(run=run)]
    for step in range(1, 9):
        record = messages.Record()
        for key, value in {"_step": step, "val/loss": 1 / step, "lr": 0.1}.items():
            record.history.item.add(key=key, value_json=json.dumps(value))
        records.append(record)
    records.append(messages.Record(exit=messages.RunExitRecord(exit_code=0)))
    contents = [record.SerializeToString() for record in records]
    (folder / "offline-run-1-abc").mkdir(parents=True)
    framed = b"".join(struct.pack("<IHB", 0, len(one), 1) + one for one in contents)
    (folder / "offline-run-1-abc" / "run-abc.wandb").write_bytes(b":W&B\0\0\0" + framed)


def of_tensorboard(folder: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder / "net_seed1"))
    for step in range(1, 9):
        for tag, value in (("val/loss", 1 / step), ("lr", 0.1)):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(wall_time=100.0 + step, step=step, summary=summary))
    writer.close()
    (folder / "net_seed1" / "hparams.yaml").write_text("lr: 0.1\n")


def of_mlflow(folder: Path) -> None:
    """MLflow's store of files: a folder for an experiment, one in it for a run."""
    _fill(folder.as_uri())


def _fill(uri: str) -> None:
    pytest.importorskip("mlflow")
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    run = client.create_run(client.create_experiment("mine"), run_name="r").info.run_id
    for step in range(1, 9):
        client.log_metric(run, "val_loss", 1 / step, step=step)
    client.log_param(run, "lr", 0.1)
    client.set_terminated(run)


@functools.cache
def _database() -> bytes:
    """MLflow's database with a run; its many tables take long to make."""
    pytest.importorskip("sqlalchemy")
    with folder_in_memory() as folder:
        _fill(f"sqlite:///{folder / 'mlflow.db'}")
        return (folder / "mlflow.db").read_bytes()


def of_mlflow_s_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(_database())


MAKERS: dict[str, Callable[[Path], None]] = {
    "lightning": of_lightning, "trainer": of_trainer, "csv": of_csv, "jsonl": of_jsonl, "wandb's page": of_wandb_s_page,
    "wandb": of_wandb, "tensorboard": of_tensorboard, "mlflow": of_mlflow, "mlflow's database": of_mlflow_s_database,
}  # fmt: skip
SLOW = {"mlflow", "mlflow's database"}
"""Which take seconds to import, or to make."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "tool", [pytest.param(tool, marks=[pytest.mark.slow] if tool in SLOW else []) for tool in MAKERS]
)
def test_an_importer_of_damaged_logs(tool: str, tmp_path: Path, copied: Copies) -> None:
    MAKERS[tool](tmp_path / "logs")
    assert len(lrbench.import_runs(tmp_path / "logs", runs=tmp_path / "whole").new) >= 1

    @examples(8)
    @given(seed=st.integers(0, 2**32))
    def any_damage(seed: int) -> None:
        logs = copied(tmp_path / "logs")
        hurt(logs, seed)
        (logs / "good").mkdir()
        (logs / "good" / "small.csv").write_text(CSV)
        runs = logs.parent / "runs"
        done = answer(lambda: lrbench.import_runs(logs, runs=runs))
        if done is None:
            return
        for place, why in done.unreadable:
            assert why.strip() and len(why) < 5000, place
        for record in read_runs([runs]) if runs.exists() else ():
            assert record.status in ENDS
        again = answer(lambda: lrbench.import_runs(logs, runs=runs))
        assert again is not None and not again.new and not again.updated, "the same again adds nothing"

    any_damage()


@pytest.mark.parametrize("make", [of_tensorboard])
def test_events_that_are_being_written(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Every beginning of an event file has a beginning of its rows."""
    make(tmp_path / "logs")
    (path,) = (tmp_path / "logs").rglob("*tfevents*")
    whole, raw = read_events(path)[0], path.read_bytes()
    for end in range(0, len(raw), 37):
        path.write_bytes(raw[:end])
        rows: list[Any] = []
        with contextlib.suppress(LrbenchError):
            rows = read_events(path)[0]
        assert all(row.items() <= other.items() for row, other in zip(rows, whole, strict=False))


# -- databases that this version of MLflow can't read


def older(path: Path) -> None:
    """Make it one that lacks tables, as those of older versions do."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT)")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (older, "its tables are not those of this version; copy it, give `mlflow db upgrade sqlite:///COPY`"),
        (lambda path: path.write_bytes(b""), "is not a database of SQLite"),
        (lambda path: path.write_bytes(b"text"), "is not a database of SQLite"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "MLflow can't read"),
    ],
    ids=["older", "empty", "text", "torn"],
)
def test_a_database_is_left_as_it_is(tmp_path: Path, change: Callable[[Path], Any], said: str) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(_database())
    change(path)
    before = path.read_bytes()
    ((place, why),) = lrbench.import_runs(path, runs=tmp_path / "runs").unreadable
    assert place == path and said in why
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_database_at_any_path_is_read_anew(tmp_path: Path) -> None:
    folder = tmp_path / "a?b=1&c %20#é"
    of_mlflow_s_database(folder)
    path = folder / "mlflow.db"
    assert len(lrbench.import_runs(path, runs=tmp_path / "runs").new) == 1
    path.unlink()
    path.write_bytes(_database())
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE metrics SET value = 7 WHERE step = 8")
    assert len(lrbench.import_runs(path, runs=tmp_path / "runs").updated) == 1
