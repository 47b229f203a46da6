"""Cosine annealing with warm restarts, and piecewise schedules. Notation as in `decay`."""

from __future__ import annotations

import bisect
import math
from itertools import accumulate, pairwise
from typing import Literal

from lrbench.errors import ConfigError
from lrbench.schedules.base import Context, Schedule, unpacked
from lrbench.schedules.decay import Final
from lrbench.schedules.durations import length
from lrbench.types import Duration, Epochs, NonNegative, Positive, PositiveFraction


@unpacked
def cosine_restarts(
    *,
    cycle: Epochs = Duration(20, "percent"),
    cycle_factor: Positive = 1.0,
    peak_factor: PositiveFraction = 1.0,
    final: Final,
    run: Context,
) -> Schedule:
    """SGDR: half cosines with warm restarts (Loshchilov and Hutter 2017, eq. 5).

    lr(t) = final + (peakᵢ − final)·(1 + cos(π·c/Tᵢ))/2, where c counts steps since the last restart. Equals torch's
    CosineAnnealingWarmRestarts if `cycle_factor` is a whole number and `peak_factor` is 1.

    Args:
        cycle: T₀, length of the first cycle; a bare number means epochs.
        cycle_factor: ratio of each cycle's length to the previous one, rounded to whole steps; may be below 1.
        peak_factor: ratio of each cycle's peak to the previous one.

    >>> rate = cosine_restarts(cycle=Duration(2, "steps"), cycle_factor=2.0, peak_factor=0.5,
    ...                        run=Context(lr=1.0, total_steps=20, steps_per_epoch=5))
    >>> [round(rate(t), 6) for t in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    end = final.rate(run.lr)
    first = length(cycle, "cycle", run)
    lengths: list[int] = []
    covered = 0
    while covered < run.total_steps:
        lengths.append(max(round(first * cycle_factor ** len(lengths)), 1))
        covered += lengths[-1]
    starts = [0, *accumulate(lengths)]

    def rate(step: int) -> float:
        index = min(bisect.bisect_right(starts, step) - 1, len(lengths) - 1)
        peak = max(run.lr * peak_factor**index, end)
        done = (step - starts[index]) / lengths[index]
        return end + (peak - end) * (1 + math.cos(math.pi * done)) / 2

    return rate


def piecewise(
    *, points: list[tuple[Epochs, NonNegative]], how: Literal["step", "linear", "cosine"] = "linear", run: Context
) -> Schedule:
    """Points joined by steps, lines or cosines; the learning rate at a point is lr times its factor.

    It is constant before the first point and after the last.

    Args:
        points: (time, factor) pairs with rising times, such as [[0, 0.1], [5 epochs, 1], [90%, 0.01]]; a bare
            number means epochs.
        how: `step` holds each point's value until the next one, `linear` and `cosine` interpolate.

    >>> points = [(Duration(0, "steps"), 0.0), (Duration(4, "steps"), 1.0)]
    >>> rate = piecewise(points=points, run=Context(lr=2.0, total_steps=10, steps_per_epoch=5))
    >>> rate(2), rate(9)
    (1.0, 2.0)
    """
    places = [run.steps(place) for place, _ in points]
    exact = [p.exact(total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch) for p, _ in points]
    if not places or any(later <= earlier for earlier, later in pairwise(exact)):
        shown = ", ".join(str(p) for p, _ in points)
        problem = f"must be (time, factor) pairs with rising times (got times [{shown}])"
        raise ConfigError(problem, key="schedule.points")
    rates = [run.lr * factor for _, factor in points]

    def rate(step: int) -> float:
        index = bisect.bisect_right(places, step) - 1
        if index < 0 or index == len(places) - 1 or how == "step":
            return rates[max(index, 0)]
        done = (step - places[index]) / (places[index + 1] - places[index])
        if how == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return rates[index] + (rates[index + 1] - rates[index]) * done

    return rate
