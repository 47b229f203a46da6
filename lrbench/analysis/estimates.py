"""The centre of several runs' values, what groups are ordered by, and intervals.

One statistic orders, shows and decides: the share of seeds that diverged or failed, then the centre of the others, the
geometric mean of losses and the arithmetic mean of percentages.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_SQUARED = 1e150  # squares of larger values overflow


def centre(values: Sequence[float], *, logs: bool) -> float:
    """Return the mean; with `logs` the geometric mean, unless a value is not above 0.

    >>> round(centre([1.0, 4.0], logs=True), 9), centre([1.0, 4.0], logs=False)
    (2.0, 2.5)
    >>> centre([0.0, 4.0], logs=True)
    2.0
    """
    if len(values) == 1:
        return values[0]  # without rounding
    return exp(mean([math.log(value) for value in values])) if logs and min(values) > 0 else mean(values)


def mean(values: Sequence[float]) -> float:
    """Return the mean, also of values whose sum would overflow."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def standing(values: Sequence[float], lost: int, *, logs: bool, sign: int = 1) -> tuple[float, float]:
    """Return what arms are ordered by, the best first: the share of lost seeds, and the centre times `sign`.

    Infinite without a value.

    >>> standing([0.5, 0.5], 0, logs=True) < standing([0.1, 0.1, 0.1], 1, logs=True)
    True
    """
    if not values:
        return math.inf, math.inf
    return lost / (lost + len(values)), sign * centre(values, logs=logs)


@dataclass(frozen=True)
class Estimate:
    """A summary of several runs' values of a metric.

    Attributes:
        n: number of values.
        centre: their geometric mean, or their mean without `logs`.
        median: their median.
        iqm: interquartile mean, the mean without the lowest and the highest quarter.
        low: lower end of the 95% interval of the centre (Student's t, on logarithms with `logs`); None with one value.
        high: upper end of the same interval.
        logs: whether the centre is a geometric mean; not if a value is not above 0.
    """

    n: int
    centre: float
    median: float
    iqm: float
    low: float | None
    high: float | None
    logs: bool = False


def estimate(values: Sequence[float], *, logs: bool = True) -> Estimate | None:
    """Summarise finite values, on logarithms unless a value is not above 0; None if there are none."""
    if not values:
        return None
    found = np.asarray(values, float)
    if len(found) == 1:
        only = float(found[0])
        return Estimate(1, only, only, only, None, None)
    logs = logs and bool((found > 0).all())
    middle, spread = moments((np.log(found) if logs else found).tolist())
    half = quantile(1 - CONFIDENCE, len(found) - 1) * spread / math.sqrt(len(found))
    low, high = middle - half, middle + half
    if logs:
        middle, low, high = exp(middle), exp(low), exp(high)
    return Estimate(len(found), middle, statistics.median(values), _iqm(values), low, high, logs)


def _iqm(values: Sequence[float]) -> float:
    """Return the mean without the lowest and the highest quarter, cutting whole values only."""
    cut = len(values) // 4
    return mean(sorted(values)[cut : len(values) - cut])


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation, ten times as fast as numpy for a few numbers."""
    middle = mean(values)
    offsets = [value - middle for value in values]
    unit = max(map(abs, offsets))
    unit = unit if unit > _SQUARED else 1.0
    return middle, unit * math.sqrt(math.fsum((offset / unit) ** 2 for offset in offsets) / (len(values) - 1))


@functools.cache
def quantile(alpha: float, freedom: float) -> float:
    """Return the quantile of Student's t with half of alpha above it."""
    from scipy import special

    return float(special.stdtrit(freedom, 1 - alpha / 2))


def exp(value: float) -> float:
    """Return e to this power, bounded: the interval of two extreme values may overflow a float."""
    return math.exp(min(value, 709.7))
