"""Warm-up: a rise to the rate at which any schedule starts, inside the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from lrbench.errors import ConfigError
from lrbench.registry import first_of, problem_of
from lrbench.schedules.base import Schedule, momentum_of, with_momentum
from lrbench.types import Epochs, Fraction, adapter

Shape = Literal["linear", "cosine", "exponential"]
UNTUNED = "untuned"


def untuned(beta2: float) -> str:
    """The warm-up that needs no tuning with Adam: linear over 2/(1 − β₂) updates (Ma and Yarats 2021), a duration.

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
        from_factor: where the rise begins, as a fraction of the rate it leads to.
        shape: linear, cosine or exponential.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    duration: Annotated[Epochs, Field(alias="for")]
    from_factor: Fraction = 0.0
    shape: Shape = "linear"

    @classmethod
    def of(cls, block: Mapping[str, Any] | str | float) -> WarmUpRule:
        """Read a config's block, or its duration alone. Raises ConfigError."""
        if block == UNTUNED or (isinstance(block, Mapping) and block.get("for") == UNTUNED):
            raise ConfigError("untuned follows from an optimizer's β₂, which is unknown here", key="warmup.for")
        try:
            plain = dict(block) if isinstance(block, Mapping) else {"for": block}
            rule: WarmUpRule = adapter(cls).validate_python(plain)
            return rule
        except ValidationError as error:
            where = ".".join(("warmup", *map(str, first_of(error)["loc"])))
            raise ConfigError(f"{problem_of(error)} (known: for, from_factor, shape)", key=where) from None

    def around(self, build: Callable[[int], Schedule], total_steps: int, steps_per_epoch: int) -> Schedule:
        """The schedule that `build` makes for the updates the warm-up leaves, with the warm-up before it."""
        steps = self.duration.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if steps >= total_steps:
            problem = f"the warm-up ({self.duration}, {steps} updates) leaves nothing of the run's {total_steps}"
            raise ConfigError(problem, key="warmup.for")
        schedule = build(total_steps - steps)
        if steps and schedule(0) == 0:
            problem = "would hold the rate at 0, which the schedule begins at: it rises by itself, so leave this out"
            raise ConfigError(problem, key="warmup")
        return warm_up(schedule, steps, from_factor=self.from_factor, shape=self.shape) if steps else schedule


def warm_up(schedule: Schedule, steps: int, *, from_factor: float = 0.0, shape: Shape = "linear") -> Schedule:
    """Rise over `steps` updates to the schedule's own first rate, then follow the schedule from its step 0.

    Update t < W is at r·(f + (1−f)·g((t+1)/W)), with r the schedule's first rate (the peak, for a constant or
    a decay), f `from_factor` and g(x) = x, (1 − cos πx)/2 or, for the exponential shape, r·f^(1−x). The first
    update thus moves already (Goyal et al. 2017 warm up alike), and update W−1 is at r: no jump at the seam.

    Args:
        schedule: what follows; it was built for the total number of updates less `steps`.
        steps: W.
        from_factor: f, where the rise begins, as a fraction of r.
        shape: of the rise.

    >>> rate = warm_up(lambda step: 1.0, 4)
    >>> [rate(t) for t in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if shape == "exponential" and from_factor <= 0:
        raise ConfigError("an exponential warm-up can't start at 0; set it, to 0.01 say", key="warmup.from_factor")

    def rise(step: int) -> float:
        part = (step + 1) / steps
        if shape == "exponential":
            return math.exp((1 - part) * math.log(from_factor))
        if shape == "cosine":
            part = (1 - math.cos(math.pi * part)) / 2
        return from_factor + (1 - from_factor) * part

    def rate(step: int) -> float:
        return schedule(0) * rise(step) if step < steps else schedule(step - steps)

    after = momentum_of(schedule)
    return with_momentum(rate, after and (lambda step: after(max(step - steps, 0))))
