"""Which words can follow those of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lrbench.cli.completion.shells import Candidate
from lrbench.cli.completion.sources import SOURCES, Line

Table = Mapping[str, Any]


def candidates(table: Table, words: Sequence[str], current: str) -> list[Candidate]:
    """Return the candidates for the word of which `current` is typed, with their meanings.

    Args:
        table: the commands, as `table.py` makes it.
        words: the words before it, without `lrbench`.
        current: what is typed of it.
    """
    line = _read(table, words)
    option, equals, typed = current.partition("=")
    if line.open is not None:
        found = _values(line.open, line, current)
    elif equals and option in line.options:
        found = [(f"{option}={word}", text) for word, text in _values(line.options[option]["value"], line, typed)]
    elif current.startswith("-"):
        found = [(name, one["help"]) for name, one in line.options.items() if one["many"] or name not in line.given]
    elif line.command is None:
        found = [(name, one["help"]) for name, one in table["commands"].items()]
    else:
        found = _values(line.argument, line, current)
    return [(word, text) for word, text in found if word.startswith(current)]


def _values(kind: Any, line: Line, current: str) -> list[Candidate]:
    """Return the values of an option or argument: those of a source of that name, or a list of choices."""
    if isinstance(kind, str):
        return SOURCES[kind](line, current)
    return [(word, "") for word in kind or ()]


def _read(table: Table, words: Sequence[str]) -> Line:
    """Read what is typed already: the command, its options with their values, and its arguments."""
    line = Line(table)
    waiting = ""
    for word in words:
        if waiting:
            line.given.setdefault(waiting, []).append(word)
            waiting = ""
        elif word.startswith("-") and len(word) > 1:
            name, equals, value = word.partition("=")
            takes = line.options.get(name, {}).get("value") is not None
            line.given.setdefault(name, [])
            if equals:
                line.given[name].append(value)
            elif takes:
                waiting = name
        elif line.command is None:
            line.enter(word)
        else:
            line.arguments.append(word)
    if waiting:
        line.open = line.options[waiting]["value"]
    return line
