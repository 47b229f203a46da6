"""Values and calls as lines of Python, laid out as `ruff format` lays them out, and comments that stay comments."""

from __future__ import annotations

import keyword
import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 100
"""Columns of a line of the code that is handed over."""


class Raw(str):
    """Source text that stands for itself, where a plain `str` is a text of the config, to be quoted."""


@dataclass(frozen=True)
class Call:
    """A call: positional arguments have an empty name."""

    function: str
    arguments: tuple[tuple[str, Any], ...]


def call(function: str, *positional: Any, **named: Any) -> Call:
    """A call with these arguments, in this order."""
    return Call(function, (*(("", value) for value in positional), *named.items()))


def with_arguments(function: str, positional: Iterable[Any], named: Mapping[str, Any]) -> Call:
    """A call whose keywords come from a config, where a key need not be a name."""
    plain = {key: value for key, value in named.items() if is_name(key)}
    rest = {key: value for key, value in named.items() if key not in plain}
    extra = (("**", rest),) if rest else ()
    return Call(function, (*(("", value) for value in positional), *plain.items(), *extra))


def is_name(text: str) -> bool:
    """Whether a text, dots apart, is one that Python can have as a name."""
    return all(piece.isidentifier() and not keyword.iskeyword(piece) for piece in text.split("."))


def literal(value: Any) -> str:
    """A value as Python writes it, on one line."""
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


def laid(head: str, value: Any, tail: str = "", indent: int = 0) -> list[str]:
    """`head`, the value and `tail` on one line where that is not too long, else with an item on each."""
    space = " " * indent
    line = f"{space}{head}{literal(value)}{tail}"
    if len(line) <= WIDTH or not isinstance(value, Call | Mapping | list | tuple) or not _pieces(value)[1]:
        return [line]
    opening, items, closing = _pieces(value)
    inner = [text for name, item in items for text in laid(name, item, ",", indent + 4)]
    return [f"{space}{head}{opening}", *inner, f"{space}{closing}{tail}"]


def _pieces(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """Opening bracket, items with what stands before each, closing bracket."""
    if isinstance(value, Call):
        shown = {"": "", "**": "**"}
        return f"{value.function}(", [(shown.get(name, f"{name}="), item) for name, item in value.arguments], ")"
    if isinstance(value, Mapping):
        return "{", [(f"{literal(key)}: ", item) for key, item in value.items()], "}"
    opening, closing = "()" if isinstance(value, tuple) else "[]"
    return opening, [("", item) for item in value], closing


def comment(text: str, indent: int = 0) -> list[str]:
    """A comment, on as many lines as it takes; what can't be printed, line ends above all, is a space in it."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    space = " " * indent
    return textwrap.wrap(plain, WIDTH, initial_indent=f"{space}# ", subsequent_indent=f"{space}# ")


def power(base: str, exponent: str) -> str:
    """`base**exponent`, with spaces where one of them is more than a name or a number."""
    simple = all(re.fullmatch(r"[\w.]+((?<=e)-\d+)?", text) for text in (base, exponent))
    return f"{base}**{exponent}" if simple else f"{base} ** {exponent}"


def near(value: float) -> float:
    """A number that was computed, without the noise of its last digits."""
    return float(f"{value:.12g}")
