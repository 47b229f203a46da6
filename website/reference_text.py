"""Markdown for the reference: tables and code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Cells are Markdown, whose line breaks and bars are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if piece.startswith("`") else piece.replace("|", "&#124;") for piece in pieces)


def code(text: object) -> str:
    """Return text as code; empty for none."""
    return f"`{text}`" if str(text) else ""
