"""Runs whose worker process died or was killed: whether they are resumed, and with which result they end."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from pathlib import Path

from lrbench.errors import FolderError, Interrupted, LrbenchError, option
from lrbench.runs import RunFolder, RunResult
from lrbench.training.limits import place_in
from lrbench.training.run_one import WorkItem, failure
from lrbench.training.signals import StopFlag

ATTEMPTS = 3  # a run fails once this many of its workers have died


class Deaths:
    """How many workers have died with each run, and the result that each run had before it began."""

    def __init__(self) -> None:
        self.counts, self.before = Counter[Path](), dict[Path, RunResult | None]()

    def begins(self, item: WorkItem) -> None:
        """Note that a worker gets a run, which may have failed before."""
        self.before[item.path] = _result(item.path)

    def end_of(
        self, item: WorkItem, beyond: str, code: int | None, stack: str, stop: StopFlag
    ) -> RunResult | Exception | None:
        """Return how a run ended whose worker is dead; None if it will be resumed.

        Args:
            item: the run; its folder gets the result.
            beyond: the limit that it exceeded, in words, for which the worker was killed; empty for none.
            code: the worker's exit code; negative for a signal.
            stack: the worker's last Python stack; empty if it is unknown.
            stop: whether the command was asked to stop.
        """
        path = item.path
        told = _result(path)
        if told is not None and told != self.before.get(path):  # it was written just before the end
            return told
        if beyond:
            return _failed(item, f"{beyond}{place_in(stack)}", stack)
        if stop():
            return Interrupted(f"{path.name} was stopped with its worker")
        self.counts[path] += 1
        if self.counts[path] < ATTEMPTS:
            return None
        reason = f"its worker process died {self.counts[path]} times ({ended(code)}){place_in(stack)}"
        return _failed(item, reason, stack, crashed=True)


def _result(path: Path) -> RunResult | None:
    """Return the result in a run's folder; None if there is none, or it can't be read."""
    with contextlib.suppress(FolderError):
        return RunFolder(path).result()
    return None


def _failed(item: WorkItem, reason: str, stack: str, *, crashed: bool = False) -> RunResult | Exception:
    """Write the failure of a run whose process is dead; return the error if that fails."""
    folder = RunFolder(item.path)
    try:
        with folder.lock():
            if crashed:  # so that it never again gets the process of the command
                folder.amend_environment({"crashed": True})
            return failure(folder, item.experiment, reason, stack)
    except LrbenchError as error:
        return error


def ended(code: int | None) -> str:
    """Return how a process ended, by its exit code, in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    memory = f"; if out of memory, try fewer {option('--jobs')} or a smaller batch_size" * (-code == signal.SIGKILL)
    return f"killed by {signal.Signals(-code).name}{memory}"
