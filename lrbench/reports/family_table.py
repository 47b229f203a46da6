"""The table of families: each at its own best learning rate, compared with the best one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lrbench.analysis import AtBest, Finalist, Group, NoOptimum, Optimum, optimum, rate_text
from lrbench.components import Measure
from lrbench.errors import counted
from lrbench.reports.comparison_columns import difference_lines, heading
from lrbench.reports.tables import EMPTY, Column, Table, distinct

ALWAYS = ("series", "lr", "chosen")


def families_table(found: AtBest) -> Table[Finalist]:
    """Return a row for each family, with the columns that tell something, the deciding one beside the value."""
    return distinct(Table(columns(found), found.finalists), always=ALWAYS)


def family_rows(found: AtBest) -> list[dict[str, Any]]:
    """Return a row for each family, with unrounded numbers: its choice, its fresh seeds, the answer, its tuning."""
    told = columns(found)
    return [{key: value for column in told for key, value in column.numbers(one).items()} for one in found.finalists]


def columns(found: AtBest) -> list[Column[Finalist]]:
    """Return every column: the best learning rate, the value there, the difference, where the optimum lies, tuning."""
    measure, value = found.measure, found.measure.name_in_short
    fresh = [_fresh(measure)] if found.fresh is not None else []
    chose = f"{value}, seeds that chose it" if fresh else value
    return [
        Column("family", lambda one: one.label, lambda one: {"series": one.label}, right=False, name="series"),
        Column(
            "best learning rate",
            _rate,
            lambda one: {"lr": None if one.chosen is None else one.chosen.lr, "edge": one.edge or None},
            name="lr",
        ),
        Column(chose, lambda one: _value(_chosen(one), measure), _chosen_numbers(measure),
               lambda one: _lines(_chosen(one), measure), name="chosen"),
        *fresh,
        _difference(found),
        Column("optimum, 95 % interval", lambda one: _optimum_text(one, measure), lambda one: _optimum(one, measure),
               name="optimum"),
        Column("rates tried", lambda one: str(one.tuning.rates), lambda one: {"rates_tried": one.tuning.rates}),
        Column("runs", lambda one: str(one.tuning.runs), lambda one: {"runs": one.tuning.runs}),
        Column(
            "updates",
            lambda one: EMPTY if one.tuning.updates is None else f"{one.tuning.updates:,}",
            lambda one: {"updates": one.tuning.updates},
        ),
    ]  # fmt: skip


def _chosen(one: Finalist) -> Group | None:
    return None if one.chosen is None else one.chosen.group


def _rate(one: Finalist) -> str:
    """`0.01`, or `0.1 (highest)` at an end of those tried."""
    if one.chosen is None:
        return "none"
    return rate_text(one.chosen.lr) + (f" ({one.edge})" if one.edge else "")


def _lines(group: Group | None, measure: Measure) -> list[str]:
    """`0.0297`, then `0.0287 … 0.0308, 5 seeds` and how many are lost."""
    if group is None:
        return [EMPTY]
    spread, lost = group.spread(measure.name), group.lost(measure.name)
    more = f"; {lost} lost" if lost else ""
    if spread is None:
        return [f"{EMPTY}{more}"]
    ends = f"{measure.text(spread.low)} … {measure.text(spread.high)}, " if spread.n > 1 else ""
    return [measure.text(spread.centre), f"{ends}{counted(spread.n, 'seed')}{more}"]


def _value(group: Group | None, measure: Measure) -> str:
    """`0.0297 (0.0287 … 0.0308, 5 seeds)`."""
    middle, *more = _lines(group, measure)
    return f"{middle} ({more[0]})" if more else middle


def _chosen_numbers(measure: Measure) -> Callable[[Finalist], dict[str, Any]]:
    def numbers(one: Finalist) -> dict[str, Any]:
        spread = None if one.chosen is None else one.chosen.group.spread(measure.name)
        told = {"chosen_by": 0 if spread is None else spread.n, "chosen_centre": spread and spread.centre}
        return {"metric": measure.name, **told}

    return numbers


def _fresh(measure: Measure) -> Column[Finalist]:
    def numbers(one: Finalist) -> dict[str, Any]:
        group, name = one.fresh, measure.name
        spread = None if group is None else group.spread(name)
        return {
            "fresh_seeds": 0 if group is None else len(group.records),
            "fresh_lost": 0 if group is None else group.lost(name),
            "fresh_centre": spread and spread.centre,
        }

    return Column(
        f"{measure.name_in_short}, fresh seeds",
        lambda one: _value(one.fresh, measure),
        numbers,
        lambda one: _lines(one.fresh, measure),
        name="fresh",
    )


def _difference(found: AtBest) -> Column[Finalist]:
    """The difference from the best family; its numbers include the interval of the fresh seeds."""

    def lines(one: Finalist) -> list[str]:
        known, word = found.row(one), found.word(one)
        if known is None:
            return [EMPTY]
        told, *much = difference_lines(known[1], known[0])
        return [word or told, *much]

    def text(one: Finalist) -> str:
        word, *much = lines(one)
        return f"{much[0]}, {word}" if much else word

    return Column(
        heading(found.comparisons[0]) if len(found.comparisons) == 1 else "against the best",
        text,
        lambda one: dict(_difference_numbers(found, one)),
        lines,
        name="difference",
        decides=True,
    )


def _difference_numbers(found: AtBest, one: Finalist) -> Iterator[tuple[str, Any]]:
    comparison, row = found.row(one) or (None, None)
    estimate = None if row is None else row.estimate
    if found.fresh is not None:
        yield from (("fresh_low", estimate and estimate.low), ("fresh_high", estimate and estimate.high))
    difference = None if row is None else row.difference
    decided = difference if difference is not None and difference.n else None
    yield "against", comparison and comparison.against.group.label
    effect: tuple[float, ...] | None = None if decided is None else (decided.mean, decided.low, decided.high)
    effect = tuple(1 + part for part in decided.relative) if decided is not None and decided.logs else effect
    yield "scale", None if decided is None else "ratio" if decided.logs else "difference"
    yield from zip(("effect", "effect_low", "effect_high"), effect or (None,) * 3, strict=True)
    yield "word", found.word(one)
    yield "rivals", [lr for lr in found.rivals(one) if lr is not None]
    yield "p", row.answer.p if row is not None and row.answer else None


def _told(one: Finalist, measure: Measure) -> Optimum | NoOptimum:
    return optimum(one.family, measure)


def _optimum_text(one: Finalist, measure: Measure) -> str:
    """`0.0041 (0.0029 … 0.0058)`: the minimum of the curve and its interval; why there is none in a few words."""
    found = _told(one, measure)
    if isinstance(found, NoOptimum):
        return EMPTY
    return f"{rate_text(found.lr)} ({rate_text(found.low)} … {rate_text(found.high)})"


def _optimum(one: Finalist, measure: Measure) -> dict[str, Any]:
    found, names = _told(one, measure), ("optimum", "optimum_low", "optimum_high", "no_optimum")
    if isinstance(found, NoOptimum):
        return dict(zip(names, (None, None, None, found.reason), strict=True))
    return dict(zip(names, (found.lr, found.low, found.high, None), strict=True))
