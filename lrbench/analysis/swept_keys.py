"""The axes of a sweep besides the learning rate: the config keys in which families differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lrbench.analysis.labels.naming import REPEATS
from lrbench.analysis.labels.values import PARAMS
from lrbench.analysis.sensitivity import Family


def swept_keys(families: Sequence[Family]) -> dict[str, list[Any]]:
    """Return the config keys in which families differ besides the learning rate, each with its different values.

    Where the name of a part differs, it stands for its parameters, unless they differ within one name, too.
    """
    configs = [family.first.identity_fields for family in families]
    rates = {family.first.experiment.lr_key for family in families if family.first.experiment is not None}
    known = dict.fromkeys(key for fields in configs for key in fields if key not in (*REPEATS, *rates))
    each = {key: {repr(fields.get(key)): fields.get(key) for fields in configs} for key in known}
    differing = {key: list(values.values()) for key, values in each.items() if len(values) > 1}
    renamed = renamed_parts(differing)
    return {key: values for key, values in differing.items() if not _implied(key, renamed, configs)}


def renamed_parts(keys: Iterable[str]) -> tuple[str, ...]:
    """Return what the keys of parts begin with whose name is among the keys.

    >>> renamed_parts(["optimizer.name", "optimizer.momentum", "batch_size"])
    ('optimizer.',)
    """
    return tuple(key.removesuffix("name") for key in keys if key.endswith(".name") and key != f"{PARAMS}name")


def _implied(key: str, renamed: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a parameter's value follows from the name of its part."""
    part = next((part for part in renamed if key.startswith(part)), None)
    if part is None or key.endswith(".name"):
        return False
    by_name: dict[Any, set[str]] = {}
    for fields in configs:
        by_name.setdefault(fields.get(f"{part}name"), set()).add(repr(fields.get(key)))
    return all(len(values) == 1 for values in by_name.values())
