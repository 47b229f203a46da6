"""The median of some runs' values, and their range."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some runs' values with their range; n of them counted."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """None where no run has a value."""
        known = [v for v in values if v is not None]
        return cls(statistics.median(known), min(known), max(known), len(known)) if known else None

    @classmethod
    def ranked(cls, values: Iterable[float | None]) -> Spread | None:
        """Of values where None is worse than any, as a diverged run's loss; None where the median is such a one."""
        known = [math.inf if v is None else v for v in values]
        middle = statistics.median(known) if known else math.inf
        finite = [v for v in known if math.isfinite(v)]
        return cls(middle, min(finite), max(finite), len(finite)) if math.isfinite(middle) else None

    def overlaps(self, other: Spread) -> bool:
        """True where the two ranges have a value in common."""
        return self.low <= other.high and other.low <= self.high
