"""The curves of a range test: losses against rates, smoothed as the peers do, and the trend of several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDWIDTH = 0.375  # decades to either side that a point of the trend is drawn from
GRID = 20  # points of the trend to the decade


@dataclass(frozen=True)
class Curve:
    """One seed's test.

    Attributes:
        seed: of the weights and of the data's order.
        rates: the rate of each update, rising.
        losses: the loss of each; what is not finite comes last, if at all.
        momentum: of the optimizer (Adam: beta1), 0 where it has none.
        reason: why it ended before the ramp did, empty where it did not.
    """

    seed: int
    rates: Sequence[float]
    losses: Sequence[float]
    momentum: float = 0.0
    reason: str = ""

    @property
    def usable(self) -> int:
        """Losses before the first that is not finite."""
        bad = [index for index, loss in enumerate(self.losses) if not math.isfinite(loss)]
        return bad[0] if bad else len(self.losses)

    def smoothed(self, beta: float) -> list[float]:
        """The exponential moving average, bias-corrected: sᵢ = (1−β)·Σⱼ β^(i−j)·lⱼ / (1−β^(i+1)), as fastai's.

        Of the usable losses.
        """
        average, result = 0.0, []
        for count, loss in enumerate(self.losses[: self.usable], start=1):
            average = beta * average + (1 - beta) * loss
            result.append(average / (1 - beta**count))
        return result


@dataclass
class Rise:
    """Has the smoothed loss risen to `factor` times its best?

    For losses that go below zero: by as much above the best as its distance from the first, or from zero.
    """

    smoothing: float = 0.98
    factor: float = 4.0
    average: float = field(default=0.0, init=False)
    count: int = field(default=0, init=False)
    first: float = field(default=math.nan, init=False)
    best: float = field(default=math.inf, init=False)

    def update(self, loss: float) -> bool:
        """Take in the next loss; True when the test is to end."""
        self.count += 1
        self.average = self.smoothing * self.average + (1 - self.smoothing) * loss
        value = self.average / (1 - self.smoothing**self.count)
        if self.count == 1:
            self.first = value
        self.best = min(self.best, value)
        scale = self.best if self.best > 0 else max(-self.best, self.first - self.best)
        return value > self.best + (self.factor - 1) * scale


@dataclass(frozen=True)
class Trend:
    """Where the losses of all seeds go, without the delay that a moving average has.

    Attributes:
        rates: a grid, evenly spaced in log₁₀, from the first rate to the last that most seeds came to.
        losses: the loss there.
        start: the loss before it falls.
        noise: the standard error of `losses`.
    """

    rates: Array
    losses: Array
    start: float
    noise: float

    @property
    def lowest(self) -> int:
        """Where on the grid the loss is lowest."""
        return int(np.argmin(self.losses))

    @property
    def fall(self) -> float:
        """From the start to the lowest."""
        return self.start - float(self.losses[self.lowest])

    def fallen(self, part: float) -> float:
        """The rate from which on, up to the lowest, the loss has fallen by more than that part of its fall."""
        above = np.flatnonzero(self.losses[: self.lowest + 1] > self.start - part * self.fall)
        return float(self.rates[above[-1] if len(above) else 0])


def trend(curves: Sequence[Curve]) -> Trend | None:
    """The trend: local straight lines (Cleveland's loess) over log₁₀ of the rate through the losses of all seeds.

    Losses far above the start are cut off there: how far a run explodes says nothing of where it begins to. A single
    spike counts little. None where there are fewer than 10 losses to a seed.
    """
    used = [(np.log10(c.rates[: c.usable]), np.asarray(c.losses[: c.usable], float)) for c in curves if c.usable >= 10]
    if not used:
        return None
    places, losses = (np.concatenate([pair[side] for pair in used]) for side in (0, 1))
    start = float(np.median(np.concatenate([y[: max(len(y) // 10, 3)] for _, y in used])))
    low = min(float(np.sort(y)[: max(len(y) // 20, 3)].max()) for _, y in used)
    losses = np.minimum(losses, start + max(start - low, 0.1 * abs(start)))
    last = float(np.median([x[-1] for x, _ in used]))
    first = float(places.min())
    grid = np.linspace(first, last, max(round((last - first) * GRID), 1) + 1)
    weights = np.ones_like(losses)
    line = np.empty_like(grid)
    for _ in range(3):
        line, count = _local_lines(grid, places, losses, weights)
        residuals = np.abs(losses - np.interp(places, grid, line))
        scale = 6 * max(float(np.median(residuals)), 0.03 * max(start - float(line.min()), 1e-12))
        weights = np.clip(1 - (residuals / scale) ** 2, 0, 1) ** 2
    early = places <= (first + grid[int(np.argmin(line))]) / 2  # before the loss falls; afterwards it is ragged
    spread = 1.4826 * float(np.median(residuals[early] if early.any() else residuals))
    return Trend(10**grid, line, start, spread / math.sqrt(max(count, 1.0)))


def _local_lines(grid: Array, places: Array, losses: Array, weights: Array) -> tuple[Array, float]:
    """A weighted straight line around each point of the grid; the values there, and the points each is made of."""
    values, counts = [], []
    for centre in grid:
        distance = places - centre
        reach = max(BANDWIDTH, float(np.sort(np.abs(distance))[min(5, len(distance) - 1)]) * 1.01)
        kernel: Any = np.clip(1 - np.abs(distance / reach) ** 3, 0, 1) ** 3 * weights
        total = kernel.sum()
        if total < 1e-9:  # only spikes here
            kernel = np.clip(1 - np.abs(distance / reach) ** 3, 0, 1) ** 3
            total = kernel.sum()
        mean, centre_of = (kernel * losses).sum() / total, (kernel * distance).sum() / total
        spread = (kernel * (distance - centre_of) ** 2).sum()
        slope = (kernel * (distance - centre_of) * losses).sum() / spread if spread > 1e-12 else 0.0
        values.append(mean - slope * centre_of)
        counts.append(total**2 / (kernel**2).sum())
    return np.asarray(values), float(np.median(counts))
