"""`lrbench import` tells what it leaves out: files, lines, values and settings, each once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import lrbench
from lrbench.analysis import read_runs
from lrbench.errors import UsageError
from lrbench.integrations.importers import MOST_DEEP, TOOLS, left

Cli = Callable[..., tuple[int, str, str]]
GOOD = "epoch,val_loss,lr\n1,0.5,0.1\n2,0.25,0.1\n"
DOCS = Path(__file__).parents[1] / "docs" / "import.md"
PANEL = '"Step","a - val/loss","a - val/loss__MIN"\n0,1.5,1.5\n10,oops,0.5\n'
TABLE = "Name,State,Runtime,val/loss\na,finished,1,0.5\na,finished,2,0.4\nc,running,3,0.3\n"


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    put(tmp_path / "logs" / "good.csv", GOOD)
    return tmp_path / "logs"


def said(cli: Cli, *words: object, code: int = 0) -> str:
    ended, out, err = cli("import", *words)
    assert ended == code, out + err
    return " ".join((out + err).split())


# -- files


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_with_a_byte_order_mark_is_read(cli: Cli, logs: Path, encoding: str) -> None:
    put(logs / "other.csv", GOOD.encode(encoding))
    put(logs / "lines.jsonl", '{"epoch": 1, "val_loss": 0.5}\n'.encode(encoding))
    assert "3 new To compare" in said(cli, "logs")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "", "it is empty"),
        ("a.jsonl", "\n\n", "it is empty"),
        ("a.csv", GOOD.encode("utf-16-le"), "it is not text in UTF-8, or in UTF-16 with a byte order mark"),
        ("a.jsonl", bytes(range(256)), "it is not text in UTF-8"),
        ("a.jsonl", b"\xff\xfe\x00", "it is not text in UTF-8"),
        ("a.csv", None, "it is not a regular file"),
        ("version_0/metrics.csv", None, "it is not a regular file"),
        ("checkpoint-1/trainer_state.json", None, "it is not a regular file"),
        ("events.out.tfevents.1", None, "it is not a regular file, but a pipe, a socket or a device"),
        ("run-20240101_120000-abc/files/config.yaml", "lr: 1", "it has no .wandb file"),
        ("mlruns/0/abc/metrics/val_loss", "1 0.5 1", "none of its experiments has a whole meta.yaml"),
    ],
)
def test_what_can_t_be_read_is_named_once(
    cli: Cli, logs: Path, name: str, content: str | bytes | None, why: str
) -> None:
    path = put(logs / name, content or "")
    if content is None:
        path.unlink()
        os.mkfifo(path)
    text = said(cli, "logs")
    assert "1 new, 1 unreadable" in text and text.count(why) == 1 and re.search(rf"logs/\S+: {re.escape(why)}", text)


def test_a_folder_that_can_t_be_read_is_named(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (logs / "closed").mkdir()
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = lrbench.import_runs(logs, runs=logs.parent / "runs")
    assert done.unreadable == [(logs / "closed", "it cannot be read: Permission denied")] and len(done.new) == 1


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (
            lambda logs: [put(logs / f"d{at}.csv", "x,y\n1,2\n") for at in range(30)],
            f"left out, since {left.COLUMNS}: logs/d0.csv and 29 more; to import one, give its path",
        ),
        (
            lambda logs: (logs / "b.csv").symlink_to(put(logs.parent / "other" / "b.csv", GOOD)),
            "left out, since links are not followed: logs/b.csv; give the path of what they lead to",
        ),
        (
            lambda logs: (put(logs.parent / "other" / "b.csv", GOOD), (logs / "all").symlink_to("../other")),
            "left out, since links are not followed: logs/all;",
        ),
        (lambda logs: (logs / "b.csv").symlink_to("b.csv"), "logs/b.csv: it is a link that leads nowhere"),
        (
            lambda logs: put(logs.joinpath(*["d"] * (MOST_DEEP + 3), "a.csv"), GOOD),
            f"folders more than {MOST_DEEP} deep are not searched: logs/d/",
        ),
        (lambda logs: put(logs / "a.csv.gz", b"\x1f\x8b"), "compressed files are not read: logs/a.csv.gz; unpack"),
        (lambda logs: put(logs / "all.db", "x"), "MLflow's database is called mlflow.db: logs/all.db"),
        (
            lambda logs: put(logs / "meta.yaml", "experiment_id: '1'"),
            "MLflow's experiments are read together: logs/meta.yaml; give the folder that holds them",
        ),
    ],
)
def test_what_is_passed_over_is_told(cli: Cli, logs: Path, make: Callable[[Path], object], note: str) -> None:
    make(logs)
    assert note in said(cli, "logs")


def test_a_link_to_what_is_read_anyway_is_not_told(cli: Cli, logs: Path) -> None:
    (logs / "latest.csv").symlink_to("good.csv")
    (logs / "up").symlink_to(".")
    put(logs / "recipe" / "meta.yaml", "package: x")  # not MLflow's
    (logs / "._good.csv").write_bytes(b"\0\1")  # what macOS leaves in archives
    assert said(cli, "logs") == "1 new To compare them: lrbench report"


def test_tables_beside_event_files_are_told(cli: Cli, logs: Path) -> None:
    events = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    events.EventFileWriter(str(logs)).close()
    put(logs / "sub" / "other.jsonl", '{"val_loss": 1}\n')
    text = said(cli, "logs", code=1)
    assert "event files in the same place count: logs/good.csv and 1 more; to import it too, give its path" in text


def test_a_folder_without_logs_says_what_is_there(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path / "logs" / "people.csv", "name,age\nann,3\n")
    text = said(cli, "logs", code=2)
    assert "logs has no runs of W&B" in text and f"left out, since {left.COLUMNS}: logs/people.csv" in text
    put(tmp_path / "logs" / "good.csv", GOOD)
    text = said(cli, "logs", "--from", "tensorboard", code=2)
    assert text == "Error: logs has no runs of TensorBoard; its logs are those of --from csv"


def test_the_column_of_a_table_that_is_no_log(cli: Cli, logs: Path) -> None:
    put(logs / "people.csv", "name,age\nann,3\nbob,4\n")
    text = said(cli, "logs", "--map", "val_loss=age", code=2)
    assert "no log has a column 'age'; logs/people.csv has, but was left out" in text and text.endswith("--from csv")
    assert not (logs.parent / "runs").exists()
    assert "1 new" in said(cli, "logs/people.csv", "--map", "val_loss=age")


# -- lines, values and settings


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        (
            "a.csv",
            "epoch,val_loss\n1,0.5\n2,n/a\n3,err\n4,\n",
            "2 values are not numbers, the first is 'n/a' for val_l",
        ),
        (
            "a.csv",
            "epoch,val_loss,note\n1,0.5,x\n2,b,y\n",
            "logs/a.csv: 1 value is not a number: 'b' for val_loss in l",
        ),
        (
            "a.jsonl",
            '{"val_loss": 1}\n{"val_loss": [2]}\n{"val_loss": null}\n',
            "1 value is not a number: [2] for val_",
        ),
        (
            "a.csv",
            "step,val_loss\n1,5\n1,4\n2,3\n2,2\n",
            "2 rows have other values than the row before for the same st",
        ),
        ("a.csv", "epoch,val_loss\n1,5\n1,4\n", "1 row has other values than the row before for the same epoch;"),
        ("a.csv", "step,val_loss\n10,5\n5,4\n6,3\n2,2\n", "its steps go back, first from 10 to 5; 3 rows are left out"),
        ("a.csv", "step,val_loss\nnan,5\n1,4\n", "1 of its rows has NaN as the step"),
        ("a.csv", "val_loss,val_loss\n1,2\n", "its header has 'val_loss' more than once; the last such column counts"),
        ("a.csv", 'step,val_loss\n"1,000",5\n', "its column 'step' has no numbers, but texts such as '1,000'"),
        ("a.csv", "epoch,val_loss,val_accuracy\n1,2,50%\n", "its column 'val_accuracy' has no numbers, but texts such"),
        ("a.csv", "val_loss;lr\n1;0,5\n", "texts such as '0,5' with a decimal comma; write a point"),
        ("a.csv", GOOD + "9" * 1_000_001 + "\n", "line 4 is longer than 1,000,000 characters"),
        ("a.csv", 'val_loss,note\n1,x\n2,"y\n3,z\n', "line 3 has a quote that is not closed"),
        ("config.json", "{", "logs/good.csv: config.json cannot be read: its JSON breaks off in line 1"),
        ("config.yaml", "- 1\n", "config.yaml cannot be read: it has no keys with values"),
        ("panel.csv", PANEL, "logs/panel.csv, a: 1 value is not a number: 'oops' for val/loss in row 2"),
        ("table.csv", TABLE, "logs/table.csv, c: its state is running"),
    ],
)
def test_what_of_a_log_is_lost_is_told(cli: Cli, logs: Path, name: str, content: str, note: str) -> None:
    put(logs / name, content)
    text = said(cli, "logs")
    assert text.count(note) == 1 and "unreadable" not in text, text


def test_what_is_no_loss_is_not_told(cli: Cli, logs: Path) -> None:
    text = (
        "epoch, step, val_loss, note, train_loss\n0,1,0.5,x,\n0,1,,y,0.7\n\n1,2,0.4,,nan\n"  # rows of one step in two
    )
    put(logs / "a.csv", text)
    put(logs / "config.yaml", "")
    assert said(cli, "logs") == "2 new To compare them: lrbench report"


def test_a_header_after_empty_lines_is_one(cli: Cli, logs: Path) -> None:
    put(logs / "a.csv", "\n \nepoch,val_loss\n1,0.5\n2,x\n")
    text = said(cli, "logs")
    assert "2 new" in text and "logs/a.csv: 1 value is not a number: 'x' for val_loss in line 5" in text


def test_a_key_of_settings_that_are_not_read(cli: Cli, logs: Path) -> None:
    (logs / "config.yaml").symlink_to(put(logs.parent / "mine.yaml", "lr: 1\nseed: 2\n"))
    text = said(cli, "logs", "--seed-key", "seed", code=2)
    assert text.endswith("there is no setting at all: config.yaml is not read: it is a link, or no regular file")


def test_a_log_without_a_column_that_another_has_is_told_once(cli: Cli, logs: Path) -> None:
    put(logs / "a.csv", "epoch,train_loss,mine\n1,0.5,3\n")
    assert said(cli, "logs", "--map", "val_loss=mine").count("good.csv") == 1


def test_settings_that_many_logs_share_are_told_once(cli: Cli, logs: Path) -> None:
    for at in range(3):
        put(logs / f"b{at}.csv", GOOD)
    os.mkfifo(logs / "hparams.yaml")
    put(logs / "config.json", '{"lr": 0.1}')
    text = said(cli, "logs")
    assert "Note: logs/b0.csv and 3 other logs: hparams.yaml is not read: it is a link, or no regular file" in text
    (record, *_) = read_runs([logs.parent / "runs"])
    assert record.experiment is not None and record.experiment.lr == 0.1


def test_a_state_with_odd_entries_and_a_damaged_last_checkpoint(cli: Cli, logs: Path) -> None:
    history = [{"step": 1, "loss": 1.0, "eval_loss": 1}, 7, {"step": 2, "loss": "bad", "eval_loss": 0.5}]
    put(logs / "out" / "trainer_state.json", json.dumps({"log_history": history}))
    put(logs / "out" / "training_args.bin", "x")
    put(logs / "out" / "checkpoint-9" / "trainer_state.json", "{")
    text = said(cli, "logs")
    assert "2 new" in text and "logs/out: checkpoint-9/trainer_state.json is damaged: its JSON breaks off" in text
    assert (
        "in its log_history, entry 2 is not a JSON object; 1 value is not a number: 'bad' for loss in entry 3" in text
    )
    assert "training_args.bin cannot be read" in text


def test_event_files_that_are_cut_off_or_damaged(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from test_damaged_logs import of_tensorboard

    of_tensorboard(tmp_path / "logs")
    (path,) = (tmp_path / "logs").rglob("*tfevents*")
    whole = path.read_bytes()
    assert said(cli, "logs") == "1 new To compare them: lrbench report"
    path.write_bytes(whole[:-5])
    assert f"{path.name} is damaged or was cut off: its last" in said(cli, "logs")
    path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 255]) + whole[len(whole) // 2 + 1 :])
    assert f"{path.name} is damaged: its last values can't be read" in said(cli, "logs")
    (path.parent / f"{path.name}.2").write_bytes(whole)
    path.write_bytes(whole)
    assert "16 values were written again for the same or an earlier step; the last one counts" in said(cli, "logs")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_run_of_mlflow_keeps_no_others_out(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow.tracking")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    experiment = client.create_experiment("mine")
    runs = [client.create_run(experiment).info.run_id for _ in range(3)]
    for run in runs:
        client.log_metric(run, "val_loss", 0.5, step=1)
        client.log_metric(run, "val_loss", 0.4, step=1)
        client.log_metric(run, "val_loss", 0.3, step=2)
        client.set_terminated(run)
    put(tmp_path / "mlruns" / experiment / runs[0] / "metrics" / "val_loss", "1 0.5 1\nbad line\n")
    client.delete_run(runs[1])
    text = said(cli, "mlruns")
    assert "1 new" in text and f"2 runs are deleted or damaged, such as {experiment}/" in text
    assert "1 value was written again for the same or an earlier step" in text


def test_one_of_two_rows_with_a_name_is_not_lost(logs: Path) -> None:
    put(logs / "table.csv", TABLE)
    for words in ("4 new", "4 unchanged"):
        assert str(lrbench.import_runs(logs, runs=logs.parent / "runs")) == words


# -- the command


def test_what_is_named_twice_is_read_once(cli: Cli, logs: Path) -> None:
    assert "1 new To" in said(cli, "logs", "logs/good.csv", "logs/../logs")


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("trainer_state.json", "[]", "logs/trainer_state.json has no log_history; is it a Trainer's state?"),
        ("run-1-a/run-a.wandb", "", "logs/run-1-a/run-a.wandb is not a log of W&B"),
        (
            "events.out.tfevents.1",
            "x",
            "logs has no scalars that can be read in its event files; events.out.tfevents.1",
        ),
    ],
)
def test_no_message_has_its_path_twice(cli: Cli, tmp_path: Path, name: str, content: str, line: str) -> None:
    pytest.importorskip("tensorboard" if "tfevents" in name else "wandb" if "wandb" in name else "json")
    put(tmp_path / "logs" / name, content)
    assert f"1 unreadable {line}" in said(cli, "logs", code=1)


def test_a_column_has_one_name(logs: Path) -> None:
    with pytest.raises(UsageError, match="gives the column 'val_loss' two names: train_loss and val_loss"):
        lrbench.import_runs(logs, columns={"train_loss": "val_loss", "val_loss": "val_loss"})


def test_a_folder_that_can_t_be_written_to_is_told_once(cli: Cli, logs: Path) -> None:
    put(logs / "b.csv", GOOD)
    text = said(cli, "logs", "--runs", "/proc/runs", code=1)
    assert text.count("cannot write to /proc/runs/") == 1 and "unreadable" not in text


def test_the_formats_are_all_listed(cli: Cli, logs: Path) -> None:
    table = re.findall(r"\| `(\w+)` \|$", DOCS.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(TOOLS)
    helped = " ".join(said(cli, "--help").replace("│", " ").split())
    wrong = said(cli, "logs", "--from", "xyz", code=2)
    assert all(f"{name} (" in helped and name in wrong for name in TOOLS)
