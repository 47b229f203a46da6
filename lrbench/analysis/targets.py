"""Epochs, steps and training time until runs reach a target. Misses never enter an average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record, measures_of
from lrbench.components import Measure
from lrbench.errors import UsageError


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

    def reached(self, record: Record) -> tuple[float, float, int] | None:
        """Return the first epoch (from 1) that reaches it, and seconds of training and steps up to its end.

        None if no epoch does.
        """
        rows = record.epochs
        if self.measure.name not in rows:
            return None
        values = rows[self.measure.name]
        hits = values <= self.value if self.measure.lower else values >= self.value
        if not hits.any():
            return None
        first = int(hits.to_numpy().argmax())
        at = rows.iloc[first]
        return at["epoch"], float(rows["seconds"].iloc[: first + 1].sum()), int(at["step"])

    def times(self, group: Group, part: int) -> list[float]:
        """Return epochs (part 0), seconds (1) or steps (2) to reach it for each run that ended; inf for a miss."""
        found = [self.reached(record) for record in _ended(group)]
        return [math.inf if reached is None else float(reached[part]) for reached in found]

    def missed(self, group: Group, part: int) -> list[float]:
        """Return how many epochs (part 0) or seconds (1) the runs that missed it trained."""
        rows = [record.epochs for record in _ended(group) if self.reached(record) is None]
        return [
            float(one["seconds" if part else "epoch"].agg("sum" if part else "max")) if len(one) else 0.0
            for one in rows
        ]


def _ended(group: Group) -> list[Record]:
    return [record for record in group.records if record.status.ended]
