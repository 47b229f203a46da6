"""The best learning rate between those tried: a smooth curve through a family's results, and where its minimum lies.

The curve is a Gaussian process over the logarithm of the learning rate (Rasmussen & Williams 2006, equations 2.23 to
2.30) with the Matérn kernel of ν = 5/2 and a straight line; its length and height are averaged over a grid, by their
marginal likelihood. A parabola says nothing of how far the true curve departs from it, so its interval is far too
narrow; the process does. Costs are compressed far above the lowest, which leaves the minimum where it is and keeps
cliffs from bending the curve near it. benchmarks/optimum.py measures how often the interval is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrbench.analysis.estimates import CONFIDENCE, exp, quantile
from lrbench.analysis.sensitivity import Family, Point, costs_of, good_margin, lowest, rate_text
from lrbench.analysis.statistics import MARGIN
from lrbench.components import Measure

LENGTHS = np.array([0.6, 0.9, 1.3, 2.0])
"""Decades over which the curve keeps its direction, as the dense sweeps of benchmarks/optimum.py make likely."""
HEIGHTS = np.array([0.2, 0.4, 0.8, 1.6])
"""Standard deviations of the curve around its line, on the compressed scale."""
SLOPE = 10.0  # standard deviation of the line's offset and slope: hardly any restriction
COMPRESSED = 0.25  # costs further above the lowest, as logarithms, are compressed
PLACES = 121  # at which the curve is evaluated
DRAWS = 1000
PRIOR_SEEDS = 4.0  # weight of the noise of all learning rates in that of one, in seeds
LEAST_NOISE = 1e-6  # variance of a centre: bit-identical seeds
APART = 0.5  # decades between two minima
LEAST_SHARE = 0.05  # of the curves drawn, that have their minimum in one of two valleys

Reason = Literal["few rates", "few seeds", "lowest", "highest", "diverged", "two minima", "flat", "no value"]


@dataclass(frozen=True)
class Optimum:
    """The minimum of the curve through a family's results.

    Attributes:
        lr: the learning rate there.
        low: lower end of its 95% interval.
        high: upper end of the same interval.
        error: standard deviation of log₁₀ of the learning rate.
        value: the metric there.
        rates: learning rates tried, which the curve goes through.
        values: their centres.
        seeds: the lowest number of seeds at one of them, near the best.
        curve: learning rates and the curve's metric there, to draw it.
    """

    lr: float
    low: float
    high: float
    error: float
    value: float
    rates: tuple[float, ...]
    values: tuple[float, ...]
    seeds: int
    curve: tuple[tuple[float, float], ...]

    @property
    def decades(self) -> float:
        """The width of the interval, log₁₀(high/low)."""
        return math.log10(self.high / self.low)

    @property
    def words(self) -> str:
        """`0.0041 (95% interval 0.0029 … 0.0058, 0.30 decades)`."""
        return (
            f"{rate_text(self.lr)} ({CONFIDENCE:.0%} interval {rate_text(self.low)} … {rate_text(self.high)}, "
            f"{self.decades:.2f} decades)"
        )


@dataclass(frozen=True)
class NoOptimum:
    """Why there is no optimum between the learning rates tried."""

    kind: Reason
    reason: str


def optimum(family: Family, measure: Measure) -> Optimum | NoOptimum:
    """Find the learning rate at the minimum of a curve through the family's results, and its interval.

    Seeds pair if all learning rates have the same ones. The interval covers the noise of the seeds and how the curve
    may run between the learning rates.
    """
    points = _by_rate(family, measure)
    costs = costs_of(points, measure)
    at = lowest(costs)
    if at is None:
        return NoOptimum("no value", "no learning rate has a value")
    refused = _refused(points, costs, at, measure)
    if refused is not None:
        return refused
    known = [i for i, cost in enumerate(costs) if math.isfinite(cost) and len(points[i].values(measure)) > 1]
    scale = _Scale.of([points[i] for i in known], measure)
    return _fitted([points[i] for i in known], scale, measure)


def _by_rate(family: Family, measure: Measure) -> list[Point]:
    """Return a point for each learning rate; the best one if versions of the user's code share it."""
    found: dict[float, Point] = {}
    for point in family.points:
        if point.lr and (point.lr not in found or point.standing(measure) < found[point.lr].standing(measure)):
            found[point.lr] = point
    return list(found.values())


def _refused(points: Sequence[Point], costs: Sequence[float], at: int, measure: Measure) -> NoOptimum | None:
    """Say why no curve can tell the minimum, if so."""
    ended = [i for i, point in enumerate(points) if point.values(measure) or point.lost(measure)]
    if len(ended) < 3:
        return NoOptimum("few rates", f"{len(ended)} learning rates are too few: it needs at least 3")
    best = rate_text(points[at].lr)
    if at == ended[0]:
        return NoOptimum("lowest", f"the best, {best}, is the lowest learning rate tried: try lower ones")
    if at == ended[-1]:
        return NoOptimum("highest", f"the best, {best}, is the highest learning rate tried: try higher ones")
    beside = [max(i for i in ended if i < at), at, min(i for i in ended if i > at)]
    if min(len(points[i].values(measure)) + points[i].lost(measure) for i in beside) < 2:
        return NoOptimum("few seeds", "the noise of a single seed is unknown: it needs at least 2, better 3 or more")
    for i in beside:
        if lost := points[i].lost(measure):
            where = "the best learning rate" if i == at else f"next to the best, {best}"
            total = lost + len(points[i].values(measure))
            told = f"{lost} of {total} seeds diverged or failed at {rate_text(points[i].lr)}, {where}"
            return NoOptimum("diverged", f"{told}: try learning rates between")
    return None


@dataclass(frozen=True)
class _Scale:
    """Costs as logarithms of what is compared: of losses, of errors for percentages, else in units of 10% margins."""

    kind: Literal["value", "error", "linear"]
    sign: int
    unit: float = 1.0

    @classmethod
    def of(cls, points: Sequence[Point], measure: Measure) -> _Scale:
        values = np.array([value for point in points for value in point.values(measure)])
        if measure.by_ratio and measure.lower and values.min() > 0:
            return cls("value", measure.sign)
        if measure.form == "percent" and not measure.lower and values.max() < 1:
            return cls("error", measure.sign)
        best = float(values.min() if measure.lower else values.max())
        centres = np.sort([measure.sign * np.mean(point.values(measure)) for point in points])
        half = centres[: len(centres) // 2 + 1]
        return cls("linear", measure.sign, max(good_margin(best, measure) / math.log(1.1), float(half.std())) or 1.0)

    def costs(self, values: Sequence[float]) -> np.ndarray:
        found = np.asarray(values, float)
        if self.kind == "linear":
            return self.sign * found / self.unit
        logs: np.ndarray = np.log(found if self.kind == "value" else 1 - found)
        return logs

    def value(self, cost: float) -> float:
        if self.kind == "linear":
            return self.sign * cost * self.unit
        return exp(cost) if self.kind == "value" else 1 - exp(cost)


def _fitted(points: Sequence[Point], scale: _Scale, measure: Measure) -> Optimum | NoOptimum:
    rates = np.log10([point.rate for point in points])
    seeds = [scale.costs(point.values(measure)) for point in points]
    paired = len({tuple(point.group.values(measure.name)) for point in points}) == 1
    centres = np.array([found.mean() for found in seeds])
    noise = _noise(seeds, centres, paired)
    found = minimum(rates, centres, noise)
    if isinstance(found, NoOptimum):
        return found
    low, lr, high = (10**place for place in found.interval)
    places = found.places.tolist()
    values = [scale.value(cost) for cost in found.costs]
    best = int(np.argmin(found.costs))
    return Optimum(
        lr, low, high, found.error, values[best],
        tuple(point.rate for point in points), tuple(scale.value(cost) for cost in centres),
        min(map(len, seeds)), tuple((10**place, value) for place, value in zip(places, values, strict=True)),
    )  # fmt: skip


def _noise(seeds: Sequence[np.ndarray], centres: np.ndarray, paired: bool) -> np.ndarray:
    """Return the variance of each centre: its own over the seeds, shrunk to that of the best five learning rates.

    What a seed adds everywhere moves no minimum, so pairs of equal seeds leave it out. Few degrees of freedom widen it
    as Student's t does.
    """
    near = np.argsort(centres)[: min(max(3, len(seeds)), 5)]
    left = [found - centre for found, centre in zip(seeds, centres, strict=True)]
    freedom = float(sum(len(seeds[i]) - 1 for i in near))
    if paired:
        common = np.mean([left[i] for i in near], axis=0)
        left = [one - common for one in left]
        freedom *= 1 - 1 / len(near)
    pooled = sum(float((left[i] ** 2).sum()) for i in near) / freedom
    counts = np.array([len(found) for found in seeds])
    own = np.array([float((one**2).sum()) for one in left])
    shrunk = (PRIOR_SEEDS * pooled + own) / (PRIOR_SEEDS + counts - 1)
    wider = (quantile(1 - CONFIDENCE, freedom) / quantile(1 - CONFIDENCE, 1e6)) ** 2
    noise: np.ndarray = np.maximum(wider * shrunk / counts, LEAST_NOISE)
    return noise


@dataclass(frozen=True)
class Minimum:
    """A curve's minimum over x: the ends of its interval around it, its error, and the curve's costs at places."""

    interval: tuple[float, float, float]
    error: float
    places: np.ndarray
    costs: np.ndarray


def minimum(x: np.ndarray, costs: np.ndarray, noise: np.ndarray) -> Minimum | NoOptimum:
    """Fit the curve and find the minimum.

    Args:
        x: log₁₀ of the learning rates, ascending; (n,).
        costs: lower is better, as logarithms: 0.1 is about 10% worse; (n,).
        noise: the variance of each cost; (n,).
    """
    best = int(np.argmin(costs))
    above = costs - costs[best]
    bent = COMPRESSED * np.log1p(above / COMPRESSED)
    variance = noise / (1 + above / COMPRESSED) ** 2
    # Learning rates that noise alone may have kept from being the best, and a neighbour on each side.
    able = np.flatnonzero(above <= 3 * np.sqrt(noise + noise[best]))
    first, last = max(able[0] - 1, 0), min(able[-1] + 1, len(x) - 1)
    places = np.linspace(x[first], x[last], PLACES)
    mean, drawn = _process(x, bent, variance, places)
    lows = np.sort(places[drawn.argmin(axis=1)])
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(np.quantile(lows, share)) for share in (tail, 1 - tail))
    middle = float(places[mean.argmin()])
    low, high = min(low, middle), max(high, middle)
    refused = _unclear(x, places, mean, lows, (low, high))
    if refused is not None:
        return refused
    curve = costs[best] + COMPRESSED * np.expm1(mean / COMPRESSED)
    return Minimum((low, middle, high), float(lows.std()), places, curve)


def _unclear(
    x: np.ndarray, places: np.ndarray, mean: np.ndarray, lows: np.ndarray, interval: tuple[float, float]
) -> NoOptimum | None:
    """Say why the minima of the curves drawn, in ascending order, do not tell one, if so."""
    low, high = interval
    step = (x[-1] - x[0]) / PLACES
    tried = f"{rate_text(10 ** x[0])} … {rate_text(10 ** x[-1])}"
    ends = low <= x[0] + step, high >= x[-1] - step
    if all(ends):
        return NoOptimum("flat", f"the curve is flat over all learning rates tried, {tried}: more seeds would tell")
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


def _process(x: np.ndarray, y: np.ndarray, variance: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean curve at places, (p,), and curves drawn at random, (DRAWS, p)."""
    middle, offset = float(x.mean()), float(y.mean())
    kernels, spots = _kernels(x, x), _kernels(places, x)
    lines, line_spots = (SLOPE * np.stack([np.ones_like(at), at - middle]) for at in (x, places))
    whole = kernels + lines.T @ lines + np.diag(variance)
    across = spots + line_spots.T @ lines
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
        left = spread[i] + line_spots.T @ line_spots - across[i] @ solved[i, :, 1:]
        root = np.linalg.cholesky(left + 1e-9 * SLOPE**2 * np.eye(len(places)))
        drawn.append(means[i].T + draws.standard_normal((counts[i], len(places))) @ root.T)
    return offset + weights @ means[:, :, 0], np.concatenate(drawn)


def _kernels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Matérn kernel of ν = 5/2 of each length and height, (lengths × heights, a, b)."""
    apart = math.sqrt(5) * np.abs(a[:, None] - b) / LENGTHS[:, None, None]
    shapes = (1 + apart + apart**2 / 3) * np.exp(-apart)
    whole: np.ndarray = HEIGHTS[:, None, None, None] ** 2 * shapes
    return whole.reshape(-1, len(a), len(b))
