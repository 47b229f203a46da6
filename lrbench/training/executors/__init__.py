"""Executors: run work items in this process, in worker processes on this machine, on a Ray cluster or as Slurm jobs.

How a single item is executed is in `lrbench.training.run_one`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lrbench.config import CommandConfig, Experiment, RunConfig
from lrbench.errors import UsageError, at_command_line, option
from lrbench.events import Watch
from lrbench.runs import own_modules
from lrbench.training.commands import gpus
from lrbench.training.executors.guard import Guard
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


def create(
    options: RunOptions, root: Path, experiments: Sequence[RunConfig], crashed: Callable[[], bool] = lambda: False
) -> Executor:
    """Create an executor.

    Args:
        options: how to execute the runs.
        root: the folder of the runs, which every node of a cluster must see.
        experiments: the runs.
        crashed: whether a run has crashed its process before, so that it may not have this one.

    Raises:
        UsageError: the runs can't be executed like that.
    """
    count = len(experiments)
    if callable(options.executor):
        return options.executor(count)
    if options.executor == "ray":
        from lrbench.training.executors.ray import RayCluster

        _refuse_objects(experiments)
        _refuse_limits(experiments)
        return RayCluster(options, root)
    if options.executor == "slurm":
        from lrbench.training.executors.slurm import SlurmJobs

        _refuse_objects(experiments)
        _refuse_limits(experiments, "; Slurm's time and mem limit its jobs")
        return SlurmJobs(options, root)
    jobs = default_jobs(experiments) if options.jobs is None else options.jobs
    if not any(options.kind_of(experiment).in_torch for experiment in experiments):
        return Threads(min(jobs, count))
    # Limits are watched from outside. User code may crash; where a Python script lacks what worker processes need, the
    # guard `if __name__ == "__main__"`, is unknown.
    apart = any(one.limits.any or (at_command_line() and own_modules(one)) for one in experiments)
    here = (jobs <= 1 or count <= 1) and not apart
    if here and (any(experiment.of_objects for experiment in experiments) or not crashed()):
        return ThisProcess()
    _refuse_objects(experiments)
    return WorkerProcesses(max(min(jobs, count), 1))


def check_one(experiment: Experiment, guard: Guard, executor: Executor) -> Sequence[str]:
    """Check a config of the training loop, keep what is built where it will be trained, and return likely mistakes.

    Raises ConfigError, DataError, UserCodeError.
    """
    if guard.keeps_from(experiment):
        keep = isinstance(executor, WorkerProcesses) and executor.keeps(experiment)
    else:
        keep = executor.in_process
    checked, during = "lrbench.training.in_loop:check_one", "in the check before training"
    found: Sequence[str] = guard.call(checked, experiment, experiment, keep, during=during)
    return found


def _refuse_objects(experiments: Sequence[RunConfig]) -> None:
    if one := next((experiment for experiment in experiments if experiment.of_objects), None):
        problem = f"{one.name} was made from Python objects, which other processes don't have"
        raise UsageError(f"{problem}; use jobs=1 and the executor 'local', and no timeout, stall or memory limit")


def _refuse_limits(experiments: Sequence[RunConfig], instead: str = "") -> None:
    """Refuse limits of lrbench's own runs on a cluster, where nobody watches their processes but those of commands."""
    for one in experiments:
        if isinstance(one, Experiment) and one.limits.any:
            problem = "timeout, stall and memory limits need the executor 'local'"
            raise UsageError(f"{one.name}: {problem}; remove them, or {option('--executor')}{instead}")


_GPUS = ("nvidia[0-9]*", "nvhost-*", "nvmap", "dxg", "kfd")
"""Device files, of which Linux has one where torch finds CUDA: NVIDIA's, those of Jetson and of WSL, and ROCm's."""


def _may_have_gpu() -> bool:
    """Return whether to ask torch for GPUs, whose import would keep the workers waiting for their start."""
    return sys.platform != "linux" or any(any(Path("/dev").glob(pattern)) for pattern in _GPUS)


def default_jobs(experiments: Sequence[RunConfig]) -> int:
    """Return the number of GPUs if the experiments may use them, else of usable cores; 1 for Python objects."""
    commands = [experiment for experiment in experiments if isinstance(experiment, CommandConfig)]
    if commands and len(commands) == len(experiments) and gpus():
        return max(len(gpus()) // max(command.gpus or 1 for command in commands), 1)
    if any(experiment.of_objects for experiment in experiments):
        return 1
    devices = [experiment.device for experiment in experiments if isinstance(experiment, Experiment)]
    if any(device.startswith(("auto", "cuda")) for device in devices) and _may_have_gpu():
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
