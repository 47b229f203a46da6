"""The identity of a run: a canonical form of everything that changes its result, and its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lrbench.config.load import Experiment
from lrbench.schedules import lies_over, revised

VERSION = 1
_NOT_PART_OF_IT = {"name", "reference", "device", "keep", "track"}


def canonical(experiment: Experiment) -> dict[str, Any]:
    """Return the plain form to hash: lrbench's defaults included, numbers as floats, without None and names."""
    plain = {k: _number(v) for k, v in experiment.plain().items() if k not in _NOT_PART_OF_IT}
    reading = experiment.dataset.rules.reading(experiment.dataset.part)
    plain["dataset"] = {k: v for k, v in plain["dataset"].items() if k not in reading}
    if experiment.warmup is not None:  # false, as it always was before format 3, is left out
        over = {"over": True} if lies_over(experiment.warmup, experiment.schedule) else {}
        plain["warmup"] = {k: v for k, v in plain["warmup"].items() if k != "over"} | over
    for key, rule in (("init_from", experiment.init_from), ("continue", experiment.continues)):
        if rule is not None:
            plain[key] = rule.canonical
    if plain.pop("as_of", None) is None and revised(experiment.schedule, _total_steps(experiment)):
        plain["as_of"] = 3.0
    return {"version": VERSION, **plain}


def _total_steps(experiment: Experiment) -> int | None:
    """Return the steps that the schedule stretches over; None if a warm-up or data of unknown size is in the way."""
    examples = experiment.dataset.rules.training_examples(experiment.dataset.part.name)
    if experiment.warmup is not None or (examples is None and experiment.steps is None):
        return None
    return experiment.steps or (experiment.epochs or 0) * experiment.updates_per_epoch(examples or 0)


def identity(experiment: Experiment) -> str:
    """Return 64 hex digits by which a run is found, whatever its name."""
    return experiment.hashed("identity", lambda: _hash(canonical(experiment)))


def group(experiment: Experiment) -> str:
    """Return the identity without the seed."""
    return experiment.hashed("group", lambda: _hash({k: v for k, v in canonical(experiment).items() if k != "seed"}))


def without_rate(experiment: Experiment) -> str:
    """Return the identity without the seed and the learning rate."""
    plain = {k: v for k, v in canonical(experiment).items() if k != "seed"}
    return _hash({**plain, "optimizer": {k: v for k, v in plain["optimizer"].items() if k != "lr"}})


def run_name(experiment: Experiment) -> str:
    """Return the name of a new run's folder: `<name>-seed<k>-<8 hex of identity>`."""
    return f"{experiment.name}-seed{experiment.seed}-{identity(experiment)[:8]}"


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
