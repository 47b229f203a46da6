"""Kinds of work on the one training loop: what each adds to it, and when it ends before its budget is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lrbench.training.loop import Training
    from lrbench.training.termination import Ended


class Kind(Protocol):
    """A kind of work, as plain values: it travels to worker processes."""

    @property
    def accepts_pruned(self) -> bool:
        """Whether a pruned run's result counts as done; else the run goes on from its checkpoint."""

    def prepare(self, training: Training) -> Observer:
        """Look at a run that is about to begin, or to go on from its checkpoint. Raises Ended, Paused."""


class Observer:
    """What a kind of work does at the points where the loop asks; this one adds nothing to training.

    Attributes:
        tests: whether the test data are looked at when the run ends.
    """

    tests = True

    def __init__(self, training: Training) -> None:
        self.training = training

    def updated(self) -> None:
        """An update is done and pending."""

    def limit(self, step: int, lr: float, loss: float) -> Ended | None:
        """Why update `step` was the last, by its loss; None where it was not."""
        return None

    def measure(self) -> dict[str, Any]:
        """The `train_` and `val_` values of an evaluation. Raises Diverged."""
        from lrbench.training.evaluations import measure

        return measure(self.training)

    def evaluated(self) -> None:
        """An evaluation is done, and what it found is in the training's state. Raises Ended, Paused."""


@dataclass(frozen=True)
class PlainTraining:
    """Training as the config has it."""

    accepts_pruned = False

    def prepare(self, training: Training) -> Observer:
        """See `Kind`."""
        return Observer(training)
