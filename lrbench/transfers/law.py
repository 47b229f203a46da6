"""The law of the best learning rate over sizes: fitted, checked, and what it predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lrbench.analysis import Optimum
from lrbench.config import FAR, Law, common
from lrbench.errors import UsageError
from lrbench.transfers.collect import Sized
from lrbench.transfers.fit import Line, design, fit
from lrbench.transfers.theory import agreement

FARTHEST = 6.0  # decades beyond the sizes tried: no guess


@dataclass(frozen=True)
class Found:
    """A family's optimum, in learning rates as used: after `lr_scaling`. `left` is its residual, in decades."""

    label: str
    sizes: dict[str, float]
    lr: float
    low: float
    high: float
    left: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """The best learning rate at some sizes, with its 95% interval.

    Attributes:
        sizes: the sizes, by the names of the axes.
        lr: the best learning rate.
        low: lower end of its interval.
        high: upper end.
        beyond: by how many decades sizes lie outside of those tried, if they do.
    """

    sizes: dict[str, float]
    lr: float
    low: float
    high: float
    beyond: dict[str, float] = field(default_factory=dict)

    @property
    def far(self) -> dict[str, float]:
        """The sizes that lie more than a decade outside."""
        return {name: out for name, out in self.beyond.items() if out > FAR}


@dataclass(frozen=True)
class LeftOut:
    """An optimum at the largest size, predicted without any optimum at that size."""

    found: Found
    predicted: Prediction

    @property
    def decades(self) -> float:
        """The error of the prediction, log₁₀(predicted/found)."""
        return math.log10(self.predicted.lr / self.found.lr)

    @property
    def inside(self) -> bool:
        """Whether the prediction's interval, widened by the optimum's own error, has what was found."""
        return self.predicted.low <= self.found.lr <= self.predicted.high


@dataclass(frozen=True)
class Bend:
    """The exponents at the smallest and at the largest size, if the law may bend; `curve` is the interval of the bend.

    The bend is the coefficient of (log₁₀ x)², whose interval leaves out 0.
    """

    smallest: float
    largest: float
    curve: tuple[float, float]


@dataclass(frozen=True)
class Exponent:
    """How the best learning rate depends on a size.

    Attributes:
        name: the size.
        tried: its values with an optimum, in ascending order.
        value: the exponent.
        low: lower end of its 95% interval.
        high: upper end.
        bend: set if the residuals bend.
        left_out: the predictions of the largest size without it.
        together: other sizes that change in proportion, of which the exponent is too.
    """

    name: str
    tried: tuple[float, ...]
    value: float
    low: float
    high: float
    bend: Bend | None
    left_out: tuple[LeftOut, ...]
    together: tuple[str, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether a third size could show that it is no power."""
        return len(self.tried) > 2

    @property
    def theory(self) -> str:
        """What of theory the interval agrees with."""
        return agreement(self.name, self.low, self.high)


@dataclass(frozen=True)
class Fitted:
    """The optima of families that differ in sizes alone, and the line through them in logarithms."""

    sized: tuple[Sized, ...]
    axes: tuple[str, ...]
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def known(self) -> tuple[Sized, ...]:
        """The families with an optimum, the smallest sizes first."""
        found = [one for one in self.sized if isinstance(one.found, Optimum)]
        return tuple(sorted(found, key=lambda one: [one.value(name) for name in self.axes]))

    @cached_property
    def _x(self) -> np.ndarray:
        return np.log10([[one.value(name) for name in self.axes] for one in self.known])

    @property
    def middle(self) -> np.ndarray:
        """log₁₀ of the sizes at which the line's offset is the best learning rate."""
        found: np.ndarray = self._x.mean(0)
        return found

    @cached_property
    def _y(self) -> tuple[np.ndarray, np.ndarray]:
        """log₁₀ of the optima, and their errors: of skewed intervals, the larger half."""
        optima = [(one.found, one.factor) for one in self.known if isinstance(one.found, Optimum)]
        values = np.log10([found.lr * factor for found, factor in optima])
        halves = [max(math.log10(found.high / found.lr), math.log10(found.lr / found.low)) for found, _ in optima]
        return values, np.array(
            [max(found.error, half / 1.96) for (found, _), half in zip(optima, halves, strict=True)]
        )

    @cached_property
    def line(self) -> Line:
        """The line through all optima, over sizes relative to `middle`."""
        return fit(design(self._x - self.middle), *self._y)

    @cached_property
    def points(self) -> tuple[Found, ...]:
        """The optima, with their residuals."""
        return tuple(self._found(at) for at in range(len(self.known)))

    def _found(self, at: int) -> Found:
        one = self.known[at]
        assert isinstance(one.found, Optimum)
        lr, low, high = (end * one.factor for end in (one.found.lr, one.found.low, one.found.high))
        left = math.log10(lr) - self.line.at(np.array([1.0, *(self._x[at] - self.middle)]))
        return Found(one.family.label, {name: one.value(name) for name in self.axes}, lr, low, high, left)

    @cached_property
    def exponents(self) -> tuple[Exponent, ...]:
        """The exponent of each axis."""
        return tuple(self._exponent(at) for at in range(len(self.axes)))

    def _exponent(self, at: int) -> Exponent:
        row = np.zeros(len(self.axes) + 1)
        row[at + 1] = 1.0
        low, high = self.line.interval(row)
        name, tried = self.axes[at], tuple(sorted({one.value(self.axes[at]) for one in self.known}))
        bend, left_out = self._bend(at), self._without_largest(at)
        return Exponent(name, tried, self.line.at(row), low, high, bend, left_out, tuple(self.together.get(name, ())))

    def _bend(self, at: int) -> Bend | None:
        """Fit a parabola over one axis; None if it may be straight, or if it can't be fitted."""
        away = self._x - self.middle
        rows = np.column_stack([design(away), away[:, at] ** 2])
        if np.linalg.matrix_rank(rows, tol=1e-6) < rows.shape[1]:
            return None
        line = fit(rows, *self._y)
        low, high = line.interval(np.eye(rows.shape[1])[-1])
        if low <= 0 <= high:
            return None
        slope, curve = line.coefficients[at + 1], line.coefficients[-1]
        first, last = (float(slope + 2 * curve * end) for end in (away[:, at].min(), away[:, at].max()))
        return Bend(first, last, (low, high))

    def _without_largest(self, at: int) -> tuple[LeftOut, ...]:
        """Predict the optima at the largest size from the others."""
        away, (y, errors) = self._x - self.middle, self._y
        largest = away[:, at] > away[:, at].max() - 1e-9
        rows = design(away[~largest])
        if np.linalg.matrix_rank(rows, tol=1e-6) < rows.shape[1]:
            return ()
        line = fit(rows, y[~largest], errors[~largest])
        found = []
        for index in np.flatnonzero(largest):
            row = np.array([1.0, *away[index]])
            low, high = line.interval(row, float(errors[index]))
            sizes = self.points[index].sizes
            found.append(LeftOut(self.points[index], Prediction(sizes, 10 ** line.at(row), 10**low, 10**high)))
        return tuple(found)

    def predict(self, sizes: Mapping[str, float]) -> Prediction:
        """Return the best learning rate at sizes by the axes' names, the interval with the scatter around the line."""
        row = np.array([1.0, *(np.log10([sizes[name] for name in self.axes]) - self.middle)])
        log, (low, high) = self.line.at(row), self.line.interval(row, 0.0)
        chosen = {name: sizes[name] for name in self.axes}
        beyond = self._tried_law.beyond(chosen)
        if max(beyond.values(), default=0.0) > FARTHEST or max(map(abs, (log, low, high))) > 100:
            raise UsageError("the law gives no usable learning rate at these sizes: they are too far from those tried")
        return Prediction(chosen, 10**log, 10**low, 10**high, beyond)

    @cached_property
    def _tried_law(self) -> Law:
        coefficients = self.line.coefficients.tolist()
        tried = {one.name: [one.tried[0], one.tried[-1]] for one in self.exponents}
        at = {name: float(10**end) for name, end in zip(self.axes, self.middle, strict=True)}
        return Law(1, 10 ** coefficients[0], at, dict(zip(self.axes, coefficients[1:], strict=True)), tried)

    def law(self, metric: str) -> Law:
        """Return what `lr_scaling` reads."""
        first, law = self.known[0], self._tried_law
        config = first.family.first.experiment
        assert config is not None
        keys = {key for name in (*self.axes, *_flattened(self.together)) for key in first.sizes[name].keys}
        key = config.lr_key
        return Law(1, law.lr, law.at, law.exponents, law.tried, metric, common(config.plain(), keys | {key}))

    @property
    def fixed(self) -> dict[str, float]:
        """The sizes that all families share."""
        return {name: size.value for name, size in self.known[0].sizes.items()
                if len({one.sizes[name].value for one in self.known}) == 1}  # fmt: skip


def _flattened(names: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for some in names.values() for name in some]
