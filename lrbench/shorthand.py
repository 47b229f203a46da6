"""What a config may say in short, written out: other tools' plateau rules, and the untuned warm-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.errors import ConfigError
from lrbench.optimizers import adam_beta2
from lrbench.schedules import PLATEAUS
from lrbench.schedules.warmup import UNTUNED, untuned
from lrbench.values import Part


def written_out(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A config's values with what stands for something longer replaced by it. Raises ConfigError."""
    return _warmup({**plain, **_plateau(plain)})


def _plateau(plain: Mapping[str, Any]) -> dict[str, Any]:
    """`schedule: hf/reduce_lr_on_plateau` as the schedule and the `plateau:` block that it stands for."""
    given = plain.get("schedule")
    name = given.get("name") if isinstance(given, Mapping) else given
    if not isinstance(name, str) or name not in PLATEAUS.entries:
        return {}
    if plain.get("plateau") is not None:
        raise ConfigError(f"{name} is a plateau rule itself, and a config can have only one", key="plateau")
    blocks: dict[str, Any] = PLATEAUS.build(Part.of(given), "schedule")
    return blocks


def _warmup(plain: dict[str, Any]) -> dict[str, Any]:
    """`warmup: untuned` as the number of updates that suits the optimizer."""
    block = plain.get("warmup")
    block = {"for": block} if block == UNTUNED else block
    if not isinstance(block, Mapping) or block.get("for") != UNTUNED:
        return plain
    if block.get("shape", "linear") != "linear" or block.get("from_factor", 0) != 0:
        raise ConfigError("untuned is linear and begins at 0; leave out shape and from_factor", key="warmup")
    optimizer = plain.get("optimizer")
    beta2 = adam_beta2(Part.of(optimizer)) if isinstance(optimizer, str | Mapping | Part) else None
    if beta2 is None:
        problem = "untuned follows from Adam's β₂, and this optimizer has none; give a duration such as 5%"
        raise ConfigError(problem, key="warmup.for")
    return {**plain, "warmup": {"for": untuned(beta2)}}
