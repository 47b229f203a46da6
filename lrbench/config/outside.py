"""Code that configs from outside the working folder name. A command asks before it runs it; see `lrbench.cli.trust`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from lrbench.config.bundled import bundled, located
from lrbench.config.load import files_of, read_config
from lrbench.config.overrides import as_axes
from lrbench.config.run_config import fields_at
from lrbench.config.validate import kind_of
from lrbench.config.yaml_source import Path_, place_of
from lrbench.types import IMPORT_STRING

_SHOWN = "reference"
"""The key at the top of a config whose texts are only shown."""
_COMMAND = "command"


@dataclass(frozen=True)
class ForeignCode:
    """Code that a config from outside the working folder names.

    Attributes:
        where: the config and the line that name it.
        key: the dotted key, such as `model`; of a command of a trusted file, the keys that change what it does.
        text: the import string, or the command.
        given: what it is given by the config, such as the parameters of an import, as one line.
    """

    where: str
    key: str
    text: str
    given: str = ""


def foreign_code(config: str | Path, overrides: Iterable[str] = ()) -> list[ForeignCode]:
    """Return the code that running a config would run because a file outside the working folder names it.

    Commands come first. What `overrides`, `key=value`, replace is not run, and neither is what a key that configs don't
    have names, since that key is refused.

    The parameters of that code come from the file too, so what is installed counts as well: `os:system` is enough to
    run anything. A file that comes with lrbench, or lies in a folder of `LRBENCH_TRUST`, is not outside.

    Raises ConfigError.
    """
    path = located(config)
    outside = [one for one in files_of(path) if not _trusted(one[0])]
    if not outside:
        return []
    plain = read_config(path, as_axes(overrides)).plain
    known = {"sweep", *fields_at(kind_of(plain), ())}
    used = {one.text for one in _code_in(plain)}
    found = [
        ForeignCode(place_of(places, one.key), ".".join(one.key).removesuffix(".name"), one.text, one.given)
        for _, own, places in outside
        for one in _code_in({key: value for key, value in own.items() if key.partition(".")[0] in known})
        if one.text in used
    ]
    if plain.get(_COMMAND) is not None:
        if all(code.key != _COMMAND for code in found):  # that of a trusted file, but not all that it runs with
            found += [
                ForeignCode(str(file), ", ".join(sorted(known & own.keys())), _as_text(plain[_COMMAND]))
                for file, own, _ in outside
            ]
        around = _line({key: plain[key] for key in ("shell", "cwd", "env", "params") if plain.get(key)})
        found = [replace(code, given=around) if code.text == _as_text(plain[_COMMAND]) else code for code in found]
    return sorted(found, key=lambda code: code.key != _COMMAND)


def not_folders() -> list[str]:
    """Return what `LRBENCH_TRUST` names that is no folder."""
    return [one for one in _named() if not os.path.isdir(os.path.expanduser(one))]  # noqa: PTH111, PTH112


def _named() -> list[str]:
    return [one for one in os.environ.get("LRBENCH_TRUST", "").split(os.pathsep) if one]


def _trusted(file: Path) -> bool:
    named = [Path(os.path.expanduser(one)) for one in _named() if one not in not_folders()]  # noqa: PTH111
    folders = (*(Path.cwd(), bundled("configs"), bundled("examples"), bundled("starters")), *named)
    there = Path(os.path.realpath(file))
    return any(there.is_relative_to(os.path.realpath(folder)) for folder in folders)


class _Code(NamedTuple):
    key: Path_
    text: str
    given: str = ""


def _code_in(value: Any, key: Path_ = (), given: str = "") -> Iterator[_Code]:
    """Yield the code that a config's values and keys name."""
    if isinstance(value, str) and IMPORT_STRING.fullmatch(value):
        yield _Code(key, value, given)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _code_in(one, (*key, str(number)))
    elif isinstance(value, Mapping):
        for name, one in value.items():
            inner = (*key, name)
            if inner == (_SHOWN,):
                continue
            if name.rpartition(".")[2] == _COMMAND and one is not None:
                yield _Code(inner, _as_text(one))
                continue
            if named := IMPORT_STRING.search(name):  # a metric, whose value is its direction
                yield _Code(inner, named[0])
            others = {other: told for other, told in value.items() if other != name} if name == "name" else {}
            yield from _code_in(one, inner, _line(others))


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, default=str) if values else ""


def _as_text(command: Any) -> str:
    return " ".join(map(str, command)) if isinstance(command, list) else str(command)
