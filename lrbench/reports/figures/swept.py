"""Families over the axes of a sweep besides the learning rate: batch sizes, lengths, optimizers, …"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import Family, key_words, swept_keys, value_text
from lrbench.config import size_kind
from lrbench.errors import UsageError, choices, option


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


def swept(families: Sequence[Family], key: str | None = None, *, numeric: bool = False, length: bool = False) -> Swept:
    """Arrange families along one axis: the one asked for, or that with the most values; numbers before names.

    Args:
        families: families of learning rates.
        key: the axis, as `--axis` names it: a config's key, or its last part.
        numeric: whether it must be numbers.
        length: whether lengths of training come before other numbers.

    Raises UsageError if there is no such axis.
    """
    found = swept_keys(families)
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
    members: dict[str, tuple[str, dict[str, tuple[Any, Family]]]] = {}
    for family in families:
        fields = family.first.identity_fields
        rest, value = [fields.get(other) for other in others], fields.get(key)
        _, found = members.setdefault(repr(rest), (_words(others, rest), {}))
        found.setdefault(repr(value), (value, family))
    order = list(dict.fromkeys(value for _, found in members.values() for value in found))
    made = [Panel(label, _ordered(found, order)) for label, found in members.values()]
    return tuple(sorted(made, key=lambda panel: -len(panel.families)))


def _words(keys: Sequence[str], values: Sequence[Any]) -> str:
    told = []
    for key, value in zip(keys, values, strict=True):
        text = value_text(value)
        told.append(text if key.endswith(".name") else f"{key_words(key)} {text}")
    return ", ".join(told)


def _ordered(found: Mapping[str, tuple[Any, Family]], order: Sequence[str]) -> tuple[tuple[Any, Family], ...]:
    """Return values and families by ascending number or, if not all are numbers, in the order of the values' texts."""
    if all(_is_number(value) for value, _ in found.values()):
        return tuple(sorted(found.values(), key=lambda pair: float(pair[0])))
    return tuple(found[text] for text in order if text in found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
