"""Markdown for the reference: tables, and what docstrings say about parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_SECTION = re.compile(r"\n(Args|Attributes|Raises|Returns):\n")
_ENTRY = re.compile(r" {4}(\w+): *(.*)")


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


def prose(docstring: str | None) -> str:
    """Return a docstring's paragraphs, without its sections and examples."""
    text = inspect.cleandoc(docstring or "").partition("\n>>>")[0]
    before = _SECTION.split(text, maxsplit=1)[0].strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", before))


def meanings(docstring: str | None) -> dict[str, str]:
    """Return what a docstring's `Args:` or `Attributes:` says, by name."""
    found: dict[str, str] = {}
    for part in re.split(r"\n\s*\n", inspect.cleandoc(docstring or "")):
        heading, _, entries = part.partition("\n")
        if heading.strip() not in ("Args:", "Attributes:"):
            continue
        for line in entries.splitlines():
            entry = _ENTRY.fullmatch(line)
            if entry:
                found[entry[1]] = entry[2]
            elif found:
                found[[*found][-1]] += f" {line.strip()}"
    return found
