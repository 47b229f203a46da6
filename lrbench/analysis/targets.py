"""Epochs, steps and training time until runs reach a target. Misses never enter an average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record, measures_of
from lrbench.components import Measure
from lrbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

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
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not sign or name not in known or not math.isfinite(number):
            wanted = f"must be a metric ({', '.join(known)}), = and a number, such as val_loss=0.1"
            raise UsageError(f"--target {text}: {wanted}")
        measure = known[name]
        if measure.metric.form == "percent" and not 0 <= number <= 1:
            raise UsageError(f"--target {text}: {name} must be between 0 and 1, such as 0.99 or 99%")
        return cls(measure, number)

    @property
    def words(self) -> str:
        """`val_accuracy ≥ 0.99`."""
        return f"{self.measure.name} {'≤' if self.measure.lower else '≥'} {self.value:g}"

    def reached(self, record: Record) -> dict[Part, float] | None:
        """Return the first epoch (from 1), step and evaluation that reach it, and the seconds of training up to it.

        None if no evaluation does; NaN for what is unknown.
        """
        rows = record.epochs
        if self.measure.name not in rows:
            return None
        values = rows[self.measure.name]
        hits = values <= self.value if self.measure.lower else values >= self.value
        if not hits.any():
            return None
        first = int(hits.to_numpy().argmax())
        at, taken = rows.iloc[first], rows["seconds"].iloc[: first + 1]
        spent = float(taken.sum()) if taken.notna().any() else math.nan
        return {"epoch": float(at["epoch"]), "step": float(at["step"]), "evaluation": first + 1.0, "seconds": spent}

    def times(self, group: Group, part: Part) -> list[float]:
        """Return a part of `reached` for each run that ended; inf for a miss, and none at all if one is unknown."""
        found = [self.reached(record) for record in _ended(group)]
        times = [math.inf if reached is None else reached[part] for reached in found]
        return [] if any(map(math.isnan, times)) else times

    def missed(self, group: Group, part: Part) -> list[float]:
        """Return how many epochs, steps, evaluations or seconds the runs that missed it trained."""
        rows = [record.epochs for record in _ended(group) if self.reached(record) is None]
        found = [_trained(one, part) if len(one) else 0.0 for one in rows]
        return [value for value in found if not math.isnan(value)]


def _trained(rows: pd.DataFrame, part: Part) -> float:
    if part == "evaluation":
        return float(len(rows))
    return float(rows["seconds"].sum() if part == "seconds" else rows[part].max())


def _ended(group: Group) -> list[Record]:
    return [record for record in group.records if record.status.ended]
