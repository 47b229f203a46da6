"""Cosine annealing with warm restarts, and rates read off points. Notation as in `decay`."""

from __future__ import annotations

import bisect
import math
from itertools import accumulate, pairwise
from typing import Annotated, Literal

from pydantic import Field

from lrbench.errors import ConfigError
from lrbench.schedules.base import Schedule
from lrbench.schedules.decay import final_rate
from lrbench.schedules.durations import length
from lrbench.types import Duration, Epochs, Fraction, NonNegative, Positive


def cosine_restarts(
    *,
    cycle: Epochs = Duration(20, "percent"),
    cycle_factor: Positive = 1.0,
    peak_factor: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0,
    final_factor: Fraction | None = None,
    final_lr: NonNegative | None = None,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """SGDR: half a cosine from the peak to an end value, again and again (Loshchilov and Hutter 2017, eq. 5).

    lr(t) = end + (peakᵢ − end)·(1 + cos(π·c/Tᵢ))/2, where c counts updates since the last restart. Torch's
    CosineAnnealingWarmRestarts where `cycle_factor` is a whole number and `peak_factor` 1.

    Args:
        cycle: T₀, the first cycle; a bare number means epochs.
        cycle_factor: each cycle's length as a multiple of the one before, rounded to whole updates; below 1 too.
        peak_factor: each cycle's peak as a multiple of the one before.
        final_factor: the end value as a fraction of lr; 0 unless `final_lr` is given.
        final_lr: the end value itself, instead of `final_factor`.

    >>> from lrbench.types import Duration
    >>> rate = cosine_restarts(cycle=Duration(2, "steps"), cycle_factor=2.0, peak_factor=0.5, lr=1.0,
    ...                        total_steps=20, steps_per_epoch=5)
    >>> [round(rate(t), 6) for t in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    end = final_rate(lr, final_factor, final_lr)
    first = length(cycle, "cycle", total_steps, steps_per_epoch)
    lengths: list[int] = []
    covered = 0
    while covered < total_steps:
        lengths.append(max(round(first * cycle_factor ** len(lengths)), 1))
        covered += lengths[-1]
    starts = [0, *accumulate(lengths)]

    def rate(step: int) -> float:
        index = min(bisect.bisect_right(starts, step) - 1, len(lengths) - 1)
        peak = max(lr * peak_factor**index, end)
        done = (step - starts[index]) / lengths[index]
        return end + (peak - end) * (1 + math.cos(math.pi * done)) / 2

    return rate


def piecewise(
    *,
    points: list[tuple[Epochs, NonNegative]],
    how: Literal["step", "linear", "cosine"] = "linear",
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
) -> Schedule:
    """Points joined by steps, lines or cosines: the rate at each is lr times its factor.

    Before the first point the rate is the first point's, after the last the last's.

    Args:
        points: pairs of a place and a factor, such as [[0, 0.1], [5 epochs, 1], [90%, 0.01]]; places rise, and a
            bare number means epochs.
        how: `step` holds each point's rate up to the next, `linear` and `cosine` go there.

    >>> from lrbench.types import Duration
    >>> rate = piecewise(points=[(Duration(0, "steps"), 0.0), (Duration(4, "steps"), 1.0)], lr=2.0, total_steps=10,
    ...                  steps_per_epoch=5)
    >>> rate(2), rate(9)
    (1.0, 2.0)
    """
    places = [p.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch) for p, _ in points]
    exact = [p.exact(total_steps=total_steps, steps_per_epoch=steps_per_epoch) for p, _ in points]
    if not places or any(later <= earlier for earlier, later in pairwise(exact)):
        shown = ", ".join(str(p) for p, _ in points)
        raise ConfigError(f"must be some pairs whose places rise (got places [{shown}])", key="schedule.points")
    rates = [lr * factor for _, factor in points]

    def rate(step: int) -> float:
        index = bisect.bisect_right(places, step) - 1
        if index < 0 or index == len(places) - 1 or how == "step":
            return rates[max(index, 0)]
        part = (step - places[index]) / (places[index + 1] - places[index])
        if how == "cosine":
            part = (1 - math.cos(math.pi * part)) / 2
        return rates[index] + (rates[index + 1] - rates[index]) * part

    return rate
