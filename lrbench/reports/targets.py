"""How long runs took to reach a target, in columns of the table and in a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from lrbench.analysis import Group, Target, duration
from lrbench.reports.tables import Column

_SECONDS = 1  # the part of `Target.times`


def middle(times: Sequence[float]) -> float:
    """Return the median time to a target; infinite if at least half of the seeds missed it, or none has ended."""
    return statistics.median(times) if times else math.inf


def columns(target: Target) -> list[Column]:
    """Return a target's columns: epochs, steps and seconds until runs reach it, and how many seeds do."""
    name = target.words
    return [
        _column(f"epochs to {name}", target, 0, lambda value: f"{value:.4g}", "epochs_to_target"),
        _column(f"updates to {name}", target, 2, lambda value: f"{value:,.0f}", "steps_to_target"),
        _column(f"time to {name}", target, _SECONDS, duration, "seconds_to_target"),
    ]


def sentence(target: Target, groups: Sequence[Group]) -> str:
    """Describe which group reaches the target first, and which do not."""
    epochs = {group.label: target.times(group, 0) for group in groups}
    first = min(groups, key=lambda group: (middle(epochs[group.label]), group.label), default=None)
    if first is None or math.isinf(median := middle(epochs[first.label])):
        return f"No group reaches {target.words} in the median over seeds."
    leaders = [label for label, times in epochs.items() if middle(times) == median]
    spent = duration(middle(target.times(first, _SECONDS)))
    told = f"{first.label} reaches {target.words} first, after {median:.4g} epochs ({spent})"
    if not all(map(math.isfinite, epochs[first.label])):
        told += f", in {_hits(epochs[first.label])} seeds"
    if len(leaders) > 1:
        told = f"{_listed(sorted(leaders))} reach {target.words} first, all after {median:.4g} epochs"
    missed = {label: times for label, times in epochs.items() if math.isinf(middle(times))}
    some = [f"{label} ({_hits(times)} seeds do)" for label, times in missed.items() if not all(map(math.isinf, times))]
    none = [label for label, times in missed.items() if all(map(math.isinf, times))]
    parts = [f"{start} {_listed(names)}" for start, names in (("not in the median:", some), ("never:", none)) if names]
    return "; ".join([told, *parts]) + "."


def _hits(times: Sequence[float]) -> str:
    return f"{sum(map(math.isfinite, times))} of {len(times)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


def _column(heading: str, target: Target, part: int, form: Callable[[float], str], key: str) -> Column:
    def text(group: Group) -> str:
        found = target.times(group, part)
        if not found:
            return "–"
        median, hits = middle(found), sum(map(math.isfinite, found))
        said = form(median) if math.isfinite(median) else "not reached"
        return said if hits in (0, len(found)) else f"{said} ({_hits(found)} reached it)"

    def numbers(group: Group) -> dict[str, Any]:
        found = target.times(group, part)
        median = middle(found)
        hits = sum(map(math.isfinite, found))
        told = int(median) if part != _SECONDS and median.is_integer() else median
        return {key: told if math.isfinite(median) else None, "reached_target": hits}

    return Column(heading, text, numbers)
