"""Families over the axes of a sweep besides the learning rate: batch sizes, lengths, optimizers, …"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import Family, key_words, value_text
from lrbench.config import size_kind
from lrbench.errors import UsageError, choices, option

_REPEATS = ("seed", "run", "name")


@dataclass(frozen=True)
class Panel:
    """Families that differ in one axis alone: what else tells them from other panels, and a family for each value."""

    label: str
    families: tuple[tuple[Any, Family], ...]


@dataclass(frozen=True)
class Swept:
    """Families along an axis.

    Attributes:
        key: the config's key that the axis is, such as `batch_size`; empty if rows differ in several keys.
        numeric: whether all values are numbers above 0.
        panels: families that differ in this axis alone, by ascending value; those with the most values first.
    """

    key: str
    numeric: bool
    panels: tuple[Panel, ...]

    @property
    def words(self) -> str:
        """`batch size`, `schedule`, `momentum`; `family` for rows that differ in several keys."""
        return key_words(self.key) if self.key else "family"


def axes_of(families: Sequence[Family]) -> dict[str, list[Any]]:
    """Return the keys in which families differ besides the learning rate, with their values.

    Where the name of a part differs, it stands for its parameters, unless they differ within one name, too.
    """
    told = [fields_of(family) for family in families]
    keys = dict.fromkeys(key for fields in told for key in fields)
    differing = {key: list(dict.fromkeys(_hashable(fields.get(key)) for fields in told)) for key in keys}
    differing = {key: values for key, values in differing.items() if len(values) > 1}
    named = [key.removesuffix("name") for key in differing if key.endswith(".name")]
    return {key: values for key, values in differing.items() if not _implied(key, named, told)}


def _implied(key: str, named: Sequence[str], told: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a parameter's value follows from the name of its part."""
    section = next((start for start in named if key.startswith(start) and key != f"{start}name"), None)
    if section is None:
        return False
    by_name: dict[Any, set[Any]] = {}
    for fields in told:
        by_name.setdefault(fields.get(f"{section}name"), set()).add(_hashable(fields.get(key)))
    return all(len(values) == 1 for values in by_name.values())


def fields_of(family: Family) -> dict[str, Any]:
    """Return a family's config without its learning rate, name and seed."""
    first = family.points[0].group.first
    lr_key = first.experiment.lr_key if first.experiment is not None else ""
    return {key: value for key, value in first.identity_fields.items() if key not in (*_REPEATS, lr_key)}


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def swept(families: Sequence[Family], key: str | None = None, *, numeric: bool = False, length: bool = False) -> Swept:
    """Arrange families along one axis: the one asked for, or that with the most values; numbers before names.

    Args:
        families: families of learning rates.
        key: the axis, as `--axis` names it: a config's key, or its last part.
        numeric: whether it must be numbers.
        length: whether lengths of training come before other numbers.

    Raises UsageError if there is no such axis.
    """
    found = axes_of(families)
    numbers = {k for k, values in found.items() if all(_is_number(value) for value in values)}
    if key is not None:
        wanted = [k for k in found if k == key or key_words(k) == key.replace("_", " ") or k.endswith(f".{key}")]
        if not wanted or (numeric and wanted[0] not in numbers):
            usable = sorted(key_words(k).replace(" ", "_") for k in found if not numeric or k in numbers)
            kind = f"a {'number' if numeric else 'key'} in which families of learning rates differ"
            told = choices(key, usable) if usable else "there is none"
            raise UsageError(f"{option('--axis')} {key}: must be {kind}; {told}")
        chosen = wanted[0]
    else:
        usable = [k for k in found if not numeric or k in numbers]
        if not usable:
            what = "a number besides the learning rate" if numeric else "another axis besides the learning rate"
            raise UsageError(f"the runs have no swept axis to draw: {what} must differ between families of at least 3 "
                             "learning rates")  # fmt: skip
        chosen = max(usable, key=lambda k: (length and size_kind(k) == "length", k in numbers, len(found[k])))
    others = [k for k in found if k != chosen]
    if key is None and others and not numbers & {chosen} and len(families) < math.prod(map(len, found.values())):
        one_each = Panel("", tuple((family.label, family) for family in families))
        return Swept("", False, (one_each,))  # the axes are not crossed: sgd with momentum, adam, …
    return Swept(chosen, chosen in numbers, _panels(families, chosen, others))


def _panels(families: Sequence[Family], key: str, others: Sequence[str]) -> tuple[Panel, ...]:
    members: dict[tuple[Any, ...], dict[Any, Family]] = {}
    for family in families:
        fields = fields_of(family)
        rest = tuple(_hashable(fields.get(other)) for other in others)
        members.setdefault(rest, {}).setdefault(_hashable(fields.get(key)), family)
    labels = {rest: _words(others, rest) for rest in members}
    order = list(dict.fromkeys(value for found in members.values() for value in found))
    made = [Panel(labels[rest], _ordered(found, order)) for rest, found in members.items()]
    return tuple(sorted(made, key=lambda panel: -len(panel.families)))


def _words(keys: Sequence[str], values: Sequence[Any]) -> str:
    told = []
    for key, value in zip(keys, values, strict=True):
        text = value_text(list(value) if isinstance(value, tuple) else value)
        told.append(text if key.endswith(".name") else f"{key_words(key)} {text}")
    return ", ".join(told)


def _ordered(found: Mapping[Any, Family], order: Sequence[Any]) -> tuple[tuple[Any, Family], ...]:
    if all(_is_number(value) for value in found):
        return tuple(sorted(found.items(), key=lambda pair: float(pair[0])))
    return tuple(sorted(found.items(), key=lambda pair: order.index(pair[0])))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
