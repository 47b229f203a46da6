"""Options for executing runs of any kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrbench.config import CommandConfig, RunConfig, own, trunk_of
from lrbench.errors import UsageError, choices, counted, option
from lrbench.training.commands import CommandRun
from lrbench.training.kinds import Kind, PlainTraining
from lrbench.training.orders import NO_ORDERS, Orders
from lrbench.training.pruning import Prune, PrunedTraining
from lrbench.training.stacked import family_of, left_alone, would_gain
from lrbench.types import AT_LEAST_0, AT_LEAST_1, FUNCTION, NOTHING, SWITCH, TEXT, WHOLE

if TYPE_CHECKING:
    from lrbench.training.executors import Executor
    from lrbench.training.executors.slurm_request import SlurmRequest
    from lrbench.training.outcome import Outcome

EXECUTORS = ("local", "ray", "slurm")
STACK = ("auto", "yes", "no")
_KINDS = {
    "jobs": WHOLE | NOTHING,
    "max_failures": AT_LEAST_1 | NOTHING,
    "runs_per_gpu": AT_LEAST_1,
    "retries": AT_LEAST_0,
    **dict.fromkeys(("again", "wait"), SWITCH),
    "executor": TEXT | FUNCTION,
    "stack": TEXT,
    "address": TEXT | NOTHING,
    "slurm": replace(TEXT, words="text such as 'partition=gpu,time=4:00:00'") | NOTHING,
}


@dataclass(frozen=True)
class RunOptions:
    """How `run`, `sweep` and `find-lr` execute their runs.

    Args:
        jobs: runs at once; None for one per core or GPU.
        executor: `local` (worker processes on this machine), `ray` or `slurm`, or a function that creates an executor
            for n runs.
        address: the address of a Ray cluster; None starts one on this machine.
        runs_per_gpu: runs that share a GPU on a Ray cluster.
        slurm: what each job asks of Slurm, such as `partition=gpu,time=4:00:00,gpus_per_node=1`.
        again: repeat runs that are already finished.
        wait: wait for runs of another process and take them over if it dies; otherwise leave them to it.
        max_failures: start no more runs after this many have failed for good; None for no limit.
        retries: how many times to retry a failed run.
        prune: end hopeless runs early.
        orders: what people may ask of the runs while they are under way.
        stack: whether runs that differ in learning rate, schedule and seed are trained together, by one stacked
            program: `yes` where possible, `auto` where a trial on this machine shows that it is faster, or `no`.

    Raises:
        UsageError: invalid values.
    """

    jobs: int | None = 1
    executor: str | Callable[[int], Executor] = "local"
    address: str | None = None
    runs_per_gpu: int = 1
    slurm: str | None = None
    again: bool = False
    wait: bool = True
    max_failures: int | None = None
    retries: int = 0
    prune: Prune | None = None
    orders: Orders = NO_ORDERS
    stack: str = "no"

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            kind.of(name, getattr(self, name))
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"{option('--jobs')} must be at least 1 (got {self.jobs})")
        if isinstance(self.executor, str) and self.executor not in EXECUTORS:
            raise UsageError(
                f"unknown {option('--executor')} {self.executor!r:.40}; {choices(self.executor, EXECUTORS)}"
            )
        if self.stack not in STACK:
            raise UsageError(f"unknown {option('--stack')} {self.stack!r:.40}; {choices(self.stack, STACK)}")
        if self.executor != "ray" and (self.address is not None or self.runs_per_gpu != 1):
            given = option("--runs-per-gpu") if self.address is None else option("--address")
            raise UsageError(f"{given} needs {option('--executor')} ray")
        if self.executor != "slurm" and self.slurm is not None:
            raise UsageError(f"{option('--slurm')} needs {option('--executor')} slurm")
        if self.executor == "slurm":
            assert self.slurm_request  # so that mistakes in it are found also if no run is pending
        if self.prune is not None and not isinstance(self.prune, Prune):
            raise UsageError(f"prune must be a Prune (got {self.prune!r:.40})")

    @functools.cached_property
    def slurm_request(self) -> SlurmRequest:
        """What `slurm` asks for. Raises UsageError."""
        from lrbench.training.executors.slurm_request import SlurmRequest  # whose package imports this file

        return SlurmRequest.parse(self.slurm or "")

    def family_of(self, config: RunConfig, kind: Kind) -> str | None:
        """Return what a run has in common with those that it may be stacked with; None if it is trained alone."""
        return None if self.stack == "no" else family_of(config, kind)

    def not_stacked(self, outcomes: Sequence[Outcome]) -> str:
        """Say which runs are not stacked although that was asked for, and why; empty if there are none."""
        if self.stack == "no" or not outcomes:
            return ""
        found: Mapping[str, int] = {"each Slurm job trains one run": len(outcomes)}
        if self.executor != "slurm":
            found = left_alone([(outcome.experiment, outcome.kind) for outcome in outcomes], self.stack)
        told = "; ".join(f"{counted(count, 'run')}, because {reason}" for reason, count in found.items())
        return told and f"not stacked: {told}"

    def gains_by_stacking(self, outcomes: Sequence[Outcome]) -> int:
        """Return how many runs would be trained about twice as fast with `stack`, if they aren't stacked."""
        if self.stack != "no" or self.executor != "local":
            return 0
        return would_gain([(outcome.experiment, outcome.kind) for outcome in outcomes])

    def kind_of(self, config: RunConfig) -> Kind:
        """Return the kind of work that a run is. Raises UsageError if these options don't suit it."""
        if isinstance(config, CommandConfig):
            if self.prune is not None:
                ways = f"{option('--prune')} and {option('--halve')}"
                raise UsageError(f"{config.name} is trained by a command, which {ways} can't end early")
            return CommandRun()
        own(config, "there is nothing to run")
        if self.prune is None:
            return PlainTraining(trunk_of(config))
        if trunk_of(config) is not None:
            ways = f"{option('--prune')}, {option('--halve')}"
            raise UsageError(
                f"{config.name} is a branch, which reuses the first steps of its trunk unchanged; remove {ways}"
            )
        return PrunedTraining(self.prune)
