"""The terminal as a rich console that shows no control characters of names and paths."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from lrbench.errors import printable

WIDTH = 80
"""The columns of a terminal that does not tell how many it has."""


def flat(text: str) -> str:
    """Return a text that stays on its line: tabs and line ends as �."""
    return re.sub(r"[\t\n\r\u2028\u2029]", "\ufffd", text)


def inline(text: str) -> str:
    """Escape a name, a path or a message that must stay on its line: markup, and line ends as �."""
    return escape(flat(text))


def give_up(console: Console) -> None:
    """Print no more on a console whose reader is gone or whose disk is full."""
    console.quiet = True
    with contextlib.suppress(OSError, ValueError):  # it is no file
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, console.file.fileno())  # for what is in buffers
        os.close(nothing)


class Terminal(Console):
    """A console without highlighting and emoji codes, whose text is `printable`: no name can steer the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)
        if self.width < 1:  # COLUMNS=0, which would hide all text
            self.width = WIDTH

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, where rich would end the process with its error; see `give_up`."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text to print; rich calls this for every `str`."""
        return super().render_str(printable(text), **options)
