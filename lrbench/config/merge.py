"""Merging a config into the one that it extends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.config.params import flat, rate_among

PARTS = ("dataset", "model", "optimizer", "schedule", "loss", "task")
"""The blocks that name a part."""
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


def normal(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Write `model: cnn` as `model: {name: cnn}`, so that it merges."""
    return {k: {"name": v} if k in PARTS and isinstance(v, str) else v for k, v in plain.items()}


def merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `child` into `base`. Mappings that name different parts replace each other, as do `epochs` and `steps`."""
    merged = dict(base)
    for budget, other in (("epochs", "steps"), ("steps", "epochs")):
        if child.get(budget) is not None and other not in child:
            merged.pop(other, None)
    for key, value in child.items():
        old = merged.get(key)
        merged[key] = value
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if key == "sweep":
                short = short_axes({**base, **child})
                merged[key] = {
                    k: v for k, v in old.items() if not axes_of({k: v}, short) & axes_of(value, short)
                } | dict(value)
            elif value.get("name", old.get("name")) == old.get("name"):
                merged[key] = merge(old, value)
    return merged


def axes_of(sweep: Mapping[str, Any], short: Mapping[str, str]) -> set[str]:
    """Return the keys that a `sweep:` block varies, written in full."""
    return {short.get(key, key) for key in _dotted(sweep)}


def _dotted(sweep: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for key, value in sweep.items():
        nested = isinstance(value, Mapping) and not {"log", "linear", "name"} & value.keys()
        found |= {f"{key}.{rest}" for rest in _dotted(value)} if nested else {key}
    return found
