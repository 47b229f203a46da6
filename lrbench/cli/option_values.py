"""What a command line gives its options: each one value, and one of its own. Typer takes any next word as a value."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lrbench.errors import UsageError

FREE = ("--set", "--name")
"""Options whose value may be any text, also the name of a config."""
MAY_BE_EMPTY = ("--prefix", "--title")


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
