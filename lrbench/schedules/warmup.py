"""Warm-up: a rise to the first learning rate of any schedule, within the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Schedule, momentum_of, with_momentum
from lrbench.types import Epochs, Fraction, block_of

Shape = Literal["linear", "cosine", "exponential"]
UNTUNED = "untuned"


def untuned(beta2: float) -> str:
    """Return the duration of the untuned linear warm-up for Adam, 2/(1 − β₂) steps (Ma and Yarats 2021).

    >>> untuned(0.999)
    '2000 steps'
    """
    if not 0 <= beta2 < 1:
        raise ConfigError(f"β₂ must be at least 0 and below 1 (got {beta2})", key="optimizer.betas")
    return f"{round(2 / (1 - beta2))} steps"


@dataclass(frozen=True)
class WarmUpRule:
    """A config's `warmup:` block.

    Args:
        duration: `for` in the config: `5%`, `2 epochs`, `500 steps`; a bare number means epochs.
        from_factor: the start of the rise, as a fraction of the learning rate it leads to.
        shape: linear, cosine or exponential.
        over: true lays the warm-up over the start of the schedule, whose steps count from the start of the run; false
            puts it before the schedule. By default true for schedules with milestones (see `lies_over`).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    duration: Annotated[Epochs, Field(alias="for")]
    from_factor: Fraction = 0.0
    shape: Shape = "linear"
    over: StrictBool | None = None

    @classmethod
    def of(cls, block: Mapping[str, Any] | str | float) -> WarmUpRule:
        """Parse a config's block, or only its duration. Raises ConfigError."""
        if block == UNTUNED or (isinstance(block, Mapping) and block.get("for") == UNTUNED):
            raise ConfigError("untuned depends on the optimizer's β₂, which is unknown here", key="warmup.for")
        rule: WarmUpRule = block_of(cls, block if isinstance(block, Mapping) else {"for": block}, "warmup")
        return rule

    def around(self, build: Callable[[int], Schedule], total_steps: int, steps_per_epoch: int) -> Schedule:
        """Put the warm-up over the schedule, or before one that fills the remaining steps. Raises ConfigError.

        Args:
            build: makes the schedule for a number of steps.
            total_steps: steps in the run.
            steps_per_epoch: steps in an epoch.
        """
        steps = self.duration.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if steps >= total_steps:
            run = counted(total_steps, "step")
            problem = f"the warm-up ({self.duration.told(steps)}) must be shorter than the run ({run})"
            raise ConfigError(problem, key="warmup.for")
        schedule = build(total_steps if self.over else total_steps - steps)
        if steps and schedule(0) == 0:
            problem = (
                "would hold the learning rate at 0, where the schedule starts; remove it, the schedule rises by itself"
            )
            raise ConfigError(problem, key="warmup")
        if not steps:
            return schedule
        return warm_up(schedule, steps, from_factor=self.from_factor, shape=self.shape, over=bool(self.over))


def warm_up(
    schedule: Schedule, steps: int, *, from_factor: float = 0.0, shape: Shape = "linear", over: bool = False
) -> Schedule:
    """Rise to the schedule's first learning rate, then follow the schedule from its step 0.

    Step t < W has r·(f + (1−f)·g((t+1)/W)), where r is the schedule's first learning rate (the peak, for a constant
    or a decay), f is `from_factor` and g(x) is x or (1 − cos πx)/2; the exponential shape has r·f^(1−x). So the first
    step is above 0 (as in Goyal et al. 2017), and step W−1 is at r, without a jump after it. With `over`, the schedule
    starts with the run, and the first W of its own learning rates take the place of r.

    Args:
        schedule: what follows, built for the total number of steps minus `steps`, or for all of them with `over`.
        steps: W.
        from_factor: f, the start of the rise as a fraction of r.
        shape: shape of the rise.
        over: multiply the schedule's first W learning rates instead of delaying it.

    >>> rate = warm_up(lambda step: 1.0, 4)
    >>> [rate(t) for t in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if shape == "exponential" and from_factor <= 0:
        problem = "an exponential warm-up can't start at 0; set a small number such as 0.01"
        raise ConfigError(problem, key="warmup.from_factor")

    def rise(step: int) -> float:
        done = (step + 1) / steps
        if shape == "exponential":
            return math.exp((1 - done) * math.log(from_factor))
        if shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return from_factor + (1 - from_factor) * done

    delay = 0 if over else steps

    def own(step: int) -> int:
        return max(step - delay, 0)

    def rate(step: int) -> float:
        return schedule(own(step)) * (rise(step) if step < steps else 1.0)

    after = momentum_of(schedule)
    return with_momentum(rate, after and (lambda step: after(own(step))))
