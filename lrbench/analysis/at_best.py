"""Families of learning rates, each at its own best one, compared: by fresh seeds if there are any.

Without fresh seeds, the seeds that chose the learning rates compare them too, which flatters all families alike if they
tried equally many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrbench.analysis.answers import Word
from lrbench.analysis.comparison import Comparison, Row, compare_groups
from lrbench.analysis.confirmation import Confirmation, Finalist, equally_tuned, finalist
from lrbench.analysis.groups import Group
from lrbench.analysis.sensitivity import Family
from lrbench.analysis.tasks import task
from lrbench.components import Measure


@dataclass(frozen=True)
class AtBest:
    """Families at their best learning rates.

    Attributes:
        measure: what they are compared by.
        finalists: the families, in the order given.
        comparisons: one for each task with at least two families, the tasks in `tasks`; by fresh seeds, one for each
            task of which two families have them.
        tasks: what the families of each comparison are trained on; empty by fresh seeds.
        fresh: the comparison by fresh seeds, if there are any, though perhaps not enough to compare by them.
    """

    measure: Measure
    finalists: tuple[Finalist, ...]
    comparisons: tuple[Comparison, ...]
    tasks: tuple[str, ...] = ()
    fresh: Confirmation | None = None

    @property
    def by_fresh_seeds(self) -> bool:
        """Whether fresh seeds compare the families, rather than those that chose their learning rates."""
        return self.fresh is not None and bool(self.fresh.comparisons)

    @property
    def equally_tuned(self) -> bool:
        """Whether no family that has a best learning rate had more learning rates, runs or updates than another."""
        return equally_tuned(one for one in self.finalists if one.chosen is not None)

    def row(self, one: Finalist) -> tuple[Comparison, Row] | None:
        """Return the comparison that a family is in, and its row there; None if it is in none."""
        if self.fresh is not None and self.by_fresh_seeds:
            return self.fresh.row(one)
        found = ((c, row) for c in self.comparisons for row in c.rows if row.group.label == one.label)
        return next(found, None)

    def word(self, one: Finalist) -> Word | None:
        """Return how a family compares; None for the reference itself, or if it is not compared."""
        if self.fresh is not None and self.by_fresh_seeds:
            return self.fresh.word(one)
        known = self.row(one)
        return None if known is None or known[1].answer is None else known[1].answer.word

    def rivals(self, one: Finalist) -> tuple[float | None, ...]:
        """Return the other learning rates at which a family that is worse by fresh seeds may be as good."""
        return self.fresh.rivals(one) if self.fresh is not None and self.by_fresh_seeds else ()


def at_best(
    families: Sequence[Family], measure: Measure, fresh: Confirmation | None = None, *, baseline: str | None = None
) -> AtBest:
    """Compare families at their best learning rates, those of one task with each other.

    Args:
        families: the families, without fresh seeds.
        measure: what the best learning rates are chosen by, and compared by.
        fresh: the comparison of the same families by fresh seeds, which decides if it compares any.
        baseline: label of the family to compare with, without fresh seeds; the best one if None.
    """
    if fresh is not None and fresh.comparisons:
        return AtBest(measure, fresh.finalists, fresh.comparisons, fresh=fresh)
    finalists = fresh.finalists if fresh is not None else tuple(finalist(family, (), measure) for family in families)
    members: dict[str, list[Group]] = {}
    for one in finalists:
        if one.chosen is not None:
            members.setdefault(task(one.chosen.group), []).append(
                replace(one.chosen.group, label=one.label, short=one.label)
            )
    told = {
        name: compare_groups(groups, measure.name, baseline if any(g.label == baseline for g in groups) else None)
        for name, groups in members.items()
        if len(groups) > 1
    }
    made = {name: comparison for name, comparison in told.items() if comparison is not None}
    tasks = tuple(made) if len(members) > 1 else ("",) * len(made)
    return AtBest(measure, finalists, tuple(made.values()), tasks, fresh)
