"""Comparisons over seeds, with methods that are valid for few seeds.

Losses are compared by logarithms, since their spread over seeds is skewed and proportional to their size. Intervals are
Student's t: their coverage is right from three values on, where a percentile bootstrap's is far too low. Arms are
compared in pairs of equal seeds, which share the order of the data and, for equal models, the initial weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lrbench.analysis.estimates import centre, exp, moments, quantile

ALPHA = 0.04  # below 1 − CONFIDENCE, so that skewed spreads, too, err in at most 5% of comparisons of equal arms
MARGIN = 0.05
"""Losses that differ by less than this fraction are a tie."""
PERCENT_MARGIN = 0.002
"""The same for metrics in percent, as a difference."""
LEAST_PERMUTED = 6  # pairs; with five, the two-sided p is at least 0.0625

Values = Mapping[int | str, float]
"""An arm's values by seed; text names a run of unknown seed, which pairs with none."""
Word = Literal["better", "probably better", "tie", "undecided", "probably worse", "worse"]


@dataclass(frozen=True)
class Failures:
    """Seeds that diverged or failed, of those that ended, in an arm and in the one it is compared with."""

    lost: int
    ended: int
    other_lost: int
    other_ended: int

    @property
    def excess(self) -> int:
        """Above 0 if a larger share was lost than in the other arm, below 0 if a smaller one."""
        return self.lost * self.other_ended - self.other_lost * self.ended

    @property
    def p(self) -> float:
        """Two-sided p of Fisher's exact test of the two shares."""
        return _fisher(self.lost, self.ended - self.lost, self.other_lost, self.other_ended - self.other_lost)


@functools.cache
def _fisher(lost: int, kept: int, other_lost: int, other_kept: int) -> float:
    """Return the two-sided p, in whole numbers: importing `scipy.stats` for it takes longer than reading 500 runs."""
    ended, all_lost, everyone = lost + kept, lost + other_lost, lost + kept + other_lost + other_kept
    ways = {
        n: math.comb(all_lost, n) * math.comb(everyone - all_lost, ended - n)
        for n in range(max(0, ended + all_lost - everyone), min(ended, all_lost) + 1)
    }
    return sum(one for one in ways.values() if one <= ways[lost]) / math.comb(everyone, ended)


@dataclass(frozen=True)
class Difference:
    """One arm minus another.

    Attributes:
        n: number of pairs of equal seeds; of runs in the smaller arm if the seeds do not pair; 0 if an arm has fewer
            than two left, so that only the shares of lost seeds are compared, and `mean` to `spread` tell nothing.
        paired: whether the seeds pair.
        logs: whether `mean`, `low` and `high` are the logarithm of a ratio, else a difference.
        mean: mean difference.
        low: lower end of the 96% interval (Student's t; Welch's if the seeds do not pair).
        high: upper end of the same interval.
        p: two-sided p of the t-test, uncorrected.
        spread: standard deviation of the differences in pairs (unpaired: of all possible pairs).
        margin: a tie is an interval of less than this around 0: a part of the other arm's mean, or a difference.
        failures: seeds that are not in the mean, since they diverged or failed; None if there are none.
        own_freedom: degrees of freedom of the interval; None for n − 1.
    """

    n: int
    paired: bool
    logs: bool
    mean: float
    low: float
    high: float
    p: float
    spread: float
    margin: float = MARGIN
    failures: Failures | None = None
    own_freedom: float | None = None

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the interval."""
        return self.n - 1 if self.own_freedom is None else self.own_freedom

    @property
    def error(self) -> float:
        """Standard error of `mean`."""
        return (self.high - self.low) / 2 / quantile(ALPHA, self.freedom)

    @property
    def relative(self) -> tuple[float, float, float]:
        """The mean and the interval relative to the other arm, 0.1 for 10% above; only with `logs`."""
        assert self.logs
        return exp(self.mean) - 1, exp(self.low) - 1, exp(self.high) - 1

    @property
    def within(self) -> tuple[float, float]:
        """The ends of the margin, on the scale of `mean`."""
        return (math.log1p(-self.margin), math.log1p(self.margin)) if self.logs else (-self.margin, self.margin)


def difference(
    arm: Values,
    other: Values,
    *,
    logs: bool = True,
    margin: float | None = None,
    failures: Failures | None = None,
) -> Difference | None:
    """Compare two arms. With fewer than two values in an arm, compare only the shares of lost seeds; None if equal.

    If all values of each arm are the same, its seeds changed nothing: they count as one.

    Seeds that only one arm has may turn the order of the pairs round: harder ones, for example. Then all seeds are
    compared, unpaired, since arms are ordered by all their seeds.

    Args:
        arm: finite values by seed.
        other: the arm to compare with.
        logs: compare ratios, unless a value of these two is not above 0.
        margin: the difference that is a tie; None for MARGIN of the other arm's mean.
        failures: seeds of both that have no value.
    """
    logs = logs and all(value > 0 for value in (*arm.values(), *other.values()))
    if margin is None:
        margin = MARGIN if logs or not other else MARGIN * abs(centre(list(other.values()), logs=False))
    found = _scaled(arm, other, logs=logs, failures=failures)
    return None if found is None else replace(found, margin=margin)


def _scaled(arm: Values, other: Values, *, logs: bool, failures: Failures | None) -> Difference | None:
    scaled = [{seed: math.log(value) if logs else value for seed, value in one.items()} for one in (arm, other)]
    if all(len(set(one.values())) == 1 for one in (arm, other)):  # nothing is known of the spread
        scaled = [dict(list(one.items())[:1]) for one in scaled]
        return _unpaired(*(list(one.values()) for one in scaled), logs=logs, failures=failures)
    seeds = sorted(arm.keys() & other.keys())
    if len(seeds) >= 2:
        pairs = [scaled[0][seed] - scaled[1][seed] for seed in seeds]
        mean, spread = moments(pairs)
        half = quantile(ALPHA, len(pairs) - 1) * spread / math.sqrt(len(pairs))
        p = _p(mean, spread, len(pairs))
        one, two = (centre(list(values.values()), logs=False) for values in scaled)
        if arm.keys() == other.keys() or mean * (one - two) >= 0:
            return Difference(len(pairs), True, logs, mean, mean - half, mean + half, p, spread, failures=failures)
    return _unpaired(*(list(one.values()) for one in scaled), logs=logs, failures=failures)


def _unpaired(a: Sequence[float], b: Sequence[float], *, logs: bool, failures: Failures | None) -> Difference | None:
    """Compare by Welch's test."""
    if min(len(a), len(b)) < 2:
        if failures is None or not failures.excess or min(failures.ended, failures.other_ended) < 2:
            return None
        return Difference(0, False, logs, math.nan, -math.inf, math.inf, 1.0, math.nan, failures=failures)
    (one, one_spread), (two, two_spread) = moments(a), moments(b)
    errors = one_spread / math.sqrt(len(a)), two_spread / math.sqrt(len(b))
    mean, error, half, p = one - two, math.hypot(*errors), 0.0, float(one == two)
    n, freedom = min(len(a), len(b)), float(len(a) + len(b) - 2)
    if error:
        freedom = 1 / ((errors[0] / error) ** 4 / (len(a) - 1) + (errors[1] / error) ** 4 / (len(b) - 1))
        half, p = quantile(ALPHA, freedom) * error, t_test(mean / error, freedom)
    spread, ends = math.hypot(one_spread, two_spread), (mean - half, mean + half)
    return Difference(n, False, logs, mean, *ends, p, spread, failures=failures, own_freedom=freedom)


def permutation_p(arm: Values, other: Values, *, logs: bool = False) -> float | None:
    """Return the two-sided p of a sign-flip permutation test of the mean difference; exact up to 13 pairs.

    With `logs` it tests differences of logarithms, as `difference` does. None with fewer than six pairs, which can't
    reach 0.05.
    """
    seeds = sorted(arm.keys() & other.keys())
    if len(seeds) < LEAST_PERMUTED:
        return None
    scaled = math.log if logs else float
    pairs = np.array([scaled(arm[seed]) - scaled(other[seed]) for seed in seeds])
    from scipy import stats

    asked = {"permutation_type": "samples", "vectorized": True, "n_resamples": 9_999, "rng": np.random.default_rng(0)}
    return float(stats.permutation_test((pairs,), np.mean, **asked).pvalue)


def _p(mean: float, spread: float, n: int) -> float:
    if spread == 0:
        return float(mean == 0)
    return t_test(mean * math.sqrt(n) / spread, n - 1)


def t_test(t: float, freedom: float) -> float:
    """Return the two-sided p of Student's t."""
    from scipy import special

    return float(2 * special.stdtr(freedom, -abs(t)))
