"""How imported runs are named and grouped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrbench.config import OUR_COLUMN, RecordedConfig, fits_folder, flat
from lrbench.errors import ConfigError, UsageError, choices, option
from lrbench.integrations.importers import Foreign, Tool
from lrbench.integrations.importers.settings import (
    matters,
    natural_number,
    nested,
    seed_among,
    seed_in_name,
    typed,
)
from lrbench.types import number_of

_LONGEST = 80
"""Most characters of a run's name."""


@dataclass(frozen=True)
class Rules:
    """How runs are named and grouped.

    Attributes:
        name: the name of all, or a pattern with `{experiment}`, `{title}` and parameters in braces.
        seed_key: the parameter that is the seed.
        group_by: the parameters that tell groups apart; None for all that may matter.
        lr_key: the parameter that is the learning rate.
        columns: their column of some of our names.
    """

    name: str | None = None
    seed_key: str | None = None
    group_by: Sequence[str] | None = None
    lr_key: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.columns:
            if not OUR_COLUMN.fullmatch(name):
                problem = "must be step, epoch, lr, or begin with train_, val_ or test_, such as val_loss=eval/loss"
                raise UsageError(f"{option('--map')}: '{name}' {problem}")
            if twice := [ours for ours, theirs in self.columns.items() if theirs == self.columns[name]][1:]:
                problem = f"gives the column '{self.columns[name]}' two names: {name} and {twice[0]}"
                raise UsageError(f"{option('--map')} {problem}")
        if self.group_by is not None and not [key for key in self.group_by if key.strip()]:
            raise UsageError(f"{option('--group-by')} names no setting; write it as lr,schedule")
        _check_name(self.name)

    def config(self, run: Foreign, tool: Tool) -> tuple[RecordedConfig, dict[str, Any]]:
        """Return the config of a run, and the settings that are not in it. Raises ConfigError."""
        values = self.values(run)
        seed_key = seed_among(values, self.seed_key and _whole_key(values, self.seed_key))
        lr_key = self.lr_key and _whole_key(values, self.lr_key)
        seed = seed_in_name(run.title) if seed_key is None else natural_number(values[seed_key])
        if self.group_by is None:
            kept = {key for key, value in values.items() if matters(key, value) and key != seed_key}
        else:
            kept = {key for key in values if key in self.group_by or key.rpartition(".")[2] in self.group_by}
            kept |= {lr_key} if lr_key in values else set()
        params = nested({key: _plain(values[key]) for key in values if key in kept})
        plain = {
            "name": _folder_name(self._named(run, values)),
            "recorded": tool.title,
            "params": params,
            "lr_param": lr_key if lr_key in flat(params) else None,
            "seed": seed,
            "run": None if seed is not None else run.key,
        }
        config = RecordedConfig.of({k: v for k, v in plain.items() if v is not None}, {}, run.title)
        return config, {key: _plain(value) for key, value in values.items() if key not in kept}

    def values(self, run: Foreign) -> dict[str, Any]:
        """Return the settings of a run by their dotted keys."""
        return {key: typed(value) for key, value in flat(nested(flat(run.params))).items()}

    def _named(self, run: Foreign, values: Mapping[str, Any]) -> str:
        known = {"experiment": run.experiment or run.title, "title": run.title, **values}
        if self.name is None:
            return without_values(str(known["experiment"]), values)
        for name in re.findall(r"\{([^{}]*)\}", self.name):
            if name not in known:
                raise ConfigError(f"{option('--name')}: a run has no '{name}'; {choices(name, known)}")
        return re.sub(r"\{([^{}]*)\}", lambda found: str(known[found[1]]), self.name)


def without_values(name: str, params: Mapping[str, Any]) -> str:
    """Return a name without the parameters in it, since runs that differ in one are to have one name.

    >>> without_values("resnet_lr0.1_bs-32", {"lr": 0.1, "batch_size": 32})
    'resnet'
    """
    values = {number_of(value) for value in params.values() if isinstance(value, int | float)}
    kept = []
    for piece in re.split(r"[_,]|-(?=[A-Za-z])", name):
        found = re.fullmatch(r"[A-Za-z]{1,20}[=-]?(\d+\.?\d*(?:[eE][-+]?\d+)?)", piece)
        if not found or float(found[1]) not in values:
            kept.append(piece)
    return name if len(kept) == len(re.split(r"[_,]|-(?=[A-Za-z])", name)) else "_".join(kept) or name


def _whole_key(values: Mapping[str, Any], name: str) -> str:
    """Return the dotted key that a name means: itself, or the first that ends with it."""
    return name if name in values else next((key for key in values if key.rpartition(".")[2] == name), name)


def _check_name(name: str | None) -> None:
    """Check a name or a pattern. Raises UsageError."""
    if name is None:
        return
    fixed, fields = re.sub(r"\{[^{}]*\}", "", name), re.findall(r"\{([^{}]*)\}", name)
    named = f"{option('--name')} {name!r:.60}"
    if not name.strip():
        raise UsageError(f"{option('--name')} is empty; give a name, or a pattern such as '{{experiment}} {{lr}}'")
    if wrong := re.search(r"[^\w .,+=@()-]", fixed):
        what = "a brace without its partner" if wrong[0] in "{}" else f"{wrong[0]!r}"
        raise UsageError(f"{named} has {what}; a name may contain letters, digits and any of ' .,+=@()_-'")
    if "" in (one.strip() for one in fields):
        raise UsageError(f"{named} has empty braces; write a setting in them, such as {{experiment}}")
    if not fields and (fixed != fixed.strip(" .-_") or not fixed.strip(" .-_")):
        raise UsageError(f"{named} must begin and end with a letter or a digit")
    if len(fixed) > _LONGEST:
        raise UsageError(f"{named} has {len(fixed)} characters; a name has at most {_LONGEST}")


def _folder_name(text: str) -> str:
    """Return a name that a folder can have."""
    name = re.sub(r"[^\w .,+=@()-]", "-", text).strip(" .-_")[:_LONGEST].rstrip(" .")
    while name and not fits_folder(name):
        name = name[1:] if len(name.encode()) <= 200 else name[:-1].rstrip(" .")
    return name or "imported"


def _plain(value: Any) -> Any:
    """Return a value that JSON has."""
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)
