"""Mistakes in the words of a command that typer finds, told as lrbench tells its own: one line, what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lrbench.cli.terminal import flat
from lrbench.errors import choices, nearest, printable, shortened

NUMBERS = {"N": "a whole number", "X": "a number"}
"""What a value must be, by how it is written in the help."""


def told(error: Any, words: Sequence[str]) -> str | None:
    """Return a mistake that typer found; None for what is none, such as a command line without any words.

    Args:
        error: typer's error. The names of its classes are the same in all versions, their modules are not.
        words: the command line.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "UsageError" not in kinds or "NoArgsIsHelpError" in kinds:
        return None
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    said = error.format_message().rstrip(".")
    if "NoSuchOption" in kinds:
        near = nearest(error.option_name, _options(context)).rstrip()
        said = "; ".join(
            filter(None, (f"no such option: {error.option_name}", near or _file_with_a_dash(error, words)))
        )
    elif "BadOptionUsage" in kinds:
        said = _with_or_without(error.option_name, words, needs="requires" in said)
    elif "MissingParameter" in kinds and param is not None:
        said = f"{_name(param)} is missing{_purpose(param)}"
    elif "BadParameter" in kinds and param is not None:
        said = _wrong_value(error, words)
    elif found := re.fullmatch(r"No such command '(.*?)'.*", said, re.DOTALL):
        said = f"no such command: {found[1] or repr('')}; {choices(found[1], error.ctx.command.commands)}"
    elif found := re.fullmatch(r"Got unexpected extra arguments? ?(?:\(s\) )?\((.*)\)", said, re.DOTALL):
        said = f"too many arguments: {_usage(context)}, but not also {found[1]}"
    command = f"lrbench {words[0]}" if context is None else context.command_path
    see = " See" if said.endswith("?") else "; see"
    return f"{printable(shortened(said, 2000))}{see} {command} --help"


def _file_with_a_dash(error: Any, words: Sequence[str]) -> str:
    """Say how to name a file that was taken for an option, if there is one."""
    found = next((word for word in words if word.startswith(error.option_name) and Path(word).is_file()), None)
    return f"for the file, write ./{found}" if found else ""


def on_one_line(said: str, words: Sequence[str]) -> str:
    """Return a message without the line ends of the command line's own words, such as a path that has some."""
    for word in words:
        for part in (word, word.partition("=")[2]):
            if part != (line := flat(part)):
                said = said.replace(part, line)
    return said


def _options(context: Any) -> Iterator[str]:
    for param in context.command.get_params(context) if context is not None else ():
        yield from (name for name in (*param.opts, *param.secondary_opts) if name.startswith("-"))


def _name(param: Any) -> str:
    """Return what the user calls a parameter: its option, or the word in the usage line."""
    if param.param_type_name == "option":
        return f"{max(param.opts, key=len)} {param.metavar or ''}".rstrip()
    return str(param.metavar or param.name.upper())


def _purpose(param: Any) -> str:
    """Return the first sentence of a parameter's help, in parentheses."""
    text = re.split(r"[.] |[.]$", getattr(param, "help", None) or "")[0]
    lower = text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
    return f" ({lower})" if text else ""


def _usage(context: Any) -> str:
    """Return what a command takes: `lrbench init takes [KIND] [FOLDER]`."""
    taken = [_name(param) for param in context.command.get_params(context) if param.param_type_name == "argument"]
    return f"{context.command_path} takes {' '.join(taken) or 'no argument'}"


def _with_or_without(option: str, words: Sequence[str], *, needs: bool) -> str:
    """Describe an option that lacks its value, or has one although it is a flag."""
    if needs:
        return f"{option} needs a value"
    written = next((word for word in words if word.startswith(f"{option}=")), option)
    return f"{option} takes no value (got {written})"


def _wrong_value(error: Any, words: Sequence[str]) -> str:
    """Return `--seeds must be a whole number, at least 1 (got 'x')`; what typer says of values that are no numbers."""
    param, kind = error.param, getattr(error.param, "type", None)
    right = NUMBERS.get(param.metavar or "")
    if right is None:
        return f"{_name(param)}: {error.message.rstrip('.')}"
    low, high = (getattr(param, name, getattr(kind, name, None)) for name in ("min", "max"))
    if low is not None and high is not None:
        right += f" from {low:,} to {high:,}"
    elif low is not None:
        right += f", at least {low:,}"
    return f"{max(param.opts, key=len)} must be {right}{_given(param, words)}"


def _given(param: Any, words: Sequence[str]) -> str:
    """Return the value that a command line gives an option, in parentheses."""
    for word, following in reversed([*pairwise([*words, ""])]):
        name, equals, value = word.partition("=")
        if name in param.opts:
            given = value if equals else following
            return f" (got {given:.60})" if re.fullmatch(r"-?[\d.]+", given) else f" (got {given!r:.60})"
    return ""
