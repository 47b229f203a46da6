"""The methods that read a learning rate off a range test's curve. Each takes rates and smoothed losses.

The known ones, as the peers compute them (fastai, Lightning), leave out the first tenth and the last five points, and
differentiate against log₁₀ of the rate, never against the rate. `minimum/2` is ours, and works on the trend of
all seeds.
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
MOST_DELAY = 4.0  # beyond what was calibrated, taking momentum's delay back would go far too low
MARGIN = 2.0  # of safety; chosen, as the method, by docs/find-lr.md's comparison with full sweeps


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at the most negative d loss / d log₁₀(rate); None where the loss never falls.

    >>> steepest([1e-3, 1e-2, 1e-1, 1.0], [2.0, 1.9, 1.2, 0.3])
    1.0
    """
    slopes = np.gradient(np.asarray(losses, float), np.log10(rates))
    place = int(np.argmin(slopes))
    rounding = 1e-12 * float(np.abs(losses).max())
    return float(rates[place]) if slopes[place] < -rounding else None


def minimum_tenth(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """A tenth of the rate at the lowest loss (fastai's `minimum`); None where the first is the lowest.

    >>> minimum_tenth([1e-3, 1e-2, 1e-1, 1.0], [2.0, 1.9, 1.0, 1.1])
    0.01
    """
    place = int(np.argmin(losses))
    return float(rates[place]) / 10 if place else None


def valley(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Halfway down the longest valley (fastai's `valley`): of the longest strictly decreasing subsequence.

    With n points, ending at index e, it starts at s = e − n; the rate is that at index s + ⌊n/3⌋ + ⌊n/6⌋. Of several
    longest ones, the first to end. None where nothing falls twice.
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
    """Without the first tenth and the last five points, as the peers suggest."""
    return rates[len(losses) // 10 : len(losses) - 5], losses[len(losses) // 10 : len(losses) - 5]


def minimum_half(found: Trend, delay: float) -> float:
    """Half of the rate that made the loss lowest.

    Momentum μ (Adam: β₁) spreads an update's effect over those after it: half of it comes within ln 2 / −ln μ of
    them, while the rate goes on rising. So the loss is lowest that many updates after the rate that made it so.

    Args:
        found: the trend of all seeds.
        delay: the factor by which the rate rises in those updates.
    """
    return float(found.rates[found.lowest]) / delay / MARGIN


def delay_of(curves: Sequence[Curve], found: Trend) -> float:
    """The factor by which the rate rises, on the way to the lowest loss, in momentum's half-life."""
    factors = []
    for curve in curves:
        place = bisect.bisect_left(curve.rates, float(found.rates[found.lowest]) * (1 - 1e-9))
        place = min(place, len(curve.rates) - 1)
        before = place - math.log(2) / -math.log(curve.momentum) if 0 < curve.momentum < 1 else place
        factors.append(curve.rates[place] / _rate_at(curve.rates, before))
    return median(factors)


def _rate_at(rates: Sequence[float], place: float) -> float:
    """The rate between two updates; the first one's before it."""
    index = max(int(place), 0)
    if index + 1 >= len(rates) or place <= 0:
        return rates[index if place > 0 else 0]
    return rates[index] * math.pow(rates[index + 1] / rates[index], place - index)


def suggestions(curves: Sequence[Curve], beta: float) -> dict[str, dict[int, float | None]]:
    """Every method's rate for every seed, None where it finds none."""
    found: dict[str, dict[int, float | None]] = {name: {} for name in (*PEERS, "minimum/2")}
    for curve in curves:
        rates, smooth = trimmed(curve.rates[: curve.usable], curve.smoothed(beta))
        for name, method in PEERS.items():
            found[name][curve.seed] = method(rates, smooth) if len(rates) >= LEAST_POINTS else None
        own = curve.trend
        delay = 1.0 if own is None else min(delay_of([curve], own), MOST_DELAY)
        found["minimum/2"][curve.seed] = None if own is None else minimum_half(own, delay)
    return found
