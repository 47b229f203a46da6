"""A table as Markdown, CSV and JSON. LaTeX has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from typing import Any

from lrbench.reports import escape
from lrbench.reports.tables import Column, T, Table


def markdown(table: Table[T]) -> str:
    """Write a table in Markdown, and below it what is the same in all rows."""
    shown = table.columns
    lines = [
        "| " + " | ".join(escape.markdown(column.heading) for column in shown) + " |",
        "| " + " | ".join("---:" if column.right else "---" for column in shown) + " |",
        *("| " + " | ".join(map(escape.markdown, cells)) + " |" for cells in table.cells),
        *(["", escape.markdown(table.same)] if table.same else []),
    ]
    return "\n".join(lines) + "\n"


def _numbers(columns: Sequence[Column[T]], rows: Sequence[T]) -> list[dict[str, Any]]:
    return [{key: value for column in columns for key, value in column.numbers(row).items()} for row in rows]


def json(columns: Sequence[Column[T]], rows: Sequence[T]) -> str:
    """Write unrounded numbers as JSON, an object per row."""
    return dumps(_numbers(columns, rows), indent=2, ensure_ascii=False) + "\n"


def csv(columns: Sequence[Column[T]], rows: Sequence[T]) -> str:
    """Write unrounded numbers as CSV."""
    return escape.csv(_numbers(columns, rows))
