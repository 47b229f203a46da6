"""The tables of all groups: one for each task, since ranks and answers across tasks mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.analysis import Comparison, Group, compare_groups
from lrbench.reports import comparison_columns, method, tables, targets
from lrbench.reports.name_columns import named
from lrbench.reports.sections import Section
from lrbench.reports.shown import Shown


@dataclass(frozen=True)
class Results:
    """The table of a section's groups, or of those that belong to none.

    Attributes:
        section: the section; None for groups of no section.
        table: its columns and rows, the best first.
        comparison: what its answers and ranks are of; None if nothing is compared.
        note: why an answer here may differ from that of the section; empty if none can.
    """

    section: Section | None
    table: tables.Table[Group]
    comparison: Comparison | None
    note: str = ""

    @property
    def task(self) -> str:
        """The task of its groups; empty if it is unknown."""
        return "" if self.section is None else self.section.question.task

    @property
    def method(self) -> str:
        """How its groups were compared; empty if they were not."""
        return (None if self.comparison is None else method.method(self.comparison)) or ""


def results(shown: Shown) -> list[Results]:
    """Return the tables of a report: a single one of all groups unless they have several tasks."""
    if len(shown.sections) < 2:
        section = next(iter(shown.sections), None)
        return [Results(section, shown.table, shown.comparison, _note(section, shown.comparison))]
    made = [_of_section(shown, one, groups) for one, groups in zip(shown.sections, shown.members, strict=True)]
    inside = {id(group) for groups in shown.members for group in groups}
    others = [group for group in shown.groups if id(group) not in inside]
    return [*made, *([Results(None, tables.table(others, asked=shown.asked), None)] if others else [])]


def _of_section(shown: Shown, section: Section, groups: Sequence[Group]) -> Results:
    measure, asked = section.question.measure, section.question.groups
    compared = None if measure is None else compare_groups(asked, measure.name)
    places = {} if compared is None else {id(row.group): at for at, row in enumerate(compared.rows)}
    ordered = sorted(groups, key=lambda group: places.get(id(group), len(places)))
    extra = [] if compared is None else comparison_columns.columns(compared)
    extra += [] if shown.target is None else targets.columns(shown.target, ordered)
    told = named(tables.table(ordered, extra, measure, asked=shown.asked))
    return Results(section, told, compared, _note(section, compared))


def heading(one: Results, *, alone: bool) -> str:
    """Return the heading of a table; `alone` if it is the only one of the report."""
    if alone:
        return "All runs"
    return f"All runs: {one.task}" if one.task else "Other runs"


def _note(section: Section | None, comparison: Comparison | None) -> str:
    """Say why a pair of runs may have another answer in the table than among the families."""
    found = None if section is None else section.best
    if comparison is None or comparison.single or found is None or len(found.finalists) < 2:
        return ""
    fresh = ", by fresh seeds" if found.by_fresh_seeds else ""
    with_what = "the baseline" if comparison.chosen else "the best one"
    return (
        f"This table compares {len(comparison.rows):,} settings with {with_what} and corrects for all of them. The "
        f"answer above compares only the families, each at its best learning rate{fresh}. A pair that is decided "
        "there may be undecided here."
    )
