"""How long runs took to reach a target, in columns of the table and in a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from lrbench.analysis import Group, Part, Target, duration
from lrbench.reports.tables import Column


def middle(times: Sequence[float]) -> float:
    """Return the median time to a target; infinite if at least half of the seeds missed it, or none has ended."""
    return statistics.median(times) if times else math.inf


def columns(target: Target, groups: Sequence[Group]) -> list[Column]:
    """Return a target's columns: epochs, steps and seconds until runs reach it, and how many seeds do.

    What other programs do not tell is left out, or counted in evaluations if they tell neither epochs nor steps.
    """
    name = target.words
    made = {
        "epoch": _column(f"epochs to {name}", target, "epoch", lambda value: f"{value:.4g}", "epochs_to_target"),
        "step": _column(f"updates to {name}", target, "step", lambda value: f"{value:,.0f}", "steps_to_target"),
        "evaluation": _column(f"evaluations to {name}", target, "evaluation", "{:.0f}".format, "evaluations_to_target"),
        "seconds": _column(f"time to {name}", target, "seconds", duration, "seconds_to_target"),
    }
    return [made[part] for part in parts_known(target, groups)]


def parts_known(target: Target, groups: Sequence[Group]) -> list[Part]:
    """Return what the time to a target can be counted in: all but evaluations if lrbench trained a run."""
    if not all(group.foreign for group in groups):
        return ["epoch", "step", "seconds"]
    parts: tuple[Part, ...] = ("epoch", "step", "seconds")
    known = [part for part in parts if any(any(map(math.isfinite, target.times(g, part))) for g in groups)]
    return known if groups[0].axis in known else ["evaluation", *known]


def sentence(target: Target, groups: Sequence[Group]) -> str:
    """Describe which group reaches the target first, and which do not."""
    if not groups:
        return f"No group reaches {target.words} in the median over seeds."
    axis = groups[0].axis
    each = {group.label: target.times(group, axis) for group in groups}
    first = min(groups, key=lambda group: (middle(each[group.label]), group.label))
    if math.isinf(median := middle(each[first.label])):
        return f"No group reaches {target.words} in the median over seeds."
    leaders = [label for label, times in each.items() if middle(times) == median]
    seconds = middle(target.times(first, "seconds"))
    spent = f" ({duration(seconds)})" if math.isfinite(seconds) else ""
    places = f"{median:.4g} {axis}s" if axis == "epoch" else f"{median:,.0f} {axis}s"
    told = f"{first.label} reaches {target.words} first, after {places}{spent}"
    if not all(map(math.isfinite, each[first.label])):
        told += f", in {_hits(each[first.label])} seeds"
    if len(leaders) > 1:
        told = f"{_listed(sorted(leaders))} reach {target.words} first, all after {places}"
    missed = {label: times for label, times in each.items() if math.isinf(middle(times))}
    some = [f"{label} ({_hits(times)} seeds do)" for label, times in missed.items() if not all(map(math.isinf, times))]
    none = [label for label, times in missed.items() if all(map(math.isinf, times))]
    parts = [f"{start} {_listed(names)}" for start, names in (("not in the median:", some), ("never:", none)) if names]
    return "; ".join([told, *parts]) + "."


def _hits(times: Sequence[float]) -> str:
    return f"{sum(map(math.isfinite, times))} of {len(times)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


def _column(heading: str, target: Target, part: Part, form: Callable[[float], str], key: str) -> Column:
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
        told = int(median) if part != "seconds" and median.is_integer() else median
        return {key: told if math.isfinite(median) else None, "reached_target": hits}

    return Column(heading, text, numbers)
