"""The identity of a run: a canonical form of everything that changes its result, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from lrbench.components import MODELS
from lrbench.config.command import CommandConfig
from lrbench.config.experiment import Experiment
from lrbench.config.recorded import RecordedConfig
from lrbench.config.run_config import RunConfig
from lrbench.schedules import lies_over, revised

VERSION = 1
_REPEATS = ("seed", "run")  # what runs of one group differ in


@singledispatch
def canonical(config: RunConfig) -> dict[str, Any]:
    """Return the plain form to hash: lrbench's defaults included, numbers as floats, without None and names."""
    raise TypeError(f"no identity for {type(config).__name__}")


@canonical.register
def _(config: CommandConfig) -> dict[str, Any]:
    plain = _plain(config, "name", *config.taken_over)
    return {"version": VERSION, **_unusual(plain)}


@canonical.register
def _(config: RecordedConfig) -> dict[str, Any]:
    return {"version": VERSION, **_unusual(_plain(config, *config.taken_over))}


@canonical.register
def _(experiment: Experiment) -> dict[str, Any]:
    plain = _plain(experiment, "name", "keep", *experiment.taken_over)
    plain["model"] = _number(MODELS.identified(experiment.model).plain())
    reading = experiment.dataset.rules.reading(experiment.dataset.part)
    plain["dataset"] = {k: v for k, v in plain["dataset"].items() if k not in reading}
    if experiment.warmup is not None:  # false, as it always was before format 3, is left out
        over = {"over": True} if lies_over(experiment.warmup, experiment.schedule) else {}
        plain["warmup"] = {k: v for k, v in plain["warmup"].items() if k != "over"} | over
    for key, rule in (("init_from", experiment.init_from), ("continue", experiment.continues)):
        if rule is not None:
            plain[key] = rule.canonical
    if experiment.law is not None:  # a run is found by the learning rate that the law gives
        plain.pop("lr_scaling")
        plain["optimizer"] = _number(experiment.scaled_optimizer().plain())
    if plain.pop("as_of", None) is None and revised(experiment.schedule, _total_steps(experiment)):
        plain["as_of"] = 3.0
    return {"version": VERSION, **plain}


def _total_steps(experiment: Experiment) -> int | None:
    """Return the steps that the schedule stretches over; None if a warm-up or data of unknown size is in the way."""
    examples = experiment.dataset.rules.training_examples(experiment.dataset.part.name)
    if experiment.warmup is not None or (examples is None and experiment.steps is None):
        return None
    return experiment.steps or (experiment.epochs or 0) * experiment.updates_per_epoch(examples or 0)


def identity(config: RunConfig) -> str:
    """Return 64 hex digits by which a run is found, whatever its name."""
    return config.hashed("identity", lambda: _hashes(config))


def group(config: RunConfig) -> str:
    """Return the identity without the seed."""
    return config.hashed("group", lambda: _hashes(config))


def _hashes(config: RunConfig) -> dict[str, str]:
    """Return all from one canonical form: whoever reads many runs needs them, and it takes longer than they do."""
    whole = canonical(config)
    of_all = _of_all_seeds(whole)
    rateless = _without(of_all, config.lr_key.split("."))
    return {"identity": _hash(whole), "group": _hash(of_all), "without_rate": _hash(rateless)}


def without_rate(config: RunConfig) -> str:
    """Return the identity without the seed and the learning rate."""
    return config.hashed("without_rate", lambda: _hashes(config))


def run_name(config: RunConfig) -> str:
    """Return the name of a new run's folder: `<name>-seed<k>-<8 hex of identity>`; `<name>-<8 hex>` without a seed."""
    seed = "" if config.seed is None else f"-seed{config.seed}"
    return f"{config.name}{seed}-{identity(config)[:8]}"


def _plain(config: RunConfig, *left_out: str) -> dict[str, Any]:
    return {k: _number(v) for k, v in config.plain().items() if k not in left_out}


def _unusual(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out defaults, so that a later key with a default changes no identity."""
    usual: dict[str, Any] = {"shell": False, "params": {}, "files": {}, "best_by": "val_loss"}
    return {key: value for key, value in plain.items() if key not in usual or value != usual[key]}


def _of_all_seeds(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in plain.items() if k not in _REPEATS}


def _without(plain: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Return nested mappings without the value at a path."""
    first, *rest = path
    if not rest:
        return {k: v for k, v in plain.items() if k != first}
    return {**plain, first: _without(plain[first], rest)} if isinstance(plain.get(first), dict) else plain


def _number(value: Any) -> Any:
    """Make 1 and 1.0 hash the same."""
    if isinstance(value, dict):
        return {str(k): _number(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_number(v) for v in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53:
        return float(value)  # beyond 2⁵³, neighbouring integers such as two seeds would become the same float
    return value


def _hash(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
