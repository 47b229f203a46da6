"""Where runs are done: in this process, in worker processes on this machine, or on a Ray cluster.

An executor takes work items and yields, as each is over, its path and its result, or the exception that kept it from
having one. What is done with an item, and how its folder is locked, is in `lrbench.training.run_one`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lrbench.config import Experiment
from lrbench.events import Watch
from lrbench.runs import RunResult
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.executors.serial import ThisProcess
from lrbench.training.run_one import WorkItem
from lrbench.training.signals import StopFlag

if TYPE_CHECKING:
    from lrbench.training.options import RunOptions

Done = tuple[Path, RunResult | Exception]


class Executor(Protocol):
    """Does runs."""

    @property
    def in_process(self) -> bool:
        """Whether this very process does them."""

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Do the runs; yield each one's path with its result, in the order they end."""


def create(options: RunOptions, root: Path, experiments: Sequence[Experiment]) -> Executor:
    """Create an executor for these experiments' runs. Raises UsageError.

    Args:
        options: which one, and how many runs at once.
        root: the folder of the runs, which every node of a cluster must see.
        experiments: what is to be run, whose devices say how many runs at once is usual.
    """
    count = len(experiments)
    if callable(options.executor):
        return options.executor(count)
    if options.executor == "ray":
        from lrbench.training.executors.ray import RayCluster

        return RayCluster(options.address, jobs=options.jobs, runs_per_gpu=options.runs_per_gpu, root=root)
    jobs = default_jobs(experiments) if options.jobs is None else options.jobs
    return WorkerProcesses(min(jobs, count)) if jobs > 1 and count > 1 else ThisProcess()


def default_jobs(experiments: Sequence[Experiment]) -> int:
    """One run at once for each GPU, where they are to be used, or else for each core that this process may use."""
    if any(experiment.device.startswith(("auto", "cuda")) for experiment in experiments):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
