"""How runs are grouped: by experiment and version of the user's code, labelled, the best group first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lrbench.analysis.code_versions import version_of, versions
from lrbench.analysis.evaluations import Axis
from lrbench.analysis.groups import Group, axis_of
from lrbench.analysis.labels import group_naming
from lrbench.analysis.measures import default_metric, measures_of
from lrbench.analysis.records import Record
from lrbench.components import Measure
from lrbench.runs import Status


def grouped(records: Sequence[Record], metric: str | None = None, pool_code: bool = False) -> list[Group]:
    """Group runs, the best by a metric first (`Group.standing`), then those without: unfinished, pruned, lost, damaged.

    Runs that differ only in their seed are one group, except that confirmations are apart, and so are runs trained with
    different versions of the user's code, unless `pool_code`. If several programs trained the runs, labels name them.
    Without a metric, it is `default_metric`.
    """
    members: dict[str, list[Record]] = {}
    for record in records:
        if record.status is not Status.COPY:
            members.setdefault(record.group, []).append(record)
    for group in members.values():
        group.sort(key=lambda r: (r.plain.get("seed") or 0, r.folder.name))
    measures, axis = measures_of(records), axis_of(records)
    naming = group_naming([group[0] for group in members.values()])
    groups = [
        replace(part, short=_with(part.part, naming.shorts[at]), told=naming.told(at))
        for at, (label, group) in enumerate(zip(naming.labels, members.values(), strict=True))
        for part in parts(label, group, measures, pool_code, axis)
    ]
    measure = measures.get(metric or default_metric(records))
    return sorted(groups, key=lambda group: (*_rank(group, measure), group.label))


def parts(
    label: str,
    records: Sequence[Record],
    measures: Mapping[str, Measure],
    pool_code: bool = False,
    axis: Axis = "epoch",
) -> list[Group]:
    """Group the runs of one experiment by the version of the user's code, unless `pool_code`; confirmations apart."""
    names = {} if pool_code else versions(records)
    found: dict[str, tuple[Record, ...]] = {}
    for record in records:
        told = [names.get(version_of(record), ""), "confirmation" if record.confirms else ""]
        part = ", ".join(filter(None, told))
        found[part] = (*found.get(part, ()), record)
    return [Group(_with(part, label), group, measures, part, axis) for part, group in found.items()]


def renamed(groups: Sequence[Group]) -> list[Group]:
    """Return a part of a report's groups with short names that tell these apart: in a family, the learning rates."""
    places: dict[str, int] = {}
    for group in groups:
        places.setdefault(group.first.group, len(places))
    firsts = {group.first.group: group.first for group in reversed(groups)}
    naming = group_naming([firsts[key] for key in places])
    found = [(group, places[group.first.group]) for group in groups]
    return [replace(one, short=_with(one.part, naming.shorts[at]), told=naming.told(at)) for one, at in found]


def _with(part: str, name: str) -> str:
    return f"{name} ({part})" if part else name


_ORDER = list(Status)


def _rank(group: Group, measure: Measure | None) -> tuple[float, ...]:
    if measure is not None and group.counted(measure.name):
        return 0, *group.standing(measure)
    return (1 + max(_ORDER.index(record.status) for record in group.records),)
