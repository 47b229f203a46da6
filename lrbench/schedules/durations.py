"""Durations of a schedule as numbers of updates, checked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lrbench.errors import ConfigError
from lrbench.types import Duration


def length(duration: Duration, key: str, total_steps: int, steps_per_epoch: int) -> int:
    """Updates of a duration that must not be 0. Raises ConfigError, which names `schedule.<key>`."""
    steps = duration.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    if steps < 1:
        raise ConfigError("must be longer than 0, such as '15 epochs'", key=f"schedule.{key}")
    return steps


def rising(durations: Sequence[Duration], key: str, total_steps: int, steps_per_epoch: int) -> list[int]:
    """The places of durations that must be above 0 and rise. Raises ConfigError, which names `schedule.<key>`.

    They are compared before they are rounded: in a very short run, 50 % and 75 % are one update, and in order.
    """
    sizes = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    exact = [duration.exact(**sizes) for duration in durations]
    if not exact or any(later <= earlier for earlier, later in pairwise([0.0, *exact])):
        shown = ", ".join(str(duration) for duration in durations)
        raise ConfigError(f"must rise, the first above 0 (got [{shown}])", key=f"schedule.{key}")
    return [duration.steps(**sizes) for duration in durations]
