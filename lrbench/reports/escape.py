"""Text in each format: one rule for Markdown, CSV and HTML each, and one for characters that nothing should show.

The page is escaped by its template (`page.py`), and figures by `figures/style.py`, both after `printable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from lrbench.errors import printable

_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")


def markdown(text: str) -> str:
    """Escape text for a line or a table of Markdown: no HTML, no links or images, no code."""
    plain = re.sub(r"[\\`*|\[\]]", r"\\\g<0>", " ".join(printable(text).split()))
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def html(text: str) -> str:
    """Escape text for HTML, between tags or in an attribute."""
    return escape(printable(text))


def csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows as CSV, numbers unrounded and whole ones as such.

    Text that a spreadsheet would compute gets a leading apostrophe.
    """
    import pandas as pd  # a third of a second, which most commands do not need

    cells = [{key: csv_cell(value) for key, value in row.items()} for row in rows]
    table = pd.DataFrame(cells, dtype=object)  # otherwise, whole numbers with gaps between them become fractions
    return table.to_csv(index=False, lineterminator="\n")


def csv_cell(value: Any) -> Any:
    """Return a value of a CSV file; text that a spreadsheet would compute gets a leading apostrophe."""
    if not isinstance(value, str):
        return value
    computed = value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) and not _NUMBER.fullmatch(value)
    return f"'{printable(value)}" if computed else printable(value)
