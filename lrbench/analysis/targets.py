"""Epochs, steps and training time until runs reach a target. Misses never enter an average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrbench.analysis.evaluations import Evaluations
from lrbench.analysis.measures import measures_of
from lrbench.analysis.records import Record
from lrbench.components import Measure
from lrbench.errors import UsageError, option

Part = Literal["epoch", "step", "evaluation", "seconds"]
"""What the time to a target is counted in."""


@dataclass(frozen=True)
class Target:
    """A value of a metric to reach at the end of an epoch."""

    measure: Measure
    value: float

    @classmethod
    def parse(cls, text: str, records: Iterable[Record]) -> Target:
        """Parse `val_accuracy=0.99`, for a metric that the runs have. Raises UsageError."""
        name, sign, value = (part.strip() for part in text.partition("="))
        known = {key: one for key, one in measures_of(records).items() if one.per_epoch}
        try:
            number = float(value.removesuffix("%").encode("ascii")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not sign or name not in known or not math.isfinite(number):
            wanted = f"must be a metric ({', '.join(known)}), = and a number, such as val_loss=0.1"
            raise UsageError(f"{option('--target')} {text}: {wanted}")
        measure = known[name]
        if measure.metric.form == "percent" and not 0 <= number <= 1:
            raise UsageError(f"{option('--target')} {text}: {name} must be between 0 and 1, such as 0.99 or 99%")
        return cls(measure, number)

    @property
    def words(self) -> str:
        """`val_accuracy ≥ 0.99`."""
        return f"{self.measure.name} {'≤' if self.measure.lower else '≥'} {self.value:g}"

    def measured(self, record: Record) -> bool:
        """Return whether a run has a value of the metric."""
        return bool(record.epochs.measured(self.measure.name).any())

    def reached(self, record: Record) -> dict[Part, float] | None:
        """Return the first epoch (from 1), step and evaluation that reach it, and the seconds of training up to it.

        None if no evaluation does; NaN for what is unknown.
        """
        hits = self._hits(record)
        return _place(record.epochs, int(hits.argmax())) if hits.any() else None

    def stays(self, record: Record) -> dict[Part, float] | None:
        """Return the first evaluation from which on the run reaches it to its end, in the same way as `reached`.

        None if the last evaluation does not reach it.
        """
        hits = self._hits(record)
        measured = record.epochs.measured(self.measure.name) if record.foreign and len(hits) else True
        missed = np.flatnonzero(~hits & measured)
        first = int(missed[-1]) + 1 if len(missed) else 0
        hits[:first] = False
        return _place(record.epochs, int(hits.argmax())) if hits.any() else None

    def _hits(self, record: Record) -> np.ndarray:
        rows = record.epochs
        if self.measure.name not in rows:
            return np.zeros(0, bool)
        values = rows[self.measure.name]
        return values <= self.value if self.measure.lower else values >= self.value


def _place(rows: Evaluations, index: int) -> dict[Part, float]:
    epoch, step = float(rows["epoch"][index]), float(rows["step"][index])
    return {"epoch": epoch, "step": step, "evaluation": index + 1.0, "seconds": _sum(rows["seconds"][: index + 1])}


def _sum(values: np.ndarray) -> float:
    """Return the sum of the known values; NaN without any."""
    return math.nan if np.isnan(values).all() else float(np.nansum(values))


def trained(rows: Evaluations, part: Part) -> float:
    """Return how many epochs, steps, evaluations or seconds a run's evaluations cover; NaN if unknown."""
    if part == "evaluation" or not len(rows):
        return float(len(rows))
    if part == "seconds":
        return _sum(rows["seconds"])
    known = rows.known(part)
    return float(known.max()) if len(known) else math.nan
