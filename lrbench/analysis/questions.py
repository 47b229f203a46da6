"""What runs were made to answer: one run's story, curves side by side, the best learning rate, or how it depends.

A report opens with the answer to this question. Runs of different tasks are asked about apart, since their losses
can't be compared. Run folders alone tell the question; a sweep's plan is not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lrbench.analysis.groups import Group
from lrbench.analysis.labels.values import PARAMS
from lrbench.analysis.measures import default_metric, measures_of
from lrbench.analysis.sensitivity import Family, families
from lrbench.analysis.swept_keys import renamed_parts, swept_keys
from lrbench.analysis.tasks import task, tasks_of
from lrbench.components import Measure
from lrbench.config import size_kind, without_rate
from lrbench.runs import Status

Kind = Literal["run", "curves", "rates", "grid", "schedules", "lengths"]
"""What is asked.

- run: how did this run go?
- curves: how do these runs compare, side by side?
- rates: which learning rate is best, in each family?
- grid: how does the best learning rate depend on one other key, such as the batch size?
- schedules: which schedule is best, each at its own best learning rate?
- lengths: how does the best learning rate move with the length of training?
"""

MANY_RATES = 5
"""So many learning rates of one family are a sweep, even if each has a name of its own."""
LEAST_SWEPT = 3
"""So many learning rates of a single family are a sweep; of two, curves tell more."""
SCHEDULES = frozenset({"schedule", "warmup", "plateau"})
_FOREIGN_SCHEDULES = frozenset({"schedule", "scheduler", "lr_schedule", "lr_scheduler", "lr_scheduler_type"})


@dataclass(frozen=True)
class Question:
    """What the runs of one task were made to answer.

    Attributes:
        kind: what is asked.
        task: the data set and the loss; empty if they are unknown.
        measure: what decides; None if no run can be read.
        groups: all groups of the task, the best first, without fresh seeds.
        families: families of learning rates, the best first; empty if the question is not about them. One whose runs
            have not ended has no best learning rate yet.
        keys: the config keys in which the families differ, without the learning rate: `("batch_size",)`. Of a grid,
            there is more than one only if they change together.
        values: of each family, the values of these keys.
        heat: the two axes of a heat map: the learning rate's key and another, or two others, where each cell is at its
            own best learning rate; empty if there are no two that are crossed.
        beside: groups that belong to no family, though others do.
    """

    kind: Kind
    task: str
    measure: Measure | None
    groups: tuple[Group, ...]
    families: tuple[Family, ...] = ()
    keys: tuple[str, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()
    heat: tuple[str, ...] = ()
    beside: tuple[Group, ...] = ()

    def value(self, family: Family) -> tuple[Any, ...]:
        """Return a family's values of the keys."""
        return next(values for one, values in zip(self.families, self.values, strict=True) if one is family)


def questions(groups: Sequence[Group], metric: str | None = None) -> list[Question]:
    """Return the questions that groups answer, one for each task, that with the most groups first.

    Args:
        groups: groups of a report, the best first; fresh seeds, which answer no question of their own, are left out
            unless there is nothing else, and so are damaged runs.
        metric: what decides; where no run of a task has it, and by default, it is the task's own default.
    """
    readable = [group for group in groups if any(r.status is not Status.DAMAGED for r in group.records)]
    known = [group for group in readable if not group.first.confirms] or readable
    asked: dict[tuple[bool, str], list[Group]] = {}
    apart = len(tasks_of(known)) > 1
    for group in known:
        asked.setdefault((group.foreign, task(group)) if apart else (False, ""), []).append(group)
    found = [_question(task(found[0]), found, metric) for found in asked.values()]
    return sorted(found, key=lambda one: (-len(one.groups), one.task))


def asked_of(found: Sequence[Family], groups: Sequence[Group], measure: Measure) -> Question:
    """Return the question that families of one task answer, the best first."""
    keys = _keys(found)
    values = _values(found, keys)
    kind = _kind(keys, values, found)
    inside = {id(point.group) for family in found for point in family.points}
    beside = tuple(group for group in groups if id(group) not in inside)
    name = task(groups[0])
    heat = _heat(kind, found, keys, values)
    return Question(kind, name, measure, tuple(groups), tuple(found), keys, values, heat, beside)


def _question(name: str, groups: Sequence[Group], metric: str | None) -> Question:
    records = [record for group in groups for record in group.records]
    has = metric is not None and any(record.measured(metric) for record in records)
    measure = measures_of(records).get(metric if has and metric else default_metric(records))
    if len(groups) == 1:
        return Question("run", name, measure, tuple(groups))
    found = [] if measure is None else families(_swept(groups), measure, 0)
    if measure is None or not found:
        return Question("curves", name, measure, tuple(groups))
    return asked_of(found, groups, measure)


def _swept(groups: Sequence[Group]) -> list[Group]:
    """Return the groups of families that a sweep made; none if most groups are in no such family.

    Groups to which people gave names of their own are meant to be seen side by side, unless there are many.
    """
    members: dict[str, list[Group]] = {}
    for group in groups:
        if group.first.experiment is not None:
            members.setdefault(without_rate(group.first.experiment), []).append(group)
    made = [found for found in members.values() if _is_sweep(found)]
    inside = [group for found in made for group in found]
    few = len(made) == 1 and len(_rates(made[0])) < LEAST_SWEPT
    return [] if few or 2 * len(inside) < len(groups) else inside


def _is_sweep(found: Sequence[Group]) -> bool:
    rates = len(_rates(found))
    (_, most), *_ = Counter(group.first.name for group in found).most_common(1)
    return rates >= MANY_RATES or (rates > 1 and 2 * most > len(found))


def _rates(found: Iterable[Group]) -> set[float]:
    return {group.first.peak_lr for group in found if group.first.peak_lr is not None}


def _keys(found: Sequence[Family]) -> tuple[str, ...]:
    """Return the keys in which families differ; parameters of a part whose name differs are left out."""
    keys = swept_keys(found)
    renamed = renamed_parts(keys)
    return tuple(key for key in keys if key.endswith(".name") or not key.startswith(renamed))


def _values(found: Sequence[Family], keys: Sequence[str]) -> tuple[tuple[Any, ...], ...]:
    """Return each family's values of the keys; its label where the same part has other parameters."""
    each = [tuple(_whole(family.first.identity_fields.get(key)) for key in keys) for family in found]
    if len(keys) != 1 or len(set(map(repr, each))) == len(each):
        return tuple(each)
    times = Counter(map(repr, each))
    return tuple(
        (family.label,) if times[repr(value)] > 1 else value for family, value in zip(found, each, strict=True)
    )


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kind(keys: Sequence[str], values: Sequence[Sequence[Any]], found: Sequence[Family]) -> Kind:
    if len(values) == 1 or not keys:
        return "rates"
    if all(_is_schedule(key) for key in keys):
        return "schedules"
    if len(keys) == 1 and _is_length(keys[0], found):
        return "lengths"
    return "grid" if len(keys) == 1 or _together(values) else "rates"


def _together(values: Sequence[Sequence[Any]]) -> bool:
    """Whether several numbers change together, such as a network's width and its number of heads."""
    columns = [_column(values, at) for at in range(len(values[0]))]
    return all(all(map(_number, column)) and len(set(column)) == len(values) for column in columns)


def _is_length(key: str, found: Sequence[Family]) -> bool:
    configs = [family.first.experiment for family in found]
    sizes = [one.sizes if one is not None else {} for one in configs]
    return all(any(key in size.keys and size_kind(name) == "length" for name, size in one.items()) for one in sizes)


def _is_schedule(key: str) -> bool:
    if key.startswith(PARAMS):
        return key.removeprefix(PARAMS).split(".")[0] in _FOREIGN_SCHEDULES
    return key.split(".")[0] in SCHEDULES


def _column(values: Sequence[Sequence[Any]], at: int) -> list[Any]:
    return [row[at] for row in values]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _heat(kind: Kind, found: Sequence[Family], keys: Sequence[str], values: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """Return the axes of a heat map: crossed, so that most of its cells are filled."""
    first = found[0].first
    if kind in ("grid", "lengths") and first.experiment is not None:
        return first.experiment.lr_key, keys[0]
    if kind != "rates" or len(keys) != 2:
        return ()
    one, other = (set(map(repr, _column(values, at))) for at in (0, 1))
    crossed = len(one) > 1 and len(other) > 1 and 2 * len(found) > len(one) * len(other)
    return tuple(keys) if crossed and len(found) > max(len(one), len(other)) else ()
