"""Kinds of work on the training loop: what each adds to it and when it ends a run early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lrbench.training.loop import Training
    from lrbench.training.termination import Ended


class Kind(Protocol):
    """A kind of work, made of plain values so that it can be sent to worker processes."""

    @property
    def accepts_pruned(self) -> bool:
        """Whether a pruned run counts as finished; otherwise it is resumed."""

    def prepare(self, training: Training) -> Observer:
        """Return the observer of a run that is about to start or resume. Raises Ended, Paused."""


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
class PlainTraining:
    """Training as configured."""

    accepts_pruned = False

    def prepare(self, training: Training) -> Observer:
        """See `Kind`."""
        return Observer(training)
