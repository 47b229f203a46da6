"""Where runs are done: in this process, or in worker processes on this machine. One small interface.

An executor takes the paths of run folders and yields, as each is over, the path and its result, or the exception
that kept it from having one. What a run does and how it is locked is in `lrbench.work`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from lrbench.events import Watch
from lrbench.executors.local import WorkerProcesses
from lrbench.executors.serial import ThisProcess
from lrbench.work import StopFlag

Done = tuple[Path, dict[str, Any] | Exception]

__all__ = ["Done", "Executor", "choose"]


class Executor(Protocol):
    """Does runs."""

    def execute(self, paths: Sequence[Path], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Do the runs at `paths`; yield each with its result, in the order they end."""


def choose(jobs: int, runs: int) -> Executor:
    """Worker processes where several runs are to be done at once."""
    return WorkerProcesses(min(jobs, runs)) if jobs > 1 and runs > 1 else ThisProcess()
