"""Wrong words of the commands that compare: what they are told, and that nothing is ignored, half written or lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.errors import FolderError, UsageError, counted
from lrbench.runs import RunFolder, no_runs, write_file

Cli = Callable[..., tuple[int, str, str]]
MakeRun = Callable[..., Path]

LONG = "x" * 300
COMMANDS = {
    "report": ["report", "{}"],
    "compare": ["compare", "tiny", "base", "--runs", "{}"],
    "export": ["export", "{}", "--to", "csv", "out"],
    "figure": ["figure", "curves", "{}"],
    "audit": ["audit", "{}"],
    "transfer": ["transfer", "{}"],
    "watch": ["watch", "--once", "{}"],
}


def words(command: str, path: object) -> list[str]:
    return [word.format(path) for word in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_too_long_for_any_file_is_a_mistake(cli: Cli, make_run: MakeRun, command: str) -> None:
    make_run([0.5])
    code, _, err = cli(*words(command, LONG))
    assert code == 2 and err.count("\n") == 1 and "bug" not in err


@pytest.mark.parametrize("command", [*COMMANDS, "serve"])
def test_a_word_of_blanks_is_empty(cli: Cli, make_run: MakeRun, command: str) -> None:
    make_run([0.5])
    code, _, err = cli(*(["serve", "  "] if command == "serve" else words(command, "  ")))
    assert code == 2 and "is empty" in err


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "watch"])
def test_a_folder_without_runs_is_told_on_one_line(cli: Cli, tmp_path: Path, command: str) -> None:
    (tmp_path / "two\nlines").mkdir()
    code, _, err = cli(*words(command, "two\nlines"))
    assert (code, err.count("\n")) == (2, 1) and "no runs in two\ufffdlines; `lrbench " in err


def test_a_folder_beside_the_runs_is_told_where_they_are(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5])
    (tmp_path / "runs" / "sweeps" / "rates").mkdir(parents=True)
    assert str(no_runs([tmp_path / "runs" / "sweeps" / "rates"])).endswith(f"; there are some in {tmp_path / 'runs'}")


def test_a_parent_folder_that_can_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()

    def unreadable(folder: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("lrbench.runs.find.folders_in", unreadable)
    said = str(no_runs([tmp_path / "mine"]))
    assert said.startswith(f"no runs in {tmp_path / 'mine'}; `lrbench run CONFIG` creates some")
    assert said.endswith(f", and {tmp_path} cannot be read: Permission denied, so there may be some in there")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            ["compare", "a", "b", "--metric", "val_loss", "--metric=val_accuracy"],
            "--metric is given twice, as val_loss and as val_accuracy; give it once",
        ),
        (["report", "--out", "a", "--out", "b"], "--out is given twice, as a and as b"),
        (["report", "--runs=a", "--runs", "b"], "--runs is given twice, as a and as b"),
        (["serve", "--open", "--no-open"], "--open and --no-open contradict each other; give one"),
        (["serve", "runs/pipe"], "runs/pipe is a file; name a folder of runs"),
        (["serve", "--allow-host", "*"], "--allow-host must be a host's name"),
        (["report", "one", "--runs", "runs"], "--runs runs is not used, since the runs are named: one; leave out one"),
        (["export", "one", "out", "--to", "csv", "--runs", "runs"], "--runs runs is not used"),
        (["watch", ".", "--runs", "elsewhere"], "--runs elsewhere is not used, since folders are named: ."),
        (["export", "out", "--to", "csv", "--set", "name=wandb"], "--set name=wandb: --to csv names the tool"),
        (["transfer", "--name", "x", "--json"], "--name is for the files of a transfer, and --json writes none"),
        (["audit", "--total-steps", "5"], "--total-steps: these runs record their own lengths; give --schedule too"),
        (["audit", "--schedule", "cosine", "--total-steps", "9" * 20], "--total-steps must be at most 100,000,000"),
        (
            ["figure", "curves", "--axis", "batch_size"],
            "--axis is for figures of heatmap and lengths, and none is asked",
        ),
        (["figure", "curves", "--target", "val_loss=1"], "--target is for figures of target and arrivals"),
        (["figure", "curves", "--svg-text"], "--svg-text is for files that end in .svg"),
        (["figure", "curves", "--dpi", "200"], "--dpi is for files that end in .png"),
        (["figure", "ALL"], "did you mean 'all'?"),
        (["figure", "all,curves"], "all stands alone, or name the kinds (got 'all,curves')"),
        (["figure", "curves", "--format", "PDF", "--out", "a"], "--format PDF: no such format; did you mean 'pdf'?"),
        (["report", "--format", "jsn"], "--format jsn: no such format; did you mean 'json'? Choices: csv"),
        (["report", "--rows", "\u0663"], "--rows must be a number, at least 1, or all"),
        (["report", "--target", "val_loss=\u0660.\u0661"], "and a number, such as val_loss=0.1"),
        (["report", "--baseline", "tny"], "no such group of runs; did you mean 'tiny'? Choose one of: tiny"),
        (["report", "--filter", "tny"], "--filter tny: no run has this name; did you mean 'tiny'? Known: tiny"),
        (["report", "--columns", "val_los"], "no such column; did you mean 'val_loss'? Known: run"),
    ],
    ids=str,
)
def test_what_would_be_right(cli: Cli, make_run: MakeRun, given: list[str], problem: str) -> None:
    os.mkfifo(make_run([0.5]).parent / "pipe")
    code, out, err = cli(*given)
    said = json.loads(out)["message"] if "--json" in given else err
    assert code == 2 and problem in said


def test_the_same_value_twice_is_no_mistake(cli: Cli, make_run: MakeRun) -> None:
    make_run([0.5])
    assert cli("report", "--format", "csv", "--format", "csv")[0] == 0


def range_test(root: Path) -> Path:
    """A damaged range test, which is found like any other."""
    folder = root / "find-lr" / "tiny-12345678"
    write_file(folder / "finder.json", "{}")
    return folder


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (["--target", "val_loss=0.1"], "--target val_loss=0.1: there are only range tests in only"),
        (["--baseline", "tiny"], "--baseline tiny: there are only range tests in only"),
        (["--metric", "val_loss"], "--metric val_loss: there are only range tests in only"),
        (["--columns", "run,val_loss"], "--columns run,val_loss: there are only range tests in only"),
        (["--filter", "nothing"], "--filter nothing: there are no runs to choose from"),
        (["--format", "csv"], "--format csv prints the table of runs, and there are only range tests in only"),
    ],
    ids=str,
)
def test_only_range_tests(cli: Cli, tmp_path: Path, asked: list[str], problem: str) -> None:
    range_test(tmp_path / "only")
    code, _, err = cli("report", "only", *asked)
    assert code == 2 and problem in err


def test_range_tests_are_found_in_their_own_folder(cli: Cli, tmp_path: Path) -> None:
    range_test(tmp_path / "runs")
    assert cli("report", "runs/find-lr", "--out", "out")[0] == 0
    code, _, err = cli("audit", "runs/find-lr")
    assert code == 2 and "no runs in runs/find-lr, only range tests; `lrbench report` shows them" in err


def test_a_seed_of_a_range_test_is_not_called_damaged(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    folder = range_test(tmp_path / "runs") / "seed0"
    make_run([0.5]).rename(folder)
    result = json.loads((folder / "result.json").read_text())
    write_file(folder / "result.json", json.dumps({**result, "final": None, "best": None}))
    code, out, _ = cli("export", folder.parent, "--to", "csv", "out")
    assert code == 1 and "it belongs to a range test" in out and "damaged" not in out


def test_a_metric_without_any_value(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "net_seed0.csv").write_text("epoch,train_loss,val_loss\n1,1.0,0.9\n2,0.5,0.6\n")
    assert cli("import", "logs")[0] == 0
    code, _, err = cli("report", "--metric", "test_loss")
    assert code == 2 and "--metric test_loss: no run has a value of it; known: train_loss, val_loss" in err
    out = cli("report", "--standalone")[1]
    assert "winner.py is not written: lrbench's own loop did not train the best run" in out


@pytest.mark.parametrize("inside", ["runs", "runs/{run}", "runs/{run}/deeper"])
@pytest.mark.parametrize("tool", ["csv", "tensorboard"])
def test_exports_stay_out_of_run_folders(cli: Cli, make_run: MakeRun, inside: str, tool: str) -> None:
    run = make_run([0.5])
    before = {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()}
    code, _, err = cli("export", "--to", tool, inside.format(run=run.name))
    assert code == 2 and "export to another one" in err
    assert {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()} == before


def test_an_export_stays_out_of_other_runs(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    shutil.copytree(make_run([0.5]).parent, tmp_path / "others")
    code, _, err = cli("export", "--to", "csv", "others")  # and no folder to export to
    assert code == 2 and "others is a folder of runs; export to another one, such as others/exported" in err


def test_an_export_may_lie_beside_a_config(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5])
    (tmp_path / "config.yaml").write_text("dataset: digits\n")
    code, out, _ = cli("export", "runs", "--to", "csv", "tables")
    assert code == 0 and "1 run exported" in out


def test_an_export_of_damaged_runs_alone_fails(cli: Cli, make_run: MakeRun, tmp_path: Path) -> None:
    (make_run([0.5]) / "result.json").write_text("{")
    code, out, _ = cli("export", "--to", "csv", tmp_path / "out")
    assert code == 1 and "left out:" in out and "nothing to export" in out


def test_tables_are_replaced_whole_or_not_at_all(
    cli: Cli, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run([0.5])
    assert cli("export", "--to", "csv", "out")[0] == 0
    before = (tmp_path / "out" / "runs.csv").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = cli("export", "--to", "csv", "out")
    assert code == 1 and "No space left on device" in err and "bug" not in err
    assert (tmp_path / "out" / "runs.csv").read_bytes() == before
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.endswith(".tmp")]


def test_a_link_that_leads_nowhere(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([0.5])
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FolderError, match="it is a link that leads nowhere"):
        lrbench.report(tmp_path / "runs", tmp_path / "link")


def test_an_mlflow_server_that_is_not_there(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    make_run([0.5])
    with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        lrbench.export(tmp_path / "runs", to="mlflow", into="http://127.0.0.1:1")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]], ids=str)
def test_a_full_disk_behind_the_standard_output(make_run: MakeRun, tmp_path: Path, more: list[str]) -> None:
    make_run([0.5])
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "lrbench", "audit", *more],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr == "Error: cannot write the output: No space left on device\n"


def test_a_terminal_without_a_width_shows_text(cli: Cli, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run([0.5])
    monkeypatch.setenv("COLUMNS", "0")
    assert "as meant" in cli("audit")[1]


def test_one_of_one(cli: Cli, make_run: MakeRun) -> None:
    run = make_run([0.5])
    make_run([0.6, 0.5], name="other")
    said = cli("compare", "tiny", "--target", "val_loss=0.6")[1]
    assert "1 of 1 seed reaches it" in said and "1 steps" not in said
    assert "1 epoch (tiny); 2 epochs (other)" in cli("compare", "tiny", "other")[1]
    (run / "result.json").unlink()
    assert RunFolder(run).is_run
    assert "1 of 1 run of tiny is interrupted and does not count" in cli("compare", "tiny", "other")[1]
    assert counted(1, "class") == "1 class" and counted(2, "batch") == "2 batches"
