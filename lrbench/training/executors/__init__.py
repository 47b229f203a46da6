"""Where runs are done: in this process, or in worker processes on this machine. One small interface.

An executor takes the paths of run folders and yields, as each is over, the path and its result, or the exception
that kept it from having one. What a run does and how it is locked is in `lrbench.training.run_one`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from lrbench.errors import UsageError, choices
from lrbench.events import Watch
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.executors.serial import ThisProcess
from lrbench.training.run_one import StopFlag, Terms

Done = tuple[Path, dict[str, Any] | Exception]

__all__ = ["Done", "Executor", "Make", "choose", "picked"]


class Executor(Protocol):
    """Does runs."""

    def execute(self, paths: Sequence[Path], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Do the runs at `paths`; yield each with its result, in the order they end."""


Make = Callable[[int, Terms], Executor]
"""Gives what does so many runs, on terms."""


def picked(name: str, *, jobs: int | None, address: str | None, runs_per_gpu: int, root: Path) -> Make | None:
    """What `--executor` names; None for the usual one. Raises UsageError."""
    if name == "local":
        if address is not None or runs_per_gpu != 1:
            raise UsageError("--address and --runs-per-gpu are for --executor ray")
        return None
    if name != "ray":
        raise UsageError(f"--executor: {choices(name, ('local', 'ray'))} (got {name!r:.40})")
    from lrbench.training.executors.ray import RayCluster

    def make(left: int, terms: Terms) -> Executor:
        return RayCluster(address, jobs=jobs, runs_per_gpu=runs_per_gpu, terms=terms, root=root)

    return make


def choose(jobs: int, runs: int, terms: Terms = Terms()) -> Executor:
    """Worker processes where several runs are to be done at once; `terms` says how."""
    return WorkerProcesses(min(jobs, runs), terms) if jobs > 1 and runs > 1 else ThisProcess(terms)
