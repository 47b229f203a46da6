"""Methods that pick a learning rate from a range test's curve, given learning rates and smoothed losses.

The methods of fastai and Lightning drop the first tenth and the last five points and differentiate with respect to
log₁₀ of the learning rate. `minimum/2` is lrbench's own and uses the trend of all seeds.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from lrbench.lr_finder.curves import Curve, Trend

Method = Callable[[Sequence[float], Sequence[float]], float | None]
LEAST_POINTS = 5
MOST_DELAY = 4.0  # the calibrated range; correcting for a longer delay would suggest far too low learning rates
MARGIN = 2.0  # safety factor; like the method, it was chosen by the comparison with full sweeps in docs/find-lr.md


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the learning rate with the most negative d loss / d log₁₀(lr); None if the loss never falls.

    >>> steepest([1e-3, 1e-2, 1e-1, 1.0], [2.0, 1.9, 1.2, 0.3])
    1.0
    """
    slopes = np.gradient(np.asarray(losses, float), np.log10(rates))
    place = int(np.argmin(slopes))
    rounding = 1e-12 * float(np.abs(losses).max())
    return float(rates[place]) if slopes[place] < -rounding else None


def minimum_tenth(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return a tenth of the learning rate at the lowest loss (fastai's `minimum`); None if the first loss is lowest.

    >>> minimum_tenth([1e-3, 1e-2, 1e-1, 1.0], [2.0, 1.9, 1.0, 1.1])
    0.01
    """
    place = int(np.argmin(losses))
    return float(rates[place]) / 10 if place else None


def valley(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the learning rate halfway down the longest valley (fastai's `valley`).

    The valley is the longest strictly decreasing subsequence, the first to end if there are several. With n points
    and its end at index e, it starts at s = e − n, and the result is at index s + ⌊n/3⌋ + ⌊n/6⌋. None for n < 3.
    """
    tails: list[float] = []  # minus the highest last value of a decreasing subsequence of each length
    longest, end = 0, 0
    for index, loss in enumerate(losses):
        length = bisect.bisect_left(tails, -loss)
        tails[length : length + 1] = [-loss]
        if length + 1 > longest:
            longest, end = length + 1, index
    if longest < 3:
        return None
    return float(rates[end - longest + int(longest / 3) + int(longest / 6)])


PEERS: dict[str, Method] = {"steepest": steepest, "minimum/10": minimum_tenth, "valley": valley}


def trimmed(rates: Sequence[float], losses: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Drop the first tenth and the last five points, as fastai and Lightning do."""
    return rates[len(losses) // 10 : len(losses) - 5], losses[len(losses) // 10 : len(losses) - 5]


def minimum_half(found: Trend, delay: float) -> float:
    """Return half of the learning rate that made the loss lowest.

    Momentum μ (Adam: β₁) spreads a step's effect over later steps: half of it acts within ln 2 / −ln μ steps, while the
    learning rate keeps rising. So the loss is lowest that many steps after the learning rate that caused it; `delay` is
    the factor by which it rises during them.
    """
    return float(found.rates[found.lowest]) / delay / MARGIN


def delay_of(curves: Sequence[Curve], found: Trend) -> float:
    """Return the factor by which the learning rate rises during momentum's half-life before the lowest loss."""
    factors = []
    for curve in curves:
        place = bisect.bisect_left(curve.rates, float(found.rates[found.lowest]) * (1 - 1e-9))
        place = min(place, len(curve.rates) - 1)
        before = place - math.log(2) / -math.log(curve.momentum) if 0 < curve.momentum < 1 else place
        factors.append(curve.rates[place] / _rate_at(curve.rates, before))
    return median(factors)


def _rate_at(rates: Sequence[float], place: float) -> float:
    """Interpolate the learning rate between two steps; before the first step, return its learning rate."""
    index = max(int(place), 0)
    if index + 1 >= len(rates) or place <= 0:
        return rates[index if place > 0 else 0]
    return rates[index] * math.pow(rates[index + 1] / rates[index], place - index)


def suggestions(curves: Sequence[Curve], beta: float) -> dict[str, dict[int, float | None]]:
    """Return every method's learning rate for every seed; None if it finds none."""
    found: dict[str, dict[int, float | None]] = {name: {} for name in (*PEERS, "minimum/2")}
    for curve in curves:
        rates, smooth = trimmed(curve.rates[: curve.usable], curve.smoothed(beta))
        for name, method in PEERS.items():
            found[name][curve.seed] = method(rates, smooth) if len(rates) >= LEAST_POINTS else None
        own = curve.trend
        delay = 1.0 if own is None else min(delay_of([curve], own), MOST_DELAY)
        found["minimum/2"][curve.seed] = None if own is None else minimum_half(own, delay)
    return found
