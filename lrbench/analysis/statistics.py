"""Comparisons over seeds, by methods that hold for few of them.

A loss is compared as its logarithm: its spread over seeds is a part of its size, and skewed. Intervals are Student's t,
which cover what they claim from three values on, where a percentile bootstrap covers far too little. Arms are compared
by pairs of equal seeds, which share data order and, for equal models, first weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
ALPHA = 0.04  # below 1 − CONFIDENCE, so that skewed spreads, too, err in at most 5 of 100 comparisons of equals
MARGIN = 0.05
"""Losses that differ by less than this part of them are as good as equal."""
PERCENT_MARGIN = 0.002
"""The same for metrics written in percent, as a difference."""
LEAST_PERMUTED = 6  # pairs; the signs of five reach no two-sided p below 0.0625
MOST_SEEDS = 1000

Word = Literal["better", "worse", "tie", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """Some runs' values of a metric in a few numbers.

    Attributes:
        n: how many values.
        median: of them.
        iqm: interquartile mean, the mean without the lowest and the highest quarter.
        low: of the interval at 95 % (Student's t on logarithms, so of the geometric mean; where a value is not above
            0, on the values, so of the mean); None with one value.
        high: of the same interval.
    """

    n: int
    median: float
    iqm: float
    low: float | None
    high: float | None


def estimate(values: Sequence[float]) -> Estimate | None:
    """The estimate of finite values; None where there are none."""
    if not values:
        return None
    found = np.asarray(values, float)
    logs = bool((found > 0).all())
    low, high = _interval(np.log(found) if logs else found, 1 - CONFIDENCE)
    if logs and low is not None and high is not None:
        low, high = _exp(low), _exp(high)
    return Estimate(len(found), float(np.median(found)), _iqm(found), low, high)


@dataclass(frozen=True)
class Difference:
    """One arm against another.

    Attributes:
        n: pairs of equal seeds, or the runs of the smaller arm where the seeds do not pair.
        paired: whether they do.
        logs: whether `mean`, `low` and `high` are of the logarithm of the ratio, or of the difference.
        mean: of the arm less the other.
        low: of the interval at 96 %, by Student's t, or Welch's where seeds do not pair.
        high: of the same interval.
        p: two-sided, of the t-test, uncorrected.
        spread: standard deviation of the differences of pairs (unpaired: of such pairs as could be made).
    """

    n: int
    paired: bool
    logs: bool
    mean: float
    low: float
    high: float
    p: float
    spread: float

    @property
    def relative(self) -> tuple[float, float, float]:
        """The mean and the interval as parts of the other arm's value, 0.1 for 10 % above; only with `logs`."""
        assert self.logs
        return _exp(self.mean) - 1, _exp(self.low) - 1, _exp(self.high) - 1


def difference(arm: Mapping[int, float], other: Mapping[int, float], *, logs: bool = True) -> Difference | None:
    """Compare two arms; values by seed, finite. None where neither pairs nor both arms number two.

    Args:
        arm: the one.
        other: what it is compared with.
        logs: compare ratios; differences are compared in any case where a value is not above 0.
    """
    logs = logs and all(value > 0 for value in (*arm.values(), *other.values()))
    scaled = [{seed: math.log(value) if logs else value for seed, value in one.items()} for one in (arm, other)]
    seeds = sorted(arm.keys() & other.keys())
    if len(seeds) >= 2:
        pairs = [scaled[0][seed] - scaled[1][seed] for seed in seeds]
        mean, spread = _moments(pairs)
        half = _quantile(ALPHA, len(pairs) - 1) * spread / math.sqrt(len(pairs))
        p = _p(mean, spread, len(pairs))
        return Difference(len(pairs), True, logs, mean, mean - half, mean + half, p, spread)
    return _unpaired(*(np.array(list(one.values()), float) for one in scaled), logs=logs)


def _unpaired(a: np.ndarray, b: np.ndarray, *, logs: bool) -> Difference | None:
    if min(len(a), len(b)) < 2:
        return None
    mean, spread = float(a.mean() - b.mean()), math.sqrt(a.var(ddof=1) + b.var(ddof=1))
    if spread == 0:
        return Difference(min(len(a), len(b)), False, logs, mean, mean, mean, float(mean == 0), 0.0)
    from scipy import stats

    test = stats.ttest_ind(a, b, equal_var=False)
    interval = test.confidence_interval(1 - ALPHA)
    ends = float(interval.low), float(interval.high)
    return Difference(min(len(a), len(b)), False, logs, mean, *ends, float(test.pvalue), spread)


def permutation_p(arm: Mapping[int, float], other: Mapping[int, float], *, logs: bool = False) -> float | None:
    """Two-sided p of the mean difference when the sign of each pair's may be turned; exact up to 13 pairs.

    With `logs` the differences are those of logarithms, as in `difference`. None with fewer than six pairs, which
    could not reach 0.05.
    """
    seeds = sorted(arm.keys() & other.keys())
    if len(seeds) < LEAST_PERMUTED:
        return None
    scaled = math.log if logs else float
    pairs = np.array([scaled(arm[seed]) - scaled(other[seed]) for seed in seeds])
    from scipy import stats

    asked = {"permutation_type": "samples", "vectorized": True, "n_resamples": 9_999, "rng": np.random.default_rng(0)}
    return float(stats.permutation_test((pairs,), np.mean, **asked).pvalue)


@dataclass(frozen=True)
class Answer:
    """What a difference says.

    Attributes:
        word: better or worse where the corrected p is below 0.04; tie where the interval lies within the margin, both
            ways; else undecided.
        p: corrected for the number of comparisons (Holm).
        more: about how many more seeds would decide, None where that is decided or beyond a thousand.
    """

    word: Word
    p: float
    more: int | None = None


def answers(
    differences: Sequence[Difference], *, comparisons: int | None = None, margin: float = MARGIN, lower: bool = True
) -> list[Answer]:
    """What differences say, taken together.

    Args:
        differences: those to be judged.
        comparisons: how many there were to choose from, where these are the most telling ones; their number if None.
        margin: what is as good as equal: a part of the value for ratios, an absolute number for differences.
        lower: whether less is better.
    """
    total = max(comparisons or 0, len(differences))
    found = []
    for d, (word, p) in zip(differences, words(differences, comparisons, margin, lower), strict=True):
        found.append(Answer(word, p, _more(d, total, margin) if word == "undecided" else None))
    return found


def words(
    differences: Sequence[Difference], comparisons: int | None, margin: float, lower: bool
) -> list[tuple[Word, float]]:
    """The words of `answers` and the corrected p alone; how many more seeds would decide takes far longer to find."""
    corrected = holm([d.p for d in differences], comparisons)
    return [(_word(d, p, margin, lower), p) for d, p in zip(differences, corrected, strict=True)]


def _word(d: Difference, p: float, margin: float, lower: bool) -> Word:
    within = _within(d, margin)
    if within[0] < d.low and d.high < within[1]:
        return "tie"
    if p < ALPHA:
        return "better" if (d.mean < 0) == lower else "worse"
    return "undecided"


def _within(d: Difference, margin: float) -> tuple[float, float]:
    return (math.log1p(-margin), math.log1p(margin)) if d.logs else (-margin, margin)


def _more(d: Difference, comparisons: int, margin: float) -> int | None:
    """Seeds to add until an interval of the same middle and spread excludes 0, or lies within the margin."""
    within = _within(d, margin)
    for n in range(d.n + 1, MOST_SEEDS + 1):
        error = d.spread / math.sqrt(n)
        apart = abs(d.mean) > error * _quantile(ALPHA / comparisons, n - 1)
        half = error * _quantile(ALPHA, n - 1)
        if apart or (within[0] < d.mean - half and d.mean + half < within[1]):
            return n - d.n
    return None


def holm(ps: Sequence[float], comparisons: int | None = None) -> list[float]:
    """P values corrected for their number by Holm's step-down method (Holm 1979).

    Args:
        ps: the values, in any order.
        comparisons: their number, where these are the smallest of more.
    """
    total = max(comparisons or 0, len(ps))
    corrected, largest = [0.0] * len(ps), 0.0
    for done, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min((total - done) * ps[index], 1.0))
        corrected[index] = largest
    return corrected


def rank_ranges(worse: Sequence[Sequence[bool]]) -> list[tuple[int, int]]:
    """The best and the worst rank that each arm may have: `worse[i][j]` where i is shown to be worse than j.

    An arm's best rank is one more than the number of arms that it is worse than, its worst the number of all arms less
    those that are worse than it.
    """
    count = len(worse)
    beaten = [sum(row) for row in worse]
    beats = [sum(worse[i][j] for i in range(count)) for j in range(count)]
    return [(1 + lost, count - won) for lost, won in zip(beaten, beats, strict=True)]


def _iqm(values: np.ndarray) -> float:
    """Mean without the lowest and the highest quarter, whole values only."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _interval(values: np.ndarray, alpha: float) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    middle, spread = _moments(values.tolist())
    half = _quantile(alpha, len(values) - 1) * spread / math.sqrt(len(values))
    return middle - half, middle + half


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; of a few numbers, of which there are many, numpy's would take ten times as long."""
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _p(mean: float, spread: float, n: int) -> float:
    if spread == 0:
        return float(mean == 0)
    from scipy import special

    return float(2 * special.stdtr(n - 1, -abs(mean) * math.sqrt(n) / spread))


@functools.cache
def _quantile(alpha: float, freedom: int) -> float:
    """Student's t above which half of alpha lies."""
    from scipy import special

    return float(special.stdtrit(freedom, 1 - alpha / 2))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # an interval of two wild values may go beyond what a float holds
