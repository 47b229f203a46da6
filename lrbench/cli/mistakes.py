"""Mistakes in the words of a command that typer finds, told as lrbench tells its own: one line, what would be right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lrbench.cli.terminal import flat
from lrbench.errors import UsageError, choices, nearest, printable, shortened

NUMBERS = {"N": "a whole number", "X": "a number"}
"""What a value must be, by how it is written in the help."""
FREE = ("--set", "--name")
"""Options whose value may be any text, also the name of a config."""
MAY_BE_EMPTY = ("--prefix", "--title")


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


def check_values(params: Sequence[Any], paths: Sequence[str], words: Sequence[str]) -> None:
    """Check that each option of a command has one value, and one of its own, rather than the next option or a config.

    Args:
        params: the command's parameters.
        paths: how values are written that are paths.
        words: the words after the command's name.

    Raises UsageError.
    """
    options = [param for param in params if param.param_type_name == "option"]
    valued = {name: param for param in options if not param.is_flag for name in param.opts}
    names = {name for param in options for name in (*param.opts, *param.secondary_opts)}
    of_paths = {name for param in params for name in param.opts if getattr(param, "metavar", None) in paths}
    takes_configs = any(param.metavar == "CONFIG" for param in params if param.param_type_name == "argument")
    before: str | None = None
    once: dict[str, str] = {}
    for word, following in pairwise([*words, None]):
        option, equals, value = (word or "").partition("=")
        is_value, before = before in valued, word
        if is_value or option not in valued:
            if not is_value:
                _check_switch(option, options, once)
            if not is_value and not (word or "").strip():
                raise UsageError(f"an argument is empty: {shlex.join(words)}; remove it, or write what it should be")
            continue
        given = value if equals else following
        written = f"{option} {valued[option].metavar or 'VALUE'}"
        if given is not None and not given.strip() and not (given == "" and option in MAY_BE_EMPTY):
            more = "; name a file or a folder, such as . for this one" if option in of_paths else f": {written}"
            raise UsageError(f"{option} is empty{more}")
        if not equals and (given is None or given in names):
            raise UsageError(f"{option} needs a value: {written}{f' (the next word is {given})' if given else ''}")
        _check_once(valued[option], option, given or "", once)
        if equals:
            before = None
            continue
        if takes_configs and option not in {*of_paths, *FREE} and given is not None and _is_config(given):
            problem = f"{option} takes the next word as its value, and that is the config {given}"
            raise UsageError(f"{problem}; write {written} {given}")


def _check_switch(word: str, options: Sequence[Any], once: dict[str, str]) -> None:
    """Check that a switch is not turned both on and off. Raises UsageError."""
    for one in options:
        both = (*one.opts, *one.secondary_opts) if one.secondary_opts else ()
        if word in both and once.setdefault(one.name, word) != word:
            raise UsageError(f"{once[one.name]} and {word} contradict each other; give one")


def _check_once(param: Any, option: str, given: str, once: dict[str, str]) -> None:
    """Check that an option with one value has no other before, which would be ignored. Raises UsageError."""
    if not param.multiple and once.setdefault(param.name, given) != given:
        raise UsageError(f"{option} is given twice, as {once[param.name]} and as {given}; give it once")


def _is_config(word: str) -> bool:
    if re.fullmatch(r".*[.]ya?ml", word):
        return True
    if "/" not in word:
        return False
    from lrbench.config import bundled_configs  # here, so that `--help` is quick

    return word in bundled_configs()
