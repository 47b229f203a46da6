"""The tables that the page opens with: families at their best learning rates, groups side by side, a heat map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lrbench.analysis import Family, Group, Question, Row, rate_text, value_text
from lrbench.components import Measure
from lrbench.reports import comparison_columns
from lrbench.reports.family_table import families_table
from lrbench.reports.page.chart_data import id_of
from lrbench.reports.page.leads import MOST_COLOURED, Lead, family_id, key_words
from lrbench.reports.tables import EMPTY, Column, distinct, table
from lrbench.reports.tables import Table as _Table

MOST_FAMILIES = 12
"""Rows of the table of families that are shown at first."""
MOST_GROUPS, MOST_COLUMNS = 12, 6
LEVELS = 7
"""Colours of a heat map."""
MOST_CELLS = 14
"""Columns of a heat map."""

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


@dataclass(frozen=True)
class Whisker:
    """An estimate on the scale that all rows of a table share: fractions of its width; None at a cut end."""

    centre: float
    low: float | None
    high: float | None


def families(lead: Lead) -> LeadTable | None:
    """Return a row for each family, the best first; None without families."""
    found = lead.section.best
    if found is None:
        return None
    made = families_table(found)
    columns = [column for column in made.columns if column.name not in ("rates_tried", "runs", "updates")]
    order = {id(family): at for at, family in enumerate(lead.question.families)}
    finalists = sorted(made.rows, key=lambda one: order.get(id(one.family), len(order)))
    rows = [None if known is None else known[1] for known in map(found.row, finalists)]
    marks = _whiskers(rows, found.measure) if len(finalists) > 1 else [None] * len(finalists)
    lines = [
        Line(
            "family",
            family_id(one.family),
            "" if one.chosen is None else id_of(one.chosen.group),
            slot if slot < MOST_COLOURED else None,
            _lines(columns, one),
            mark,
        )
        for slot, (one, mark) in enumerate(zip(finalists, marks, strict=True))
    ]
    headings = [(column.heading, column.right) for column in columns]
    return LeadTable("Families of learning rates", headings, lines, made.same, any(marks))


def groups(lead: Lead) -> LeadTable | None:
    """Return a row for each group side by side, the best first; None of a single one."""
    members, measure = lead.groups, lead.question.measure
    if len(members) < 2 or measure is None:
        return None
    compared = lead.section.comparison
    extra = [] if compared is None else comparison_columns.columns(compared)
    whole = table(members, extra, measure)
    wanted = [c for c in whole.columns if _leads(c, measure)][:MOST_COLUMNS]
    told = distinct(_Table(wanted, members), always=("run", measure.name))
    rows = [None if compared is None else compared.row(group) for group in members]
    marks = _whiskers(rows, measure)
    ids = [id_of(group) for group in members]
    lines = [
        Line("group", one, one, None, _lines(told.columns, group), mark)
        for one, group, mark in zip(ids, members, marks, strict=True)
    ]
    return LeadTable(
        "Runs side by side", [(c.heading, c.right) for c in told.columns], lines[:MOST_GROUPS], "", any(marks)
    )


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
        made.append(None if one is None or middle is None else Whisker(middle, share(one.low), share(one.high)))
    return made


def facts(lead: Lead) -> list[tuple[str, str]]:
    """Return what is known of a single group: headings and texts."""
    (group,) = lead.question.groups
    made = table([group], (), lead.question.measure)
    return [(c.heading, c.text(group)) for c in made.columns if c.name not in ("run",) and c.text(group) != EMPTY]


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heat map: its group, its text, its colour from 0 to `LEVELS` − 1, and whether its row's best."""

    id: str = ""
    text: str = ""
    level: int | None = None
    best: bool = False
    what: str = ""


@dataclass(frozen=True)
class Heat:
    """A heat map as a table: its caption, its columns, and its rows with their headings."""

    caption: str
    across: str
    down: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]


def heat(question: Question) -> Heat | None:
    """Return learning rate × another key, or two other keys, each cell at its own best learning rate."""
    if not question.heat or question.measure is None:
        return None
    return _by_rate(question) if question.heat[1] == question.keys[0] else _by_two(question)


def _by_rate(question: Question) -> Heat | None:
    measure = question.measure
    assert measure is not None
    rates = sorted({point.lr for family in question.families for point in family.points if point.lr})
    if not 2 <= len(rates) <= MOST_CELLS:
        return None
    level = _level([v for family in question.families for v in _centres(family, measure)], measure)
    rows = []
    for values, family in _ordered(question):
        best, cells = family.best(measure), {}
        for point in family.points:
            centre, lost = point.centre(measure), point.lost(measure)
            text = _brief(measure, centre) if centre is not None else "lost" if lost else ""
            cells[point.lr] = HeatCell(id_of(point.group), text, level(centre), point is best, point.group.label)
        rows.append((", ".join(map(value_text, values)), [cells.get(rate, HeatCell()) for rate in rates]))
    caption = f"{measure.words.capitalize()} by learning rate and {_and(question.keys)}"
    return Heat(caption, "learning rate", _and(question.keys), [rate_text(rate) for rate in rates], rows)


def _by_two(question: Question) -> Heat | None:
    measure = question.measure
    assert measure is not None
    pairs = {(value_text(v[0]), value_text(v[1])): f for v, f in zip(question.values, question.families, strict=True)}
    down, across = (_unique(values[at] for values in question.values) for at in (0, 1))
    if len(across) > MOST_CELLS:
        return None
    best = {key: family.best(measure) for key, family in pairs.items()}
    centres = {key: None if one is None else one.centre(measure) for key, one in best.items()}
    level = _level([value for value in centres.values() if value is not None], measure)
    top = min((v for v in centres.values() if v is not None), key=lambda v: measure.sign * v, default=None)
    rows = []
    for name in down:
        cells = []
        for other in across:
            point, centre = best.get((name, other)), centres.get((name, other))
            if point is None or centre is None:
                cells.append(HeatCell(text="lost" if (name, other) in pairs else ""))
                continue
            text = f"{_brief(measure, centre)} at {rate_text(point.lr)}"
            cells.append(HeatCell(id_of(point.group), text, level(centre), centre == top, point.group.label))
        rows.append((name, cells))
    first, second = map(key_words, question.keys)
    caption = f"{measure.words.capitalize()} at the best learning rate, by {first} and {second}"
    return Heat(caption, second, first, across, rows)


def _ordered(question: Question) -> list[tuple[tuple[Any, ...], Family]]:
    """Return the families in the order of their values."""
    told = list(zip(question.values, question.families, strict=True))
    numeric = all(isinstance(v, int | float) for values, _ in told for v in values)
    return sorted(told, key=lambda one: one[0] if numeric else ()) if numeric else told


def _unique(values: Iterable[Any]) -> list[str]:
    found = list(dict.fromkeys(values))
    ordered = sorted(found) if all(isinstance(v, int | float) for v in found) else found
    return [value_text(value) for value in ordered]


def _and(keys: Sequence[str]) -> str:
    return " and ".join(map(key_words, keys))


def _centres(family: Family, measure: Measure) -> list[float]:
    return [value for point in family.points if (value := point.centre(measure)) is not None]


def _brief(measure: Measure, value: float) -> str:
    return f"{100 * value:.1f} %" if measure.form == "percent" else f"{value:.3g}"


def _level(values: Sequence[float], measure: Measure) -> Any:
    """Return a function from a value to its colour: `LEVELS` − 1 for the best, 0 for the worst."""
    logs = measure.by_ratio and all(value > 0 for value in values)
    costs = [measure.sign * (math.log(value) if logs else value) for value in values]

    def level(value: float | None) -> int | None:
        if value is None or not costs:
            return None
        cost = measure.sign * (math.log(value) if logs else value)
        share = (cost - min(costs)) / ((max(costs) - min(costs)) or 1.0)
        return round((LEVELS - 1) * (1 - min(share, 1.0)))

    return level
