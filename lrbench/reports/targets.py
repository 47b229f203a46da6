"""How long runs took to reach a target, in columns of the table and in a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from lrbench.analysis import Group, Target, duration
from lrbench.reports.tables import Column


def columns(target: Target) -> list[Column]:
    """Return a target's columns: epochs, steps and seconds until runs reach it, and how many seeds do."""
    name = target.words
    return [
        _column(f"epochs to {name}", target, 0, lambda value: f"{value:.4g}", "epochs_to_target"),
        _column(f"updates to {name}", target, 2, lambda value: f"{value:,.0f}", "steps_to_target"),
        _column(f"time to {name}", target, 1, duration, "seconds_to_target"),
    ]


def sentence(target: Target, groups: Sequence[Group]) -> str:
    """Describe which group reaches the target first, and which do not."""
    epochs, _, seconds = columns(target)
    medians = {group.label: epochs.numbers(group)["epochs_to_target"] for group in groups}
    there = sorted((value, label) for label, value in medians.items() if value is not None)
    if not there:
        return f"No group reaches {target.words} in the median over seeds."
    leaders = [label for value, label in there if value == there[0][0]]
    first = next(group for group in groups if group.label == leaders[0])
    missed = [group for group in groups if medians[group.label] is None]
    hits = {group.label: int(epochs.numbers(group)["reached_target"]) for group in missed}
    some = [f"{g.label} ({hits[g.label]} of {len(target.times(g, 0))} seeds do)" for g in missed if hits[g.label]]
    none = [group.label for group in missed if not hits[group.label]]
    spent = duration(seconds.numbers(first)["seconds_to_target"])
    count, reached = len(target.times(first, 0)), int(epochs.numbers(first)["reached_target"])
    but = "" if reached == count else f", in {reached} of {count} seeds"
    told = f"{first.label} reaches {target.words} first, after {there[0][0]:.4g} epochs ({spent}){but}"
    if len(leaders) > 1:
        told = f"{_listed(leaders)} reach {target.words} first, all after {there[0][0]:.4g} epochs"
    parts = [f"{start} {_listed(names)}" for start, names in (("not in the median:", some), ("never:", none)) if names]
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
