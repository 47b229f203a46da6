"""Keys that were renamed. Files and `--set` with the old ones still work, and say once what to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.config.yaml_source import Places
from lrbench.errors import ConfigError, old_name

OLD_KEYS: dict[str, str] = {}
"""Old dotted keys, and what they are called now, in the same block, such as `plateau.wait` → `plateau.patience`."""


def modern_key(key: str) -> str:
    """Return what a dotted key is called now; warn if that differs."""
    if key in OLD_KEYS:
        old_name(key, OLD_KEYS[key])
    return OLD_KEYS.get(key, key)


def modern_keys(plain: Mapping[str, Any], places: Places) -> tuple[dict[str, Any], Places]:
    """Return a file's values and places by their present keys. Raises ConfigError for an old key beside its new one."""
    whole, moved = dict(plain), dict(places)
    for old, new in OLD_KEYS.items():
        *path, last = old.split(".")
        block: Any = whole
        for key in path:
            block = block.get(key) if isinstance(block, Mapping) else None
        if not isinstance(block, Mapping) or last not in block:
            continue
        name = new.rpartition(".")[2]
        if name in block:
            problem = f"is now called {name}, which is also given; remove one"
            raise ConfigError(problem, key=old, where=places.get((*path, last), ""))
        modern_key(old)
        renamed = {name if key == last else key: value for key, value in block.items()}
        whole = _replaced(whole, path, renamed)
        moved = {_moved(at, (*path, last), (*path, name)): where for at, where in moved.items()}
    return whole, moved


def _replaced(plain: Mapping[str, Any], path: list[str], block: dict[str, Any]) -> dict[str, Any]:
    if not path:
        return block
    return {**plain, path[0]: _replaced(plain[path[0]], path[1:], block)}


def _moved(at: tuple[str, ...], old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return (*new, *at[len(old) :]) if at[: len(old)] == old else at
