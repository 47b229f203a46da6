"""The schedule of the learning rate range test, which only rises. Notation as in `decay`."""

from __future__ import annotations

from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Context, Schedule
from lrbench.schedules.decay import lower_rate
from lrbench.types import Fraction, Positive


def range_test(
    *,
    start_factor: Fraction | None = None,
    start_lr: Positive | None = None,
    shape: Literal["exponential", "linear"] = "exponential",
    run: Context,
) -> Schedule:
    """Learning rate range test: up to lr over the whole run (Smith 2017, section 3.3).

    Exponential: lr(t) = start·(lr/start)^(t/(T−1)). Linear: lr(t) = start + (lr − start)·t/(T−1).

    Args:
        start_factor: the first learning rate as a fraction of lr; 1e-8 by default.
        start_lr: the first learning rate itself, instead of `start_factor`.
        shape: `exponential` takes the same number of steps for each decade, `linear` most for the last one.

    >>> rate = range_test(start_lr=0.01, run=Context(lr=1.0, total_steps=3, steps_per_epoch=1))
    >>> [round(rate(t), 12) for t in range(3)]
    [0.01, 0.1, 1.0]
    """
    lr, start = run.lr, lower_rate(run.lr, start_factor, start_lr, default=1e-8)
    if not start > 0:
        raise ConfigError("must be greater than 0", key="schedule.start_factor")
    last = max(run.total_steps - 1, 1)
    if shape == "linear":
        return lambda step: start + (lr - start) * step / last
    return lambda step: float(start * (lr / start) ** (step / last))
