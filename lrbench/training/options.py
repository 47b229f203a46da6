"""How runs are done, whatever they are: on how many workers, what is done again, when a run is ended early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import UsageError, choices
from lrbench.training.kinds import Kind, PlainTraining
from lrbench.training.pruning import Prune, PrunedTraining

if TYPE_CHECKING:
    from lrbench.training.executors import Executor

EXECUTORS = ("local", "ray")


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
        return PlainTraining() if self.prune is None else PrunedTraining(self.prune)
