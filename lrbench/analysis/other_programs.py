"""What weakens a comparison with runs of other programs, in words; each only where it is true."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lrbench.analysis.budgets import ROUGHLY
from lrbench.analysis.evaluations import Axis
from lrbench.analysis.groups import Group, axis_of
from lrbench.analysis.tasks import task
from lrbench.components import Measure

MOST_NAMED = 4
_OF_THE_RUN = {"best", "min", "max", "lowest", "highest"}


def doubts(groups: Sequence[Group], measure: Measure) -> list[tuple[str, str]]:
    """Return what weakens a comparison of groups by a metric, if another program trained any of them.

    Each has a code of one word, for programs, and a sentence.
    """
    foreign = [group for group in groups if group.foreign]
    if not foreign:
        return []
    found = [
        ("different_programs", _programs(groups)),
        ("no_seeds", _without_seed(foreign)),
        ("seed_unused", _seed_unused(foreign, measure)),
        *(("stale", text) for text in _stale(foreign, measure)),
        *(("best_of_run", text) for text in _of_the_run(foreign, measure)),
        *(("noted", text) for text in _notes(foreign)),
        *(("different_code", text) for text in _changed(foreign)),
        ("unequal_intervals", _intervals(groups, measure)),
        ("several_machines", _machines(foreign)),
    ]
    return [(code, text) for code, text in found if text]


def names(groups: Sequence[Group]) -> str:
    """List the labels of groups, the first few of many."""
    rest = len(groups) - MOST_NAMED
    return ", ".join(group.short for group in groups[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _programs(groups: Sequence[Group]) -> str:
    programs = list({_script(group) or _program(group): _program(group) for group in reversed(groups)}.values())[::-1]
    if len(programs) < 2:
        return ""
    more = f" and {len(programs) - MOST_NAMED} more" if len(programs) > MOST_NAMED else ""
    tasks = {task(group) for group in groups}
    data = "" if len(tasks) == 1 and "" not in tasks else "have evaluated on other data or "
    listed = "; ".join(programs[:MOST_NAMED]) + more
    return f"Different programs trained these runs ({listed}). They may {data}compute the metric in another way."


def _script(group: Group) -> str | None:
    """Return the Python file that trained a group, by its name, so that a script alone and in a command are one."""
    if not group.foreign:
        return None
    words = group.first.plain.get("command") or group.first.environment.plain.get("arguments")
    if isinstance(words, str):
        words = words.split()
    found = [word for word in words or () if isinstance(word, str) and word.endswith(".py")]
    return found[0].replace("\\", "/").rpartition("/")[2] if found else None


def _program(group: Group) -> str:
    command = group.first.plain.get("command")
    if not group.foreign:
        return "lrbench"
    if command is None:
        script = group.first.environment.plain.get("arguments")
        known = script[0] if isinstance(script, list) and script and isinstance(script[0], str) else group.first.name
        return f"{known}, {group.first.source}"
    text = command if isinstance(command, str) else shlex.join(map(str, command))
    return text if len(text) <= 60 else f"{text[:59]}…"


def _without_seed(groups: Sequence[Group]) -> str:
    found = [group for group in groups if sum(r.plain.get("seed") is None for r in group.records) > 1]
    of = "" if len(found) == len(groups) else f" of {names(found)}"
    return f"No seeds are known{of}, so each repeat counts as an independent run." if found else ""


def _seed_unused(groups: Sequence[Group], measure: Measure) -> str:
    """Describe groups whose seeds all came to exactly the same value, as if the program did not use the seed."""
    found = [
        group for group in groups if len(values := group.values(measure.name)) > 1 and len({*values.values()}) == 1
    ]
    if not found:
        return ""
    said = f"All seeds of {names(found)} have exactly the same {measure.words}"
    return f"{said}: if the program does not use its seed, they are one run, and nothing is known of the spread."


def _stale(groups: Sequence[Group], measure: Measure) -> Iterable[str]:
    """Describe groups whose last evaluation came well before their end."""
    if measure.section != "final":
        return
    for group in groups:
        for record in (one for one in group.records if one.status.complete):
            rows, end = record.epochs, None if record.result is None else record.result.steps
            steps = rows["step"][rows.measured(measure.name)]
            if end and len(steps) and ROUGHLY * float(max(steps)) < end:
                told = f"The {measure.words} of {group.short} is that of step {max(steps):,.0f}"
                yield f"{told}: its runs went on to step {end:,} without another one."
                break


def _of_the_run(groups: Sequence[Group], measure: Measure) -> Iterable[str]:
    """Describe metrics whose name or column says that they are the best of the run so far."""
    by = _by(groups, lambda group: _column(group, measure))
    for column, members in by.items():
        if _OF_THE_RUN & set(re.split(r"[^a-z]+", column.lower())):
            named = f"The {measure.words} of {names(members)} is '{column}'"
            yield f"{named}: by its name, the best of the run, not the last."


def _column(group: Group, measure: Measure) -> str:
    """Return the name of a metric in the program's own log, as far as it is known."""
    told = (group.first.plain.get("metrics") or {}).get(measure.key)
    column = told.get("column") if isinstance(told, Mapping) else told
    return str(column or measure.metric.name)


def _notes(groups: Sequence[Group]) -> Iterable[str]:
    told: dict[str, list[Group]] = {}
    for group in groups:
        for note in dict.fromkeys(note for record in group.records for note in record.recorded.notes):
            told.setdefault(note, []).append(group)
    every = "all runs"
    return [
        f"{every if len(members) == len(groups) else names(members)}: {note.rstrip('.')}."
        for note, members in told.items()
    ]


def _changed(groups: Sequence[Group]) -> Iterable[str]:
    """Describe files of a command that are others in some of its runs."""
    for members in _by(groups, _program).values():
        files = sorted({name for group in members for name in _files(group)})
        for name in files:
            versions = _by(members, lambda group, name=name: _files(group).get(name, "none")[:7])  # type: ignore[misc]
            if len(versions) > 1:
                told = "; ".join(f"{version}: {names(same)}" for version, same in versions.items())
                yield f"{name} changed between these runs ({told})."


def _files(group: Group) -> Mapping[str, str]:
    files = group.first.plain.get("files")
    return {str(k): str(v) for k, v in files.items()} if isinstance(files, Mapping) else {}


def _intervals(groups: Sequence[Group], measure: Measure) -> str:
    """Describe evaluations that some groups have more often than others."""
    axis = axis_of([record for group in groups for record in group.records])
    every = [(found, group) for group in groups if (found := _interval(group, measure, axis)) is not None]
    if axis == "evaluation" or not every or max(every, key=_first)[0] <= ROUGHLY * min(every, key=_first)[0]:
        return ""
    by = _by([group for _, group in every], lambda group: f"{_interval(group, measure, axis):,.4g}")
    told = "; ".join(f"every {count} {axis}{'s' * (count != '1')}: {names(same)}" for count, same in by.items())
    return f"Evaluated at different intervals ({told}). Best values, verdicts and times to a target depend on that."


def _first(pair: tuple[float, Group]) -> float:
    return pair[0]


def _interval(group: Group, measure: Measure, axis: Axis) -> float | None:
    """Return the median distance of a group's evaluations; None with fewer than two."""
    column = measure.key if measure.section in ("final", "best") else f"val_{measure.metric.name}"
    for record in group.records:
        places = record.places(axis)
        if places is not None and column in record.epochs:
            there = places[record.epochs.measured(column)]
            if len(there) > 1:
                return float(np.median(np.diff(there)))
    return None


def _machines(groups: Sequence[Group]) -> str:
    records = [record for group in groups for record in group.records]
    hosts = sorted({str(host) for r in records if (host := r.environment.plain.get("host"))})
    if len(hosts) < 2:
        return ""
    listed = ", ".join(hosts[:MOST_NAMED]) + (f" and {len(hosts) - MOST_NAMED} more" if len(hosts) > MOST_NAMED else "")
    return f"These runs ran on {len(hosts)} machines ({listed}), so their times can't be compared."


def _by(groups: Iterable[Group], key: Callable[[Group], str]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(key(group), []).append(group)
    return found
