"""Text in each format: one rule for Markdown, one for CSV, and one for characters that nothing should show.

HTML is escaped by the template (`page.py`), after `printable`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lrbench.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")


def markdown(text: str) -> str:
    """Escape text for a line or a table of Markdown: no HTML, no links or images, no code."""
    plain = re.sub(r"[\\`*|\[\]]", r"\\\g<0>", " ".join(printable(text).split()))
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def csv(table: pd.DataFrame) -> str:
    """Write a table as CSV. Text that a spreadsheet would compute gets a leading apostrophe; numbers stay numbers."""
    return table.map(_cell).to_csv(index=False, lineterminator="\n")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    computed = value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) and not _NUMBER.fullmatch(value)
    return f"'{printable(value)}" if computed else printable(value)
