"""The curves of a range test: losses by learning rate, smoothed as in other tools, and the trend of several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDWIDTH = 0.375  # decades on either side that a point of the trend uses
GRID = 20  # points of the trend per decade
BLOCK = 10_000  # distances from points of the trend to losses that are computed at once


@dataclass(frozen=True)
class Curve:
    """The curve of one seed: the learning rate, which rises, and the loss of each step."""

    seed: int
    rates: Sequence[float]
    losses: Sequence[float]  # only the last can be non-finite
    momentum: float = 0.0  # Adam's beta1; 0 if the optimizer has none
    reason: str = ""  # why the test ended before the ramp did
    passes: float = 0.0  # how often it went over the training data; 0 if that is not known

    @property
    def usable(self) -> int:
        """The number of losses before the first that is not finite."""
        return next((place for place, loss in enumerate(self.losses) if not math.isfinite(loss)), len(self.losses))

    @cached_property
    def trend(self) -> Trend | None:
        """The trend of this seed alone."""
        return trend([self])

    def smoothed(self, beta: float) -> list[float]:
        """Return the bias-corrected exponential moving average of the usable losses, as in fastai.

        sᵢ = (1−β)·Σⱼ β^(i−j)·lⱼ / (1−β^(i+1))
        """
        average, result = 0.0, []
        for count, loss in enumerate(self.losses[: self.usable], start=1):
            average = beta * average + (1 - beta) * loss
            result.append(average / (1 - beta**count))
        return result


@dataclass
class Rise:
    """Detects when the smoothed loss exceeds `factor` times its best value.

    If the best is 0 or negative, the allowed rise is scaled by its distance from the first loss or from zero.
    """

    smoothing: float = 0.98
    factor: float = 4.0
    average: float = field(default=0.0, init=False)
    count: int = field(default=0, init=False)
    first: float = field(default=math.nan, init=False)
    best: float = field(default=math.inf, init=False)

    def update(self, loss: float) -> bool:
        """Add the next loss. Returns True if the test should end."""
        self.count += 1
        self.average = self.smoothing * self.average + (1 - self.smoothing) * loss
        value = self.average / (1 - self.smoothing**self.count)
        if self.count == 1:
            self.first = value
        self.best = min(self.best, value)
        scale = self.best if self.best > 0 else max(-self.best, self.first - self.best)
        return value > self.best + (self.factor - 1) * scale

    def ends(self, step: int, lr: float, loss: float) -> str:
        """Add the next loss. Returns why the test ends with that step; empty if it goes on."""
        if not self.update(loss):
            return ""
        return f"the smoothed loss rose to {self.factor:g} times its best at update {step}, at a rate of {lr:.4g}"


@dataclass(frozen=True)
class Trend:
    """The trend of all seeds' losses and its standard errors, without the delay of a moving average."""

    rates: Array  # evenly spaced in log₁₀, from the first to the median of the seeds' last ones
    losses: Array
    start: float  # the loss before it falls
    errors: Array  # of each of `losses`
    start_error: float

    @property
    def noise(self) -> float:
        """The standard error of the fall."""
        return math.hypot(float(self.errors[self.lowest]), self.start_error)

    @property
    def lowest(self) -> int:
        """The index of the lowest loss."""
        return int(np.argmin(self.losses))

    @property
    def fall(self) -> float:
        """The fall of the loss from the start to the lowest point."""
        return self.start - float(self.losses[self.lowest])

    def fallen(self, fraction: float) -> float:
        """Return the learning rate at which the loss has completed this fraction of its fall for good."""
        above = np.flatnonzero(self.losses[: self.lowest + 1] > self.start - fraction * self.fall)
        return float(self.rates[above[-1] if len(above) else 0])


def trend(curves: Sequence[Curve]) -> Trend | None:
    """Fit local straight lines (Cleveland's loess) over log₁₀ of the learning rate to the losses of all seeds.

    Losses far above the start are clipped, since how far a run explodes does not show where it starts to. Single spikes
    get a low weight. Returns None if no seed has 10 losses.
    """
    used = [(np.log10(c.rates[: c.usable]), np.asarray(c.losses[: c.usable], float)) for c in curves if c.usable >= 10]
    if not used:
        return None
    places, losses = (np.concatenate([pair[side] for pair in used]) for side in (0, 1))
    begins = np.concatenate([y[: max(len(y) // 10, 3)] for _, y in used])
    start = float(np.median(begins))
    low = min(float(np.sort(y)[: max(len(y) // 20, 3)].max()) for _, y in used)
    losses = np.minimum(losses, start + max(start - low, 0.1 * abs(start)))
    last = float(np.median([x[-1] for x, _ in used]))
    first = float(places.min())
    grid = np.linspace(first, last, max(round((last - first) * GRID), 1) + 1)
    weights = np.ones_like(losses)
    line = np.empty_like(grid)
    for _ in range(3):
        line, factors = _local_lines(grid, places, losses, weights)
        residuals = np.abs(losses - np.interp(places, grid, line))
        scale = 6 * max(float(np.median(residuals)), 0.03 * max(start - float(line.min()), 1e-12))
        weights = np.clip(1 - (residuals / scale) ** 2, 0, 1) ** 2
    spread = _noise(used, (first + grid[int(np.argmin(line))]) / 2)
    return Trend(10**grid, line, start, spread * factors, 1.25 * spread / math.sqrt(len(begins)))


def _noise(used: Sequence[tuple[Array, Array]], before: float) -> float:
    """Estimate the standard deviation of the losses around the trend from second differences, which cancel the trend.

    Uses only losses before the fall if there are enough, since later ones are more irregular.
    """
    changes = [np.diff(losses, 2) for _, losses in used]
    early = [change[places[2:] <= before] for (places, _), change in zip(used, changes, strict=True)]
    chosen = np.concatenate(early if sum(map(len, early)) >= 20 else changes)
    return 1.4826 * float(np.median(np.abs(chosen))) / math.sqrt(6)


def _local_lines(grid: Array, places: Array, losses: Array, weights: Array) -> tuple[Array, Array]:
    """Fit a weighted straight line around each grid point; return its values there and their noise factors."""
    parts = np.array_split(grid, min(len(grid), 1 + grid.size * places.size // BLOCK))
    values, factors = zip(*(_lines_at(part[:, None], places, losses, weights) for part in parts), strict=True)
    return np.concatenate(values), np.concatenate(factors)


def _lines_at(centres: Array, places: Array, losses: Array, weights: Array) -> tuple[Array, Array]:
    distance = places - centres
    gaps, sixth = np.abs(distance), min(5, len(places) - 1)
    reach = np.maximum(BANDWIDTH, np.partition(gaps, sixth)[:, [sixth]] * 1.01)
    near: Array = np.clip(1 - (gaps / reach) ** 3, 0, 1) ** 3
    kernel = near * weights
    spikes = kernel.sum(axis=1) < 1e-9  # where there are only spikes
    kernel[spikes] = near[spikes]
    kernel /= kernel.sum(axis=1, keepdims=True)
    middle = (kernel * distance).sum(axis=1, keepdims=True)
    spread = (kernel * (distance - middle) ** 2).sum(axis=1, keepdims=True)
    tilt = np.divide(middle, spread, out=np.zeros_like(middle), where=spread > 1e-12)
    shares = kernel * (1 - tilt * (distance - middle))  # the value is linear in the losses
    return (shares * losses).sum(axis=1), np.sqrt((shares**2).sum(axis=1))
