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
    tasks_of,
)
from lrbench.components import Measure, in_words
from lrbench.reports import comparison_columns, confirmation, method, sentences, tables, targets
from lrbench.reports.name_columns import by_keys, named
from lrbench.reports.range_tests import Tested
from lrbench.reports.sections import Section, sections
from lrbench.runs import Status


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

    @cached_property
    def at_best(self) -> AtBest | None:
        """The families at their best learning rates, compared, by fresh seeds if there are any; None without any."""
        if self.confirmed is not None:
            return at_best((), self.confirmed.measure, self.confirmed)
        measure = measures_of(self.records).get(self.metric)
        return at_best(self.families, measure) if self.families and measure is not None else None

    @property
    def warnings(self) -> list[str]:
        """What readers must not miss."""
        lines = [*sentences.code_mixed(mixed_code(self.records), self.pool_code), *off_schedule(self.groups)]
        lines += confirmation.warnings(self.confirmed)
        if self.comparison is None:
            return lines
        groups, measure = [row.group for row in self.comparison.rows], self.comparison.measure
        found = sentences.unequal(groups), sentences.chosen_on_test(measure)
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
    return [f"The learning rate of {label}{others} is not the one that was meant ({fault.words}); see lrbench audit."]


def summary(shown: Shown) -> list[str]:
    """Summarise the comparisons, that by fresh seeds first, and the runs that did not finish."""
    records = shown.records
    tasks = sorted(tasks_of([group for group in shown.groups if group.spread(shown.metric)]))
    if len(tasks) > 1:
        said = [f"These runs have different tasks ({'; '.join(tasks)}), so their losses can't be compared."]
    elif shown.comparison is not None:
        first, *others = sentences.sentences(shown.comparison)
        fresh = shown.confirmed is not None and shown.confirmed.comparisons
        said = [*confirmation.words(shown.confirmed), f"By the other seeds, {first}" if fresh else first, *others]
    else:
        said = [_without_end(records)]
    said += _of_other_programs(shown)
    if shown.target is not None:
        said.append(targets.sentence(shown.target, shown.groups))
    states = [record.status for record in records]
    odd = {state: states.count(state) for state in dict.fromkeys(states) if state is not Status.FINISHED}
    if odd:
        listed = ", ".join(f"{n} {state.words}" for state, n in odd.items())
        said.append(f"Of {len(records)} runs, {len(records) - sum(odd.values())} finished; the others: {listed}.")
    return said


def _of_other_programs(shown: Shown) -> list[str]:
    """Say what trained runs that lrbench did not train, and what they are compared by if they have no loss."""
    sources = {record.source for record in shown.records if record.experiment is not None}
    if not any(sources):
        return []
    usual = default_metric(shown.records)
    lacking = usual == shown.metric != DEFAULT_METRIC
    said = [f"No run has a {in_words(DEFAULT_METRIC)}, so runs are compared by {in_words(usual)}."] if lacking else []
    if len(sources) > 1:
        return [*said, "Runs that lrbench did not train have in parentheses what did or what recorded them."]
    return [*said, f"lrbench did not train these runs; their source is {sources.pop()}."]


def _without_end(records: Sequence[Record]) -> str:
    if not records:
        return "No runs yet."
    if all(record.status is Status.DIVERGED for record in records):
        return "Every run diverged: try learning rates 10 times smaller, or lrbench find-lr."
    return "No run has finished yet."
