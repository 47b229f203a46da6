"""Commands as templates: `python train.py --lr {lr}`, filled with parameters, without a shell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.config.files import exists
from lrbench.errors import ConfigError, choices

OWN = ("seed", "name", "run")
"""The names that lrbench fills in itself: the seed, the config's name, and the run's folder."""
_NAMES = re.compile(r"\{\{([\w.\-]+)\}\}|\{([A-Za-z_][\w.\-]*)\}")
"""`{lr}` is replaced; `{{lr}}` is written as `{lr}`; other braces stay."""


def words_of(command: str | Sequence[str], key: str) -> list[str]:
    """Split a command into arguments, as a shell would. Raises ConfigError."""
    if not isinstance(command, str):
        return list(command)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"can't be split into arguments: {error} (got {command!r:.80})", key=key) from None
    if not words:
        raise ConfigError("must name a program, such as python train.py --lr {lr}", key=key)
    return words


def names_in(text: str) -> Iterator[str]:
    """Yield the names in braces."""
    return (found[2] for found in _NAMES.finditer(text) if found[2])


def check_names(words: Sequence[str], known: Mapping[str, Any], key: str) -> None:
    """Raise ConfigError for a name in braces that nothing fills in."""
    for word in words:
        for name in names_in(word):
            if name not in known:
                problem = f"nothing fills in {{{name}}}; {choices(name, known)}; add it to params"
                raise ConfigError(problem, key=key)


def filled(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Fill in the names of a template's words.

    A word that is only a name becomes one argument per item of a list, and none for None.
    """
    return [argument for word in words for argument in _filled(word, values)]


def filled_for_shell(command: str, values: Mapping[str, Any]) -> str:
    """Fill in the names of a shell command, with quotes around what a shell would read otherwise."""

    def quoted(found: re.Match[str]) -> str:
        if found[1]:
            return f"{{{found[1]}}}"
        return shlex.join(_filled(found[0], values))

    return _NAMES.sub(quoted, command)


def _filled(word: str, values: Mapping[str, Any]) -> list[str]:
    alone = _NAMES.fullmatch(word)
    if alone and alone[2]:
        value = values[alone[2]]
        return [] if value is None else [text_of(one) for one in (value if isinstance(value, list) else [value])]
    return [_NAMES.sub(lambda found: f"{{{found[1]}}}" if found[1] else text_of(values[found[2]]), word)]


def text_of(value: Any) -> str:
    """Return a value as an argument: text as it is, numbers with all their digits, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def placed(word: str, folder: Path) -> str:
    """Return a word that names a file in `folder`, such as `train.py` or `--config=a.yaml`, with the file's full path.

    A folder counts only if it is written with a slash, since other words may have its name.
    """
    start, equals, last = word.partition("=") if word.startswith("-") else ("", "", word)
    if not last or Path(last).is_absolute() or last.startswith("-"):
        return word
    there = folder / last
    if exists(there) and (there.is_file() or (there.is_dir() and "/" in last)):
        return f"{start}{equals}{there}"
    return word
