"""Values, calls and comments as Python source, in the layout of `ruff format`."""

from __future__ import annotations

import keyword
import math
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 100
"""The longest line of generated code."""


class Raw(str):
    """Python source, used as it is; a plain `str` is a value from the config and is quoted."""


@dataclass(frozen=True)
class Call:
    """A function call, its arguments as (prefix, value): `""` if positional, `name=`, or `**`."""

    function: str
    arguments: list[tuple[str, Any]]


def call(function: str, /, *positional: Any, **named: Any) -> Call:
    """Call `function`; keywords from a config that are no Python names are unpacked from a dictionary."""
    plain = [(f"{key}=", value) for key, value in named.items() if is_name(key)]
    rest = {key: value for key, value in named.items() if not is_name(key)}
    return Call(function, [*(("", value) for value in positional), *plain, *([("**", rest)] if rest else [])])


def is_name(text: str) -> bool:
    """Whether Python accepts the text as a name or a dotted name."""
    return all(piece.isidentifier() and not keyword.iskeyword(piece) for piece in text.split("."))


def literal(value: Any) -> str:
    """Write a value as Python source on one line."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        shown = repr(value)
        return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in value else shown
    if isinstance(value, float):
        return re.sub(r"e([+-])0+(?=\d)", r"e\1", repr(value)) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, int) or value is None:
        return repr(value)
    if isinstance(value, Call | Mapping | list | tuple):
        opening, items, closing = _pieces(value)
        only = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return opening + ", ".join(head + literal(item) for head, item in items) + only + closing
    return literal(str(value))


def layout(head: str, value: Any, tail: str = "", indent: int = 0) -> list[str]:
    """Write `head`, the value and `tail` on one line, or on one line per item if that is too long."""
    space = " " * indent
    line = f"{space}{head}{literal(value)}{tail}"
    if len(line) <= WIDTH or not isinstance(value, Call | Mapping | list | tuple) or not _pieces(value)[1]:
        return [line]
    opening, items, closing = _pieces(value)
    inner = [text for name, item in items for text in layout(name, item, ",", indent + 4)]
    return [f"{space}{head}{opening}", *inner, f"{space}{closing}{tail}"]


def _pieces(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """The opening bracket, (prefix, item) pairs, and the closing bracket."""
    if isinstance(value, Call):
        return f"{value.function}(", value.arguments, ")"
    if isinstance(value, Mapping):
        return "{", [(f"{literal(key)}: ", item) for key, item in value.items()], "}"
    opening, closing = "()" if isinstance(value, tuple) else "[]"
    return opening, [("", item) for item in value], closing


def comment(text: str, indent: int = 0) -> list[str]:
    """Write a comment, wrapped. Line ends and other unprintable characters become spaces."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    space = " " * indent
    return textwrap.wrap(plain, WIDTH, initial_indent=f"{space}# ", subsequent_indent=f"{space}# ")
