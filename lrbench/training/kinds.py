"""Kinds of work: how each checks, prepares and executes its runs; and what kinds on the training loop add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.config import Trunk
from lrbench.errors import UserCodeError
from lrbench.events import Watch
from lrbench.training.loop_check import CheckOne, check_all
from lrbench.types import Duration

if TYPE_CHECKING:
    from lrbench.runs import RunFolder, RunResult
    from lrbench.training.loop import Training
    from lrbench.training.parts import Parts
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

    @property
    def follows(self) -> str | None:
        """The identity of the run that must be over before this one starts; None for any order."""

    def check(
        self, configs: Sequence[Any], root: Path, watch: Watch, check_one: CheckOne
    ) -> Mapping[str, UserCodeError]:
        """Find what is wrong with configs before anything is written under `root`, the folder of the runs.

        `check_one` checks a config of the training loop.

        Returns what went wrong in user code, by the identity of the runs that it would end.

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

    @property
    def follows(self) -> str | None:
        """See `Kind`."""
        return None

    def check(
        self, configs: Sequence[Any], root: Path, watch: Watch, check_one: CheckOne
    ) -> Mapping[str, UserCodeError]:
        """See `Kind`."""
        return check_all(configs, watch, check_one)

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

    def take_start(self, folder: RunFolder, config: Any, parts: Parts, done: int, watch: Watch) -> bool:
        """Write a checkpoint that is ahead of the folder's own, which is after `done` steps; return whether it did."""
        return False

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

    def skipped(self) -> None:
        """Called instead of `updated` after a step that was skipped because it was not finite."""

    def saved(self) -> None:
        """Called after each checkpoint."""

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
    """Training as configured.

    Attributes:
        trunk: the run that gives this one its first steps; None if it trains them itself.
        keeps: where to keep checkpoints, for runs of which this one is the trunk.
    """

    accepts_pruned = False
    trunk: Trunk | None = field(default=None, compare=False)
    keeps: tuple[Duration, ...] = field(default=(), compare=False)

    @property
    def follows(self) -> str | None:
        """See `Kind`."""
        return None if self.trunk is None else self.trunk.identity

    def take_start(self, folder: RunFolder, config: Any, parts: Parts, done: int, watch: Watch) -> bool:
        """See `LoopKind`."""
        from lrbench.training.trunk import take_start

        return self.trunk is not None and take_start(self.trunk, folder, config, parts, done, watch)

    def prepare(self, training: Training) -> Observer:
        """See `LoopKind`."""
        from lrbench.training.trunk import KeepingObserver

        return KeepingObserver(training, self.keeps) if self.keeps else Observer(training)
