"""Which kind of config a mapping is, and its validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.config.command import CommandConfig
from lrbench.config.experiment import Experiment
from lrbench.config.recorded import RecordedConfig
from lrbench.config.run_config import RunConfig
from lrbench.config.yaml_source import Places
from lrbench.errors import ConfigError, UsageError

KINDS: Mapping[str, type[RunConfig]] = {"command": CommandConfig, "recorded": RecordedConfig}
"""The kinds of config by the key that only they have; all others are lrbench's own training."""


def kind_of(plain: Mapping[str, Any]) -> type[RunConfig]:
    """Return the kind of config that plain values are."""
    return next((kind for key, kind in KINDS.items() if key in plain), Experiment)


def validate(plain: Mapping[str, Any], places: Places, shown: str) -> RunConfig:
    """Build a run's config from plain values. Raises ConfigError with the place of the first problem."""
    if not isinstance(plain, Mapping):
        raise ConfigError(f"must be a mapping of keys to values (got {plain!r:.60})", where=shown)
    return kind_of(plain).of(plain, places, shown)


def own(config: RunConfig, why: str) -> Experiment:
    """Return a config of lrbench's own training. Raises UsageError, with what else to do, for another program's."""
    if isinstance(config, Experiment):
        return config
    raise UsageError(f"{config.name} is trained by {config.foreign}, not by lrbench; {why}")
