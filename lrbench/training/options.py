"""How runs are done, whatever they are: on how many workers, what is done again, when a run is ended early."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import UsageError, choices
from lrbench.training.kinds import Kind, PlainTraining

if TYPE_CHECKING:
    from lrbench.training.executors import Executor

RUNGS = (0.25, 0.5)
"""The fractions of the budget after which the worse half of the learning rates is dropped (successive halving)."""

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Prune:
    """When a run is ended before its budget is spent, or made to wait.

    Chance is the loss of the best constant answer: of the training classes' frequencies for cross-entropy, of the mean
    target for mse. A loss that is not finite ends a run anyway.

    Args:
        after: end runs whose validation loss is at chance once they have done that fraction of their updates, above 0
            and below 1; None for never.
        margin: a loss less than that fraction below chance is at chance.
        halve: drop the worse half of each schedule's learning rates at each of `RUNGS`.
        pause: wait, with a checkpoint, at the first evaluation after that fraction is done.

    Raises:
        UsageError: values outside these bounds.
    """

    after: float | None = 0.25
    margin: float = 0.02
    halve: bool = False
    pause: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and not (math.isfinite(self.after) and 0 < self.after < 1):
            raise UsageError(f"--prune must be a fraction of the run, above 0 and below 1 (got {self.after:g})")

    @classmethod
    def asked(cls, after: float | None, halve: bool) -> Prune | None:
        """The rule of `--prune` and `--halve`; None where neither is given."""
        return None if after is None and not halve else cls(after=after, halve=halve)


@dataclass(frozen=True)
class RunOptions:
    """How `run`, `sweep` and `find-lr` do their runs.

    Args:
        jobs: runs at once; None for one per core or GPU.
        executor: `local` (worker processes on this machine) or `ray`; or a function that makes an executor for so many
            runs.
        address: of a Ray cluster; None starts one on this machine.
        runs_per_gpu: runs that share a GPU on a Ray cluster.
        again: train anew what is done already.
        wait: wait for runs that another process is doing, and take them over if it dies; else leave them to it.
        max_failures: begin no more runs once so many have failed for good; None for no limit.
        retries: how often a failed run is tried again.
        prune: end hopeless runs early.

    Raises:
        UsageError: values that make no sense.
    """

    jobs: int | None = 1
    executor: str | Callable[[int], Executor] = "local"
    address: str | None = None
    runs_per_gpu: int = 1
    again: bool = False
    wait: bool = True
    max_failures: int | None = None
    retries: int = 0
    prune: Prune | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs must be at least 1 (got {self.jobs})")
        if isinstance(self.executor, str) and self.executor not in EXECUTORS:
            raise UsageError(f"--executor: {choices(self.executor, EXECUTORS)} (got {self.executor!r:.40})")
        if self.executor != "ray" and (self.address is not None or self.runs_per_gpu != 1):
            raise UsageError("--address and --runs-per-gpu are for --executor ray")
        if self.prune is not None and not isinstance(self.prune, Prune):
            raise UsageError(f"prune must be a Prune (got {self.prune!r:.40})")

    @property
    def kind(self) -> Kind:
        """The kind of training that they ask for."""
        from lrbench.training.pruning import PrunedTraining

        return PlainTraining() if self.prune is None else PrunedTraining(self.prune)
