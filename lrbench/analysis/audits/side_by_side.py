"""Recorded learning rates beside a schedule: which rows agree, from which step on they do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lrbench.analysis.audits.faults import Fault, Kind
from lrbench.analysis.audits.meant import Meant
from lrbench.analysis.audits.recorded import Floats, Recorded, Whole

Mask = NDArray[np.bool_]
Move = Callable[[Whole], Whole]
"""A function from the step of the run to the step of the schedule."""

FEWEST = 3  # rows that a hypothesis must explain
EXPLAINED = 0.98  # of the rows
STANDSTILL = 1e-6  # of the peak; less is no movement
FEW_SKIPPED, SELDOM_SKIPPED = 10, 500  # updates that a gradient scaler may skip: so many, and one in so many


@dataclass(frozen=True)
class SideBySide:
    """A run's learning rates and the schedule that was meant.

    Attributes:
        run: what was recorded.
        meant: the schedule.
        slack: how many steps early or late a row may be; 1 for foreign programs, which may record the learning rate
            before or after the scheduler's step, and count steps from 0 or 1.
    """

    run: Recorded
    meant: Meant
    slack: int = 1

    @cached_property
    def table(self) -> Floats:
        """The learning rate that was meant at every step of the schedule."""
        return self.meant.table()

    @cached_property
    def tolerance(self) -> Floats:
        """The difference that rounding explains, for every row."""
        return self.run.tolerance()

    @property
    def last(self) -> int:
        """The last step of the schedule."""
        return len(self.table) - 1

    @property
    def positions(self) -> Whole:
        """The step of the schedule at each row."""
        return self.run.positions

    @cached_property
    def expected(self) -> Floats:
        """The learning rate that was meant at every row."""
        return self.at(self.positions)

    def at(self, positions: Whole, table: Floats | None = None) -> Floats:
        """Return a schedule's learning rates at these steps; beyond its ends, those of its ends."""
        values = self.table if table is None else table
        return values[np.clip(positions, 0, len(values) - 1)]

    def agrees(
        self,
        move: Move | None = None,
        table: Floats | None = None,
        factor: float = 1.0,
        within: float = np.inf,
    ) -> Mask:
        """Return the rows that agree with a schedule that moved otherwise than meant.

        Args:
            move: the step of the schedule at a step of the run.
            table: the schedule's learning rates; those meant by default.
            factor: multiplies them.
            within: the largest difference, if rounding explains more.
        """
        found = np.zeros(len(self.run), dtype=bool)
        for late in range(-self.slack, self.slack + 1):
            there = self.positions + late
            values = factor * self.at(there if move is None else move(there), table)
            found |= np.abs(self.run.rates - values) <= np.minimum(self.tolerance, within)
        return found

    def explains(self, rows: Mask, move: Move | None = None, table: Floats | None = None) -> bool:
        """Return whether a schedule that moved otherwise agrees with nearly all of these rows.

        Where its learning rate hardly moves, the rows must agree the better. The arguments are those of `agrees`.
        """
        telling = rows & self.wrong  # a mistake must explain what is wrong, not only what is right anyway
        if telling.sum() < FEWEST:
            return False
        there = self.positions[telling]
        moved = float(np.ptp(self.at(there if move is None else move(there), table)))
        if moved <= STANDSTILL * self.run.peak:
            return False
        return bool(self.agrees(move, table, within=moved / 20)[rows].mean() >= EXPLAINED)

    def factor(self, rows: Mask | None = None) -> float | None:
        """Return the factor between the recorded learning rates and those meant; None if not all rows have the same."""
        chosen = np.ones(len(self.run), dtype=bool) if rows is None else rows
        rates, expected = self.run.rates[chosen], self.expected[chosen]
        high = expected > 0.05 * expected.max(initial=0.0)
        if not high.any():
            return None
        for factor in (float(np.median(rates[high] / expected[high])), float(rates.max() / expected.max())):
            if factor > 0 and self.agrees(factor=factor)[chosen].all():
                return factor
        return None

    @cached_property
    def wrong(self) -> Mask:
        """The rows that disagree with the schedule that was meant."""
        return ~self.agrees()

    @property
    def first(self) -> int:
        """The first row that disagrees."""
        return int(self.wrong.argmax())

    def begins(self) -> int:
        """Return the row at which a mistake begins that is too small to see at first: no rounding explains it."""
        exact = np.abs(self.run.rates - self.expected) > 1e-9 * self.run.peak
        before = np.flatnonzero(~exact[: self.first])
        return int(before[-1]) + 1 if len(before) else 0 if exact[0] else self.first

    def fault(self, kind: Kind, words: str, row: int | None = None) -> Fault:
        """Return a fault that begins at a row; at that of `begins` by default."""
        there = self.begins() if row is None else row
        step, found = int(self.run.steps[there]), float(self.run.rates[there])
        return Fault(kind, words, step, float(self.expected[there]), found)

    def waiting(self) -> tuple[SideBySide, int]:
        """Return the comparison in which the schedule waits for updates that were skipped, and their number.

        Mixed precision skips updates that overflow, and many programs do not step the schedule then. Unchanged if a few
        of them do not explain every row.
        """
        most = FEW_SKIPPED + int(self.run.steps[-1]) // SELDOM_SKIPPED
        before, there, count = self.run.steps - 1 - self.positions, self, 0
        waited = np.zeros(len(self.run), dtype=np.int64)
        while there.wrong.any():
            first = there.first
            gap = int(self.run.steps[first] - self.run.steps[first - 1]) if first else 1
            for extra in range(1, min(gap, most - count) + 1):
                waited[first:] = count + extra
                tried = replace(self, run=replace(self.run, waited=before + waited))
                if not tried.wrong[: first + 1].any():
                    there, count = tried, count + extra
                    break
            else:
                return self, 0
        return there, count
