"""What a schedule is: a pure function from the update to the absolute learning rate of that update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]
Momentum = Callable[[int], float | None]  # None: momentum stays as the config has it


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
