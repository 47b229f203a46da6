"""Text in each format: one rule for Markdown, CSV and HTML each, and one for characters that nothing should show.

The page is escaped by its template (`page.py`), and figures by `figures/style.py`, both after `printable`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from csv import writer as csv_writer
from html import escape
from typing import Any

from lrbench.errors import printable

_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")
_COMPUTED = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What formulas begin with; some spreadsheets take the wide forms too."""


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
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv_writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a value of a CSV file, empty for None and NaN.

    Text that a spreadsheet would compute gets a leading apostrophe.
    """
    if not isinstance(value, str):
        return None if value != value else value
    computed = value.startswith(_COMPUTED) and not _NUMBER.fullmatch(value)
    return f"'{printable(value)}" if computed else printable(value)
