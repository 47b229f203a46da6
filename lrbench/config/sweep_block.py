"""The keys of a config's `sweep:` block, each of which is an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.config.params import flat, rate_among

NOT_VARIED = ("name", "device", "reference", "extends", "sweep", "folder", "timeout", "stall", "memory", "gpus")
"""Keys of a config that are no axis."""
MAX_POINTS = 100_000
"""The most values of an axis."""
SHORT_AXES = {"lr": "optimizer.lr", "seeds": "seed"}
"""Short keys of a `sweep:` block."""


def short_axes(plain: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the short keys of a config, as in its `sweep:` block; each parameter of another program has one."""
    if plain.get("command") is None and plain.get("recorded") is None:
        return SHORT_AXES
    params = plain.get("params")
    given = flat(params) if isinstance(params, Mapping) else {}
    rate = rate_among(given, plain.get("lr_param")) or "lr"
    return {**{key: f"params.{key}" for key in given}, "lr": f"params.{rate}", "seeds": "seed"}


def axes_of(sweep: Mapping[str, Any], short: Mapping[str, str]) -> set[str]:
    """Return the keys that a `sweep:` block varies, written in full."""
    return {short.get(key, key) for key in _dotted(sweep)}


def _dotted(sweep: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for key, value in sweep.items():
        nested = isinstance(value, Mapping) and not {"log", "linear", "name"} & value.keys()
        found |= {f"{key}.{rest}" for rest in _dotted(value)} if nested else {key}
    return found
