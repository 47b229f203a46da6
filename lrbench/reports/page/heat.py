"""The heat map: the measure by learning rate and another key, or by two other keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import Family, Point, Question, estimate, key_words, rate_text, value_text
from lrbench.components import Measure
from lrbench.reports.page.chart_data import id_of

LEVELS = 7
"""Colours of a heat map."""
MOST_CELLS = 14
"""Columns of a heat map."""


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heat map: its group, its text, its colour from 0 to `LEVELS` − 1, whether it is its row's
    best, and a second line.
    """

    id: str = ""
    text: str = ""
    level: int | None = None
    best: bool = False
    what: str = ""
    below: str = ""


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
    rows, edges = [], {"": "", "lowest": "←", "highest": "→"}
    for values, family in _ordered(question):
        best, cells = family.best(measure), {}
        for point in family.by_rate(measure):
            centre = point.centre(measure)
            cells[point.lr] = HeatCell(
                id_of(point.group),
                _text(point, measure) + (f" {edges[family.edge(measure)]}" if point is best else ""),
                level(centre),
                point is best,
                point.group.short,
            )
        name = value_text(values[0]) if len(values) == 1 else family.label
        rows.append((name, [cells.get(rate, HeatCell()) for rate in rates]))
    other = key_words(question.keys[0]) if len(question.keys) == 1 else "family"
    caption = f"{_capital(measure.words)} by learning rate and {other}"
    return Heat(caption, "learning rate", other, [rate_text(rate) for rate in rates], rows)


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
            rate = f"at {rate_text(point.lr)}"
            text = _brief(measure, centre)
            cells.append(HeatCell(id_of(point.group), text, level(centre), centre == top, point.group.short, rate))
        rows.append((name, cells))
    first, second = map(key_words, question.keys)
    caption = f"{_capital(measure.words)} at the best learning rate, by {first} and {second}"
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


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _centres(family: Family, measure: Measure) -> list[float]:
    return [value for point in family.points if (value := point.centre(measure)) is not None]


def _text(point: Point, measure: Measure) -> str:
    """`0.18`; `0.18 (1 of 3)` if the others are lost, `lost` if all are."""
    values, lost = point.values(measure), point.lost(measure)
    told = estimate(list(values), logs=measure.by_ratio)
    if told is None:
        return "lost" if lost else ""
    return _brief(measure, told.centre) + (f" ({len(values)} of {len(values) + lost})" if lost else "")


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
