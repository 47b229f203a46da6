"""The centre, median and range of several runs' values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lrbench.analysis.estimates import centre


@dataclass(frozen=True)
class Spread:
    """Centre (what groups are ordered and compared by), median and range of n values."""

    centre: float
    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None], *, logs: bool = False) -> Spread | None:
        """Summarise the values that are not None, with `logs` by their geometric mean; None if there are none."""
        known = [v for v in values if v is not None]
        if not known:
            return None
        return cls(centre(known, logs=logs), statistics.median(known), min(known), max(known), len(known))

    @classmethod
    def ranked(cls, values: Iterable[float | None], *, logs: bool = False, lower: bool = True) -> Spread | None:
        """The same, but None is a lost seed, worse than any number in the median; None if the median is lost.

        Args:
            values: the values.
            logs: average by the geometric mean.
            lower: whether less is better.
        """
        values, worst = list(values), math.inf if lower else -math.inf
        found = cls.of(values, logs=logs)
        middle = statistics.median([worst if v is None else v for v in values] or [worst])
        return replace(found, median=middle) if found is not None and math.isfinite(middle) else None
