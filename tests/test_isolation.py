"""What user code does to torch and to the process stays in its own run."""

from __future__ import annotations

import os
import random
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lrbench.components.data.batches import Stream
from lrbench.errors import LockedError, LrbenchError, UserCodeError
from lrbench.events import Event
from lrbench.runs.lock import Lock
from lrbench.training import run
from lrbench.training.isolation import ProcessState


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
        ("leave", "raised SystemExit: os._exit(0)"),
    ],
)
def test_it_fails_alone(tmp_path: Path, tiny: Any, act: str, reason: str) -> None:
    failed, other = run([tiny(model=model(act)), tiny()], runs=tmp_path)
    assert (failed.status.value, other.status.value) == ("failed", "finished")
    assert reason in failed.message and reason.split()[-1] in (failed.path / "error.log").read_text()


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
