"""What runs were made to answer: one run's story, curves side by side, the best learning rate, or how it depends.

A report opens with the answer to this question. Runs of different tasks are asked about apart, since their losses
can't be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lrbench.analysis.groups import Group, task
from lrbench.analysis.records import default_metric, measures_of
from lrbench.analysis.sensitivity import Family, families
from lrbench.components import Measure

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
_LENGTHS = ("epochs", "steps")
_NOT_ASKED = ("seed", "run", "name")


@dataclass(frozen=True)
class Question:
    """What the runs of one task were made to answer.

    Attributes:
        kind: what is asked.
        task: the data set and the loss; empty if they are unknown.
        measure: what decides; None if no run has ended.
        groups: all groups of the task, the best first, without fresh seeds.
        families: families of learning rates, the best first; empty if the question is not about them.
        keys: the config keys in which the families differ, without the learning rate: `("batch_size",)`.
        values: of each family, the values of these keys.
    """

    kind: Kind
    task: str
    measure: Measure | None
    groups: tuple[Group, ...]
    families: tuple[Family, ...] = ()
    keys: tuple[str, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()


def questions(groups: Sequence[Group], metric: str | None = None) -> list[Question]:
    """Return the questions that groups answer, one for each task, that of the best-tried task first.

    Args:
        groups: groups of a report, the best first; fresh seeds, which answer no question of their own, are left out.
        metric: what decides; by default each task's own default.
    """
    asked: dict[str, list[Group]] = {}
    for group in groups:
        if not group.first.confirms:
            asked.setdefault(task(group), []).append(group)
    return sorted((_question(name, found, metric) for name, found in asked.items()), key=lambda one: -len(one.groups))


def _question(name: str, groups: Sequence[Group], metric: str | None) -> Question:
    records = [record for group in groups for record in group.records]
    measure = measures_of(records).get(metric or default_metric(records))
    if len(groups) == 1:
        return Question("run", name, measure, tuple(groups))
    found = [] if measure is None else _swept(groups, measure)
    if not found:
        return Question("curves", name, measure, tuple(groups))
    keys = _keys(found)
    values = tuple(tuple(family.points[0].group.first.identity_fields.get(key) for key in keys) for family in found)
    return Question(_kind(keys, found), name, measure, tuple(groups), tuple(found), keys, values)


def _swept(groups: Sequence[Group], measure: Measure) -> list[Family]:
    """Return the families, if most groups belong to one that a sweep made; names that a person gave are no sweep's."""
    found = families(groups, measure)
    made = [one for one in found if len({point.group.first.name for point in one.points}) == 1]
    whole = len(found) == 1 and len(found[0].points) == len(groups) >= MANY_RATES
    inside = sum(len(family.points) for family in made)
    return found if whole or 2 * inside >= len(groups) > 0 < inside else []


def _keys(found: Sequence[Family]) -> tuple[str, ...]:
    """Return the keys in which families differ; parameters of a part whose name differs are left out."""
    firsts = [family.points[0].group.first for family in found]
    fields = [first.identity_fields for first in firsts]
    rates = {first.experiment.lr_key for first in firsts if first.experiment}
    known = dict.fromkeys(key for one in fields for key in one if key not in (*_NOT_ASKED, *rates))
    differ = [key for key in known if len({repr(one.get(key)) for one in fields}) > 1]
    renamed = {key.removesuffix("name") for key in differ if key.endswith(".name")}
    return tuple(k for k in differ if k.endswith(".name") or not any(k.startswith(part) for part in renamed))


def _kind(keys: Sequence[str], found: Sequence[Family]) -> Kind:
    if len(found) == 1 or not keys:
        return "rates"
    if all(key.split(".")[0] in ("schedule", "warmup", "plateau") for key in keys):
        return "schedules"
    if set(keys) <= set(_LENGTHS):
        return "lengths"
    return "grid" if len(keys) == 1 else "rates"
