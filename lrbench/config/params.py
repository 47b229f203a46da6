"""Parameters of other programs: a mapping of any keys, one of which is the learning rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue, WithJsonSchema

from lrbench.errors import ConfigError, choices

LR_NAMES = ("lr", "learning_rate", "base_lr", "max_lr", "peak_lr", "init_lr")
"""What programs call the peak learning rate, the likeliest first."""
_MOST_VALUES = 10_000
_KEY = r"[^\s{}=.]+(\.[^\s{}=.]+)*"


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    for key in flat(params):
        if not re.fullmatch(_KEY, key):
            raise ValueError(f"names can't contain spaces, dots, braces or = (got {key!r:.60})")
    if len(flat(params)) > _MOST_VALUES:
        raise ValueError(f"has more than {_MOST_VALUES:,} values")
    return params


Params = Annotated[
    dict[str, JsonValue],
    AfterValidator(_checked),
    WithJsonSchema({"type": "object", "propertyNames": {"pattern": f"^{_KEY}$"}}),
]


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values by dotted key: `{model: {width: 64}}` → `{"model.width": 64}`."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if value and isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def rate_among(params: Mapping[str, Any], named: str | None = None) -> str | None:
    """Return the dotted key of the learning rate: `named`, or the likeliest; None if there is none.

    Raises ConfigError if `named` is no parameter.
    """
    values = flat(params)
    if named is not None:
        if named not in values:
            raise ConfigError(f"params has no '{named}'; {choices(named, values)}", key="lr_param")
        return named
    keys = sorted(values, key=lambda key: key.count("."))
    return next((key for name in LR_NAMES for key in keys if key.rpartition(".")[2] == name), None)
