"""Runs in tracking tools and tables, read back with the tools themselves."""

from __future__ import annotations

import csv
import json
import math
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from forked import Starts

import lrbench
from lrbench.components.metrics import ACCURACY
from lrbench.errors import ConfigError, Interrupted, LrbenchError, RunError, UsageError
from lrbench.integrations.following import Following
from lrbench.integrations.live import Followed
from lrbench.integrations.trackers import Ending, Known, Log, Row, Run, Tool, sectioned, split_of, tensorboard
from lrbench.integrations.trackers.tensorboard import TensorBoard, tag_of
from lrbench.runs import RunFolder, RunResult, Status, Tail
from lrbench.training.run_one import WorkItem, do_run

Cli = Callable[..., tuple[int, str, str]]
MakeRun = Callable[..., Path]


class Notes(Tool):
    """A tool that notes what it gets: the class's `told`, by run."""

    told: dict[str, list[Any]]

    def open(self, run: Run) -> Log:
        self.run = run
        return NotesLog(type(self).told.setdefault(run.name, []), run)


class NotesLog(Log):
    def __init__(self, told: list[Any], run: Run) -> None:
        told.clear()
        self.told = told

    def steps(self, rows: Sequence[Row]) -> None:
        self.told.extend(("step", row.step, dict(row.values)) for row in rows)

    def evaluation(self, row: Row) -> None:
        self.told.append(("evaluation", row.step, self.measured(row)))

    def end(self, ending: Ending) -> None:
        self.told.append(("end", ending.step, ending.status))


class Broken(Notes):
    """A tool that fails at the first evaluation."""

    title = "Broken"

    def open(self, run: Run) -> Log:
        log = super().open(run)
        log.evaluation = lambda row: 1 / 0  # type: ignore[method-assign]
        return log


class Needy(Notes):
    """A tool whose package is not installed."""

    needs = ("no_such_package_anywhere",)
    extra = "needy"


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    Notes.told = {}


def waited(what: Callable[[], Any]) -> Any:
    """What `what` returns, once it is something."""
    for _ in range(600):
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


def interrupted(folder: RunFolder, experiment: Any, updates: int, watch: Any = lambda event: None) -> None:
    """Train a run until it has done so many updates since it was started or resumed."""
    left = iter(range(updates - 1))
    with pytest.raises(Interrupted):
        do_run(WorkItem(folder.path, experiment), threads=None, watch=watch, stop=lambda: next(left, None) is None)


# -- TensorBoard


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of a run as TensorBoard reads them: (step, value) by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def session_groups(logs: Path) -> Any:
    """What the HParams tab shows."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logs))
    tab = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    wanted = api_pb2.ListSessionGroupsRequest(allowed_statuses=statuses, start_index=0, slice_size=100)
    return list_session_groups.Handler(context.RequestContext(), tab, "", wanted).run()


def test_tensorboard_shows_steps_evaluations_and_test_values(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.5, 0.25])
    done = lrbench.export(tmp_path / "runs", to="tensorboard", into=tmp_path / "logs")
    assert (done.added, done.updated, done.unchanged) == ([path.name], [], [])
    found = scalars(tmp_path / "logs" / path.name)
    assert found["loss/val"] == [(2, 0.5), (4, 0.25)]
    assert found["loss/train"] == [(2, 1.0), (4, 0.5)]
    assert found["loss/step"] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]
    assert [step for step, _ in found["lr"]] == [1, 2, 3, 4], "the rate of each step, once"
    assert found["epoch"] == [(2, 1.0), (4, 2.0)]
    assert found["loss/test"] == [(4, pytest.approx(0.26))]
    assert found["accuracy/best_val"] == [(4, pytest.approx(0.95))]


def test_tensorboard_groups_seeds_and_shows_hyperparameters(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(3):
        make_run([0.5, 0.2 + 0.1 * seed], seed=seed)
    make_run([0.9, 0.8], lr=0.01, status="diverged", name="odd =+@(), n")
    lrbench.export(tmp_path / "runs", to="tensorboard", into=tmp_path / "logs")
    odd, tiny = sorted(session_groups(tmp_path / "logs").session_groups, key=lambda group: group.name)
    assert odd.name.startswith("odd =+@(), n lr=0.01 ") and tiny.name.startswith("tiny lr=0.1 ")
    assert [len(group.sessions) for group in (odd, tiny)] == [1, 3]
    assert tiny.hparams["optimizer.lr"].number_value == 0.1
    assert tiny.hparams["model.hidden"].string_value == "[8]"
    assert tiny.hparams["model.name"].string_value == "mlp"
    assert not {"name", "seed", "device"} & set(tiny.hparams)
    means = {value.name.tag: value.value for value in tiny.metric_values}
    assert means["loss/val"] == pytest.approx(0.3)
    assert [session.status for session in (*tiny.sessions, *odd.sessions)] == [1, 1, 1, 2]  # successes, a failure


def test_times_are_those_of_training(make_run: MakeRun, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(make_run([0.5, 0.25]))
    with folder.lock():
        folder.amend_environment({"started": "2026-01-01T00:00:00+00:00"})
    lrbench.export(folder.path, to="tensorboard", into=tmp_path / "logs")
    events = EventAccumulator(str(tmp_path / "logs" / folder.name)).Reload()
    began = 1767225600.0
    assert [event.wall_time - began for event in events.Scalars("loss/val")] == [1.0, 2.0]
    assert [event.wall_time - began for event in events.Scalars("lr")] == [0.5, 1.0, 1.5, 2.0]


def test_a_second_export_adds_nothing_and_a_changed_run_is_written_anew(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run([0.5, 0.25])
    into = tmp_path / "logs"
    lrbench.export(first, to="tensorboard", into=into)
    second = make_run([0.4, 0.3], seed=1, status=None)
    done = lrbench.export(tmp_path / "runs", to="tensorboard", into=into)
    assert (done.added, done.unchanged) == ([second.name], [first.name])
    (second / "result.json").write_bytes((first / "result.json").read_bytes().replace(b'"identity"', b'"was"'))
    done = lrbench.export(tmp_path / "runs", to="tensorboard", into=into)
    assert (done.added, done.updated, done.unchanged) == ([], [second.name], [first.name])
    assert len(list((into / second.name).glob("*tfevents*"))) == 1
    assert scalars(into / second.name)["loss/val"] == [(2, pytest.approx(0.4)), (4, pytest.approx(0.3))]
    shutil.rmtree(into / first.name)
    done = lrbench.export(tmp_path / "runs", to="tensorboard", into=into)
    assert (done.added, done.unchanged) == ([first.name], [second.name])


def test_names_of_columns() -> None:
    columns = ["train_loss", "val_mean_iou", "best_val_loss", "test_best_f1", "test_loss", "lr", "lr_head.*", "seconds"]
    assert [tag_of(column) for column in columns] == [
        "loss/train", "mean_iou/val", "loss/best_val", "f1/test_best", "loss/test", "lr", "lr_head.*", "seconds",
    ]  # fmt: skip
    assert [sectioned(column) for column in columns[:3]] == ["train/loss", "val/mean_iou", "best_val/loss"]
    assert (tag_of("loss", of_step=True), sectioned("loss", of_step=True)) == ("loss/step", "train/step_loss")
    assert split_of("grad_norm") == ("grad_norm", "")


# -- MLflow

THEIRS = pytest.mark.filterwarnings("ignore")  # MLflow's use of its own libraries is not ours to mend


@pytest.fixture
def mlflow_client(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    pytest.importorskip("mlflow")
    from lrbench.integrations.trackers.mlflow import MLflow

    return lambda into, uri=None: MLflow(into, uri).client


@THEIRS
def test_mlflow_has_nested_runs_with_parameters_metrics_and_statuses(
    make_run: MakeRun, tmp_path: Path, mlflow_client: Callable[..., Any]
) -> None:
    for seed, status in enumerate(("finished", "diverged", None)):
        make_run([0.5, math.nan if status == "diverged" else 0.25], seed=seed, status=status)
    into = tmp_path / "ml"
    for counts in ((3, 0), (0, 3)):
        done = lrbench.export(tmp_path / "runs", to="mlflow", into=into)
        assert (len(done.added), len(done.unchanged)) == counts
    client = mlflow_client(into)
    (place,) = [e.experiment_id for e in client.search_experiments() if e.name == "tiny"]
    runs = {run.info.run_name: run for run in client.search_runs([place])}
    assert len(runs) == 4, "a parent and three seeds"
    parent = next(run for name, run in runs.items() if name.startswith("tiny lr=0.1 "))
    seeds = [run for _, run in sorted(runs.items()) if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in seeds} == {parent.info.run_id}
    assert [run.info.status for run in seeds] == ["FINISHED", "FAILED", "KILLED"]
    assert [run.data.params["seed"] for run in seeds] == ["0", "1", "2"]
    assert seeds[0].data.params["optimizer.lr"] == "0.1" == parent.data.params["optimizer.lr"]
    history = client.get_metric_history(seeds[0].info.run_id, "val_loss")
    assert [(one.step, one.value) for one in history] == [(2, 0.5), (4, 0.25)]
    assert [one.step for one in client.get_metric_history(seeds[0].info.run_id, "loss")] == [1, 2, 3, 4]
    assert math.isnan(client.get_metric_history(seeds[1].info.run_id, "val_loss")[-1].value)
    assert seeds[0].data.metrics["test_loss"] == 0.26
    assert "the loss was not finite" in seeds[1].data.tags["mlflow.note.content"]


@THEIRS
def test_mlflow_goes_on_with_a_run_that_was_interrupted(
    make_run: MakeRun, tmp_path: Path, mlflow_client: Callable[..., Any]
) -> None:
    folder, into = RunFolder(make_run([0.5, 0.25], status=None)), tmp_path / "ml"
    with folder.steps.path.open("a") as file:
        file.write("5,0.1,0.0,1.0,1.0\n")
    lrbench.export(folder.path, to="mlflow", into=into)
    client = mlflow_client(into)
    places = [place.experiment_id for place in client.search_experiments()]
    (before,) = client.search_runs(places, "tags.`lrbench.identity` != 'x'")
    assert (before.info.status, before.data.metrics["loss"]) == ("KILLED", 1.0)
    with folder.steps.path.open("a") as file:
        file.write("6,0.1,0.0,0.5,1.0\n")
    with folder.epochs.path.open("a") as file:
        file.write(file_row(folder, epoch=3, step=6, lr=0.1, val_loss=0.2))
    with folder.lock():
        final = {"epoch": 3, "step": 6, "val_loss": 0.2}
        folder.finish(folder.config(), RunResult(Status.FINISHED, steps=6, evaluations=3, final=final, best=final))
    assert lrbench.export(folder.path, to="mlflow", into=into).updated == [folder.name]
    (run,) = client.search_runs(places, "tags.`lrbench.identity` != 'x'")
    assert (run.info.run_id, run.info.status) == (before.info.run_id, "FINISHED")
    for key, steps in (("loss", [1, 2, 3, 4, 5, 6]), ("val_loss", [2, 4, 6]), ("best_val_loss", [6])):
        assert [one.step for one in client.get_metric_history(run.info.run_id, key)] == steps
    with folder.lock():
        folder.amend_environment({"started": "2026-01-02T00:00:00+00:00"})  # as `--again` does
    (folder.path / "result.json").unlink()
    lrbench.export(folder.path, to="mlflow", into=into)
    (again,) = client.search_runs(places, "tags.`lrbench.identity` != 'x'")
    assert again.info.run_id != run.info.run_id, "it replaces the old one, which is in MLflow's trash"


@THEIRS
def test_a_database_of_mlflow_whose_making_fails_is_made_anew(
    make_run: MakeRun, tmp_path: Path, mlflow_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run([0.5, 0.25])
    into = tmp_path / "ml"

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", full)
        with pytest.raises(LrbenchError, match="No space left"):
            lrbench.export(tmp_path / "runs", to="mlflow", into=into)
    assert list(into.iterdir()) == [], "MLflow can't use tables that are half made"
    assert len(lrbench.export(tmp_path / "runs", to="mlflow", into=into).added) == 1
    assert len(list(into.glob(".*"))) == 0


@pytest.mark.parametrize("uri", ["ftp://nowhere/logs", "sqlite+nothing:///x.db"])
def test_an_address_that_mlflow_can_not_use_is_one_sentence(make_run: MakeRun, cli: Any, uri: str) -> None:
    pytest.importorskip("mlflow")
    make_run([0.5])
    code, _, err = cli("export", "--to", "mlflow", uri)
    assert code == 2 and err.startswith(f"Error: {uri}: ") and err.count("\n") == 1
    assert err.endswith(
        "name a server, such as http://localhost:5000, a database, such as sqlite:///mlflow.db, or a folder\n"
    )


def file_row(folder: RunFolder, **values: float) -> str:
    """A row of a run's `epochs.csv`."""
    header = folder.epochs.path.read_text().partition("\n")[0]
    return ",".join(str(values.get(name, "")) for name in header.split(",")) + "\n"


# -- Weights & Biases


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: a log of LevelDB's format with W&B's own messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is empty
            place += 32768 - place % 32768
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def complete(file: Path) -> list[Any]:
    """The records of an offline run once the last one is there, else none."""
    records = list(wandb_records(file))
    return records if any(record.HasField("exit") for record in records) else []


def test_wandb_offline_runs_are_complete_and_grouped(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    make_run([0.5, 0.25])
    make_run([0.5, math.nan], seed=1, status="diverged")
    for counts in ((2, 0), (0, 2)):
        done = lrbench.export(tmp_path / "runs", to={"name": "wandb", "project": "mine"}, into=tmp_path / "wb")
        assert (len(done.added), len(done.unchanged)) == counts
    files = sorted((tmp_path / "wb" / "wandb").glob("offline-run-*/*.wandb"))
    told = [waited(lambda file=file: complete(file)) for file in files]  # another process writes them
    starts = [next(r.run for r in records if r.HasField("run")) for records in told]
    assert len({start.run_id for start in starts}) == 2
    assert [start.project for start in starts] == ["mine", "mine"]
    assert len({start.run_group for start in starts}) == 1 and starts[0].run_group.startswith("tiny lr=0.1 ")
    records = next(r for r, s in zip(told, starts, strict=True) if s.display_name.startswith("tiny-seed0-"))
    config = {
        item.key: json.loads(item.value_json) for r in records if r.HasField("run") for item in r.run.config.update
    }
    assert config["optimizer"]["lr"] == 0.1 and config["seed"] == 0
    rows = []
    for record in records:
        if record.HasField("history"):
            row = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            rows.append(row)
    assert [row["_step"] for row in rows] == [1, 2, 3, 4]
    assert [row.get("val/loss") for row in rows] == [None, 0.5, None, 0.25]
    assert [row["train/step_loss"] for row in rows] == [1.0] * 4
    ends = [next(r.exit.exit_code for r in records if r.HasField("exit")) for records in told]
    assert sorted(ends) == [0, 1], "the diverged run counts as failed"


# -- Trackio


def test_trackio_has_the_runs(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "tr"))
    trackio = pytest.importorskip("trackio")
    from trackio import utils

    into = Path(utils.TRACKIO_DIR)  # it was imported before, by another test
    make_run([0.5, 0.25])
    make_run([0.5, 0.75], seed=1)
    for counts in ((2, 0), (0, 2)):
        done = lrbench.export(tmp_path / "runs", to="trackio", into=into)
        assert (len(done.added), len(done.unchanged)) == counts
    runs = sorted(trackio.Api().runs("tiny"), key=lambda run: run.name)
    assert [run.config["seed"] for run in runs] == [0, 1]
    assert len({run.config["_Group"] for run in runs}) == 1
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("tiny", runs[0].name, run_id=runs[0].id)
    assert [(row["step"], row["val/loss"]) for row in rows if "val/loss" in row] == [(2, 0.5), (4, 0.25)]
    with pytest.raises(UsageError, match="in this process, so it can't write to"):
        lrbench.export(tmp_path / "runs", to="trackio", into=tmp_path / "elsewhere")


# -- tables


def test_tables_have_a_row_per_run_evaluation_and_step(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5, 0.25])
    make_run([0.5, 0.75], lr=0.01, seed=1)
    for _ in range(2):  # written anew, not twice
        lrbench.export(tmp_path / "runs", to="csv", into=tmp_path / "csv")
    files = (tmp_path / "csv").glob("*.csv")
    tables = {file.stem: list(csv.DictReader(file.read_text().splitlines())) for file in files}
    assert {name: len(rows) for name, rows in tables.items()} == {"runs": 2, "evaluations": 4, "steps": 8}
    by_seed = {row["seed"]: row for row in tables["runs"]}
    assert [by_seed[seed]["config.optimizer.lr"] for seed in ("0", "1")] == ["0.1", "0.01"]
    assert (by_seed["1"]["val_loss"], by_seed["1"]["best_val_loss"], by_seed["1"]["test_loss"]) == (
        "0.75",
        "0.5",
        "0.76",
    )
    assert by_seed["0"]["status"] == "finished" and by_seed["0"]["config.model.hidden"] == "[8]"
    rows = [row for row in tables["evaluations"] if row["seed"] == "1"]
    assert [(row["step"], row["val_loss"], row["config.optimizer.lr"]) for row in rows] == [
        ("2", "0.5", "0.01"), ("4", "0.75", "0.01"),
    ]  # fmt: skip
    assert "config.model.name" not in rows[0], "only what differs"


def test_parquet_keeps_types(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    make_run([0.5, math.nan], status="diverged")
    make_run([0.5, 0.25], seed=1, warmup="10%")  # one config has keys that the other lacks
    lrbench.export(tmp_path / "runs", to="parquet", into=tmp_path / "pq")
    runs, steps = (pyarrow.parquet.read_table(tmp_path / "pq" / f"{name}.parquet") for name in ("runs", "steps"))
    assert sorted(runs.column("status").to_pylist()) == ["diverged", "finished"]
    assert str(steps.schema.field("step").type) == "int64" and str(steps.schema.field("loss").type) == "double"
    assert sorted(map(str, runs.column("config.warmup.for").to_pylist())) == ["10%", "None"]


def test_csv_text_is_no_formula(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5], loss={"name": "mylosses:build", "text": "=1+1"})
    lrbench.export(tmp_path / "runs", to="csv", into=tmp_path / "csv")
    assert "'=1+1" in (tmp_path / "csv" / "runs.csv").read_text()


# -- other programs' runs


def test_a_program_s_run_is_exported_with_its_parameters(tmp_path: Path) -> None:
    from lrbench.config import RecordedConfig
    from lrbench.runs import Recorded, RowWriter

    plain = {"name": "theirs", "recorded": "a script", "params": {"lr": 0.3, "net": {"width": 8}}}
    config = RecordedConfig.of(plain, {}, "")
    folder = RunFolder.of(tmp_path / "runs", config)
    folder.create(config, {"started": "2026-01-01T00:00:00+00:00"})
    with folder.lock():
        writer = RowWriter(folder, Recorded())
        for epoch in (1, 2):  # it did not say its steps
            writer.evaluate({"val_loss": 1.0 / epoch, "val_f1": 0.5}, epoch=epoch)
        writer.close()
    lrbench.export(tmp_path / "runs", to="tensorboard", into=tmp_path / "logs")
    found = scalars(tmp_path / "logs" / folder.name)
    assert found["loss/val"] == [(1, 1.0), (2, 0.5)] and found["epoch"] == [(1, 1.0), (2, 2.0)]
    assert "loss/train" not in found and "lr" not in found, "nothing is invented"
    (group,) = session_groups(tmp_path / "logs").session_groups
    assert group.name.startswith("theirs lr=0.3 ")
    assert {key: value.number_value for key, value in group.hparams.items()} == {
        "lr": 0.3,
        "net.width": 8.0,
        "best_by": 0,
    }
    assert lrbench.export(tmp_path / "runs", to="csv", into=tmp_path / "csv").added == [folder.name]


# -- what is refused


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("tensorbord", "did you mean 'tensorboard'"),
        ("", "must be text"),
        ({"name": "wandb", "projct": "x"}, "did you mean 'project'"),
        ({"name": "wandb", "mode": "sideways"}, "must be 'offline' or 'online'"),
        ("nowhere:Tool", "cannot import 'nowhere'"),
        (f"{__name__}:Needy", r"pip install 'lrbench-torch\[needy\]'"),
        ("json:JSONDecoder", "has no `open`; derive it from lrbench.integrations.Tool"),
    ],
)
def test_wrong_tools_are_told(make_run: MakeRun, tmp_path: Path, to: Any, said: str) -> None:
    make_run([0.5])
    with pytest.raises(UsageError, match=said):
        lrbench.export(tmp_path / "runs", to=to, into=tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_export_tells_what_it_leaves_out(make_run: MakeRun, tmp_path: Path, cli: Cli) -> None:
    make_run([0.5])
    damaged = make_run([0.4], seed=1)
    (damaged / "config.yaml").write_text("name: [")
    code, out, _ = cli("export", "--to", "tensorboard", "logs")
    assert code == 0 and "1 run exported" in out and f"left out: {damaged.name}" in out
    assert "tensorboard --logdir logs" in out
    assert "1 run there already" in cli("export", "runs", "--to", "tensorboard", "logs")[1]
    code, _, err = cli("export", "--to", "tensorboard", "runs/" + damaged.name + "/config.yaml")
    assert code == 2 and "is a file, not a folder" in err
    code, _, err = cli("export", "--to", "csv", "--filter", "lr=7", "tables")
    assert code == 2 and "no run matches" in err
    code, _, err = cli("export", "--to", "tensorboard", "http://localhost:1")
    assert code == 2 and "not to an address" in err
    with pytest.raises(RunError, match="ZeroDivisionError"):
        lrbench.export("runs", to=f"{__name__}:Broken", into="x")


# -- while training


def test_a_followed_run_gives_each_step_once_though_it_is_interrupted(tiny: Any, tmp_path: Path) -> None:
    experiment, said = tiny(epochs=3), []
    folder = RunFolder.of(tmp_path / "runs", experiment)
    folder.create(experiment, {})
    followed = Followed(said.append)
    begin = {"begin": str(folder.path), "tools": [{"name": f"{__name__}:Notes", "into": str(tmp_path), "options": {}}]}

    def watch(event: Any) -> None:  # as the process that follows sees the folder between its orders
        if event.kind == "start":
            followed.order(begin)
        followed.advance()

    for updates in (3, 2):  # the second checkpoint is after step 5
        interrupted(folder, experiment, updates, watch)
    do_run(WorkItem(folder.path, experiment), threads=None, watch=watch, stop=lambda: False)
    followed.order({"end": str(folder.path)})
    told = Notes.told[folder.name]
    assert [step for kind, step, _ in told if kind == "step"] == [1, 2, 3, 4, 5, 6]
    assert [step for kind, step, _ in told if kind == "evaluation"] == [2, 4, 6]
    assert [(kind, step) for kind, step, _ in told][:3] == [("step", 1), ("step", 2), ("evaluation", 2)]
    assert told[-1] == ("end", 6, Status.FINISHED) and said == []


def test_rows_that_a_tool_has_are_not_sent_again(make_run: MakeRun, tmp_path: Path) -> None:
    folder = RunFolder(make_run([0.5, 0.25]))
    tool, failures = Notes(tmp_path), []
    following = Following(folder, [tool], lambda tool, why: failures.append(why))
    NotesLog.known = Known(step=3, evaluation=2)
    try:
        following.begin()
        following.end()
    finally:
        NotesLog.known = Known()
    assert [(kind, step) for kind, step, _ in Notes.told[folder.name]] == [("step", 4), ("evaluation", 4), ("end", 4)]
    assert not failures


def test_a_tool_that_fails_is_left_out_and_others_go_on(make_run: MakeRun, tmp_path: Path) -> None:
    first, second, said = make_run([0.5, 0.25]), make_run([0.5, 0.2], seed=1), []
    followed = Followed(said.append)
    tools = [
        {"name": f"{__name__}:{name}", "into": str(tmp_path / name), "options": {}} for name in ("Broken", "Notes")
    ]
    for path in (first, second):
        followed.order({"begin": str(path), "tools": tools})
        followed.order({"end": str(path)})
    followed.close()
    (told,) = said
    assert told.startswith(f"Broken failed and is no longer used: {first.name}: ZeroDivisionError")
    assert all(Notes.told[path.name][-1][0] == "end" for path in (first, second))


def test_a_run_that_can_t_be_read_is_told_of_once(make_run: MakeRun, tmp_path: Path) -> None:
    folder, said = RunFolder(make_run([0.5], status=None)), []
    followed = Followed(said.append)
    tools = [{"name": f"{__name__}:Notes", "into": str(tmp_path), "options": {}}]
    followed.order({"begin": str(folder.path), "tools": tools})
    folder.steps.path.unlink()
    folder.steps.path.mkdir()
    for _ in range(3):
        followed.advance()
    followed.close()
    (told,) = said
    assert told.startswith(f"{folder.name} is no longer tracked: ") and "steps.csv" in told


def test_a_tail_gives_new_whole_rows_and_tells_of_a_new_file(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "steps.csv")
    assert tail.rows() == []
    tail.path.write_text("step,lr,loss\n1,0.1,2.5\n2,0.1,na")
    assert tail.rows() == [{"step": 1.0, "lr": 0.1, "loss": 2.5}]
    with tail.path.open("a") as file:
        file.write("n\n3,,1.5\n")
    second, third = tail.rows() or []
    assert math.isnan(second["loss"]) and third == {"step": 3.0, "loss": 1.5}
    assert tail.rows() == []
    (tmp_path / "new").write_text(tail.path.read_text() + "4,0.1,1.0\n")
    (tmp_path / "new").replace(tail.path)
    assert tail.rows() == [{"step": 4.0, "lr": 0.1, "loss": 1.0}], "a copy goes on"
    (tmp_path / "new").write_text("step,lr,loss\n1,0.1,2.5\n")
    (tmp_path / "new").replace(tail.path)
    assert tail.rows() is None
    assert tail.rows() == [{"step": 1.0, "lr": 0.1, "loss": 2.5}]


def test_a_run_is_tracked_while_it_trains_and_again_finished(cli: Cli, write_config: Any, tmp_path: Path) -> None:
    code, out, _ = cli("run", write_config(), "--track", "tensorboard", "--seeds", "2", "--jobs", "1")
    assert code == 0 and "tensorboard --logdir runs/tracked/tensorboard" in out
    folders = sorted(Path("runs").glob("tiny-*"))
    for folder in folders:
        found = scalars(Path("runs/tracked/tensorboard") / folder.name)
        assert [step for step, _ in found["loss/step"]] == [1, 2, 3, 4]
        assert [step for step, _ in found["loss/val"]] == [2, 4]
        assert "track:\n- name: tensorboard" in (folder / "config.yaml").read_text()
    files = sorted(Path("runs/tracked").rglob("events*"))
    assert lrbench.export("runs", to="tensorboard", into="runs/tracked/tensorboard").unchanged == [
        f.name for f in folders
    ]
    assert sorted(Path("runs/tracked").rglob("events*")) == files


def test_finished_runs_are_caught_up_with(make_run: MakeRun, tmp_path: Path, tiny: Any) -> None:
    path = make_run([0.5, 0.25])
    said: list[str] = []
    lrbench.run(
        [RunFolder(path).config()], runs=tmp_path / "runs", track={"name": "tensorboard", "dir": str(tmp_path / "tb")},
        watch=lambda event: said.append(event.values.get("text", "")),
    )  # fmt: skip
    assert scalars(tmp_path / "tb" / path.name)["loss/val"] == [(2, 0.5), (4, 0.25)]
    assert any("tensorboard --logdir" in text for text in said)


def test_trackers_are_checked_before_anything_is_written(cli: Cli, write_config: Any, tiny: Any) -> None:
    for track, words in (
        ("tensorbord", "did you mean 'tensorboard'"),
        ([{"name": "wandb", "mode": 3}], "mode"),
        (f"{__name__}:Needy", "pip install 'lrbench-torch[needy]'"),
        ({"name": "tensorboard", "dir": 3}, "must be a folder"),
        ("csv", "unknown tracker 'csv'"),
    ):
        code, _, err = cli("run", write_config(track=track))
        assert code == 2 and words in " ".join(err.split()), err
        assert not Path("runs").exists()
    code, _, err = cli("run", write_config(), "--track", "tensorbord")
    assert code == 2 and "tensorbord" in err
    with pytest.raises(ConfigError, match="track"):
        tiny(track=[3])


def test_tracking_is_no_part_of_the_identity(tiny: Any) -> None:
    from lrbench.config import identity

    plain = tiny()
    tracked = tiny(track=["tensorboard", {"name": "wandb", "project": "x"}])
    assert identity(tracked) == identity(plain) and "track" not in plain.plain()
    assert tracked.plain()["track"] == [{"name": "tensorboard"}, {"name": "wandb", "project": "x"}]
    assert tiny(track=[]).plain() == plain.plain()
    assert tiny(track="mlflow").plain()["track"] == [{"name": "mlflow"}]


def test_a_tool_of_one_s_own_and_a_failing_one_do_not_stop_training(cli: Cli, write_config: Any) -> None:
    page = (Path(__file__).parent.parent / "docs" / "export.md").read_text()
    example = page.split("```python\n")[-1].split("```")[0]
    bad = "class Bad(Tool):\n    def __init__(self, into):\n        raise RuntimeError('no connection')\n"
    Path("mine.py").write_text(f"{example}\n\n{bad}")
    config = write_config(track=[{"name": "mine:MyTool", "colour": "blue"}, "mine:Bad"])
    code, out, _ = cli("run", config)
    assert code == 0 and "mine:Bad can't be used: no connection" in out
    (folder,) = Path("runs").glob("tiny-*")
    written = Path("runs/tracked/mytool") / f"{folder.name}.txt"
    assert [line.split()[0] for line in written.read_text().splitlines()] == ["1", "2", "2", "3", "4", "4"]
    assert "1 run exported" in cli("export", "--to", "mine:MyTool", "mine")[1]
    assert (Path("mine") / written.name).read_text() == written.read_text()


def test_tensorboard_replaces_only_its_own_files(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run([0.5])
    other = tmp_path / "logs" / path.name / "events.out.tfevents.1.host.2.3"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")
    lrbench.export(path, to="tensorboard", into=tmp_path / "logs")
    assert other.exists() and TensorBoard(tmp_path).hint == f"tensorboard --logdir {tmp_path}"
    assert ACCURACY.name == "accuracy"


SLOW = """
import time
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.last = nn.Linear(64, num_classes)
    def forward(self, x):
        if self.training and not Path(__file__).with_name("go").exists():
            time.sleep(0.05)
        return self.last(x.flatten(1))
"""
"""A model that trains slowly until a file is there, so that tools see it run, and it has a checkpoint."""


@pytest.mark.slow
@THEIRS
def test_a_killed_run_is_closed_in_its_tools_and_goes_on_when_resumed(
    tmp_path: Path, write_config: Any, mlflow_client: Callable[..., Any], forks: Starts
) -> None:
    uri = f"file:{tmp_path / 'mlruns'}"  # a database would take longer than the run
    (tmp_path / "nets.py").write_text(SLOW)
    config = write_config(epochs=300, model="nets:Net", track=["tensorboard", {"name": "mlflow", "uri": uri}])
    command = ["-m", "lrbench", "run", config]
    client = mlflow_client(tmp_path, uri)
    child = forks.popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)

    def seed() -> Any:
        """The run in MLflow."""
        if not (tmp_path / "mlruns").exists():
            return None
        places = [place.experiment_id for place in client.search_experiments() if place.name == "tiny"]
        return next((run for run in client.search_runs(places) if "lrbench.identity" in run.data.tags), None)

    waited(
        lambda: (
            (run := seed()) and run.data.metrics.get("epoch", 0) > 20 and list(tmp_path.glob("runs/*/checkpoint.pt"))
        )
    )
    child.kill()
    child.wait()
    (tmp_path / "go").touch()
    assert waited(lambda: (run := seed()) and run.info.status == "KILLED")
    number = seed().info.run_id
    (folder,) = [path for path in (tmp_path / "runs").iterdir() if path.name.startswith("tiny-")]
    assert (groups := session_groups(tmp_path / "runs" / "tracked" / "tensorboard").session_groups)
    assert groups[0].sessions[0].status == 0, "unknown: it may go on"

    done = forks.run(command, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    run = seed()
    assert (run.info.run_id, run.info.status) == (number, "FINISHED")
    wanted = list(range(1, 601))
    assert [one.step for one in client.get_metric_history(number, "loss")] == wanted
    found = scalars(tmp_path / "runs" / "tracked" / "tensorboard" / folder.name)
    assert [step for step, _ in found["loss/step"]] == wanted
    assert [step for step, _ in found["loss/val"]] == wanted[1::2]


@pytest.mark.slow
def test_runs_in_worker_processes_are_tracked(cli: Cli, write_config: Any) -> None:
    code, out, _ = cli(
        "sweep", write_config(), "--lr", "0.1,0.01", "--seeds", "2", "--jobs", "2", "--track", "tensorboard"
    )
    assert code == 0 and "tensorboard --logdir" in out
    groups = session_groups(Path("runs/tracked/tensorboard")).session_groups
    assert sorted(len(group.sessions) for group in groups) == [2, 2]
    assert {group.hparams["optimizer.lr"].number_value for group in groups} == {0.1, 0.01}
    assert {session.status for group in groups for session in group.sessions} == {1}
    for folder in Path("runs").glob("tiny-*"):
        assert [step for step, _ in scalars(Path("runs/tracked/tensorboard") / folder.name)["loss/step"]] == [
            1,
            2,
            3,
            4,
        ]


@pytest.mark.slow
def test_runs_that_a_sweep_drops_are_closed(cli: Cli, write_config: Any) -> None:
    config = write_config(epochs=4)
    assert cli("sweep", config, "--lr", "0.1,0.01,0.001", "--halve", "--jobs", "1", "--track", "tensorboard")[0] == 0
    logs = Path("runs/tracked/tensorboard")
    assert [session.status for group in session_groups(logs).session_groups for session in group.sessions] == [1, 1, 1]
    lasts = sorted(scalars(folder)["loss/step"][-1][0] for folder in logs.glob("tiny-*"))
    assert lasts[0] < lasts[-1] == 8


@pytest.mark.slow
def test_the_runs_of_a_command_are_tracked_while_it_records(cli: Cli) -> None:
    Path("train.py").write_text(
        "import sys, time, lrbench\n"
        "with lrbench.record() as run:\n"
        "    for step in range(1, 21):\n"
        "        run.step(loss=1 / step, lr=float(sys.argv[1]))\n"
        "        if step % 5 == 0:\n"
        "            run.evaluate(val_loss=1 / step)\n"
        "        time.sleep(0.1)\n"  # so that the tools see the run grow
    )
    config = {"name": "mine", "command": f"{sys.executable} train.py {{lr}}", "cwd": ".", "params": {"lr": 0.01}}
    Path("mine.yaml").write_text(json.dumps({**config, "track": "tensorboard"}))
    assert cli("run", "mine.yaml")[0] == 0
    (folder,) = Path("runs").glob("mine-*")
    found = scalars(Path("runs/tracked/tensorboard") / folder.name)
    assert [step for step, _ in found["loss/step"]] == list(range(1, 21)) == [step for step, _ in found["lr"]]
    assert found["loss/val"] == [(step, pytest.approx(1 / step)) for step in (5, 10, 15, 20)]
    (group,) = session_groups(Path("runs/tracked/tensorboard")).session_groups
    assert group.hparams["lr"].number_value == 0.01 and group.sessions[0].status == 1


def test_files_that_are_removed_during_an_export_are_written_by_the_next_one(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, into = make_run([0.5, 0.25]), tmp_path / "out"
    end = tensorboard._EventFile.end

    def removed(log: Any, ending: Ending) -> None:
        end(log, ending)
        shutil.rmtree(into / run.name)

    with monkeypatch.context() as patched:
        patched.setattr(tensorboard._EventFile, "end", removed)
        with pytest.raises(RunError, match=f"{run.name} was removed while it was written"):
            lrbench.export([run], to="tensorboard", into=into)
    assert not (into / run.name).exists()
    assert lrbench.export([run], to="tensorboard", into=into).added == [run.name]
    assert list((into / run.name).glob("events.out.*"))
