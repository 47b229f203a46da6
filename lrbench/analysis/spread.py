"""The median and range of several runs' values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and range of n values."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Summarise the values that are not None; None if there are none."""
        known = [v for v in values if v is not None]
        return cls(statistics.median(known), min(known), max(known), len(known)) if known else None

    @classmethod
    def ranked(cls, values: Iterable[float | None]) -> Spread | None:
        """Summarise values where None, a diverged run, is worse than any number; None if the median diverged."""
        known = [math.inf if v is None else v for v in values]
        middle = statistics.median(known) if known else math.inf
        finite = [v for v in known if math.isfinite(v)]
        return cls(middle, min(finite), max(finite), len(finite)) if math.isfinite(middle) else None

    def overlaps(self, other: Spread) -> bool:
        """Whether the two ranges have a value in common."""
        return self.low <= other.high and other.low <= self.high
