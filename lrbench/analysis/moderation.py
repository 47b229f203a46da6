"""Variances moderated across the arms of a table: what all pairs of arms tell about the spread of each pair.

With few seeds, the variance of one pair's differences is known badly. The variances of all pairs are draws from one
distribution, and each is shrunk towards its centre, the more the more alike they are (Smyth 2004, "Linear models and
empirical Bayes methods for assessing differential expression", section 6.2). Which test follows depends on the
variances alone, never on the means.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lrbench.analysis.estimates import quantile
from lrbench.analysis.statistics import ALPHA, Difference, t_test

LEAST_PAIRS = 3
APART = 2.0
"""An arm whose variances against the others are this many times the median arm's is compared by its own spread."""
ALIKE = 2.0
"""With this many times as many degrees of freedom as the data, the prior justifies the range's distribution."""
_POOLED = 1e6  # degrees of freedom of variances that do not differ

Pairs = Mapping[tuple[int, int], Difference]


@dataclass(frozen=True)
class Prior:
    """The distribution of the variances of differences in pairs, over the pairs of arms of a table.

    Attributes:
        variance: its centre, s0² in Smyth's notation.
        freedom: its degrees of freedom, d0; the more, the more alike the variances are.
        arms: number of arms.
        apart: arms that are too noisy for it.
        alike: whether the variances are so alike that the studentized range corrects for the number of pairs.
        logs: whether the differences are of logarithms; others are left as they are.
    """

    variance: float
    freedom: float
    arms: int
    apart: frozenset[int]
    alike: bool
    logs: bool

    @classmethod
    def of(cls, pairs: Pairs) -> Prior | None:
        """Estimate it from the paired differences by arms; None with fewer than three."""
        kinds = [d.logs for d in pairs.values() if _tells(d)]
        logs = 2 * sum(kinds) >= len(kinds)
        known = {arms: d for arms, d in pairs.items() if _tells(d) and d.logs == logs}
        if len(known) < LEAST_PAIRS:
            return None
        from scipy import special

        own = np.array([d.freedom for d in known.values()])
        # the expectation of a log variance is that of the true one by this offset
        centred = np.log([d.spread**2 for d in known.values()]) - special.digamma(own / 2) + np.log(own / 2)
        arms = len({arm for both in known for arm in both})
        excess = float(centred.var(ddof=1) / (1 - _shared(arms)) - special.polygamma(1, own / 2).mean())
        freedom = min(2 * trigamma_inverse(excess), _POOLED) if excess > 0 else _POOLED
        offset = float(special.digamma(freedom / 2)) - math.log(freedom / 2)
        variance = math.exp(float(centred.mean()) + offset)
        apart = _apart(dict(zip(known, centred.tolist(), strict=True)))
        return cls(variance, freedom, arms, apart, freedom > ALIKE * float(np.median(own)), logs)

    def covers(self, d: Difference, *arms: int) -> bool:
        """Whether the difference of two arms is moderated."""
        decides = d.p < 1 or d.mean == 0
        return decides and d.n > 1 and d.paired and d.logs == self.logs and not self.apart.intersection(arms)

    def moderated(self, d: Difference, *arms: int) -> Difference:
        """Return the difference of two arms with its moderated spread, interval and p, if it is covered."""
        if not self.covers(d, *arms):
            return d
        total = d.freedom + self.freedom
        spread = math.sqrt((self.freedom * self.variance + d.freedom * d.spread**2) / total)
        freedom = min(total, d.freedom * (self.arms - 1))  # all that the arms' seeds can tell
        error = spread / math.sqrt(d.n)
        half, p = quantile(ALPHA, freedom) * error, t_test(d.mean / error, freedom)
        return replace(d, low=d.mean - half, high=d.mean + half, p=p, spread=spread, own_freedom=freedom)


def _tells(d: Difference) -> bool:
    return d.n > 1 and d.paired and d.spread > 0 and math.isfinite(d.spread**2) and d.spread**2 > 0


def _shared(arms: int) -> float:
    """Return the mean correlation of the pairs' variances: 1/4 for two pairs with one arm in common, else 0."""
    pairs = arms * (arms - 1) / 2
    return 0.25 * 2 * (arms - 2) / (pairs - 1) if pairs > 1 else 0.0


def _apart(centred: Mapping[tuple[int, int], float]) -> frozenset[int]:
    sums: dict[int, list[float]] = {}
    for both, value in centred.items():
        for arm in both:
            sums.setdefault(arm, []).append(value)
    means = {arm: math.fsum(values) / len(values) for arm, values in sums.items()}
    middle = float(np.median(list(means.values())))
    return frozenset(arm for arm, value in means.items() if value - middle > math.log(APART))


def trigamma_inverse(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    from scipy import special

    x = 0.5 + 1 / value
    for _ in range(20):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def range_p(t: float, arms: int, freedom: float) -> float:
    """Return the p of a |t| that is the largest among all pairs of arms: Tukey's studentized range at t√2."""
    return float(_range(np.array([abs(t)]), arms, freedom)[0])


def range_ps(ts: list[float], arms: int, freedom: float) -> list[float]:
    """Return `range_p` of several."""
    return [float(p) for p in _range(np.abs(np.array(ts, float)), arms, freedom)]


@functools.cache
def effective_comparisons(arms: int) -> float:
    """Return the number of comparisons that a plain correction would make at the range's critical value."""
    from scipy import special

    low, high = 0.0, 40.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if range_p(middle, arms, _POOLED) > ALPHA else (low, middle)
    return ALPHA / float(2 * special.ndtr(-high))


def _range(ts: np.ndarray, arms: int, freedom: float) -> np.ndarray:
    """Integrate the survival function of the range over the distribution of the standard deviation.

    P(range > q s) = 1 − k ∫ φ(z) (Φ(z) − Φ(z − q s))^(k−1) dz, by Gauss-Legendre quadrature.
    """
    from scipy import special

    z, weight = _legendre(80, -8.0, 8.0)
    density = weight * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    scale, share = _deviations(round(freedom, 6))
    between = special.ndtr(z) - special.ndtr(z - (math.sqrt(2) * ts[:, None] * scale)[..., None])
    inside = arms * (between ** (arms - 1) * density).sum(-1)
    return np.asarray(np.clip(((1 - inside) * share).sum(-1), 0.0, 1.0))


@functools.cache
def _deviations(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values of an estimated standard deviation of 1, and their probabilities."""
    if freedom > 1e4:
        return np.ones(1), np.ones(1)
    from scipy import special

    ends = special.chdtri(freedom, 1 - 1e-13), special.chdtri(freedom, 1e-13)
    s, weight = _legendre(40, *(math.sqrt(end / freedom) for end in ends))
    log = (freedom - 1) * np.log(s) - freedom * s * s / 2
    share = weight * np.exp(log - log.max())
    return s, share / share.sum()


@functools.cache
def _legendre(count: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (high - low) / 2 * nodes + (high + low) / 2, (high - low) / 2 * weights
