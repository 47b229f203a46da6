"""How many more seeds would decide: the number for 80% power, with its uncertainty.

The effect is not taken to be the observed one, which is right about half of the time. The mean of all N seeds, given
the n that there are, has Student's distribution around the observed mean with the variance s² (1/n − 1/N): the
predictive distribution without prior knowledge of the effect. The power is the probability that this mean decides.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

MOST_SEEDS, FIRST_SEEDS = 1000, 50
POWER = 0.8
RANGE = (0.5, 0.95)
"""The power at the ends of the range of seeds."""


@dataclass(frozen=True)
class MoreSeeds:
    """How many seeds to add.

    Attributes:
        count: for 80% power.
        low: for 50%.
        high: for 95%; None for more than a thousand seeds in all.
    """

    count: int
    low: int
    high: int | None


def more_seeds(
    mean: float,
    spread: float,
    n: int,
    *,
    freedom: float,
    level: float,
    within: tuple[float, float] | None = None,
    tie_level: float = 0.0,
) -> MoreSeeds | None:
    """Return how many seeds to add to `n` until their mean is likely to decide; None for more than a thousand in all.

    Args:
        mean: the mean of the seeds, less what it is compared with.
        spread: their standard deviation.
        n: number of seeds.
        freedom: degrees of freedom of `spread`.
        level: two-sided level at which the mean must differ from 0.
        within: a mean that lies within these ends at `tie_level` is a tie, which decides too.
        tie_level: one-sided level of each end.
    """
    if spread == 0:
        return MoreSeeds(1, 1, 1)
    power = np.empty(0)
    for most in (min(n + FIRST_SEEDS, MOST_SEEDS), MOST_SEEDS):  # nearly all need few
        power = _power(mean, spread, n, freedom, level, within, tie_level, most)
        if (power >= max(RANGE)).any():
            break
    count, low, high = (_first(power >= least) for least in (POWER, *RANGE))
    return None if count is None or low is None else MoreSeeds(count, low, high)


def _first(reached: np.ndarray) -> int | None:
    return int(reached.argmax()) + 1 if reached.any() else None


def _power(
    mean: float, spread: float, n: int, freedom: float, level: float, within: tuple[float, float] | None, tie: float,
    most: int,
) -> np.ndarray:  # fmt: skip
    """Return the power with 1, 2, … more seeds, up to `most` in all."""
    from scipy import special

    total = np.arange(n + 1, most + 1)
    error = spread / np.sqrt(total)
    shift = spread * np.sqrt(1 / n - 1 / total)

    def below(value: np.ndarray) -> np.ndarray:
        return np.asarray(special.stdtr(freedom, (value - mean) / shift))

    apart = _quantiles(freedom, n, most, level / 2) * error
    open_ = below(apart) - below(-apart)
    if within is not None:
        half = _quantiles(freedom, n, most, tie) * error
        low, high = np.maximum(within[0] + half, -apart), np.minimum(within[1] - half, apart)
        open_ = open_ - np.where(low < high, below(high) - below(low), 0.0)
    return np.asarray(1 - open_)


@functools.lru_cache(maxsize=256)
def _quantiles(freedom: float, n: int, most: int, level: float) -> np.ndarray:
    """Return Student's quantile with n + 1, n + 2, …, `most` seeds in all; most arms of a comparison share it."""
    from scipy import special

    return np.asarray(-special.stdtrit(freedom + np.arange(n + 1, most + 1) - n, level))
