"""What user code does to torch and to the process stays in its own run."""

from __future__ import annotations

import ctypes
import io
import json
import logging
import os
import random
import re
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from os import _exit as end_process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lrbench.components.data.streams import Stream
from lrbench.errors import LockedError, LrbenchError, UserCodeError
from lrbench.events import Event, silent
from lrbench.runs import RunFolder, Status
from lrbench.runs.lock import Lock
from lrbench.training import run
from lrbench.training.build import checked
from lrbench.training.isolation import ProcessState, isolated
from lrbench.training.run_one import WorkItem, do_run


class Net(nn.Module):
    """A linear model that does something first when it is trained."""

    def __init__(self, outputs: int, act: Callable[[], object]) -> None:
        super().__init__()
        self.last, self.act = nn.Linear(64, outputs), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():  # not in the check
            self.act()
        return self.last(x.flatten(1).to(self.last.weight.dtype))


def change_settings() -> None:
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_anomaly_enabled(True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    os.environ["LEFT_OVER"] = "1"
    os.environ.pop("HOME", None)
    os.chdir("/")
    warnings.simplefilter("ignore")
    torch.rand(3), np.random.rand(3), random.random()


def no_gradients() -> None:
    torch.set_grad_enabled(False)


class Own(BaseException):
    pass


def raise_own() -> None:
    raise Own("mine")


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def leave() -> None:
    os._exit(0)


children: list[int] = []


def fork() -> None:
    if not children:
        child = os.fork()
        children.append(child)
        if child:
            children.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def acting(outputs: int, act: str) -> nn.Module:
    return Net(outputs, getattr(sys.modules[__name__], act))


def changing_when_built(outputs: int) -> nn.Module:
    change_settings()
    return Net(outputs, float)


def model(act: str) -> dict[str, str]:
    return {"name": f"{__name__}:acting", "act": act}


@pytest.mark.parametrize("part", [model("change_settings"), f"{__name__}:changing_when_built"])
def test_the_next_run_starts_as_if_it_were_the_first(tmp_path: Path, tiny: Any, part: Any) -> None:
    (alone,) = run([tiny()], runs=tmp_path / "alone")
    before, drawn = ProcessState.now(), random.getstate()
    first, second = run([tiny(model=part), tiny()], runs=tmp_path / "runs")
    assert (first.status.value, second.status.value) == ("finished", "finished"), first.message
    assert ProcessState.now() == before and random.getstate() == drawn
    assert "LEFT_OVER" not in os.environ and "HOME" in os.environ
    assert (second.path / "steps.csv").read_bytes() == (alone.path / "steps.csv").read_bytes()


def test_settings_that_a_model_makes_when_built_hold_in_its_own_run(tmp_path: Path, tiny: Any) -> None:
    """Also where it was built in the check."""
    seen = []
    watch: Callable[[Event], None] = lambda event: seen.append(torch.get_default_dtype())  # noqa: E731
    run([tiny(model=f"{__name__}:changing_when_built")], runs=tmp_path, watch=watch)
    assert torch.float64 in seen and torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("no_gradients", "does not require grad"),
        ("raise_own", "raised Own: mine"),
        ("raise_interrupt", "raised KeyboardInterrupt"),
        ("leave", "your code called os._exit(0)"),
    ],
)
def test_it_fails_alone(tmp_path: Path, tiny: Any, act: str, reason: str) -> None:
    failed, other = run([tiny(model=model(act)), tiny()], runs=tmp_path)
    assert (failed.status.value, other.status.value) == ("failed", "finished")
    assert reason in failed.message and reason.split()[-1] in (failed.path / "error.log").read_text()


def test_only_the_user_s_file_is_shown_of_a_forced_end(tmp_path: Path, tiny: Any) -> None:
    (failed,) = run([tiny(model=model("leave"))], runs=tmp_path)
    first, *frames = failed.message.splitlines()
    assert re.search(r"your code called os\._exit\(0\) \(test_isolation\.py, line \d+\)$", first)
    assert Path(__file__).name in frames[0] and "process.py" not in failed.message


def test_a_reason_does_not_end_at_a_colon() -> None:
    told = str(UserCodeError.of("training", ValueError("example 17 is bad:\n  its label is 12\n  and more")))
    assert told == "training raised ValueError: example 17 is bad: its label is 12\n  and more"
    assert str(UserCodeError.of("training", ValueError("it is bad:\n"))) == "training raised ValueError: it is bad"


def test_an_exception_of_one_s_own_in_a_factory_is_told_as_such(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UserCodeError, match="raised Own: mine"):
        run([tiny(model=f"{__name__}:failing")], runs=tmp_path)


def failing(outputs: int) -> nn.Module:
    raise Own("mine")


def test_a_fork_that_comes_back_ends_and_leaves_the_run_alone(tmp_path: Path, tiny: Any) -> None:
    children.clear()
    (outcome,) = run([tiny(model=model("fork"))], runs=tmp_path)
    assert outcome.status.value == "finished", outcome.message
    assert children[1] == 1 and (outcome.path / "steps.csv").read_bytes().count(b"\n") == 5


def end_in_a_thread() -> None:
    threading.Thread(target=os._exit, args=(0,)).start()
    time.sleep(60)


def end_in_c() -> None:
    ctypes.CDLL(None).exit(0)


@pytest.mark.parametrize(
    ("act", "how"), [("end_in_a_thread", r"os._exit\(0\) in a thread"), ("end_in_c", r"exit\(\) in C code")]
)
def test_a_forced_end_of_the_process_is_a_failure(
    tmp_path: Path, tiny: Any, capfd: pytest.CaptureFixture[str], act: str, how: str
) -> None:
    """In a fork of this process, which ends as the command would."""
    child = os.fork()
    if child == 0:
        run([tiny(model=model(act))], runs=tmp_path)
        end_process(77)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    result = RunFolder.of(tmp_path, tiny(model=model(act))).result()
    assert result is not None and result.status is Status.FAILED
    assert re.match(f"user code ended the process: {how}\n", result.reason)
    assert re.search(f"Error: user code ended the process: {how}\n", capfd.readouterr().err)


def close_streams() -> None:
    sys.stdout.close()
    sys.stderr.close()


def close_descriptors() -> None:
    os.closerange(1, 3)


def lose_streams() -> None:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


def redirect_streams() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr = io.StringIO()


@pytest.mark.parametrize("act", ["close_streams", "close_descriptors", "lose_streams", "redirect_streams"])
def test_progress_is_told_whatever_becomes_of_the_streams(
    tmp_path: Path, tiny: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    for name, number in (("stdout", 1), ("stderr", 2)):
        monkeypatch.setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115

    def watch(event: Event) -> None:
        if event.kind == "epoch":
            print("told", file=sys.stdout, flush=True)
            print("told", file=sys.stderr, flush=True)

    outcomes = run([tiny(model=model(act)), tiny()], runs=tmp_path, watch=watch)
    assert [outcome.status.value for outcome in outcomes] == ["finished", "finished"], outcomes
    print("after", flush=True)
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("told\n" * 4 + "after\n", "told\n" * 4 + "after\n")


def no_replace() -> None:
    os.replace = None  # type: ignore[assignment]


def no_dumps() -> None:
    json.dumps = None  # type: ignore[assignment]


def no_clock() -> None:
    del time.monotonic


@pytest.mark.parametrize(
    ("act", "name"), [("no_replace", "os.replace"), ("no_dumps", "json.dumps"), ("no_clock", "time.monotonic")]
)
def test_a_broken_standard_library_is_user_code_s_failure(tmp_path: Path, tiny: Any, act: str, name: str) -> None:
    failed, other = run([tiny(model=model(act)), tiny()], runs=tmp_path)
    assert (failed.status.value, other.status.value) == ("failed", "finished"), other.message
    assert failed.message.startswith(f"user code changed {name} of the standard library: ")
    assert failed.result is not None and (failed.path / "result.json").exists()


def test_a_library_broken_by_a_factory_is_told_too(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UserCodeError, match=r"user code changed os\.replace"), isolated():
        no_replace()
        os.replace("one", "other")  # noqa: PTH105
    assert callable(os.replace)


def change_process() -> None:
    sys.path.insert(0, "/left/over")
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(1000)
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.disable(logging.CRITICAL)


def process_state() -> list[Any]:
    root = logging.root
    handlers = [signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGINT, signal.SIGTERM)]
    return [list(sys.path), handlers, signal.getitimer(signal.ITIMER_REAL), root.level, list(root.handlers),
            root.manager.disable]  # fmt: skip


@pytest.mark.parametrize("part", [model("change_process"), f"{__name__}:changing_process_when_built"])
def test_path_signals_alarm_and_logging_are_put_back(tmp_path: Path, tiny: Any, part: Any) -> None:
    before = process_state()
    outcomes = run([tiny(model=part), tiny()], runs=tmp_path, watch=lambda event: seen.append(process_state()))
    assert [outcome.status.value for outcome in outcomes] == ["finished", "finished"]
    assert process_state() == before
    starts = [state for state in seen if "/left/over" not in state[0]]
    assert starts[-1][3:] == before[3:], "the second run"


seen: list[Any] = []


def changing_process_when_built(outputs: int) -> nn.Module:
    change_process()
    return Net(outputs, float)


def build_forking(outputs: int) -> nn.Module:
    fork()
    return Net(outputs, float)


def fork_in_validation() -> None:
    """For `Forking`, which calls it then."""
    fork()


class Forking(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            self.act()
        return self.last(x.flatten(1))


def forking(outputs: int) -> nn.Module:
    return Forking(outputs, fork_in_validation)


@pytest.mark.parametrize("part", ["build_forking", "forking"])
def test_a_fork_that_comes_back_elsewhere_writes_nothing(tmp_path: Path, tiny: Any, part: str) -> None:
    children.clear()
    checked.clear()
    item = WorkItem(RunFolder.of(tmp_path, tiny(model=f"{__name__}:{part}")).path, tiny(model=f"{__name__}:{part}"))
    RunFolder(item.path).create(item.experiment, {})
    result = do_run(item, threads=None, watch=silent, stop=lambda: False)
    assert result.status is Status.FINISHED and children[1] == 1
    assert [(item.path / name).read_bytes().count(b"\n") for name in ("steps.csv", "epochs.csv")] == [5, 3]


def test_a_fork_does_not_hold_the_lock(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock") as lock:
        child = os.fork()
        if child == 0:
            held = lock.held
            lock.__exit__()
            os._exit(held)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert lock.held
        with pytest.raises(LockedError), Lock(tmp_path / "lock"):
            pass


def test_relative_runs_stay_where_the_command_was_started(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "change_settings", lambda: os.chdir(tmp_path / "elsewhere"))
    outcomes = run([tiny(model=model("change_settings"))], runs="runs", seeds=2)
    assert [outcome.status.value for outcome in outcomes] == ["finished", "finished"]
    assert all(outcome.path.is_absolute() and outcome.path.parent == tmp_path / "runs" for outcome in outcomes)
    assert not list((tmp_path / "elsewhere").iterdir()) and Path.cwd() == tmp_path


def test_a_file_that_cannot_grow_fails_its_run_alone(tmp_path: Path, tiny: Any) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def watch(event: Event) -> None:
        if event.kind == "end":
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))
    try:
        failed, other = run([tiny(epochs=200), tiny()], runs=tmp_path, watch=watch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (failed.status.value, other.status.value) == ("failed", "finished")
    assert "File too large" in failed.message and "File too large" in (failed.path / "error.log").read_text()


class Ending(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 5:
            raise StopIteration("no more")
        return torch.zeros(2), 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_that_stops_early_does_not_shorten_the_epoch(workers: int) -> None:
    read = Stream(Ending(), workers).batches(2)
    assert [len(inputs) for inputs, _ in (next(read), next(read))] == [2, 2]
    with pytest.raises(LrbenchError, match="reading the data raised StopIteration"):
        next(read)
