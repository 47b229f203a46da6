"""How long runs took to reach a target: epochs, updates and seconds of training; misses are never averaged in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis.comparison import is_lower_better
from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record
from lrbench.errors import UsageError
from lrbench.reports.tables import Column, duration

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


def columns(target: Target) -> list[Column]:
    """What a target adds to the table: epochs and seconds to it, and how many seeds reached it."""
    name = target.words
    return [
        _column(f"epochs to {name}", target, 0, lambda value: f"{value:g}", "epochs_to_target"),
        _column(f"updates to {name}", target, 2, lambda value: f"{value:,.0f}", "steps_to_target"),
        _column(f"time to {name}", target, 1, duration, "seconds_to_target"),
    ]


def sentence(target: Target, groups: Sequence[Group]) -> str:
    """Who gets there first, and who does not."""
    epochs, _, seconds = columns(target)
    medians = {group.label: epochs.numbers(group)["epochs_to_target"] for group in groups}
    there = sorted((value, label) for label, value in medians.items() if value is not None)
    if not there:
        return f"No runs reach {target.words}, taking the median over seeds."
    first = next(group for group in groups if group.label == there[0][1])
    missed = [group for group in groups if medians[group.label] is None]
    hits = {group.label: int(epochs.numbers(group)["reached_target"]) for group in missed}
    some = [f"{g.label} ({hits[g.label]} of {len(target.times(g, 0))} seeds do)" for g in missed if hits[g.label]]
    none = [group.label for group in missed if not hits[group.label]]
    spent = duration(seconds.numbers(first)["seconds_to_target"])
    count, reached = len(target.times(first, 0)), int(epochs.numbers(first)["reached_target"])
    but = "" if reached == count else f", in {reached} of {count} seeds"
    told = f"{first.label} reaches {target.words} first, after {there[0][0]:g} epochs ({spent}){but}"
    parts = [
        f"{start} {_listed(names)}" for start, names in (("not in the median:", some), ("not at all:", none)) if names
    ]
    return "; ".join([told, *parts]) + "."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


def _column(heading: str, target: Target, part: int, form: Callable[[float], str], key: str) -> Column:
    def text(group: Group) -> str:
        found = target.times(group, part)
        if not found:
            return "–"
        hits = [value for value in found if math.isfinite(value)]
        middle = statistics.median(found)
        said = form(middle) if math.isfinite(middle) else "not reached"
        return said if len(hits) == len(found) or not hits else f"{said} ({len(hits)} of {len(found)} reached it)"

    def numbers(group: Group) -> dict[str, Any]:
        found = target.times(group, part)
        middle = statistics.median(found) if found else math.inf
        hits = sum(map(math.isfinite, found))
        return {key: middle if math.isfinite(middle) else None, "reached_target": hits}

    return Column(heading, text, text, numbers)
