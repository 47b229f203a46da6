"""The learning rates that a run recorded, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lrbench.runs import Columns

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
ROUNDING = 1e-4
"""Differences below this part of a value, or a hundredth of it of the peak, are no mistakes."""


@dataclass(frozen=True)
class Recorded:
    """Recorded learning rates, in the order of the steps. All arrays have one entry per row.

    Attributes:
        steps: updates done, 1 after the first; rows may be missing.
        rates: the learning rate of each step's update.
        groups: those of parameter groups that have a column of their own, `lr_…`; NaN where none was recorded.
        waited: updates before each row that a gradient scaler skipped, for which the schedule waited.
        went_back: steps at which the numbering went back, as where a resumed program repeats steps.
    """

    steps: Whole
    rates: Floats
    groups: Mapping[str, Floats] = field(default_factory=dict)
    waited: Whole = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    went_back: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def positions(self) -> Whole:
        """The step of the schedule at each row, from 0."""
        return self.steps - 1 - (self.waited if len(self.waited) else 0)

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        return float(self.rates.max(initial=0.0))

    @property
    def still(self) -> bool:
        """Whether the learning rate never changes."""
        return bool(np.ptp(self.rates) <= 1e-9 * self.peak)

    @property
    def rounding(self) -> Floats:
        """The difference from each learning rate that the arithmetic explains."""
        return ROUNDING * self.rates + 0.01 * ROUNDING * self.peak

    def tolerance(self) -> Floats:
        """Return the difference from each learning rate that rounding explains, also that of a log with few digits."""
        return self.rounding + self._unit() / 2

    def _unit(self) -> Floats | float:
        """Return the unit of the last digit if all values are written with few digits."""
        rates = self.rates
        if not self.peak or self.still:
            return 0.0
        magnitude = 10.0 ** np.floor(np.log10(np.where(rates > 0, rates, self.peak)))
        for digits in (3, 4, 5):  # significant ones
            unit: Floats = magnitude * 10.0 ** (1 - digits)
            if np.allclose(np.round(rates / unit) * unit, rates, rtol=1e-12, atol=0.0):
                return unit
        for decimals in range(3, 10):
            at = 10.0**-decimals
            if at < 0.005 * self.peak and np.allclose(np.round(rates, decimals), rates, rtol=1e-12, atol=0.0):
                return at
        return 0.0


def recorded_in(table: Columns, *, scaled: bool = False) -> Recorded | None:
    """Return the learning rates in the columns `step`, `lr`, `lr_…` of a run's CSV file; None if it has none.

    Where a step has several rows, as after a resumption, the last one counts.

    Args:
        table: the columns.
        scaled: whether a step without a `loss` is one that a gradient scaler skipped.
    """
    if not {"step", "lr"} <= table.keys():
        return None
    kept = np.isfinite(table["step"]) & np.isfinite(table["lr"])
    if not kept.any():
        return None
    steps = table["step"][kept].astype(np.int64)
    went_back = tuple(int(step) for step in steps[1:][np.diff(steps) <= 0])
    order = np.arange(len(steps)) if not went_back else _last_of_each(steps)
    groups = {name: values[kept][order] for name, values in table.items() if name.startswith("lr_")}
    waited = np.zeros(0, dtype=np.int64)
    if scaled and "loss" in table:
        skipped = np.isnan(table["loss"][kept][order])
        waited = np.cumsum(skipped) - skipped
    return Recorded(steps[order], table["lr"][kept][order], groups, waited, went_back)


def _last_of_each(steps: Whole) -> Whole:
    """Return the places of the last row of each step, in the order of the steps."""
    _, from_the_end = np.unique(steps[::-1], return_index=True)
    return len(steps) - 1 - from_the_end
