"""What differs between configs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis.labels.values import FILES, MISSING, NAMELESS, PARAMS

Fields = Mapping[str, Any]
"""A flat canonical config: `optimizer.lr` → 0.001."""

_FIRST = ("optimizer", "schedule", *NAMELESS[:2], "batch_size", "model")  # most interesting first
_FAR = len(_FIRST)


@dataclass(frozen=True)
class Difference:
    """A key in which configs differ, and each one's value: None if it has none, `MISSING` if it can't have one.

    The key of a block, such as `schedule`, stands for its name; that of a block without a name for whether there is
    one, or how long it is.
    """

    key: str
    values: tuple[Any, ...]


def differences(configs: Sequence[Fields], rate: str, without: Sequence[str] = ()) -> list[Difference]:
    """Return the keys in which configs differ, the learning rate first, then the most interesting.

    Parameters of a block of which there are several kinds, such as schedules, are compared among those of one kind.
    It takes time in proportion to the number of values.

    Args:
        configs: the configs.
        rate: the key of the learning rate, which is compared whatever the optimizer.
        without: keys to leave out.
    """
    left_out = frozenset(without)
    keys = [key for key in dict.fromkeys(key for fields in configs for key in fields) if key not in left_out]
    named = {key.removesuffix(".name") for key in keys if key.endswith(".name")}
    owners = {key: _owner(key, named) for key in keys}
    owners[rate] = ""
    blocks = dict.fromkeys(owner for owner in owners.values() if owner)
    kinds = {block: _kinds(block, configs, [k for k in keys if owners[k] == block]) for block in blocks}
    found = [Difference(block, kind) for block, kind in kinds.items() if _differ(kind)]
    several = {one.key for one in found}
    for key in keys:
        owner = owners[key]
        if key == f"{owner}.name" or (owner in several and key == f"{owner}.for"):
            continue
        values = tuple(fields.get(key) for fields in configs)
        if owner in several:
            values = _within(kinds[owner], values)
        if _differ([value for value in values if value is not MISSING]):
            found.append(Difference(key, values))
    return sorted(found, key=lambda one: -1 if one.key == rate else _interest(one.key))


def _interest(key: str) -> int:
    section = key.removeprefix(PARAMS).partition(".")[0]
    return _FIRST.index(section) if section in _FIRST else _FAR


def _owner(key: str, named: Collection[str]) -> str:
    """Return the block to whose kinds a key belongs; empty if to none. A program's blocks are those with a name."""
    if key.startswith(FILES) or "." not in key:
        return ""
    if not key.startswith(PARAMS):
        return key.partition(".")[0]
    pieces = key.split(".")
    return next((block for at in range(len(pieces) - 1, 1, -1) if (block := ".".join(pieces[:at])) in named), "")


def _kinds(block: str, configs: Sequence[Fields], keys: Sequence[str]) -> tuple[Any, ...]:
    """Return the name of each config's block, or its length or True without a name; None without the block."""
    found = []
    for fields in configs:
        there = any(key in fields for key in keys)
        found.append(fields.get(f"{block}.name", fields.get(f"{block}.for", True)) if there else None)
    return tuple(found)


def _within(kinds: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
    """Return values that differ among those of one kind; the others, and those of no kind, are missing."""
    different: dict[Any, set[Any]] = {}
    for kind, value in zip(kinds, values, strict=True):
        different.setdefault(_hashed(kind), set()).add(_hashed(value))
    return tuple(
        value if kind is not None and len(different[_hashed(kind)]) > 1 else MISSING
        for kind, value in zip(kinds, values, strict=True)
    )


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _hashed(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, list | tuple | dict) else value
