"""How long runs took to reach a target: epochs, updates and seconds of training; misses are never averaged in."""

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
    """A value of a metric that an epoch should reach."""

    measure: Measure
    value: float

    @classmethod
    def parse(cls, text: str, records: Iterable[Record]) -> Target:
        """`val_accuracy=0.99`, of a metric that the runs have. Raises UsageError."""
        name, sign, value = (part.strip() for part in text.partition("="))
        known = {key: one for key, one in measures_of(records).items() if one.per_epoch}
        try:
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not sign or name not in known or not math.isfinite(number):
            wanted = f"say one of {', '.join(known)}, =, and a number, as in val_loss=0.1"
            raise UsageError(f"--target {text}: {wanted}")
        measure = known[name]
        if measure.metric.form == "percent" and not 0 <= number <= 1:
            raise UsageError(f"--target {text}: {name} lies between 0 and 1; 0.99 or 99%, say")
        return cls(measure, number)

    @property
    def words(self) -> str:
        """`val_accuracy ≥ 0.99`."""
        return f"{self.measure.name} {'≤' if self.measure.lower else '≥'} {self.value:g}"

    def reached(self, record: Record) -> tuple[float, float, int] | None:
        """The epoch (from 1) that first has it, and the seconds of training and updates up to its end.

        None for a miss.
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
        """Epochs (part 0), seconds (1) or updates (2) to it for every run that ended; infinite for a miss."""
        found = [self.reached(record) for record in _ended(group)]
        return [math.inf if reached is None else float(reached[part]) for reached in found]

    def missed(self, group: Group, part: int) -> list[float]:
        """How many epochs (part 0) or seconds (1) the runs trained that never got there."""
        rows = [record.epochs for record in _ended(group) if self.reached(record) is None]
        return [
            float(one["seconds" if part else "epoch"].agg("sum" if part else "max")) if len(one) else 0.0
            for one in rows
        ]


def _ended(group: Group) -> list[Record]:
    return [record for record in group.records if record.status.ended]
