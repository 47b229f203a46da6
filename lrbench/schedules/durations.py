"""Durations in a schedule's parameters, checked and converted to steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lrbench.errors import ConfigError, counted
from lrbench.schedules.base import Context
from lrbench.types import Duration


def length(duration: Duration, key: str, run: Context) -> int:
    """Convert a duration to steps. Raises ConfigError, naming `schedule.<key>`, if it is 0."""
    steps = run.steps(duration)
    if steps < 1:
        raise ConfigError("must be longer than 0, such as '15 epochs'", key=f"schedule.{key}")
    return steps


def rise_and_rest(warmup: Duration, key: str, run: Context) -> tuple[int, int]:
    """Convert a warm-up to steps, and return the steps after it too. Raises ConfigError if there are none."""
    rise = run.steps(warmup)
    if rise >= run.total_steps > 1:
        problem = f"the warm-up ({warmup.told(rise)}) must be shorter than the run ({counted(run.total_steps, 'step')})"
        raise ConfigError(problem, key=f"schedule.{key}")
    return rise, max(1, run.total_steps - rise)


def rising(durations: Sequence[Duration], key: str, run: Context) -> list[int]:
    """Convert durations to steps. Raises ConfigError, naming `schedule.<key>`, unless they rise from above 0.

    They are compared before rounding: in a very short run, 50% and 75% may both round to 1 step.
    """
    exact = [d.exact(total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch) for d in durations]
    if not exact or any(later <= earlier for earlier, later in pairwise([0.0, *exact])):
        shown = ", ".join(str(duration) for duration in durations)
        raise ConfigError(f"must rise, the first above 0 (got [{shown}])", key=f"schedule.{key}")
    return [run.steps(duration) for duration in durations]
