"""The best learning rate between those tried: a smooth curve through a family's results, and where its minimum lies.

Results are taken on the scale on which they are compared, as logarithms of losses or of errors, without what a seed
adds to all learning rates. `analysis.curve` puts the curve through them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrbench.analysis.curve import NoOptimum, minimum
from lrbench.analysis.estimates import CONFIDENCE, exp
from lrbench.analysis.labels import rate_text
from lrbench.analysis.sensitivity import Family, Point, costs_of, good_margin, lowest
from lrbench.components import Measure
from lrbench.errors import counted

PRIOR_SEEDS = 4.0  # weight of the noise of all learning rates in that of one, in seeds
LEAST_NOISE = 1e-6  # variance of a centre: bit-identical seeds


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


def optimum(family: Family, measure: Measure, *, noise: float = 1.0) -> Optimum | NoOptimum:
    """Find the learning rate at the minimum of a curve through the family's results, and its interval.

    Seeds pair if all learning rates have the same ones. The interval covers the noise of the seeds and how the curve
    may run between the learning rates. It is computed once for a family and a measure.

    Args:
        family: the results.
        measure: the metric that decides.
        noise: multiplies the variance of the seeds; with 0, what more learning rates alone could narrow is left.
    """
    if (measure.name, noise) not in family.optima:
        family.optima[measure.name, noise] = _optimum(family, measure, noise)
    found: Optimum | NoOptimum = family.optima[measure.name, noise]
    return found


def _optimum(family: Family, measure: Measure, noise: float) -> Optimum | NoOptimum:
    points = [point for point in family.by_rate(measure) if point.lr]
    costs = costs_of(points, measure)
    at = lowest(costs)
    if at is None:
        return NoOptimum("no value", "no learning rate has a value")
    refused = _refused(points, costs, at, measure)
    if refused is not None:
        return refused
    tried = [point.rate for point in points if point.values(measure) or point.lost(measure)]
    known = [i for i, cost in enumerate(costs) if math.isfinite(cost) and len(points[i].values(measure)) > 1]
    scale = _Scale.of([points[i] for i in known], measure)
    found = _fitted([points[i] for i in known], scale, measure, noise)
    if isinstance(found, NoOptimum) and found.kind in ("lowest", "highest"):
        return _beyond(found, [points[i].rate for i in known], tried)
    return found


def _beyond(found: NoOptimum, known: Sequence[float], tried: Sequence[float]) -> NoOptimum:
    """Say that seeds diverged where the minimum may lie, rather than that nothing was tried there."""
    side, way, end = (0, "below", min(tried)) if found.kind == "lowest" else (-1, "above", max(tried))
    if known[side] == end:
        return found
    told = f"the minimum may lie {way} {rate_text(known[side])}, where seeds diverged, were dropped or are too few"
    return NoOptimum("diverged", f"{told}: try learning rates between")


def _refused(points: Sequence[Point], costs: Sequence[float], at: int, measure: Measure) -> NoOptimum | None:
    """Say why no curve can tell the minimum, if so."""
    ended = [i for i, point in enumerate(points) if point.values(measure) or point.lost(measure)]
    if len(ended) < 3:
        return NoOptimum(
            "few rates",
            f"{counted(len(ended), 'learning rate')} {'is' if len(ended) == 1 else 'are'} too few: it needs at least 3",
        )
    best = rate_text(points[at].lr)
    if at == ended[0]:
        return NoOptimum("lowest", f"the best, {best}, is the lowest learning rate tried: try lower ones")
    if at == ended[-1]:
        return NoOptimum("highest", f"the best, {best}, is the highest learning rate tried: try higher ones")
    beside = [max(i for i in ended if i < at), at, min(i for i in ended if i > at)]
    for i in beside:
        if lost := points[i].lost(measure):
            where = "the best learning rate" if i == at else f"next to the best, {best}"
            total = lost + len(points[i].values(measure))
            told = f"{lost} of {counted(total, 'seed')} diverged or failed at {rate_text(points[i].lr)}, {where}"
            return NoOptimum("diverged", f"{told}: try learning rates between")
    single = [i for i in beside if len(points[i].values(measure)) < 2]
    if single:
        few = "the noise of a single seed is unknown"
        if len(single) < len(beside):
            few = f"{rate_text(points[single[0]].lr)} has a single seed, whose noise is unknown"
        return NoOptimum("few seeds", f"{few}: it needs at least 2, better 3 or more")
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


def _fitted(points: Sequence[Point], scale: _Scale, measure: Measure, times: float) -> Optimum | NoOptimum:
    rates = np.log10([point.rate for point in points])
    seeds = [scale.costs(point.values(measure)) for point in points]
    paired = len({tuple(point.group.values(measure.name)) for point in points}) == 1
    centres = np.array([found.mean() for found in seeds])
    noise, freedom = _noise(seeds, centres, paired)
    noise = np.maximum(times * noise, LEAST_NOISE)
    found = minimum(rates, centres, noise, freedom)
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


def _noise(seeds: Sequence[np.ndarray], centres: np.ndarray, paired: bool) -> tuple[np.ndarray, float]:
    """Return the variance of each centre, and its degrees of freedom.

    It is its own over the seeds, shrunk to that of the best five learning rates. What a seed adds everywhere moves no
    minimum, so pairs of equal seeds leave it out.
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
    return np.maximum(shrunk / counts, LEAST_NOISE), freedom
