"""The terminal as a rich console that shows no control characters of names and paths."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lrbench.errors import printable


class Terminal(Console):
    """A console without highlighting. Text is `printable`, so that no name or path can steer the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text to print; rich calls this for every `str`."""
        return super().render_str(printable(text), **options)
