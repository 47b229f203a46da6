"""The sections of a report: a question for each task, with what decides it and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lrbench.analysis import (
    AtBest,
    Comparison,
    Confirmation,
    Family,
    Group,
    Question,
    Row,
    at_best,
    compare_groups,
    confirmation,
    questions,
    task_of,
)
from lrbench.reports import prose


@dataclass(frozen=True)
class Section:
    """A question and its answer.

    Attributes:
        question: what the runs of one task were made to answer.
        comparison: what decides. Of several families, each is at its own best learning rate, under the family's label:
            by fresh seeds if there are any, else by those that chose it. Otherwise it is of all groups side by side.
            None if nothing has a value.
        best: the families at their best learning rates, with their tuning; None without families.
    """

    question: Question
    comparison: Comparison | None
    best: AtBest | None = None

    @cached_property
    def title(self) -> str:
        """The question in a few words, such as `Learning rate by batch size`."""
        return prose.title(self.question)

    @cached_property
    def answer(self) -> tuple[str, ...]:
        """At most three short sentences."""
        return prose.told(self).answer

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What else there is to know: doubts, how the families were tuned, and what is known of each."""
        return prose.told(self).notes

    def row(self, family: Family) -> Row | None:
        """Return a family's row in the comparison; None if it is not in it."""
        if self.comparison is None or self.best is None or len(self.best.finalists) < 2:
            return None
        return next((row for row in self.comparison.rows if row.group.label == family.label), None)


def sections(groups: Sequence[Group], metric: str, comparison: Comparison | None) -> tuple[Section, ...]:
    """Answer the questions of a report.

    Args:
        groups: all groups of the report, the best first, fresh seeds too.
        metric: what decides where a task has it.
        comparison: of all groups, if they have one task.
    """
    fresh = [group for group in groups if group.first.confirms]
    asked = questions(groups, metric)
    alone = len(asked) == 1
    return tuple(
        section_of(one, [g for g in fresh if alone or task_of(g) == one.task], comparison if alone else None)
        for one in asked
    )


def section_of(question: Question, fresh: Sequence[Group] = (), comparison: Comparison | None = None) -> Section:
    """Answer one question.

    Args:
        question: the question.
        fresh: fresh seeds of its families' best learning rates.
        comparison: of all its groups, if it is made already.
    """
    measure = question.measure
    if measure is None:
        return Section(question, None)
    if question.families:
        return of_families(question, confirmation(question.families, fresh, measure), comparison)
    return Section(question, compare_groups(question.groups, measure.name) if comparison is None else comparison)


def of_families(question: Question, fresh: Confirmation | None, comparison: Comparison | None = None) -> Section:
    """Answer a question about families, each at its own best learning rate.

    Args:
        question: the question.
        fresh: the families compared by fresh seeds, if there are any.
        comparison: of all its groups, if it is made already; it may name a baseline.
    """
    assert question.measure is not None  # else there were no families
    found = at_best(question.families, question.measure, fresh, baseline=_baseline(question, comparison))
    if len(question.families) > 1:
        return Section(question, found.comparisons[0] if found.comparisons else None, found)
    whole = compare_groups(question.groups, question.measure.name) if comparison is None else comparison
    return Section(question, whole, found)


def _baseline(question: Question, comparison: Comparison | None) -> str | None:
    """Return the family that the user's baseline belongs to."""
    if comparison is None or not comparison.chosen:
        return None
    mine = comparison.against.group.first.group
    found = [f.label for f in question.families if any(point.group.first.group == mine for point in f.points)]
    return found[0] if found else None
