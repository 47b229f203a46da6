"""A smooth curve through costs over the logarithm of the learning rate, and where its minimum lies.

The curve is a Gaussian process over the logarithm of the learning rate (Rasmussen & Williams 2006, equations 2.23 to
2.30) with the Matérn kernel of ν = 5/2 and a straight line. Its length and height are averaged over a grid, by their
marginal likelihood, and so is how far the noise may be from its estimate. A parabola says nothing of how far the true
curve departs from it, so its interval is far too narrow; the process does. Costs are compressed far above the lowest,
which leaves the minimum where it is and keeps cliffs from bending the curve near it. benchmarks/optimum.py measures how
often the interval is right.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lrbench.analysis.estimates import CONFIDENCE
from lrbench.analysis.labels import rate_text
from lrbench.analysis.statistics import MARGIN

LENGTHS = np.array([0.4, 0.6, 0.9, 1.3, 2.0])
"""Decades over which the curve keeps its direction, as the dense sweeps of benchmarks/optimum.py make likely."""
HEIGHTS = np.array([0.2, 0.4, 0.8, 1.6])
"""Standard deviations of the curve around its line, on the compressed scale."""
SLOPE = 10.0  # standard deviation of the line's offset and slope: hardly any restriction
COMPRESSED = 0.25  # costs further above the lowest, as logarithms, are compressed
CLIFF = math.log(3)
"""Costs that rise by more than this from one learning rate to the next jump: no smooth curve tells where."""
PLACES = 61  # at which the curve is evaluated
DRAWS = 1000
MOST_RATES = 40  # more are averaged with their neighbours
FACTORS = 4  # values that the true noise may have, relative to the noise as estimated
APART = 0.5  # decades between two minima
LEAST_SHARE = 0.05  # of the curves drawn, that have their minimum in one of two valleys

Reason = Literal["few rates", "few seeds", "lowest", "highest", "diverged", "two minima", "flat", "no value"]


@dataclass(frozen=True)
class NoOptimum:
    """Why there is no optimum between the learning rates tried."""

    kind: Reason
    reason: str


@dataclass(frozen=True)
class Minimum:
    """A curve's minimum over x: the ends of its interval around it, its error, and the curve's costs at places."""

    interval: tuple[float, float, float]
    error: float
    places: np.ndarray
    costs: np.ndarray


def minimum(x: np.ndarray, costs: np.ndarray, noise: np.ndarray, freedom: float = math.inf) -> Minimum | NoOptimum:
    """Fit the curve and find the minimum.

    Args:
        x: log₁₀ of the learning rates, ascending; (n,).
        costs: lower is better, as logarithms: 0.1 is about 10% worse; (n,).
        noise: the variance of each cost, as estimated; (n,).
        freedom: degrees of freedom of that estimate.
    """
    x, costs, noise = _merged(x, costs, noise)
    best = int(np.argmin(costs))
    above = costs - costs[best]
    scale = max(COMPRESSED, 2 * math.sqrt(noise[best]))  # below the noise, it would make high costs look exact
    bent = scale * np.log1p(above / scale)
    variance = noise / (1 + above / scale) ** 2
    # Learning rates that noise alone may have kept from being the best, and a neighbour on each side.
    factors = _factors(freedom)
    able = np.flatnonzero(above <= 3 * np.sqrt(factors[-1] * (noise + noise[best])))
    first, last = max(able[0] - 1, 0), min(able[-1] + 1, len(x) - 1)
    places = np.linspace(x[first], x[last], PLACES)
    with _linear_algebra().limit(limits=1, user_api="blas"):
        mean, drawn = _process(x, bent, variance, places, factors)
    lows = np.sort(_lowest(places, drawn))
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(np.quantile(lows, share)) for share in (tail, 1 - tail))
    middle = float(_lowest(places, mean[None])[0])
    low, high = min(low, middle), max(high, middle)
    refused = _unclear(x, places, mean, lows, (low, high))
    if refused is not None:
        return refused
    curve = costs[best] + scale * np.expm1(mean / scale)
    missed = float(np.interp(x[best], places, curve)) - costs[best]
    if missed > max(MARGIN, 1.5 * math.sqrt(noise[best])):
        # A curve that misses the best one tried is no ground to leave it.
        middle = float(x[best])
    as_good = np.flatnonzero(above <= np.sqrt(noise + noise[best]))  # as far as the noise tells
    low, high = _up_to_cliffs(x, costs, as_good, min(low, middle), max(high, middle))
    return Minimum((low, middle, high), max(float(lows.std()), (high - low) / 4), places, curve)


def _up_to_cliffs(x: np.ndarray, costs: np.ndarray, best: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Widen an interval up to a place where costs jump, beside a best one or one within: the cliff is in between."""
    for at in [at for at in range(len(x)) if at in best or low <= x[at] <= high]:
        if at + 1 < len(x) and costs[at + 1] - costs[at] > CLIFF:
            high = max(high, float(x[at + 1]))
        if at > 0 and costs[at - 1] - costs[at] > CLIFF:
            low = min(low, float(x[at - 1]))
    return low, high


def _merged(x: np.ndarray, costs: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average neighbours if there are many: the time grows with the third power of their number."""
    if len(x) <= MOST_RATES:
        return x, costs, noise
    parts = np.floor((x - x[0]) / (x[-1] - x[0]) * (MOST_RATES - 1e-9))
    _, which, counts = np.unique(parts, return_inverse=True, return_counts=True)
    middles, means, variances = (np.bincount(which, one) / counts for one in (x, costs, noise))
    return middles, means, variances / counts


def _factors(freedom: float) -> np.ndarray:
    """Return equally probable factors from a variance as estimated to the true one, ascending: freedom / χ²."""
    if not math.isfinite(freedom):
        return np.ones(1)
    from scipy import special

    shares = (np.arange(FACTORS) + 0.5) / FACTORS
    found: np.ndarray = freedom / special.chdtri(freedom, shares)
    return np.sort(found)


def _lowest(places: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Return where each curve, (c, p), is lowest, (c,): at the vertex of the parabola through its lowest places."""
    at = curves.argmin(axis=1)
    inner = np.clip(at, 1, len(places) - 2)
    before, here, after = (np.take_along_axis(curves, (inner + side)[:, None], 1)[:, 0] for side in (-1, 0, 1))
    bend = before - 2 * here + after
    offset = np.where(at == inner, 0.5 * (before - after) / np.where(bend > 0, bend, 1), at - inner)
    step = places[1] - places[0]
    found: np.ndarray = places[inner] + step * np.clip(offset, -1, 1)
    return found


def _unclear(
    x: np.ndarray, places: np.ndarray, mean: np.ndarray, lows: np.ndarray, interval: tuple[float, float]
) -> NoOptimum | None:
    """Say why the minima of the curves drawn, in ascending order, do not tell one, if so."""
    low, high = interval
    step = (x[-1] - x[0]) / PLACES
    tried = f"{rate_text(10 ** x[0])} … {rate_text(10 ** x[-1])}"
    ends = low <= x[0] + step, high >= x[-1] - step
    if all(ends) and mean.max() - mean.min() <= MARGIN:
        return NoOptimum("flat", f"the curve is flat over all learning rates tried, {tried}: more seeds would tell")
    if all(ends):
        told = f"its interval covers all learning rates tried, {tried}"
        return NoOptimum("flat", f"{told}: more seeds, or more learning rates near the best, would narrow it")
    if any(ends):
        where, way = ("lowest", "below") if ends[0] else ("highest", "above")
        end = rate_text(10 ** (x[0] if ends[0] else x[-1]))
        return NoOptimum("lowest" if ends[0] else "highest", f"the minimum may lie {way} {end}, the {where} tried")
    bottoms = [float(np.median(one)) for one in _valleys(places, mean, lows) if len(one) >= LEAST_SHARE * DRAWS]
    if bottoms and bottoms[-1] - bottoms[0] >= APART:
        near = f"near {rate_text(10 ** bottoms[0])} and near {rate_text(10 ** bottoms[-1])}"
        return NoOptimum("two minima", f"there are two minima, {near}: more seeds would tell")
    return None


def _valleys(places: np.ndarray, mean: np.ndarray, lows: np.ndarray) -> list[np.ndarray]:
    """Split the minima, ascending, at hills of the mean curve that rise by MARGIN above both of their sides."""
    cuts: list[float] = []
    start = 0
    for hill in np.flatnonzero((mean[1:-1] > mean[:-2]) & (mean[1:-1] >= mean[2:])) + 1:
        if mean[hill] - max(mean[start:hill].min(), mean[hill:].min()) > MARGIN:
            cuts.append(float(places[hill]))
            start = int(hill)
    return np.split(lows, np.searchsorted(lows, cuts))


@functools.cache
def _linear_algebra() -> Any:
    """Return what sets NumPy's threads: for matrices as small as these, waiting for a second one doubles the time."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _process(
    x: np.ndarray, y: np.ndarray, variance: np.ndarray, places: np.ndarray, factors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean curve at places, (p,), and curves drawn at random, (DRAWS, p)."""
    middle, offset = float(x.mean()), float(y.mean())
    kernels, spots = _kernels(x, x), _kernels(places, x)
    lines, line_spots = (SLOPE * np.stack([np.ones_like(at), at - middle]) for at in (x, places))
    whole = kernels + lines.T @ lines + factors[:, None, None, None] * np.diag(variance)
    whole = whole.reshape(-1, len(x), len(x))
    across = np.tile(spots + line_spots.T @ lines, (len(factors), 1, 1))
    solved = np.linalg.solve(whole, np.concatenate([np.broadcast_to((y - offset)[:, None], (len(whole), len(x), 1)),
                                                    across.transpose(0, 2, 1)], axis=2))  # fmt: skip
    fits = -0.5 * (solved[:, :, 0] @ (y - offset)) - 0.5 * np.linalg.slogdet(whole)[1]
    weights = np.exp(fits - fits.max())
    weights /= weights.sum()
    draws = np.random.default_rng(0)
    counts = draws.multinomial(DRAWS, weights)
    means = across @ solved[:, :, :1]
    drawn = []
    spread = _kernels(places, places)
    for i in np.flatnonzero(counts):
        left = spread[i % len(spread)] + line_spots.T @ line_spots - across[i] @ solved[i, :, 1:]
        root = np.linalg.cholesky(left + 1e-9 * SLOPE**2 * np.eye(len(places)))
        drawn.append(means[i].T + draws.standard_normal((counts[i], len(places))) @ root.T)
    return offset + weights @ means[:, :, 0], np.concatenate(drawn)


def _kernels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Matérn kernel of ν = 5/2 of each length and height, (lengths × heights, a, b)."""
    apart = math.sqrt(5) * np.abs(a[:, None] - b) / LENGTHS[:, None, None]
    shapes = (1 + apart + apart**2 / 3) * np.exp(-apart)
    whole: np.ndarray = HEIGHTS[:, None, None, None] ** 2 * shapes
    return whole.reshape(-1, len(a), len(b))
