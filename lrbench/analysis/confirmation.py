"""Families of learning rates, each at its own best one, compared by fresh seeds that chose none of them.

The best of many learning rates looks better than it is, and more so the more were tried. Runs with fresh seeds are free
of that. What is left is how much tuning each family had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lrbench.analysis.answers import Word
from lrbench.analysis.comparison import Comparison, Row, compare_groups
from lrbench.analysis.estimates import CONFIDENCE, mean, quantile
from lrbench.analysis.groups import Group
from lrbench.analysis.lengths import planned_steps
from lrbench.analysis.records import Record
from lrbench.analysis.sensitivity import Edge, Family, Point
from lrbench.analysis.tasks import task
from lrbench.components import Measure
from lrbench.runs import Status

UNEQUAL = 1.25
"""Families whose runs or updates differ by more than this factor were not tuned equally."""


@dataclass(frozen=True)
class Tuning:
    """What it took to choose a family's learning rate.

    Attributes:
        rates: the number of learning rates tried.
        runs: the number of runs that were begun.
        updates: the updates of all of them; None if a program does not tell. Pruned runs count as far as they got, and
            diverged ones in full, since they were given their whole budget.
    """

    rates: int
    runs: int
    updates: int | None

    @classmethod
    def of(cls, family: Family) -> Tuning:
        """Count the runs of a family."""
        begun = [r for point in family.points for r in point.group.records if r.status is not Status.PENDING]
        each = [_updates(record) for record in begun]
        known = [updates for updates in each if updates is not None]
        total = sum(known) if len(known) == len(each) else None
        return cls(len({point.lr for point in family.points}), len(begun), total)


@dataclass(frozen=True)
class Finalist:
    """A family at its best learning rate.

    Attributes:
        family: the family.
        chosen: its best learning rate, and the seeds that chose it; None if no learning rate has a value.
        fresh: the fresh seeds of that learning rate, labelled as the family; None without any.
        tuning: what it took to choose it.
        edge: whether it is the lowest or the highest learning rate tried, so that a better one may lie beyond.
    """

    family: Family
    chosen: Point | None
    fresh: Group | None
    tuning: Tuning
    edge: Edge

    @property
    def label(self) -> str:
        """The family's label."""
        return self.family.label

    @property
    def waiting(self) -> int:
        """The number of fresh seeds that were begun and have no result yet."""
        return 0 if self.fresh is None else sum(not _over(record) for record in self.fresh.records)


@dataclass(frozen=True)
class Confirmation:
    """The comparison of families by fresh seeds alone.

    Attributes:
        measure: what they are compared by.
        finalists: the families, in the order given.
        comparisons: one for each task of which at least two families have fresh seeds. None is made before all fresh
            seeds are over, since those that diverge are over first.
        others: fresh seeds that are in none of them, since their learning rate is not the best (any more), or they were
            trained with another version of the user's code.
        waiting: the number of fresh seeds without a result yet.
    """

    measure: Measure
    finalists: tuple[Finalist, ...]
    comparisons: tuple[Comparison, ...]
    others: tuple[Group, ...]
    waiting: int

    @property
    def unequal(self) -> bool:
        """Whether a family that is compared had more learning rates, runs or updates than another."""
        return not equally_tuned(one for one in self.finalists if one.fresh is not None)

    def row(self, finalist: Finalist) -> tuple[Comparison, Row] | None:
        """Return the comparison that a finalist is in, and its row there; None if it is in none."""
        for comparison in self.comparisons:
            if finalist.fresh is not None and (row := comparison.row(finalist.fresh)) is not None:
                return comparison, row
        return None

    def word(self, finalist: Finalist) -> Word | None:
        """Return how a family compares with the reference; None for the reference itself, or if it is not compared.

        One that is worse at the learning rate that was chosen for it is `undecided` if another one may be as good as
        the reference: one of its `rivals`, or one beyond the edge of those tried.
        """
        known = self.row(finalist)
        if known is None or known[1].answer is None:
            return None
        doubtful = self._is_worse(finalist) and (finalist.edge or self.rivals(finalist))
        return "undecided" if doubtful else known[1].answer.word

    def _is_worse(self, finalist: Finalist) -> bool:
        known = self.row(finalist)
        answer = None if known is None else known[1].answer
        return answer is not None and answer.word in ("worse", "probably worse")

    def rivals(self, finalist: Finalist) -> tuple[float | None, ...]:
        """Return the other learning rates at which a family that is worse may be as good as the reference.

        They are those which the seeds that chose do not tell from the chosen one well enough: the 95% interval of the
        difference between the two reaches as far as the family is worse. Of single seeds nothing is known, so it is the
        neighbours.
        """
        known, chosen = self.row(finalist), finalist.chosen
        difference = None if known is None else known[1].difference
        if not self._is_worse(finalist) or chosen is None or difference is None or not difference.n:
            return ()
        points = finalist.family.points
        near = {id(point) for at, point in enumerate(points) if chosen in points[max(at - 1, 0) : at + 2]}
        others = [point for point in points if point is not chosen and point.centre(self.measure) is not None]
        return tuple(
            point.lr
            for point in others
            if _may_gain(point, chosen, self.measure, abs(difference.mean), difference.logs, id(point) in near)
        )


def _may_gain(point: Point, chosen: Point, measure: Measure, much: float, logs: bool, near: bool) -> bool:
    """Whether a point may be better than the chosen one by so much (of the logarithm with `logs`)."""
    if point.lost(measure) > chosen.lost(measure):
        return False
    one, other = (list(p.values(measure)) for p in (point, chosen))
    if logs and min(*one, *other) > 0:
        one, other = ([math.log(value) for value in values] for values in (one, other))
    worse = measure.sign * (mean(one) - mean(other))
    freedom = len(one) + len(other) - 2
    if not freedom:
        return near
    squares = math.fsum((v - mean(values)) ** 2 for values in (one, other) for v in values)
    error = math.sqrt(squares / freedom * (1 / len(one) + 1 / len(other)))
    return quantile(1 - CONFIDENCE, freedom) * error - worse >= much


def confirmation(
    families: Iterable[Family], fresh: Sequence[Group], measure: Measure, *, pending: int = 0
) -> Confirmation | None:
    """Match fresh seeds with the families whose best learning rate they have, and compare these.

    Args:
        families: families without the fresh seeds.
        fresh: groups of fresh seeds; of one learning rate there are several if the user's code changed.
        measure: what the best learning rates are chosen by, and compared by.
        pending: the number of fresh seeds that were not even begun.

    Returns:
        The comparison; None without fresh seeds.
    """
    if not fresh:
        return None
    finalists = tuple(finalist(family, fresh, measure) for family in families)
    used = {record.folder.path for one in finalists if one.fresh for record in one.fresh.records}
    others = tuple(group for group in fresh if group.first.folder.path not in used)
    waiting = pending + sum(one.waiting for one in finalists)
    tasks: dict[str, list[Group]] = {}
    for one in finalists:
        if one.fresh is not None:
            tasks.setdefault(task(one.fresh), []).append(one.fresh)
    several = [groups for groups in tasks.values() if len(groups) > 1 and any(g.values(measure.name) for g in groups)]
    made = [] if waiting else [compare_groups(groups, measure.name) for groups in several]
    return Confirmation(measure, finalists, tuple(one for one in made if one is not None), others, waiting)


def equally_tuned(finalists: Iterable[Finalist]) -> bool:
    """Whether no family had more learning rates, or clearly more runs or updates, than another."""
    tunings = [one.tuning for one in finalists]
    if len({one.rates for one in tunings}) > 1:
        return False
    counts = [[one.runs for one in tunings], [one.updates for one in tunings if one.updates is not None]]
    return not any(max(count) > UNEQUAL * min(count) for count in counts if count)


def finalist(family: Family, fresh: Sequence[Group], measure: Measure) -> Finalist:
    """Return a family at its best learning rate, with the most of the groups of fresh seeds that have it."""
    best = family.best(measure)
    mine = [] if best is None else [group for group in fresh if _experiment(group) == _experiment(best.group)]
    most = max(mine, key=lambda group: len(group.records), default=None)
    found = None if most is None else replace(most, label=family.label, short=family.label)
    return Finalist(family, best, found, Tuning.of(family), family.edge(measure))


def _experiment(group: Group) -> str:
    return next((record.group for record in group.records if record.experiment is not None), group.first.group)


def _over(record: Record) -> bool:
    return record.status.over and record.status is not Status.PRUNED  # those beside a pruned one are a selection


def _updates(record: Record) -> int | None:
    planned = planned_steps(record)
    if record.status is Status.DIVERGED and planned:
        return planned
    if record.result is not None and record.result.steps is not None:
        return record.result.steps
    steps = record.epochs.known("step")
    return int(steps.max()) if len(steps) else None if record.foreign else 0
