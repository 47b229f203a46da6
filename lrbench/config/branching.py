"""From a config with a `branches:` block to the configs of its runs: the trunk and each branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.config.experiment import Experiment
from lrbench.config.identity import identity, run_name
from lrbench.config.run_config import RunConfig
from lrbench.types import Duration

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Trunk:
    """The run whose first steps a branch shares.

    Attributes:
        identity: the run's identity.
        name: the name that its folder has if it is new.
        at: how much of it is shared.
    """

    identity: str
    name: str
    at: Duration


def branched(config: RunConfig) -> Sequence[RunConfig]:
    """Return the runs of a config: itself, or the trunk and the branches of its `branches:` block.

    Each is the config of the run trained alone, and has its identity. A branch knows its trunk (see `trunk_of`).
    """
    if not isinstance(config, Experiment) or config.branches is None:
        return [config]
    rule, schedule = config.branches, config.schedule
    *_, last = rule.starts(config.length)
    level = {key: value for key, value in schedule.plain().items() if key in ("name", "warmup")}
    trunk = _alone(config, "trunk", {**level, "cooldown": "0 steps"}, last)
    found = [trunk]
    for at, length, decay in rule.each(config.length, schedule):
        ending = f"at{_short(at)}-decay{_short(length)}" + (f"-{decay.shape}" if decay.shape else "")
        whole = Duration(at.amount + length.amount, at.unit)
        branch = _alone(config, ending, decay.schedule(schedule, length), whole)
        branch._trunk = Trunk(identity(trunk), run_name(trunk), at)
        found.append(branch)
    return found


def count_branched(plain: Mapping[str, Any]) -> int:
    """Return how many runs `branched` makes of a config, which may be invalid."""
    block = plain.get("branches")
    if not isinstance(block, Mapping):
        return 1
    at, decays = block.get("at"), block.get("decay")
    return 1 + (len(at) if isinstance(at, list) else 1) * (len(decays) if isinstance(decays, list) else 1)


def trunk_of(config: RunConfig) -> Trunk | None:
    """Return the trunk of a branch; None for any other run."""
    return config._trunk if isinstance(config, Experiment) else None


def own_share(config: RunConfig) -> float:
    """Return the fraction of its steps that a run trains itself; below 1 for a branch."""
    trunk = trunk_of(config)
    return 1 - trunk.at.amount / config.length.amount if trunk and isinstance(config, Experiment) else 1.0


def _alone(config: Experiment, ending: str, schedule: dict[str, object], length: Duration) -> Experiment:
    """Return a run of a config as one would write it by hand."""
    name = f"{config.name[: _LONGEST_NAME - len(ending) - 1].rstrip()}-{ending}"
    budget: dict[str, Any] = {"epochs": None, "steps": None, length.unit: int(length.amount)}
    return config.replace(name=name, schedule=schedule, branches=None, reference=None, **budget)


def _short(length: Duration) -> str:
    return f"{length.amount:.0f}{'' if length.unit == 'steps' else length.unit}"
