"""Kinds of work: how each checks, prepares and executes its runs; and what kinds on the training loop add to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.events import Watch

if TYPE_CHECKING:
    from lrbench.runs import RunFolder, RunResult
    from lrbench.training.loop import Training
    from lrbench.training.termination import Ended

Once = Callable[[Watch], "RunResult"]
"""Executes a run once and returns its result."""
Executing = AbstractContextManager[tuple[Once, Callable[[Watch], Watch]]]
"""The context in which a run is executed: a function that does so once, and one that wraps the watch."""


class Kind(Protocol):
    """A kind of work, made of plain values so that it can be sent to worker processes.

    A kind gets only configs that it can execute; see `RunOptions.kind_of`.
    """

    @property
    def accepts_pruned(self) -> bool:
        """Whether a pruned run counts as finished; otherwise it is resumed."""

    @property
    def in_torch(self) -> bool:
        """Whether the process that executes it needs torch; otherwise it starts a process of its own."""

    def check(self, configs: Sequence[Any], root: Path, watch: Watch, *, keep: bool) -> None:
        """Find what is wrong with configs before anything is written under `root`, the folder of the runs.

        With `keep`, what this process will need again is kept.

        Raises ConfigError, DataError.
        """

    def environment(self, config: Any) -> dict[str, Any]:
        """Return what `env.json` says of a run that starts here."""

    def resumes(self, folder: RunFolder, config: Any) -> bool:
        """Whether an interrupted run goes on from what it has written; otherwise it starts over."""

    def executing(self, folder: RunFolder, config: Any, *, threads: int | None, stop: Callable[[], bool]) -> Executing:
        """Return the context in which a run is executed, perhaps several times until it succeeds."""


class LoopKind:
    """A kind of work on the training loop, which imports torch."""

    in_torch = True

    def check(self, configs: Sequence[Any], root: Path, watch: Watch, *, keep: bool) -> None:
        """See `Kind`."""
        from lrbench.training.in_loop import check

        check(configs, watch, keep=keep)

    def environment(self, config: Any) -> dict[str, Any]:
        """See `Kind`."""
        from lrbench.training.in_loop import environment

        return environment(config)

    def resumes(self, folder: RunFolder, config: Any) -> bool:
        """See `Kind`."""
        return folder.has_checkpoint

    def executing(self, folder: RunFolder, config: Any, *, threads: int | None, stop: Callable[[], bool]) -> Executing:
        """See `Kind`."""
        from lrbench.training.in_loop import executing

        return executing(self, folder, config, threads=threads, stop=stop)

    def prepare(self, training: Training) -> Observer:
        """Return the observer of a run that is about to start or resume. Raises Ended, Paused."""
        return Observer(training)


class Observer:
    """What a kind of work does at fixed points of the loop; this one adds nothing."""

    tests = True  # whether the run is evaluated on the test data at the end

    def __init__(self, training: Training) -> None:
        self.training = training

    def updated(self) -> None:
        """Called after each step, whose loss is not read back yet."""

    def limit(self, step: int, lr: float, loss: float) -> Ended | None:
        """Return why the run ends with this step, or None if it continues."""
        return None

    def measure(self) -> dict[str, Any]:
        """Return the `train_` and `val_` values of an evaluation. Raises Ended."""
        from lrbench.training.evaluate import measure

        return measure(self.training)

    def evaluated(self) -> None:
        """Called after each evaluation, once its values are in the state. Raises Ended, Paused."""


@dataclass(frozen=True)
class PlainTraining(LoopKind):
    """Training as configured."""

    accepts_pruned = False
