"""The columns that a comparison adds to the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lrbench.analysis import Comparison, Group, MoreSeeds, Row, cut, default_metric
from lrbench.reports.sentences import apart, interval
from lrbench.reports.tables import EMPTY, Column

LONGEST = 28
"""Characters of a label in a heading."""


def columns(comparison: Comparison) -> list[Column[Group]]:
    """Return a comparison's columns: difference and answer, interval, interquartile mean, ranks, seeds to decide."""
    if comparison.single:
        return []
    rows = {id(row.group): row for row in comparison.rows}
    measure, text, column = comparison.measure, comparison.measure.text, partial(_column, rows)
    asked_for = column(
        f"compared: {measure.words}",
        lambda row: text(row.centre) if row.n else EMPTY,
        lambda row: {"metric": measure.name, **_of_estimate(row, centre="centre", median="median")},
        name="centre",
        shown=False,  # the metric has a column
    )
    records = [record for row in comparison.rows for record in row.group.records]
    default = measure.name == default_metric(records)  # its means are always in the table
    of = "" if default else f" of {measure.words}"
    return [
        *([] if default else [asked_for]),
        column(f"95 % interval{of}", lambda row: interval(row, measure), _interval_numbers, name="interval"),
        column(
            f"interquartile mean{of}",
            lambda row: text(row.estimate.iqm) if row.estimate else EMPTY,
            lambda row: _of_estimate(row, iqm="iqm"),
            name="iqm",
        ),
        column(
            heading(comparison),
            lambda row: difference_text(row, comparison),
            _difference_numbers,
            lines=lambda row: difference_lines(row, comparison),
            name="difference",
            decides=True,
        ),
        column("rank", _rank, _rank_numbers, name="rank", shown=comparison.ranked),
        column("seeds to decide", _more, _more_numbers, name="more_seeds"),
    ]


def difference_lines(row: Row, comparison: Comparison) -> list[str]:
    """Return the answer in a few words, for a table: `worse` and `+59 % (41 … 79)`, or `worse` and `6 of 6 lost`.

    The group that the others are compared with is `best` or, if the user chose it, `baseline`; a dash with too few
    seeds.
    """
    if row is comparison.against:
        return ["baseline" if comparison.chosen else "best"]
    if row.difference is None or row.answer is None:
        return [EMPTY]
    lost = f"{row.lost} of {row.ended} lost"
    if not row.difference.n:
        return [row.answer.word, lost]
    more = f"; {lost}" if row.difference.failures and row.difference.failures.excess else ""
    return [row.answer.word, f"{apart(row.difference, comparison.measure)}{more}"]


def difference_text(row: Row, comparison: Comparison) -> str:
    """Return the same on a line: `+59 % (41 … 79), worse`."""
    word, *much = difference_lines(row, comparison)
    if not much:
        return word
    return f"{word} ({much[0]})" if row.difference is None or not row.difference.n else f"{much[0]}, {word}"


def heading(comparison: Comparison) -> str:
    """`against the best`, or `against baseline` if the user chose it."""
    return f"against {cut(comparison.against.group.short, LONGEST) if comparison.chosen else 'the best'}"


def _column(
    rows: dict[int, Row],
    heading: str,
    text: Callable[[Row], str],
    numbers: Callable[[Row], dict[str, Any]],
    lines: Callable[[Row], list[str]] | None = None,
    **more: Any,
) -> Column[Group]:
    def of(group: Group) -> str:
        row = rows.get(id(group))
        return EMPTY if row is None else text(row)

    def lines_of(group: Group) -> list[str]:
        row = rows.get(id(group))
        return [EMPTY] if row is None else [text(row)] if lines is None else lines(row)

    empty = dict.fromkeys(numbers(next(iter(rows.values()))))

    def numbers_of(group: Group) -> dict[str, Any]:
        row = rows.get(id(group))
        return empty if row is None else numbers(row)

    return Column(heading, of, numbers_of, lines_of, **more)


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


def _wanted(row: Row) -> MoreSeeds | None:
    return None if row.answer is None else row.answer.more_seeds


def _more(row: Row) -> str:
    """`8 (3 … 20)`; a dash if it is decided, or for more than a thousand."""
    if (wanted := _wanted(row)) is None:
        return EMPTY
    high = "more than 1,000" if wanted.high is None else str(wanted.high)
    return f"{wanted.count}" + (f" ({wanted.low} … {high})" if wanted.high != wanted.low else "")


def _more_numbers(row: Row) -> dict[str, Any]:
    wanted, names = _wanted(row), ("more_seeds", "more_seeds_low", "more_seeds_high")
    values = (None, None, None) if wanted is None else (wanted.count, wanted.low, wanted.high)
    return dict(zip(names, values, strict=True))


def _rank(row: Row) -> str:
    if row.ranks is None:
        return EMPTY
    low, high = row.ranks
    return str(low) if low == high else f"{low}–{high}"


def _rank_numbers(row: Row) -> dict[str, Any]:
    return dict(zip(("rank_best", "rank_worst"), row.ranks or (None, None), strict=True))
