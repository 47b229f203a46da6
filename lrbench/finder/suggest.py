"""The methods that read a learning rate off a range test's curve. Each takes rates and smoothed losses.

The known ones, as the peers compute them (fastai, Lightning), leave out the first tenth and the last five points, and
differentiate against log₁₀ of the rate, never against the rate. `half-minimum` is ours, and works on the trend of
all seeds.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from lrbench.finder.curves import Curve, Trend, trend

Method = Callable[[Sequence[float], Sequence[float]], float | None]
LEAST_POINTS = 5


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


def half_minimum(found: Trend, delay: float) -> float:
    """Half of the rate that made the loss lowest.

    With momentum μ (Adam: β₁), an update's effect is spread over those after it, μ/(1−μ) of them on average, while the
    rate goes on rising: the loss is lowest that many updates after the rate that made it so.

    Args:
        found: the trend of all seeds.
        delay: the factor by which the rate rises in μ/(1−μ) updates.
    """
    return float(found.rates[found.lowest]) / delay / 2


def delay_of(curves: Sequence[Curve], found: Trend) -> float:
    """The factor by which the rate rises, on the way to the lowest loss, in μ/(1−μ) updates."""
    factors = []
    for curve in curves:
        place = bisect.bisect_left(curve.rates, float(found.rates[found.lowest]) * (1 - 1e-9))
        place = min(place, len(curve.rates) - 1)
        before = max(place - round(curve.momentum / (1 - curve.momentum)), 0) if curve.momentum < 1 else 0
        factors.append(curve.rates[place] / curve.rates[before])
    return median(factors)


def suggestions(curves: Sequence[Curve], beta: float) -> dict[str, dict[int, float | None]]:
    """Every method's rate for every seed, None where it finds none."""
    found: dict[str, dict[int, float | None]] = {name: {} for name in (*PEERS, "half-minimum")}
    for curve in curves:
        rates, smooth = trimmed(curve.rates[: curve.usable], curve.smoothed(beta))
        for name, method in PEERS.items():
            found[name][curve.seed] = method(rates, smooth) if len(rates) >= LEAST_POINTS else None
        own = trend([curve])
        found["half-minimum"][curve.seed] = None if own is None else half_minimum(own, delay_of([curve], own))
    return found
