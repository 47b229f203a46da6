"""Merging a config into the one that it extends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.config.sweep_block import axes_of, short_axes

PARTS = ("dataset", "model", "optimizer", "schedule", "loss", "task")
"""The blocks that name a part."""


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
