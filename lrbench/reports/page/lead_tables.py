"""The tables that the page opens with: families at their best learning rates, or groups side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lrbench.analysis import Finalist, Group, Optimum, Row, optimum, rate_text
from lrbench.components import Measure
from lrbench.reports import comparison_columns
from lrbench.reports.family_table import families_table
from lrbench.reports.page.chart_data import id_of
from lrbench.reports.page.leads import MOST_COLOURED, Lead, family_id
from lrbench.reports.tables import EMPTY, Column, distinct, table
from lrbench.reports.tables import Table as _Table

MOST_FAMILIES = 12
"""Rows of the table of families that are shown at first."""
MOST_GROUPS, MOST_RATES, MOST_COLUMNS = 12, 24, 6

MOST_TALL = 8
"""More rows have one line each."""

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A row of a lead table: what it is of, the place of its colour, its cells as lines, and its estimate."""

    kind: str
    id: str
    best: str
    slot: int | None
    cells: Sequence[Sequence[str]]
    whisker: Whisker | None = None


@dataclass(frozen=True)
class LeadTable:
    """A table beside the lead figure: its columns as heading and alignment, its rows, and what all rows share."""

    caption: str
    columns: Sequence[tuple[str, bool]]
    lines: Sequence[Line]
    same: str = ""
    whiskers: bool = False

    @property
    def dense(self) -> bool:
        """Whether there are so many rows that each has one line."""
        return len(self.lines) > MOST_TALL


@dataclass(frozen=True)
class Whisker:
    """An estimate on the scale that all rows of a table share: fractions of its width; None at a cut end.

    `known` is whether there is an interval: not of one seed.
    """

    centre: float
    low: float | None
    high: float | None
    known: bool


def families(lead: Lead) -> LeadTable | None:
    """Return a row for each family, the best first; None without families."""
    found = lead.section.best
    if found is None or len(found.finalists) < 2:
        return None
    made = families_table(found)
    columns = [column for column in made.columns if column.heading not in _ELSEWHERE and column.name != "optimum"]
    order = {id(family): at for at, (family, _) in enumerate(lead.families)}
    finalists = sorted(made.rows, key=lambda one: order.get(id(one.family), len(order)))
    rows = [None if known is None else known[1] for known in map(found.row, finalists)]
    cells = [[_family_cell(column, one, found.measure) for column in columns] for one in finalists]
    same = _common_seeds(cells)
    if len(finalists) > MOST_TALL:
        cells = [[_in_a_line(column, cell) for column, cell in zip(columns, row, strict=True)] for row in cells]
    lines = [
        Line(
            "family",
            family_id(one.family),
            "" if one.chosen is None else id_of(one.chosen.group),
            slot if slot < MOST_COLOURED else None,
            cells[slot],
            mark,
        )
        for slot, (one, mark) in enumerate(zip(finalists, _whiskers(rows, found.measure), strict=True))
    ]
    headings = [(column.heading, column.right) for column in columns]
    shared = ", ".join(filter(None, (same, made.same.removeprefix("The same in all rows: ").rstrip("."))))
    shared = f"The same in all rows: {shared}." if shared else ""
    return LeadTable("Families of learning rates", headings, lines, shared, any(line.whisker for line in lines))


_ELSEWHERE = ("rates tried", "runs", "updates")
"""Columns of what the tuning took, which the notes tell; the optimum stands with the best learning rate."""


def _family_cell(column: Column[Finalist], one: Finalist, measure: Measure) -> list[str]:
    """Return the lines of a cell; those of the best learning rate with its optimum, or that it is at an end."""
    if column.name != "lr" or one.chosen is None:
        return column.lines(one)
    if one.edge:
        return [rate_text(one.chosen.lr), f"the {one.edge} tried"]
    told = optimum(one.family, measure)
    if not isinstance(told, Optimum):
        return [rate_text(one.chosen.lr)]
    return [rate_text(one.chosen.lr), f"★ {rate_text(told.lr)} ({rate_text(told.low)} … {rate_text(told.high)})"]


def _in_a_line(column: Column[Finalist], lines: list[str]) -> list[str]:
    """Return what a cell shows in one line: the answer with its difference, of others what comes first."""
    return lines[: 2 if column.decides else 1]


def _common_seeds(cells: Sequence[Sequence[list[str]]]) -> str:
    """Take `, 2 seeds` out of all cells if it is in all; return it."""
    told = {match.group(1) for row in cells for cell in row for line in cell if (match := _SEEDS.search(line))}
    having = sum(any(_SEEDS.search(line) for cell in row for line in cell) for row in cells)
    if len(told) != 1 or having != len(cells):
        return ""
    for row in cells:
        for cell in row:
            cell[:] = [_SEEDS.sub("", line) for line in cell]
    return told.pop()


_SEEDS = re.compile(r", (\d+ seeds?)$")


def groups(lead: Lead) -> LeadTable | None:
    """Return a row for each group side by side, the best first; the learning rates of one family in their order."""
    members, measure = lead.groups, lead.question.measure
    if len(members) < 2 or measure is None:
        return None
    rates = bool(lead.question.families)
    if rates:
        members = tuple(point.group for point in lead.question.families[0].points)
    compared = lead.section.comparison
    extra = [] if compared is None else comparison_columns.columns(compared)
    told = table(members, extra, measure).columns
    wanted = [c for c in told if _leads(c, measure) and not (rates and c.name.startswith(_NOT_OF_RATES))][:MOST_COLUMNS]
    columns = distinct(_Table(wanted, members), always=("run", measure.name)).columns
    rows = [None if compared is None else compared.row(group) for group in members]
    marks = _whiskers(rows, measure)
    best = None if compared is None else compared.best.group
    lines = [
        Line(
            "group", id_of(group), id_of(group), None, [[_name(group, rates, best)], *_lines(columns[1:], group)], mark
        )
        for group, mark in zip(members, marks, strict=True)
    ]
    most = MOST_RATES if rates else MOST_GROUPS
    headings = [("learning rate" if rates else "run", False), *((c.heading, c.right) for c in columns[1:])]
    return LeadTable("Learning rates" if rates else "Runs side by side", headings, lines[:most], "", any(marks))


def _name(group: Group, rates: bool, best: Group | None) -> str:
    if not rates or group.first.peak_lr is None:
        return group.short
    return f"{rate_text(group.first.peak_lr)}{' ○ best' if group is best else ''}"


_NOT_OF_RATES = ("status", "test_")


def _leads(column: Column[Group], measure: Measure) -> bool:
    test = column.name.startswith("test_") and not column.name.startswith("test_best_") and column.name != "test_loss"
    return column.decides or test or column.name in ("run", measure.name, "status", "verdict")


def _lines(columns: Sequence[Column[T]], row: T) -> list[list[str]]:
    return [column.lines(row) for column in columns]


def _whiskers(rows: Iterable[Row | None], measure: Measure) -> list[Whisker | None]:
    """Place the estimates of rows on one scale; intervals that reach far beyond all centres are cut."""
    found = list(rows)
    told = [row.estimate for row in found if row is not None and row.estimate is not None]
    if len(told) < 2:
        return [None] * len(found)
    logs = measure.by_ratio and min(one.centre for one in told) > 0

    def place(value: float) -> float:
        return math.log(value) if logs else value

    centres = [place(one.centre) for one in told]
    least, most = min(centres), max(centres)
    room = max(most - least, (math.log(1.2) if logs else 0.05 * abs(most))) or 1.0
    ends = [place(end) for one in told for end in (one.low, one.high) if end is not None and (end > 0 or not logs)]
    low, high = max(min([least, *ends]), least - 0.7 * room), min(max([most, *ends]), most + 0.7 * room)
    width = (high - low) or 1.0

    def share(value: float | None) -> float | None:
        if value is None or (logs and value <= 0):
            return None
        at = (place(value) - low) / width
        return round(at, 4) if -1e-9 <= at <= 1 + 1e-9 else None

    made: list[Whisker | None] = []
    for row in found:
        one = None if row is None else row.estimate
        middle = None if one is None else share(one.centre)
        made.append(
            None
            if one is None or middle is None
            else Whisker(middle, share(one.low), share(one.high), one.low is not None)
        )
    return made


def facts(lead: Lead) -> list[tuple[str, str]]:
    """Return what is known of a single group: headings and texts, without those that repeat the last epoch's."""
    (group,) = lead.question.groups
    found = {c.heading: c.text(group) for c in table([group], (), lead.question.measure).columns if c.name != "run"}
    found = {heading: text for heading, text in found.items() if text != EMPTY}
    final = {heading: text for heading, text in found.items() if heading.startswith(("val ", "test "))}
    again = {h for h, text in found.items() if final.get(h.removeprefix("best ")) == text and h.startswith("best ")}
    again |= {h for h, text in found.items() if h.endswith(_OF_BEST) and found.get(h.removesuffix(_OF_BEST)) == text}
    told = [(heading, text) for heading, text in found.items() if heading not in again]
    return [*told, ("best epoch", "the last one")] if again else told


_OF_BEST = " of the best epoch"
