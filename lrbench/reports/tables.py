"""The comparison as a table, with the same columns in the terminal, Markdown, LaTeX, CSV and the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from lrbench.analysis import Group, Spread, default_metric, duration, measures_of
from lrbench.components import Measure, in_words
from lrbench.errors import UsageError, nearest, option

EMPTY = "–"
"""The text of a cell without a value."""

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A heading, and a row's text and numbers under it.

    Attributes:
        heading: what stands above it.
        text: a row's cell.
        numbers: the same, unrounded, by the names that CSV and JSON give them.
        short: the lines of the cell in a terminal, if it has several.
        right: whether it is aligned to the right.
        name: what `--columns` calls it, besides its heading; the first of its numbers if empty.
        decides: whether it tells what the table is for, and so stands beside the value that is compared.
        shown: whether tables for people have it without being asked.
    """

    heading: str
    text: Callable[[T], str]
    numbers: Callable[[T], dict[str, Any]]
    short: Callable[[T], list[str]] | None = None
    right: bool = True
    name: str = ""
    decides: bool = False
    shown: bool = True

    def lines(self, row: T) -> list[str]:
        """Return the cell's lines in a terminal."""
        return [self.text(row)] if self.short is None else self.short(row)

    def key(self, row: T) -> str:
        """Return what `--columns` calls it."""
        return self.name or next(iter(self.numbers(row)), self.heading)


def _spread(spread: Spread | None, form: Callable[[float], str], part: str = "centre") -> str:
    if spread is None:
        return EMPTY
    middle = form(getattr(spread, part))
    return middle if spread.n == 1 else f"{middle} ({form(spread.low)} … {form(spread.high)})"


def _metric(measure: Measure) -> Column[Group]:
    name, text, short = measure.name, measure.text, measure.metric.short

    def numbers(group: Group) -> dict[str, Any]:
        spread = group.spread(name)
        parts = {"": "centre", "_median": "median", "_low": "low", "_high": "high"}
        return {name + end: None if spread is None else getattr(spread, part) for end, part in parts.items()}

    def lines(group: Group) -> list[str]:
        """Write the range and the published value on lines of their own."""
        spread, published = group.spread(name), group.reference.get(name)  # only test_… can be published
        told = [EMPTY if spread is None else text(spread.centre)]
        if spread is not None and spread.n > 1:
            told.append("–".join(dict.fromkeys((short(spread.low), short(spread.high)))))
        return [*told, *([] if published is None else [f"publ. {text(published)}"])]

    return Column(heading_of(measure), lambda group: _spread(group.spread(name), text), numbers, lines, name=name)


def heading_of(measure: Measure) -> str:
    """`val loss`, `test loss of the best epoch`."""
    return measure.name_in_short


def _published(measure: Measure) -> Column[Group]:
    def text(group: Group) -> str:
        value = group.reference.get(measure.name)
        return EMPTY if value is None else measure.text(value)

    name = f"published_{measure.name}"
    return Column(f"published {heading_of(measure)}", text, lambda g: {name: g.reference.get(measure.name)}, name=name)


def verdict(group: Group) -> str:
    """`converged` or `converged (7 of 8)`; a dash before the end of the runs."""
    found = group.verdict()
    if found is None:
        return EMPTY
    label, count, of = found.verdict.label, found.having, found.of
    return label if count == of else f"{label} ({count} of {of})"


_RUN = Column[Group]("run", lambda g: g.short, lambda g: {"run": g.label}, right=False, name="run")
_FACTS = (
    Column[Group]("seeds", lambda g: str(len(g.records)), lambda g: {"seeds": len(g.records)}, name="seeds"),
    Column[Group]("status", Group.status, lambda g: {"status": g.status()}, right=False, name="status"),
    Column[Group](
        "verdict",
        verdict,
        lambda g: {"verdict": None if (v := verdict(g)) == EMPTY else v},
        right=False,
        name="verdict",
    ),
)
_SOURCE = Column[Group](
    "source",
    lambda g: g.first.source or "lrbench",
    lambda g: {"source": g.first.source or "lrbench"},
    name="source",
    shown=False,  # labels name other programs
)
_TIME = Column[Group](
    "training time",
    lambda g: _spread(g.seconds(), duration, "median"),
    lambda g: {"seconds": None if (spent := g.seconds()) is None else spent.median},
    lambda g: [EMPTY if (spent := g.seconds()) is None else duration(spent.median)],
    name="seconds",
)


def every(
    groups: Sequence[Group], extra: Sequence[Column[Group]] = (), compared: Measure | None = None
) -> list[Column[Group]]:
    """Return every column in the order of CSV, those that are empty or not shown too; `extra` ones are the last."""
    records = [record for group in groups for record in group.records]
    usual, known = default_metric(records), measures_of(records)
    asked = {usual, compared.name if compared else usual}
    shown = [measure for name, measure in known.items() if not name.startswith("train_") or name in asked]
    published = [_published(measure) for measure in shown if measure.section == "test"]
    source = [_SOURCE] if any(group.foreign for group in groups) else []
    return [_RUN, *_FACTS, *source, *map(_metric, shown), *published, _TIME, *extra]


@dataclass(frozen=True)
class Table(Generic[T]):
    """Columns over rows.

    Attributes:
        columns: the columns that tell rows apart.
        rows: the rows.
        same: what all rows have in common, in place of columns; empty if there is nothing.
    """

    columns: Sequence[Column[T]]
    rows: Sequence[T]
    same: str = ""

    @property
    def cells(self) -> list[list[str]]:
        """The text of each row's cells."""
        return [[column.text(row) for column in self.columns] for row in self.rows]


def table(
    groups: Sequence[Group],
    extra: Sequence[Column[Group]] = (),
    compared: Measure | None = None,
    *,
    short: bool = False,
    asked: Sequence[str] = (),
) -> Table[Group]:
    """Return the columns that tell something, the deciding ones first, or those that are asked for.

    Args:
        groups: the rows.
        extra: more columns, such as those of a comparison.
        compared: the metric that decides, by default the validation loss; its column is always there.
        short: whether few columns are wanted, for a terminal.
        asked: columns by their names or headings, in this order, instead; `all` for every one.

    Raises:
        UsageError: there is no such column.
    """
    found = every(groups, extra, compared)
    if asked:
        return Table(chosen(found, groups, asked), groups)
    records = [record for group in groups for record in group.records]
    usual = compared.name if compared else default_metric(records)
    odd = any(group.status() != "finished" for group in groups)
    judged = any(verdict(group) != EMPTY for group in groups) or not all(group.foreign for group in groups)
    telling = {"status": odd, "verdict": not short and judged, "seeds": any(len(g.records) > 1 for g in groups)}
    kept = [c for c in found if telling.get(c.name, c.shown) and (not short or _for_a_terminal(c, usual))]

    def place(column: Column[Group]) -> int:
        """The name, what is compared and how it compares, then facts, what else the comparison tells, and the rest."""
        if column.name in ("run", usual) or column.decides:
            return 1 if column.decides else 0
        return 2 if column in _FACTS else 3 if column in extra else 4

    told = distinct(Table(sorted(kept, key=place), groups), always=("run", usual))
    return replace(told, columns=_few_metrics(told.columns)) if short else told


def distinct(whole: Table[T], always: Iterable[str] = ()) -> Table[T]:
    """Leave out columns that are empty in all rows, and say once what is the same in all; `always` ones stay."""
    kept, same = [], []
    for column in whole.columns:
        texts = {column.text(row) for row in whole.rows}
        if column.name in always or (column.decides and texts != {EMPTY}):
            kept.append(column)
        elif texts == {EMPTY}:
            continue
        elif len(whole.rows) > 1 and len(texts) == 1:
            text = texts.pop()
            seeds = f"{text} seed{'s' * (text != '1')}"
            same.append(seeds if column.name == "seeds" else f"{column.heading} {text}")
        else:
            kept.append(column)
    return Table(kept, whole.rows, f"The same in all rows: {', '.join(same)}." if same else "")


def _for_a_terminal(column: Column[Group], usual: str) -> bool:
    name = column.name
    metric = name.startswith("test_") and not name.startswith("test_best_")
    return metric or column.decides or name in ("run", "seeds", "status", "seconds", "val_loss", usual)


MOST_METRICS = 3  # columns of test metrics in a terminal


def _few_metrics(columns: Sequence[Column[Group]]) -> Sequence[Column[Group]]:
    """Return the columns with those of test metrics besides the loss made one, if they are too many for a terminal."""
    many = [c for c in columns if c.name.startswith("test_") and c.name != "test_loss" and not c.decides]
    if len(many) <= MOST_METRICS:
        return columns

    def lines(group: Group) -> list[str]:
        told = [(column.heading.removeprefix("test "), column.lines(group)[0]) for column in many]
        return [f"{name} {text}" for name, text in told if text != EMPTY] or [EMPTY]

    merged: Column[Group] = Column(
        "test metrics", lambda group: ", ".join(lines(group)), lambda _: {}, lines, right=False, name="test_metrics"
    )
    at = columns.index(many[0])
    return [*columns[:at], merged, *(column for column in columns[at:] if column not in many)]


def chosen(
    columns: Sequence[Column[T]], rows: Sequence[T], asked: Sequence[str], *, numbers: bool = False
) -> list[Column[T]]:
    """Return columns by their names or headings, in the order asked for; `all` for every one.

    A name of CSV that is one of several numbers of a column, such as `val_loss_low`, is a column of its own. With
    `numbers`, for CSV and JSON, so is the name of the whole column, such as `val_loss`; one without a number of its
    own, such as `interval`, has its text.

    Raises UsageError if there is no such column.
    """
    if [_plain(text) for text in asked] == ["all"]:
        return list(columns)
    if not rows:
        return []
    single = {_plain(key): _number(column, key) for column in reversed(columns) for key in column.numbers(rows[0])}
    whole = {_plain(column.heading): column for column in columns}
    whole |= {_plain(column.key(rows[0])): column for column in columns}
    if numbers:
        whole = {name: _worded(column, column.key(rows[0])) for name, column in whole.items()}
    known = {**whole, **single} if numbers else {**single, **whole}
    found: list[Column[T]] = []
    for text in asked:
        if (wanted := known.get(_plain(text))) is None:
            names = [key for column in columns for key in (column.key(rows[0]), *column.numbers(rows[0]))]
            near = nearest(text, [*names, *(column.heading for column in columns)])
            listed = f"{'Known' if near else 'known'}: {', '.join(dict.fromkeys(names))}"
            raise UsageError(f"{option('--columns')} {text}: no such column; {near}{listed}")
        found += [] if any(wanted is one for one in found) else [wanted]
    return found


def _plain(name: str) -> str:
    """Return a name or heading without what may be typed in several ways: `val loss` for `Val_Loss`."""
    return re.sub(r"[\s_]+", " ", name).strip().casefold()


def _worded(column: Column[T], name: str) -> Column[T]:
    """Return a column whose text CSV and JSON give under its name."""
    return replace(column, numbers=lambda row: {name: None if (text := column.text(row)) == EMPTY else text})


def _number(column: Column[T], key: str) -> Column[T]:
    """Return one of a column's numbers as a column of its own."""

    def text(row: T) -> str:
        value = column.numbers(row).get(key)
        if value is None or value == "":
            return EMPTY
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return Column(in_words(key), text, lambda row: {key: column.numbers(row).get(key)}, right=column.right, name=key)
