"""The content of a report and its summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from lrbench.analysis import (
    DEFAULT_METRIC,
    AtBest,
    Comparison,
    Confirmation,
    Family,
    Group,
    Record,
    Target,
    at_best,
    audited,
    default_metric,
    doubts,
    families,
    measures_of,
    mixed_code,
    task_of,
)
from lrbench.components import Measure, in_words
from lrbench.errors import counted
from lrbench.reports import comparison_columns, confirmation, method, sentences, tables, targets
from lrbench.reports.name_columns import by_keys, named
from lrbench.reports.range_tests import Tested
from lrbench.reports.sections import Section, sections
from lrbench.runs import Status, listed, tally


@dataclass(frozen=True)
class Shown:
    """The content of a report.

    Attributes:
        groups: the rows of the table, best first.
        records: every run found, including damaged ones.
        tests: every range test found.
        comparison: the groups compared with the best or the baseline; None if they can't be compared.
        target: what runs are to reach.
        metric: what the groups are ordered by.
        confirmed: families at their best learning rates, compared by a sweep's fresh seeds; None without any.
        asked: the table's columns by their names or headings; empty for those that tell something.
    """

    groups: Sequence[Group]
    records: Sequence[Record]
    tests: Sequence[Tested] = ()
    comparison: Comparison | None = None
    target: Target | None = None
    pool_code: bool = False
    metric: str = DEFAULT_METRIC
    confirmed: Confirmation | None = None
    asked: Sequence[str] = ()

    @property
    def runs(self) -> list[Record]:
        """The runs that count: all but copies of others."""
        return [record for record in self.records if record.status is not Status.COPY]

    @property
    def against(self) -> Group | None:
        """The group that the others are compared with."""
        return None if self.comparison is None else self.comparison.against.group

    @property
    def measure(self) -> Measure | None:
        """What the groups are compared by."""
        return None if self.comparison is None else self.comparison.measure

    @property
    def columns(self) -> list[tables.Column[Group]]:
        """The table's additional columns."""
        compared = [] if self.comparison is None else comparison_columns.columns(self.comparison)
        return [*compared, *(targets.columns(self.target, self.groups) if self.target else [])]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The questions that the runs answer, one for each task, and their answers."""
        return sections(self.groups, self.metric, self.comparison)

    @cached_property
    def members(self) -> tuple[tuple[Group, ...], ...]:
        """The groups of each section, each in one of them, fresh seeds with those of their task."""
        sections = {id(group): at for at, one in enumerate(self.sections) for group in one.question.groups}
        tasks = {one.question.task: at for at, one in reversed(list(enumerate(self.sections)))}
        place = {id(group): sections.get(id(group), tasks.get(task_of(group))) for group in self.groups}
        return tuple(
            tuple(group for group in self.groups if place[id(group)] == at) for at in range(len(self.sections))
        )

    @cached_property
    def table(self) -> tables.Table[Group]:
        """The table of the page and of Markdown. Raises UsageError if a column that is asked for does not exist."""
        return named(tables.table(self.groups, self.columns, self.measure, asked=self.asked))

    @property
    def brief_table(self) -> tables.Table[Group]:
        """The table of a terminal."""
        told = named(tables.table(self.groups, self.columns, self.measure, asked=self.asked, short=True))
        return told if self.asked else by_keys(told)

    def best(self, most: int | None) -> Shown:
        """Return the same with the first groups only, and the baseline that was asked for; with None, all of them."""
        if most is None or len(self.groups) <= most:
            return self
        kept = list(self.groups[:most])
        chosen = self.against if self.comparison is not None and self.comparison.chosen else None
        kept += [] if chosen is None or any(group is chosen for group in kept) else [chosen]
        return Shown(**{f.name: getattr(self, f.name) for f in fields(Shown)} | {"groups": kept})

    @cached_property
    def families(self) -> list[Family]:
        """Groups that differ only in the learning rate, the best family first; fresh seeds are apart."""
        measure = measures_of(self.records).get(self.metric)
        return [] if measure is None else families([g for g in self.groups if not g.first.confirms], measure)

    @property
    def tuned(self) -> list[AtBest]:
        """The families of each question at their best learning rates, compared, by fresh seeds if there are any."""
        found = [section.best for section in self.sections if section.best is not None]
        return found or ([] if self.confirmed is None else [at_best((), self.confirmed.measure, self.confirmed)])

    @property
    def at_best(self) -> AtBest | None:
        """Those of the first question; None without any."""
        return self.tuned[0] if self.tuned else None

    @property
    def warnings(self) -> list[str]:
        """What readers must not miss."""
        lines = [*sentences.code_mixed(mixed_code(self.records), self.pool_code), *off_schedule(self.groups)]
        lines += confirmation.warnings(self.confirmed)
        if self.comparison is None:
            return lines
        groups, measure = [row.group for row in self.comparison.rows], self.comparison.measure
        asked_for = all(section.question.kind == "lengths" for section in self.sections)
        found = None if asked_for else sentences.unequal(groups), sentences.chosen_on_test(measure)
        return [*lines, *(line for line in found if line), *(text for _, text in doubts(groups, measure))]

    @property
    def method(self) -> str | None:
        """How the comparison was made; None without one."""
        return None if self.comparison is None else method.method(self.comparison)


def off_schedule(groups: Sequence[Group]) -> list[str]:
    """Tell of groups whose learning rates, as far as their evaluations show, are not those that were meant."""
    wrong = {
        group.short: audit.faults[0]
        for group in groups
        for record in group.records
        if record.status.complete and (audit := audited(record, briefly=True)).faults
    }
    if not wrong:
        return []
    label, fault = next(iter(wrong.items()))
    others = f" and of {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [f"The learning rate of {label}{others} is not as meant ({fault.words}); see lrbench audit."]


def summary(shown: Shown) -> list[str]:
    """Return the answers, then what fresh seeds and a target add, and the runs that did not finish."""
    asked = shown.sections
    tasks = [section.question.task or "an unknown task" for section in asked]
    said = [_without_runs(shown.records)] if not asked else []
    if len(asked) > 1:
        said.append(f"These runs have different tasks ({'; '.join(tasks)}), so their losses can't be compared.")
    for section, name in zip(asked, tasks, strict=True):
        first, *others = section.answer
        said += [f"{name}: {first}" if len(asked) > 1 else first, *others]
    said += confirmation.words(shown.confirmed, alone=all(section.best is None for section in asked))
    said += _of_other_programs(shown)
    if shown.target is not None:
        said.append(targets.sentence(shown.target, shown.groups))
    states = tally((record.status, record.result) for record in shown.runs)
    finished = states.pop(Status.FINISHED.words, 0)
    if states and any(section.comparison is not None for section in asked):
        said.append(f"Of {counted(len(shown.runs), 'run')}, {finished:,} finished; the others: {listed(states)}.")
    return said


def _without_runs(records: Sequence[Record]) -> str:
    """Say why there is nothing to ask about: no run can be read."""
    damaged = sum(record.status is Status.DAMAGED for record in records)
    are = "is" if damaged == 1 else "are"
    return f"No run can be read: {damaged} of {len(records)} {are} damaged." if damaged else "No runs yet."


def _of_other_programs(shown: Shown) -> list[str]:
    """Say what trained runs that lrbench did not train, and what they are compared by if they have no loss."""
    sources = {record.source for record in shown.records if record.experiment is not None}
    if not any(sources):
        return []
    usual = default_metric(shown.records)
    lacking = usual == shown.metric != DEFAULT_METRIC
    said = [f"No run has a {in_words(DEFAULT_METRIC)}, so runs are compared by {in_words(usual)}."] if lacking else []
    if len(sources) > 1:
        return [*said, "Runs that lrbench did not train name their source in parentheses."]
    return [*said, f"lrbench did not train these runs; their source is {sources.pop()}."]
