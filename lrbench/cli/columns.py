"""A table of the report in the terminal: as many columns as fit, the best rows, and how many more there are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from lrbench.analysis import AtBest
from lrbench.cli.terminal import inline
from lrbench.errors import UsageError, counted
from lrbench.reports import Column, Table, families_table

MOST_ROWS = 30
"""Rows that a terminal shows unless more are asked for."""
LABEL = 24  # characters that a label gets before columns are left out
BETWEEN = 3  # characters between columns

T = TypeVar("T")


def parse_rows(text: str | None, default: int | None = MOST_ROWS) -> int | None:
    """Parse `--rows`: a number, or None for `all`. Raises UsageError."""
    if text is None:
        return default
    if text.strip().casefold() == "all":
        return None
    if not re.fullmatch("[0-9]+", text.strip()) or int(text) < 1:
        raise UsageError(f"--rows must be a number, at least 1, or all (got {text!r:.60})")
    return int(text)


def split_columns(text: str) -> list[str]:
    """Split `--columns`. Raises UsageError if a name is missing."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--columns must be names separated by commas, such as run,val_loss (got {text!r:.60})")
    return names


def show_table(console: Console, table: Table[T], *, whole: bool = False) -> None:
    """Print a table, then what is the same in all of its rows.

    Columns that don't fit are left out, the last ones first; the first two and those that decide stay. With `whole`,
    each row is then a block with a line for each column.
    """
    columns = fitting(table, console.width)
    if whole and len(columns) < len(table.columns):
        _show_blocks(console, table)
        return
    drawn = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for at, column in enumerate(columns):
        texts = [text for row in table.rows for text in column.lines(row)]
        longest = max((len(word) for text in texts for word in text.split()), default=0)
        drawn.add_column(
            "\n".join(map(inline, _heading(column, texts))),
            justify="right" if column.right else "left",
            overflow="fold",
            min_width=None if column.right or at == 0 else min(14, longest),
            no_wrap=column.right,
        )
    for row in table.rows:
        first, *others = ([inline(line) for line in column.lines(row)] for column in columns)
        drawn.add_row("\n".join(first), *("\n[dim]".join(lines) for lines in others))
    console.print(drawn)
    if table.same:
        console.print(inline(table.same), style="dim")


def _show_blocks(console: Console, table: Table[T]) -> None:
    """Print each row as a block with a line for each column, as `psql` does if asked for."""
    for row in table.rows:
        drawn = RichTable.grid(padding=(0, 2))
        drawn.add_column(style="dim", overflow="fold", max_width=max(console.width // 3, 12))
        drawn.add_column(overflow="fold")
        for at, column in enumerate(table.columns):
            text = inline(", ".join(column.lines(row)))
            drawn.add_row(inline(column.heading), text if at else f"[bold]{text}[/]")
        console.print(drawn)
        console.print()
    if table.same:
        console.print(inline(table.same), style="dim")


def _heading(column: Column[T], texts: Sequence[str]) -> list[str]:
    """Return the heading on as many lines as keep it within the column."""
    heading = column.heading.removeprefix("training ")
    widest = max((len(text) for text in texts), default=0) if column.right else 14
    return textwrap.wrap(heading, max(widest, *map(len, heading.split()), 1), break_long_words=False)


def fitting(table: Table[T], width: int) -> list[Column[T]]:
    """Return the columns that fit a width, the last ones left out; the first two and those that decide stay."""
    columns = list(table.columns)

    def needed(column: Column[T]) -> int:
        lines = [line for row in table.rows for line in column.lines(row)]
        widths = [*map(len, lines), *map(len, column.heading.split())]
        return max(widths, default=0) if column.right else min(14, max(widths, default=0))

    labels = max((len(columns[0].text(row)) for row in table.rows), default=0)
    each = {id(column): needed(column) for column in columns[1:]}
    while len(columns) > 2:
        room = width - sum(each[id(column)] + BETWEEN for column in columns[1:])
        if room >= min(labels, LABEL):
            break
        last = next((column for column in reversed(columns[2:]) if not column.decides), None)
        if last is None:
            break
        columns.remove(last)
    return columns


def show_more(console: Console, hidden: int, what: str, how: str) -> None:
    """Say how many rows are not shown, and how to see them."""
    if hidden > 0:
        console.print(inline(f"{counted(hidden, f'more {what}')}{how and f': {how}'}"), style="dim", soft_wrap=True)


def show_families(console: Console, found: AtBest, most: int | None, how: str) -> None:
    """Print a row for each family at its best learning rate, the first `most`, and say how to see more."""
    table = families_table(found)
    shown = replace(table, rows=table.rows[:most])
    show_table(console, shown)
    show_more(console, len(table.rows) - len(shown.rows), "family", how)
