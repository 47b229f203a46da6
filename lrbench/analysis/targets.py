"""How long runs took to reach a target: epochs, updates and seconds of training; misses are never averaged in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrbench.analysis.comparison import is_lower_better
from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record
from lrbench.errors import UsageError

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


@dataclass(frozen=True)
class Target:
    """A value of a metric that an epoch should reach."""

    metric: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """`val_accuracy=0.99`. Raises UsageError."""
        metric, sign, value = (part.strip() for part in text.partition("="))
        try:
            number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            number = math.nan
        if not sign or metric not in METRICS or not math.isfinite(number):
            wanted = f"say one of {', '.join(METRICS)}, =, and a number, as in val_accuracy=0.99"
            raise UsageError(f"--target {text}: {wanted}")
        if metric.endswith("accuracy") and not 0 <= number <= 1:
            raise UsageError(f"--target {text}: an accuracy lies between 0 and 1; 0.99 or 99%, say")
        return cls(metric, number)

    @property
    def words(self) -> str:
        """`val_accuracy ≥ 0.99`."""
        return f"{self.metric} {'≤' if is_lower_better(self.metric) else '≥'} {self.value:g}"

    def reached(self, record: Record) -> tuple[int, float, int] | None:
        """The epoch (from 1) that first has it, and the seconds of training and updates up to its end.

        None for a miss.
        """
        rows = record.epochs
        values = rows[self.metric]
        hits = values <= self.value if is_lower_better(self.metric) else values >= self.value
        if not hits.any():
            return None
        first = int(hits.to_numpy().argmax())
        at = rows.iloc[first]
        return int(at["epoch"]), float(rows["seconds"].iloc[: first + 1].sum()), int(at["step"])

    def times(self, group: Group, part: int) -> list[float]:
        """Epochs (part 0), seconds (1) or updates (2) to it for every run that ended; infinite for a miss."""
        found = [self.reached(record) for record in _ended(group)]
        return [math.inf if reached is None else float(reached[part]) for reached in found]

    def missed(self, group: Group, part: int) -> list[float]:
        """How many epochs (part 0) or seconds (1) the runs trained that never got there."""
        rows = [record.epochs for record in _ended(group) if self.reached(record) is None]
        return [float(len(one) if part == 0 else one["seconds"].sum()) for one in rows]


def _ended(group: Group) -> list[Record]:
    return [record for record in group.records if record.counts or record.state == "diverged"]
