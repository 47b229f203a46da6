"""The schedule that only rises: the range test's. Notation as in `decay`."""

from __future__ import annotations

from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.decay import final_rate
from lrbench.types import Fraction, Positive


def range_test(
    *,
    start_factor: Fraction | None = None,
    start_lr: Positive | None = None,
    shape: Literal["exponential", "linear"] = "exponential",
    lr: float,
    total_steps: int,
) -> Schedule:
    """Up from a tiny rate to lr over the whole run, the learning rate range test (Smith 2017, section 3.3).

    Exponentially, lr(t) = start·(lr/start)^(t/(T−1)); linearly, lr(t) = start + (lr − start)·t/(T−1).

    Args:
        start_factor: the first rate as a fraction of lr; 1e-8 unless `start_lr` is given.
        start_lr: the first rate itself, instead of `start_factor`.
        shape: `exponential` gives every decade as many updates, `linear` gives most to the last one.

    >>> [round(range_test(start_lr=0.01, lr=1.0, total_steps=3)(t), 12) for t in range(3)]
    [0.01, 0.1, 1.0]
    """
    start = final_rate(lr, start_factor, start_lr, default=1e-8)
    if not start > 0:
        raise ConfigError("must be greater than 0", key="schedule.start_factor")
    last = max(total_steps - 1, 1)
    if shape == "linear":
        return lambda step: start + (lr - start) * step / last
    return lambda step: float(start * (lr / start) ** (step / last))
