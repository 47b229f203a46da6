"""What a schedule is: a pure function from the update to the absolute learning rate of that update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]
Momentum = Callable[[int], float | None]  # None: momentum stays as the config has it


@dataclass(frozen=True)
class Context:
    """What a schedule function of one's own, `def rate(step, context)`, is told of the run.

    Attributes:
        lr: the peak rate.
        total_steps: updates of the run (less those of a `warmup` block).
        steps_per_epoch: updates in an epoch.
    """

    lr: float
    total_steps: int
    steps_per_epoch: int

    def epoch(self, step: int) -> int:
        """The epoch that update `step` belongs to, from 0."""
        return step // self.steps_per_epoch

    def progress(self, step: int) -> float:
        """The part of the run that is done before update `step`, 0 to 1."""
        return step / self.total_steps


@dataclass(frozen=True)
class WithMomentum:
    """A schedule that cycles momentum too: `lr` and `momentum` are both pure functions of the update."""

    lr: Schedule
    momentum: Momentum

    def __call__(self, step: int) -> float:
        """The learning rate of update `step`."""
        return self.lr(step)


def momentum_of(schedule: Schedule) -> Momentum | None:
    """The schedule's momentum as a function of the update, or None where it leaves momentum alone."""
    return schedule.momentum if isinstance(schedule, WithMomentum) else None


def with_momentum(lr: Schedule, momentum: Momentum | None) -> Schedule:
    """`lr` alone, or with its momentum where there is one."""
    return lr if momentum is None else WithMomentum(lr, momentum)
