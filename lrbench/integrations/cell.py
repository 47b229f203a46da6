"""`param`: the value that a sweep gives a script."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from lrbench.config import flat, parse_json
from lrbench.errors import ConfigError, UsageError, nearest

PARAMS = "LRBENCH_PARAMS"
T = TypeVar("T")
_REQUIRED: Any = object()
_told: set[str] = set()


def given_values() -> dict[str, Any]:
    """Return the parameters, `seed` and `name` that lrbench gave this program, by dotted key; empty if it gave none.

    Raises UsageError if the variable that holds them is damaged.
    """
    text = os.environ.get(PARAMS)
    if not text:
        return {}
    try:
        told = parse_json(text)
        params = told.get("params") or {}
        return {**params, **flat(params), **{name: told[name] for name in ("seed", "name") if name in told}}
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"{PARAMS} must be JSON with `params`, as lrbench sets it ({error})") from error


@overload
def param(name: str) -> Any: ...
@overload
def param(name: str, default: T) -> T: ...
def param(name: str, default: Any = _REQUIRED) -> Any:
    """Return the value of a parameter in the run that lrbench has started; elsewhere the default.

    Args:
        name: the parameter's name under `params` in the config, dotted for a nested one (`model.width`); or `seed`.
        default: its value if the script runs by itself, or if the config does not name it, which is told once. A value
            of another type than the default's is an error, except an integer for a float.

    Raises ConfigError if the value has another type, UsageError if there is neither a value nor a default.
    """
    values = given_values()
    if name in values:
        return values[name] if default is _REQUIRED or default is None else _typed(name, values[name], default)
    if default is _REQUIRED:
        where = "the config's params have none" if os.environ.get(PARAMS) else "lrbench did not start this program"
        raise UsageError(f"{name} has no value, since {where}; give a default, as in param('{name}', 0.1)")
    if os.environ.get(PARAMS) and name not in _told:
        _told.add(name)
        near = nearest(name, values)
        print(f"lrbench: params has no '{name}'; {near}it stays at its default, {default!r}", file=sys.stderr)
    return default


def _typed(name: str, value: Any, default: Any) -> Any:
    """Return the value in the default's type. Raises ConfigError."""
    wanted = type(default)
    if type(value) is wanted or wanted not in (bool, int, float, str, list, tuple, dict):
        return value
    whole = wanted is int and type(value) is float and value.is_integer()
    if whole or (wanted is float and type(value) is int) or (wanted is tuple and type(value) is list):
        return wanted(value)
    if wanted is dict and isinstance(value, Mapping):
        return dict(value)
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", dict: "a mapping"}
    problem = f"must be {words.get(wanted, 'a list')}, as its default {default!r:.40} is (got {value!r:.60})"
    raise ConfigError(problem, key=f"params.{name}")
