"""The columns that a comparison adds to the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lrbench.analysis import Comparison, Group, Row, default_metric
from lrbench.reports.sentences import against, interval
from lrbench.reports.tables import Column

LONGEST = 28
"""Characters of a label in a heading in a terminal."""


def columns(comparison: Comparison) -> list[Column]:
    """Return a comparison's columns: interval, interquartile mean, difference and answer, ranks."""
    if comparison.single:
        return []
    measure, text, column = comparison.measure, comparison.measure.text, partial(_column, comparison)
    records = [record for row in comparison.rows for record in row.group.records]
    default = measure.name == default_metric(records)  # its means are always in the table
    asked_for = column(
        f"compared: {measure.words}",
        lambda row: text(row.centre) if row.n else "–",
        lambda row: {"metric": measure.name, **_of_estimate(row, centre="centre", median="median")},
    )
    of, named = ("", "") if default else (f" of {measure.words}", f" in {measure.words}")
    difference = f"against {comparison.against.group.short}{named}"
    return [
        *([] if default else [asked_for]),
        column(f"95 % interval{of}", lambda row: interval(row, measure), _interval_numbers),
        column(
            f"interquartile mean{of}",
            lambda row: text(row.estimate.iqm) if row.estimate else "–",
            lambda row: _of_estimate(row, iqm="iqm"),
        ),
        column(difference, lambda row: against(row, comparison), _difference_numbers),
        *([column("rank", _rank, _rank_numbers)] if comparison.ranked else []),
    ]


def brief(comparison: Comparison) -> list[Column]:
    """Return only the answers, for a terminal."""
    if comparison.single:
        return []
    label = comparison.against.group.short
    heading = f"against {label if len(label) <= LONGEST else label[: LONGEST - 1] + '…'}"
    return [_column(comparison, heading, lambda row: row.answer.word if row.answer else "–", _difference_numbers)]


def _column(
    comparison: Comparison, heading: str, text: Callable[[Row], str], numbers: Callable[[Row], dict[str, Any]]
) -> Column:
    def of(group: Group) -> str:
        row = comparison.row(group)
        return "–" if row is None else text(row)

    empty = dict.fromkeys(numbers(comparison.against))

    def numbers_of(group: Group) -> dict[str, Any]:
        row = comparison.row(group)
        return empty if row is None else numbers(row)

    return Column(heading, of, numbers_of)


def _interval_numbers(row: Row) -> dict[str, Any]:
    return {"n": row.n, **_of_estimate(row, interval_low="low", interval_high="high")}


def _of_estimate(row: Row, **names: str) -> dict[str, Any]:
    """Return attributes of a row's estimate by the names of their columns; None without an estimate."""
    return {column: getattr(row.estimate, name, None) for column, name in names.items()}


def _difference_numbers(row: Row) -> dict[str, Any]:
    ends = ("difference", "difference_low", "difference_high")
    numbers: dict[str, Any] = dict.fromkeys((*ends, "relative", "pairs", "p", "p_corrected", "p_lost", "answer"))
    if (found := row.difference) is not None:
        if found.n:
            values = found.relative if found.logs else (found.mean, found.low, found.high)
            numbers |= {**dict(zip(ends, values, strict=True)), "relative": found.logs, "pairs": found.n, "p": found.p}
        numbers["p_lost"] = None if found.failures is None else found.failures.p
    if (answer := row.answer) is not None:
        numbers |= {"p_corrected": answer.p, "answer": answer.word}
    return {**numbers, "p_permutation": row.permutation, "lost": row.lost}


def _rank(row: Row) -> str:
    if row.ranks is None:
        return "–"
    low, high = row.ranks
    return str(low) if low == high else f"{low}–{high}"


def _rank_numbers(row: Row) -> dict[str, Any]:
    return dict(zip(("rank_best", "rank_worst"), row.ranks or (None, None), strict=True))
