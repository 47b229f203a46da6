"""`--json` of run, sweep and find-lr: one JSON object per line, nothing else, and an exit code on the last line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import Starts
from waiting import PATIENCE

from lrbench.cli import json_output
from lrbench.cli.json_events import JsonEvents
from lrbench.cli.terminal import Terminal
from lrbench.events import Event, message
from lrbench.runs import RunResult, Status

Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
PAGE = (Path(__file__).parent.parent / "docs" / "automation.md").read_text()


def lines(out: str) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    assert out.endswith("\n") and out.isascii()
    return [json.loads(line, parse_constant=refuse) for line in out.splitlines()]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["event"] for one in found))


def the(found: list[dict[str, Any]], event: str) -> dict[str, Any]:
    (one,) = (one for one in found if one["event"] == event)
    return one


def test_a_run_tells_everything_in_lines(cli: Cli, write_config: Callable[..., Path]) -> None:
    code, out, err = cli("run", write_config(), "--seeds", 2, "--json")
    assert (code, err) == (0, "")
    found = lines(out)
    assert kinds(found) == ["plan", "message", "start", "progress", "evaluation", "end", "summary", "done"]
    assert found[0]["runs"] == 2 and found[-1].keys() == {"event", "exit_code", "time"}
    assert found[-1]["exit_code"] == 0
    ended = [one for one in found if one["event"] == "end"]
    for one in ended:
        folder = Path(one["folder"])
        assert folder.name == one["run"] and one["status"] == "finished"
        assert one["result"] == json.loads((folder / "result.json").read_text())
    evaluations = [one for one in found if one["event"] == "evaluation" and one["run"] == ended[0]["run"]]
    assert [one["epoch"] for one in evaluations] == [1, 2]
    assert evaluations[-1]["values"]["val_loss"] == ended[0]["result"]["final"]["val_loss"]
    summary = the(found, "summary")
    assert summary["counts"] == {"finished": 2}
    assert [(one["seed"], one["already_finished"]) for one in summary["runs"]] == [(0, False), (1, False)]
    assert {one["folder"] for one in summary["runs"]} == {one["folder"] for one in ended}
    for one in found:
        assert f"`{one['event']}`" in PAGE and all(f"`{key}`" in PAGE for key in one), one
    again = lines(cli("run", "tiny.yaml", "--seeds", 2, "--json")[1])
    assert kinds(again) == ["summary", "done"]
    assert all(one["already_finished"] for one in again[0]["runs"])


def test_a_sweep_tells_its_cells_and_the_best_of_them(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config(epochs=1)
    words = ("sweep", config, "--lr", "0.01,0.1", "--seeds", 2, "--jobs", 1, "--json")
    dry = lines(cli(*words, "--dry-run")[1])
    assert kinds(dry) == ["summary", "done"] and dry[0]["counts"] == {"pending": 4} and not Path("runs").exists()
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    found = lines(out)
    cells = the(found, "sweep")["cells"]
    assert sorted((cell["lr"], cell["seed"], cell["finished"]) for cell in cells) == [
        (0.01, 0, False), (0.01, 1, False), (0.1, 0, False), (0.1, 1, False),
    ]  # fmt: skip
    summary = the(found, "summary")
    best = summary["best"]
    assert (best["lr"], best["seeds"], best["metric"], best["tries"]) == (0.1, [0, 1], "val_loss", 2)
    assert summary["counts"] == {"finished": 4} and Path(summary["folder"], "summary.csv").exists()
    for one in (*found, best, *cells):
        assert all(f"`{key}`" in PAGE for key in one), one
    code, out, _ = cli("sweep", "--status", "--json")
    (status,) = json.loads(out)["sweeps"]
    assert code == 0 and (status["counts"], status["left"]) == ({"finished": 4}, 0)
    assert {(cell["label"], cell["status"], cell["done"]) for cell in status["cells"]} >= {
        ("tiny, lr 0.1, seed 1", "finished", 1.0)
    }
    assert all(f"`{key}`" in PAGE for key in (*status, *status["cells"][0]))


def test_find_lr_tells_its_finding(cli: Cli, write_config: Callable[..., Path]) -> None:
    code, out, err = cli("find-lr", write_config(), "--seeds", 1, "--iterations", 40, "--json")
    assert (code, err) == (0, "")
    found = lines(out)
    assert kinds(found)[-2:] == ["finding", "done"] and {"start", "end"} < {one["event"] for one in found}
    finding = the(found, "finding")
    plain = json.loads(Path(finding["folder"], "finder.json").read_text())
    assert all(finding[key] == value for key, value in plain.items() if key != "format")
    assert (finding["advice"] is None) != (finding["no_suggestion"] is None)


def test_failed_runs_are_told_and_the_exit_code_is_1(
    cli: Cli, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "mine_json_failing.py").write_text(
        "import torch\n\n\ndef loss(outputs, targets):\n"
        "    if len(targets) > 4:\n        raise RuntimeError('my mistake')\n"
        "    return torch.nn.functional.cross_entropy(outputs, targets)\n"
    )
    code, out, _ = cli("run", write_config(loss="mine_json_failing:loss"), "--json")
    found = lines(out)
    assert (code, found[-1]["event"], found[-1]["exit_code"]) == (1, "done", 1)
    ended = the(found, "end")
    assert ended["status"] == "failed" and "my mistake" in ended["reason"]
    (run,) = the(found, "summary")["runs"]
    assert run["status"] == "failed" and "my mistake" in run["message"]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["run", "missing.yaml"], "no such file"),
        (["run"], "CONFIG is missing. In this folder: tiny.yaml"),
        (["run", "tiny.yaml", "--sed", "1"], "no such option: --sed; did you mean '--seeds'?"),
        (["run", "tiny.yaml", "--set", "optimizer.lr=fast"], "greater than 0"),
        (["run", "tiny.yaml", "--jobs", "many"], "--jobs must be a whole number"),
        (["run", "tiny.yaml", "--device", "gpu"], "'gpu'"),
        (["sweep"], "give at least one CONFIG, or --status"),
        (["sweep", "tiny.yaml", "--lr", "x"], "--lr"),
        (["sweep", "--status"], "no sweep in runs"),
        (["find-lr", "tiny.yaml", "--start", "1", "--end", "0.1"], "end"),
        (["find-lr", "tiny.yaml", "--schedule", "cosine"], "give both"),
        (["trian"], "trian"),
    ],
    ids=str,
)
def test_mistakes_are_lines_too(cli: Cli, write_config: Callable[..., Path], words: list[str], fragment: str) -> None:
    write_config()
    code, out, err = cli(*words, "--json")
    assert (code, err) == (2, "")
    last = lines(out)[-1]
    assert (last["event"], last["exit_code"]) == ("error", 2) and fragment in last["message"], last


def test_an_interrupt_leaves_a_last_line(
    cli: Cli, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrbench.training.loop import Training

    measure = Training.evaluate

    def interrupted(self: Training) -> None:
        subprocess.run(["kill", "-INT", str(os.getpid())], check=True)  # of its own, it would be the run's code
        measure(self)

    monkeypatch.setattr(Training, "evaluate", interrupted)
    code, out, err = cli("run", write_config(), "--json")
    found = lines(out)
    assert (code, err, found[-1]["event"], found[-1]["exit_code"]) == (130, "", "error", 130)
    assert "the same command resumes" in found[-1]["message"]
    assert the(found, "summary")["counts"] == {"interrupted": 1}


# -- the stream


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[JsonEvents], None]], list[dict[str, Any]]]:
    """The lines that a function writes, and the last one."""

    def call(write: Callable[[JsonEvents], None]) -> list[dict[str, Any]]:
        capsys.readouterr()
        write(JsonEvents(Terminal(quiet=True)))
        json_output.close(0)
        return lines(capsys.readouterr().out)

    return call


Told = Callable[[Callable[[JsonEvents], None]], list[dict[str, Any]]]


def test_numbers_that_json_lacks_and_odd_paths(told: Told) -> None:
    odd = os.fsdecode(b"/tmp/\xff\n\xe2\x80\xa8")
    result = RunResult(Status.DIVERGED, "NaN", final={"val_loss": None})

    def write(events: JsonEvents) -> None:
        events(Event("a", "epoch", lr=float("nan"), values={"val_loss": float("inf"), "val_x": -float("inf")}))
        events(Event("a", "end", values={"result": result, "folder": Path(odd)}))
        events(message("two\nlines"))
        print("what user code prints")

    first, second, third, done = told(write)
    assert (first["lr"], first["values"]) == (None, {"val_loss": None, "val_x": None})
    assert second["folder"] == odd and second["status"] == "diverged"
    assert third["text"] == "two\nlines" and third["run"] is None
    assert (done["event"], done["exit_code"]) == ("done", 0)


def test_progress_is_told_once_a_second_for_each_run(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("lrbench.cli.json_events.time.monotonic", lambda: clock[0])

    def write(events: JsonEvents) -> None:
        for step in range(40):
            clock[0] = step / 10
            events(Event("a", "progress", step=step))
            if step % 2:
                events(Event("b", "progress", step=step))

    *found, _ = told(write)
    assert [one["step"] for one in found if one["run"] == "a"] == [0, 10, 20, 30]
    assert [one["step"] for one in found if one["run"] == "b"] == [1, 11, 21, 31]


def test_the_stream_owns_the_descriptor_and_gives_it_back() -> None:
    script = (
        "import os, subprocess\nfrom lrbench.cli import json_output\nstream = json_output.opened()\n"
        "stream.write('one', x=float('nan'))\nos.write(1, b'raw\\n')\nprint('printed', flush=True)\n"
        "subprocess.run(['echo', 'child'])\njson_output.close(3)\nprint('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    *told, after = done.stdout.splitlines()
    assert after == "after" and done.stderr.splitlines() == ["raw", "printed", "child"]
    first, last = map(json.loads, told)
    assert first | {"time": ""} == {"event": "one", "x": None, "time": ""}
    assert (last["event"], last["exit_code"]) == ("done", 3)


TRAIN = ["-m", "lrbench", "run", "tiny.yaml", "--json"]


@pytest.mark.slow
def test_what_user_code_and_workers_print_goes_to_standard_error(
    write_config: Callable[..., Path], tmp_path: Path, forks: Starts
) -> None:
    (tmp_path / "mine_noisy.py").write_text(
        "import os\nimport torch\n\n\ndef loss(outputs, targets):\n    print('printed')\n    os.write(1, b'raw\\n')\n"
        "    return torch.nn.functional.cross_entropy(outputs, targets)\n"
    )
    write_config(epochs=1, loss="mine_noisy:loss")
    done = forks.run([*TRAIN, "--seeds", "2", "--jobs", "2"], cwd=tmp_path, timeout=240)
    assert done.returncode == 0
    assert lines(done.stdout)[-1]["exit_code"] == 0
    assert {"printed", "raw"} <= set(done.stderr.splitlines())


@pytest.mark.slow
def test_a_reader_that_leaves_stops_the_command_and_the_run_resumes(
    write_config: Callable[..., Path], tmp_path: Path, forks: Starts
) -> None:
    write_config(epochs=None, steps=10_000_000)
    with forks.popen(TRAIN, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None and command.stderr is not None
        while json.loads(command.stdout.readline())["event"] != "progress":
            pass
        command.stdout.close()
        assert command.wait(PATIENCE) == 130
        assert "Traceback" not in command.stderr.read()
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "checkpoint.pt").exists() and not (run / "result.json").exists()


@pytest.mark.slow
def test_ctrl_c_before_and_during_training_has_a_last_line(
    write_config: Callable[..., Path], tmp_path: Path, forks: Starts
) -> None:
    write_config(epochs=None, steps=10_000_000)
    for until in ("plan", "progress"):
        with forks.popen(TRAIN, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
            assert command.stdout is not None
            while json.loads(command.stdout.readline())["event"] != until:
                pass
            command.send_signal(signal.SIGINT)
            rest = command.stdout.read().decode()
            assert command.wait(PATIENCE) == 130
        last = json.loads(rest.splitlines()[-1])
        assert (last["event"], last["exit_code"]) == ("error", 130), until
