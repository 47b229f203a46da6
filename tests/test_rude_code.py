"""User code that signals, ends, empties or blocks its own process: its run ends alone, and the others are as ever."""

from __future__ import annotations

import _thread
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from os import _exit as end_process
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forked import Starts
from torch import nn
from torch.utils.data import Dataset

import lrbench
from lrbench.config import load_config
from lrbench.errors import ConfigError, LrbenchError
from lrbench.runs import RunFolder, Status
from lrbench.training import run
from lrbench.training.executors.open_lines import OpenLines


class Net(nn.Module):
    """A linear model that does something at its second step, or in evaluations."""

    def __init__(self, outputs: int, act: Callable[[], object], *, evaluating: bool = False) -> None:
        super().__init__()
        self.last, self.act, self.evaluating, self.steps = nn.Linear(64, outputs), act, evaluating, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled() and not self.evaluating:
            self.steps += 1
            if self.steps == 2:
                self.act()
        if self.evaluating and not self.training and not torch.is_grad_enabled() and RUNNING:
            self.act()
        return self.last(x.flatten(1))


RUNNING: list[bool] = []
"""Not empty once runs are trained, after they were checked."""


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def interrupt_thread() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def interrupt_main() -> None:
    _thread.interrupt_main()


def leave() -> None:
    sys.exit("no more")


def read_input() -> None:
    input()


def remove_folder() -> None:
    for path in Path("runs").glob("rude-*"):
        shutil.rmtree(path)


def fail_at_random() -> None:
    raise ZeroDivisionError("at random")


def warn_as_errors() -> None:
    warnings.simplefilter("error")
    warnings.warn("mine", stacklevel=1)


def other_defaults() -> None:
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float16)
    torch.use_deterministic_algorithms(True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise ValueError("with other defaults")


def acting(outputs: int, act: str, evaluating: bool = False) -> nn.Module:
    return Net(outputs, getattr(sys.modules[__name__], act), evaluating=evaluating)


FAILING = {
    "interrupt": "your code asked its own process to stop by kill with SIGINT",
    "terminate": "your code asked its own process to stop by raise_signal with SIGTERM",
    "interrupt_thread": "your code asked its own process to stop by pthread_kill with SIGINT",
    "interrupt_main": "your code asked its own process to stop by interrupt_main with SIGINT",
    "leave": "SystemExit: no more",
    "read_input": "EOFError: EOF when reading a line",
    "remove_folder": "was removed during the run",
    "fail_at_random": "ZeroDivisionError: at random",
    "warn_as_errors": "UserWarning: mine",
    "other_defaults": "ValueError: with other defaults",
}


def rude(tiny: Any, act: str, **keys: Any) -> Any:
    return tiny(name="rude", model={"name": f"{__name__}:acting", "act": act}, **keys)


@pytest.fixture
def alone(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """The rows of a run that is trained by itself. Nothing can be read from standard input."""
    monkeypatch.chdir(tmp_path)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        (outcome,) = run([tiny()], runs="alone")
        yield (outcome.path / "steps.csv").read_bytes()


@pytest.mark.parametrize("act", FAILING)
def test_it_ends_its_own_run_with_a_reason(act: str, alone: bytes, tiny: Any) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    failed, other = run([rude(tiny, act), tiny()], runs="runs")
    assert (failed.status, other.status) == (Status.FAILED, Status.FINISHED), (failed.message, other.message)
    assert FAILING[act] in failed.message
    assert (other.path / "steps.csv").read_bytes() == alone
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert torch.get_default_device().type == "cpu" and torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("act", ["interrupt", "leave", "fail_at_random"])
def test_a_range_test_fails_alone_too(act: str, alone: bytes, tiny: Any) -> None:
    with pytest.raises(LrbenchError, match=FAILING[act]):
        lrbench.find_lr(rude(tiny, act), runs="runs", seeds=2, iterations=20)
    assert lrbench.find_lr(tiny(), runs="runs", seeds=1, iterations=20).curves


@pytest.mark.parametrize("act", ["interrupt", "leave", "fail_at_random"])
def test_an_evaluation_may_do_it_as_well(act: str, alone: bytes, tiny: Any) -> None:
    model = {"name": f"{__name__}:acting", "act": act, "evaluating": True}
    RUNNING.append(True)
    try:
        checked = run([tiny(model=model), tiny()], runs="runs")
    except LrbenchError as error:  # the check evaluates too
        assert FAILING[act].partition(": ")[2] in str(error)
    else:
        assert [one.status for one in checked] == [Status.FAILED, Status.FINISHED]
        assert FAILING[act] in checked[0].message
    finally:
        RUNNING.clear()


def test_a_signal_of_the_caller_is_no_misbehaviour(tmp_path: Path, tiny: Any) -> None:
    """What a program sends to itself while it watches is as good as Ctrl-C."""

    def watch(event: Any) -> None:
        if event.kind == "epoch":
            os.kill(os.getpid(), signal.SIGTERM)

    (outcome,) = run([tiny()], runs=tmp_path, watch=watch)
    assert outcome.status is Status.INTERRUPTED and outcome.signal == signal.SIGTERM


def test_signals_to_others_are_sent(tmp_path: Path, tiny: Any) -> None:
    sleeper = subprocess.Popen(["sleep", "100"])
    _sleepers.append(sleeper.pid)
    (outcome,) = run([tiny(model={"name": f"{__name__}:acting", "act": "end_sleeper"})], runs=tmp_path)
    assert outcome.status is Status.FINISHED and sleeper.wait() == -signal.SIGTERM


_sleepers: list[int] = []


def end_sleeper() -> None:
    os.kill(_sleepers.pop(), signal.SIGTERM)


class Dying(Dataset[Any]):
    """Kills the process of a data loader that reads its example 41."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 41 and torch.utils.data.get_worker_info() is not None and Path("runs").exists():  # not in the check
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(64) + index % 2, index % 2


def dying() -> dict[str, Any]:
    return {"train": Dying(), "test": (torch.zeros(8, 64), torch.arange(8) % 2), "classes": 2}


def test_a_data_loader_s_process_that_dies_ends_its_run_alone(alone: bytes, tiny: Any) -> None:
    failed, other = run([tiny(dataset={"name": f"{__name__}:dying", "workers": 1}), tiny()], runs="runs")
    assert (failed.status, other.status) == (Status.FAILED, Status.FINISHED), failed.message
    assert "DataLoader worker" in failed.message and (other.path / "steps.csv").read_bytes() == alone


def close_all_files() -> None:
    os.closerange(0, 1024)


def test_files_that_were_closed_end_their_run_alone(alone: bytes, tiny: Any) -> None:
    """In a fork of this process, since the files are closed for good."""
    child = os.fork()
    if child == 0:
        outcomes = run([rude(tiny, "close_all_files"), tiny()], runs="runs")
        end_process(0 if [one.status for one in outcomes] == [Status.FAILED, Status.FINISHED] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other = RunFolder.of(Path("runs"), tiny())
    assert (other.path / "steps.csv").read_bytes() == alone


# -- in worker processes, and at the end of the command


@pytest.mark.slow
def test_workers_go_on(bad: Any, tiny: Any) -> None:
    acts = ["interrupt", "read_input", "leave_thread", "leave_exit"]
    *rude, good = run([*map(bad, acts), tiny()], runs="runs", jobs=2)
    assert [one.status.value for one in rude] == ["failed", "failed", "finished", "finished"]
    assert "asked its own process to stop by kill with SIGINT" in rude[0].message and "EOFError" in rude[1].message
    assert good.status is Status.FINISHED


@pytest.mark.slow
@pytest.mark.parametrize(("act", "said"), [("leave_thread", "threads that a run started (mine)"),
                                           ("leave_exit", "something that a run left for the exit")])  # fmt: skip
def test_the_command_ends_although_user_code_keeps_its_process_alive(
    bad: Any, act: str, said: str, forks: Starts
) -> None:
    """A run's worker is ended without a word; a schedule of one's own is previewed in the command's own process."""
    Path("one.yaml").write_text(bad(act).yaml())
    Path("two.yaml").write_text(bad(act).replace(schedule={"name": "bad:leaving", "act": act}).yaml())
    code = "import sys; from lrbench.cli import app; app.EXIT_SECONDS = 0.5; app.main()"
    for words, warned in ((["run", "one.yaml"], False), (["preview", "two.yaml"], True)):
        done = forks.run(["-c", code, *words], timeout=300)
        assert done.returncode == 0, done.stderr
        assert (f"Warning: {said} would have kept lrbench from ending" in done.stderr) is warned, done.stderr
    assert RunFolder.of(Path("runs"), load_config("one.yaml")).status() is Status.FINISHED


# -- commands


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("read line || { echo no input; exit 4; }", "ended with exit code 4"),
        ('rm -rf "$LRBENCH_RUN"; exec sleep 100', "was removed during the run"),
        ("kill -INT $$; sleep 100", "was killed by SIGINT"),
        ("exec >&- 2>&-; exit 5", "ended with exit code 5"),
        ("cd /; yes | head -n 200000; exit 6", "ended with exit code 6"),
    ],
)
def test_a_command_ends_its_own_run_with_a_reason(script: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(script)
    good = 'printf "epoch,val_loss\\n1,0.5\\n" > log.csv'
    for name, command, more in (
        ("bad", "sh train.sh", {}),
        ("good", good, {"shell": True, "read": {"csv": "log.csv"}}),
    ):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "command": command, **more}))
    bad, other = lrbench.run([tmp_path / "bad.yaml", tmp_path / "good.yaml"], runs=tmp_path / "runs")
    assert (bad.status, other.status) == (Status.FAILED, Status.FINISHED), (bad.message, other.message)
    assert reason in bad.message


# -- limits that are none

WRONG: list[Any] = ["", "2 weeks", "-1h", "1h30m", "1e999", "nan", [], {}, False, -5, "2h " * 2, 10**400, ".inf"]


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("timeout", 0, "leave it out for no limit"), ("timeout", "-1h", "leave it out for no limit"),
        ("stall", ".inf", "leave it out for no limit"), ("stall", "unlimited", "leave it out for no limit"),
        ("timeout", "4000 days", "the most is 3,650 days"), ("memory", 0, "leave it out for no limit"),
        ("memory", "-8GB", "leave it out for no limit"), ("memory", "inf", "leave it out for no limit"),
        ("memory", "9999TB", "the most is 1,000TB"), ("memory", "8", "a number alone is bytes"),
    ],
)  # fmt: skip
def test_a_wrong_limit_is_told_with_what_would_be_right(key: str, value: Any, right: str, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump({"name": "one", "command": "true", key: value}))
    with pytest.raises(ConfigError) as told:
        load_config(file)
    assert str(told.value).endswith(f"; {right}")


@pytest.mark.parametrize("value", WRONG, ids=[f"{one!s:.12}" for one in WRONG])
@pytest.mark.parametrize("key", ["timeout", "stall", "memory"])
def test_a_wrong_limit_is_one_message(key: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump({"name": "one", "command": "true", key: value}))
    with pytest.raises(ConfigError) as told:
        load_config(file)
    wanted = "must be a size of memory such as 8GB" if key == "memory" else "must be a time such as 2h"
    assert str(told.value).startswith(f"{file}:") and wanted in str(told.value) and len(str(told.value)) < 400


def test_a_line_that_user_code_leaves_open_is_ended_once() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8")
    lines = OpenLines(stream)
    lines.end()
    print("whole", file=stream)
    lines.end()
    print("\rstep 1", end="", file=stream)
    lines.end()
    lines.end()
    assert written.getvalue() == b"whole\n\rstep 1\n"


@pytest.mark.slow
def test_lines_of_lrbench_do_not_continue_those_of_user_code(
    write_config: Callable[..., Path], tmp_path: Path, forks: Starts
) -> None:
    (tmp_path / "mine_open.py").write_text(
        "import torch\n\n\ndef loss(outputs, targets):\n    print('|', end='')\n"
        "    return torch.nn.functional.cross_entropy(outputs, targets)\n"
    )
    write_config(epochs=1, loss="mine_open:loss")
    done = forks.run(["-m", "lrbench", "run", "tiny.yaml"], cwd=tmp_path, timeout=240)
    printed = [line for line in done.stdout.splitlines() if "|" in line]
    assert done.returncode == 0 and printed and not any(line.strip("|") for line in printed)
