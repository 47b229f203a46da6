"""How long runs took to reach a target, in columns of the table and in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrbench.analysis import Group, Part, Target, TimeToTarget, areas, duration, time_to_stay, time_to_target
from lrbench.components import in_words
from lrbench.errors import counted
from lrbench.reports.tables import Column

PROFILE = (1.0, 1.5, 2.0, 4.0)
"""Multiples of the fastest group's median at which shares of seeds are told: a performance profile."""


def arrivals(target: Target, groups: Sequence[Group], part: Part) -> dict[str, TimeToTarget]:
    """Return the times to a target of the groups for which they are known, by label."""
    found = ((group.label, time_to_target(group, target, part)) for group in groups)
    return {label: times for label, times in found if times is not None}


def median(target: Target, group: Group, part: Part) -> float:
    """Return the median time to a target; infinite if more than half of the seeds missed it, or it is unknown."""
    found = time_to_target(group, target, part)
    return math.inf if found is None else found.median


def fastest(found: Mapping[str, TimeToTarget]) -> float:
    """Return the shortest median time; infinite if no group has one."""
    return min((times.median for times in found.values()), default=math.inf)


def columns(target: Target, groups: Sequence[Group]) -> list[Column[Group]]:
    """Return a target's columns: epochs, steps and seconds until runs reach it, how many seeds do, and more.

    What other programs do not tell is left out, or counted in evaluations if they tell neither epochs nor steps.
    """
    name = target.words
    made = {
        "epoch": _column(f"epochs to {name}", target, "epoch", lambda value: f"{value:.4g}", "epochs_to_target"),
        "step": _column(f"updates to {name}", target, "step", lambda value: f"{value:,.0f}", "steps_to_target"),
        "evaluation": _column(f"evaluations to {name}", target, "evaluation", "{:.0f}".format, "evaluations_to_target"),
        "seconds": _column(f"time to {name}", target, "seconds", duration, "seconds_to_target"),
    }
    parts = parts_known(target, groups)
    unit = next(part for part in ("step", "evaluation", "epoch", "seconds") if part in parts)
    return [*(made[part] for part in parts), _stays(target, unit), _share(target, groups, unit), _area(target, groups)]


def parts_known(target: Target, groups: Sequence[Group]) -> list[Part]:
    """Return what the time to a target can be counted in: all but evaluations if lrbench trained a run."""
    if not all(group.foreign for group in groups):
        return ["epoch", "step", "seconds"]
    parts: tuple[Part, ...] = ("epoch", "step", "seconds")
    known = [part for part in parts if any(one.times for one in arrivals(target, groups, part).values())]
    return known if groups[0].axis in known else ["evaluation", *known]


def told(target: Target, group: Group) -> dict[str, Any] | None:
    """Return a group's times to a target as plain values, in steps, or in evaluations if steps are unknown."""
    units: tuple[Part, ...] = ("step", "evaluation")
    found = next((one for unit in units if (one := time_to_target(group, target, unit)) is not None), None)
    if found is None:
        return None
    share = found.share or (None, None, None)
    low, high = found.interval
    return {
        "unit": found.part,
        "seeds": found.seeds,
        "reached": len(found.times),
        "times": list(found.times),
        "censored": list(found.censored),
        "never": list(found.never),
        "training": found.open,
        **dict(zip(("share", "share_low", "share_high"), share, strict=True)),
        "median": _number(found.median, found.part),
        "median_low": _number(low, found.part),
        "median_high": _number(high, found.part),
        "to_stay": _number(time_to_stay(group, target, found.part) or math.inf, found.part),
        "mean_level": areas([group], target.measure).get(group.label),
    }


def brief(target: Target, group: Group) -> str:
    """`4 of 5 seeds reach it, the median after 120 steps`; empty if nothing is known."""
    found = told(target, group)
    if found is None:
        return ""
    said = f"{found['reached']} of {counted(found['seeds'], 'seed')} {'reaches' if found['seeds'] == 1 else 'reach'} it"
    said += f" ({found['training']} still training)" if found["training"] else ""
    if not found["reached"]:
        return f"{said}."
    after = (
        "not half of them"
        if found["median"] is None
        else f"the median after {_time(found['median'], found['unit'], ',.6g')}"
    )
    stay = "" if found["to_stay"] is None else f", to stay there after {found['to_stay']:,.6g}"
    return f"{said}, {after}{stay}."


def sentence(target: Target, groups: Sequence[Group]) -> str:
    """Describe which group reaches the target first, and which do not."""
    nobody = f"In no group does the median seed reach {target.words}."
    if not groups:
        return nobody
    axis = groups[0].axis
    each = arrivals(target, groups, axis)
    if math.isinf(soonest := fastest(each)):
        return nobody
    shorts = {group.label: group.short for group in groups}
    leaders = sorted(label for label, times in each.items() if times.median == soonest)
    first = next(group for group in groups if group.label == leaders[0])
    seconds = median(target, first, "seconds")
    spent = f" ({duration(seconds)})" if math.isfinite(seconds) else ""
    places = _time(soonest, axis, ".4g" if axis == "epoch" else ",.0f")
    told = f"{first.short} reaches {target.words} first, after {places}{spent}"
    if each[first.label].missed:
        told += f", in {_hits(each[first.label])}"
    if len(leaders) > 1:
        told = f"{_listed([shorts[label] for label in leaders])} reach {target.words} first, all after {places}"
    missed = {shorts[label]: times for label, times in each.items() if math.isinf(times.median)}
    some = [
        f"{label} ({_hits(times)} {'does' if times.seeds == 1 else 'do'})"
        for label, times in missed.items()
        if times.times
    ]
    none = [label for label, times in missed.items() if not times.times]
    parts = [f"{start} {_listed(names)}" for start, names in (("not in the median:", some), ("never:", none)) if names]
    return "; ".join([told, *parts]) + "."


MOST_TOLD = 12


def profile(target: Target, groups: Sequence[Group]) -> list[str]:
    """Tell each group's distribution of times in a sentence, the fastest first, and how it is counted."""
    axis = groups[0].axis
    found = arrivals(target, groups, axis)
    soonest = fastest(found)
    order = sorted(found, key=lambda label: (found[label].median, -found[label].reached_by(math.inf), label))
    told = [_profile(label, found[label], soonest) for label in order[:MOST_TOLD]]
    if len(order) > MOST_TOLD:
        more = len(order) - MOST_TOLD
        told.append(f"{counted(more, 'more group')} {'is' if more == 1 else 'are'} in the table.")
    if any(one.open for one in found.values()):
        told.append("Seeds that are still training count up to their last evaluation (Kaplan and Meier).")
    if any(one.never for one in found.values()):
        told.append("Seeds that diverged, failed, stopped early or were pruned before the target never reach it.")
    return told


def _profile(label: str, times: TimeToTarget, soonest: float) -> str:
    """`cosine: 4 of 5 seeds (95 % interval 28 … 99 %), median 12 epochs (10 … not known); within 1, 1.5, … times …`."""
    share = times.share
    sure = "" if share is None else f" (95 % interval {100 * share[1]:.0f} … {100 * share[2]:.0f} %)"
    told = f"{label}: {_hits(times)}{sure}"
    told += f", {times.open} still training" if times.open else ""
    if math.isinf(times.median):
        return f"{told}; not reached by half of the seeds."
    low, high = times.interval
    ends = [f"{end:,.4g}" if math.isfinite(end) else "not known" for end in (low, high)]
    told += f"; median {_time(times.median, times.part, ',.4g')} (95 % interval {ends[0]} … {ends[1]})"
    factors = ", ".join(f"{factor:g}" for factor in PROFILE)
    within = ", ".join(f"{100 * times.reached_by(factor * soonest):.0f}" for factor in PROFILE)
    return f"{told}; within {factors} times the fastest median: {within} %."


UNITS: Mapping[Part, str] = {"epoch": "epochs", "step": "steps", "evaluation": "evaluations", "seconds": "seconds"}


def _time(value: float, part: Part, form: str) -> str:
    """`1 epoch`, `2.5 epochs`, `1,200 steps`."""
    text = f"{value:{form}}"
    return f"{text} {UNITS[part].removesuffix('s') if text == '1' else UNITS[part]}"


def _out_of(times: TimeToTarget) -> str:
    """`2 of 3`, for tables."""
    return f"{len(times.times)} of {times.seeds}"


def _hits(times: TimeToTarget) -> str:
    """`2 of 3 seeds`, for sentences."""
    return f"{len(times.times)} of {counted(times.seeds, 'seed')}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


def _column(heading: str, target: Target, part: Part, form: Callable[[float], str], key: str) -> Column[Group]:
    def text(group: Group) -> str:
        found = time_to_target(group, target, part)
        if found is None:
            return "–"
        said = form(found.median) if math.isfinite(found.median) else "not reached"
        return said if not (found.times and found.missed) else f"{said} ({_out_of(found)} reached it)"

    def numbers(group: Group) -> dict[str, Any]:
        found = time_to_target(group, target, part)
        if found is None:
            return {key: None, f"{key}_low": None, f"{key}_high": None, "reached_target": 0}
        parts = (
            {key: found.median, f"{key}_low": found.interval[0], f"{key}_high": found.interval[1]}
            if found.times
            else {}
        )
        told = {name: _number(parts.get(name, math.inf), part) for name in (key, f"{key}_low", f"{key}_high")}
        return {**told, "reached_target": len(found.times)}

    return Column(heading, text, numbers)


def _number(value: float, part: Part) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if part != "seconds" and value.is_integer() else value


def _stays(target: Target, part: Part) -> Column[Group]:
    """The first evaluation from which on the target holds to the end."""

    def value(group: Group) -> float | None:
        return time_to_stay(group, target, part)

    def text(group: Group) -> str:
        found = value(group)
        return "–" if found is None else f"{found:,.4g}" if math.isfinite(found) else "not at the end"

    name = f"{UNITS[part]}_to_stay"
    unit = "updates" if part == "step" else UNITS[part]
    return Column(f"{unit} to stay there", text, lambda g: {name: _number(value(g) or math.inf, part)})


def _share(target: Target, groups: Sequence[Group], part: Part) -> Column[Group]:
    """How many seeds reach the target, with the interval of their share, and the performance profile as numbers."""
    soonest = fastest(arrivals(target, groups, part))

    def text(group: Group) -> str:
        found = time_to_target(group, target, part)
        if found is None:
            return "–"
        share = found.share
        return _out_of(found) + ("" if share is None else f" ({100 * share[1]:.0f} … {100 * share[2]:.0f} %)")

    def numbers(group: Group) -> dict[str, Any]:
        found = time_to_target(group, target, part)
        share = None if found is None else found.share
        low, high = (None, None) if share is None else share[1:]
        told = {"begun": 0 if found is None else found.seeds, "reached_low": low, "reached_high": high}
        known = found is not None and math.isfinite(soonest)
        return told | {
            f"reached_within_{factor:g}": found.reached_by(factor * soonest) if found is not None and known else None
            for factor in PROFILE
        }

    return Column("seeds that reach it", text, numbers)


def _area(target: Target, groups: Sequence[Group]) -> Column[Group]:
    """The mean level of the curve of the target's metric."""
    measure, found = target.measure, areas(groups, target.measure)
    heading = f"mean {in_words(measure.name)} over the run"
    name = f"mean_{measure.name}"
    text = {label: measure.text(level) for label, level in found.items()}
    return Column(heading, lambda g: text.get(g.label, "–"), lambda g: {name: found.get(g.label)})
