"""Executors: run work items in this process, in worker processes on this machine, or on a Ray cluster.

How a single item is executed is in `lrbench.training.run_one`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lrbench.config import CommandConfig, Experiment, RunConfig
from lrbench.errors import UsageError
from lrbench.events import Watch
from lrbench.training.commands import gpus
from lrbench.training.executors.pool import WorkerProcesses
from lrbench.training.executors.serial import ThisProcess
from lrbench.training.executors.threads import Threads
from lrbench.training.options import RunOptions
from lrbench.training.run_one import Done, WorkItem
from lrbench.training.signals import StopFlag


class Executor(Protocol):
    """Executes runs."""

    @property
    def in_process(self) -> bool:
        """Whether runs execute in the current process."""

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Execute the runs; yield each one's path and result in the order they end."""


def create(options: RunOptions, root: Path, experiments: Sequence[RunConfig]) -> Executor:
    """Create an executor for runs under `root`, which every node of a cluster must see. Raises UsageError."""
    count = len(experiments)
    if callable(options.executor):
        return options.executor(count)
    if options.executor == "ray":
        from lrbench.training.executors.ray import RayCluster

        _refuse_objects(experiments)
        return RayCluster(options, root)
    jobs = default_jobs(experiments) if options.jobs is None else options.jobs
    if not any(options.kind_of(experiment).in_torch for experiment in experiments):
        return Threads(min(jobs, count))
    if jobs <= 1 or count <= 1:
        return ThisProcess()
    _refuse_objects(experiments)
    return WorkerProcesses(min(jobs, count))


def _refuse_objects(experiments: Sequence[RunConfig]) -> None:
    if one := next((experiment for experiment in experiments if experiment.of_objects), None):
        problem = f"{one.name} was made from Python objects, which other processes don't have"
        raise UsageError(f"{problem}; use jobs=1 and the executor 'local'")


def default_jobs(experiments: Sequence[RunConfig]) -> int:
    """Return the number of GPUs if the experiments may use them, else of usable cores; 1 for Python objects."""
    commands = [experiment for experiment in experiments if isinstance(experiment, CommandConfig)]
    if commands and len(commands) == len(experiments) and gpus():
        return max(len(gpus()) // max(command.gpus or 1 for command in commands), 1)
    if any(experiment.of_objects for experiment in experiments):
        return 1
    if any(
        experiment.device.startswith(("auto", "cuda"))
        for experiment in experiments
        if isinstance(experiment, Experiment)
    ):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
