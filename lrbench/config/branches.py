"""The `branches:` block: several lengths and several decays that share the stable part of one run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from lrbench.errors import ConfigError
from lrbench.types import Duration, Fraction, NonNegative, Part, Steps

SCHEDULE = "warmup_stable_decay"
_DECAY = ("shape", "final_factor", "final_lr")


@dataclass(frozen=True)
class DecayRule:
    """A decay at the end of a branch.

    Args:
        duration: `for` in the config: `400 steps`, or `20%` of the branch, its stable part included; a bare number
            means steps.
        shape: linear, cosine or sqrt; by default the schedule's own.
        final_factor: the final learning rate as a fraction of the peak; by default the schedule's own.
        final_lr: the final learning rate itself, instead of `final_factor`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    duration: Annotated[Steps, Field(alias="for")]
    shape: Literal["linear", "cosine", "sqrt"] | None = None
    final_factor: Fraction | None = None
    final_lr: NonNegative | None = None

    def schedule(self, stable: Part, duration: Duration) -> dict[str, Any]:
        """Return the branch's `schedule:` block: the stable run's, with this decay over `duration`."""
        own = {key: getattr(self, key) for key in _DECAY}
        if own["final_factor"] is not None or own["final_lr"] is not None:
            stable = Part(stable.name, {k: v for k, v in stable.params.items() if not k.startswith("final")})
        given = {key: value for key, value in own.items() if value is not None}
        return {**stable.plain(), **given, "cooldown": str(duration)}

    def over(self, at: Duration) -> Duration:
        """Return the length of the decay after a stable part, in the same unit. Raises ConfigError."""
        given = self.duration
        if given.unit == "percent":
            if not 0 < given.amount < 100:
                raise ConfigError(f"must be above 0% and below 100% of the branch (got {given})", key="branches.decay")
            return _whole(at.amount * given.amount / (100 - given.amount), at.unit, f"{given} of a branch after {at}")
        if given.unit != at.unit:
            problem = f"must be in {at.unit}, like `at`, or in percent of the branch (got {given})"
            raise ConfigError(problem, key="branches.decay")
        if given.amount == 0:
            raise ConfigError(
                f"must be longer than 0, since the trunk has no decay (got {given})", key="branches.decay"
            )
        return _whole(given.amount, given.unit, str(given))


@dataclass(frozen=True)
class BranchesRule:
    """Branches from the checkpoints of one stable run, the trunk.

    Args:
        at: where branches leave the trunk and their decay begins: steps, epochs, or percent of the config's length; a
            bare number means steps.
        decay: the decays that begin at each of these; by default the schedule's own `cooldown`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    at: Annotated[list[Steps], Field(min_length=1)]
    decay: Annotated[list[DecayRule], Field(min_length=1)] | None = None

    def starts(self, length: Duration) -> list[Duration]:
        """Return where branches leave a trunk of at most this length, ascending. Raises ConfigError."""
        found = []
        for given in self.at:
            at = given
            if given.unit == "percent":
                at = _whole(given.amount * length.amount / 100, length.unit, f"{given} of {length}", "at")
            if at.unit != length.unit:
                problem = f"is in {at.unit}, and the length of the config in {length.unit}; use the same unit for both"
                raise ConfigError(f"{problem} (got {given})", key="branches.at")
            if not at.amount.is_integer() or at.amount < 1:
                raise ConfigError(f"must be a whole number of {at.unit}, at least 1 (got {given})", key="branches.at")
            if at.amount > length.amount:
                raise ConfigError(f"lies beyond the end of the config, {length} (got {given})", key="branches.at")
            if at in found:
                raise ConfigError(f"names {at} twice", key="branches.at")
            found.append(at)
        return sorted(found, key=lambda at: at.amount)

    def decays(self, schedule: Part) -> list[DecayRule]:
        """Return the decays of the block, or else that of the schedule."""
        return self.decay or [DecayRule(Duration.parse(schedule.params["cooldown"], "epochs"))]

    def each(self, length: Duration, schedule: Part) -> Iterator[tuple[Duration, Duration, DecayRule]]:
        """Yield the start, the length and the rule of each branch's decay. Raises ConfigError."""
        for at in self.starts(length):
            for decay in self.decays(schedule):
                yield at, decay.over(at), decay


def written_out(plain: dict[str, Any]) -> dict[str, Any]:
    """Write out a config's `branches:` block, and the length of the config where only `at` tells it."""
    block = plain.get("branches")
    if not isinstance(block, Mapping):
        return plain
    block = dict(block)
    if isinstance(block.get("at"), str | int | float):
        block["at"] = [block["at"]]
    decay = block.get("decay")
    if decay is not None:
        items = decay if isinstance(decay, list) else [decay]
        block["decay"] = [{"for": one} if isinstance(one, str | int | float) else one for one in items]
    return {**plain, **_length(plain, block["at"] if isinstance(block.get("at"), list) else []), "branches": block}


def _length(plain: Mapping[str, Any], at: list[Any]) -> dict[str, int]:
    """Return the length that the last of `at` gives to a config without one."""
    if plain.get("epochs") is not None or plain.get("steps") is not None:
        return {}
    try:
        ends = [Duration.parse(one, "steps") for one in at]
    except ValueError:  # which validation reports
        return {}
    units = {end.unit for end in ends}
    if len(units) != 1 or units == {"percent"}:
        return {}
    last = max(end.amount for end in ends)
    return {units.pop(): max(math.ceil(last), 1)}  # validation reports what is no whole number


def check_branches(plain: Mapping[str, Any], schedule: Part, rule: BranchesRule, length: Duration) -> None:
    """Raise ConfigError unless branches of this config equal the same runs trained alone.

    Args:
        plain: the resolved config.
        schedule: its schedule.
        rule: its `branches:` block.
        length: its length.
    """
    if schedule.name != SCHEDULE:
        problem = f"need `schedule: {SCHEDULE}`, whose stable part the branches share (got {schedule.name})"
        raise ConfigError(problem, key="branches")
    for key, value in _lengths(plain):
        if str(value).endswith("%"):
            problem = f"is {value} of the run, whose length differs between branches, so they share no steps"
            raise ConfigError(f"{problem}; give it in steps or epochs", key=key)
    if ((plain.get("plateau") or {}).get("growth") or {}).get("on") == "plateau":
        problem = (
            "ends at a fraction of the run, and the run's length differs between branches; remove growth, or branches"
        )
        raise ConfigError(problem, key="plateau.growth")
    for at, _, _ in rule.each(length, schedule):
        before = [Duration.parse(value, "epochs") for key, value in _lengths(plain) if key in _WARMUPS]
        same = sum(one.amount for one in before if one.unit == at.unit)
        if same > at.amount:
            raise ConfigError(f"lies in the warm-up, which takes {same:g} {at.unit} (got {at})", key="branches.at")


_WARMUPS = ("schedule.warmup", "warmup.for")


def _lengths(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a config that may be lengths of time before the decay."""
    yield "schedule.warmup", plain["schedule"]["warmup"]
    if plain.get("warmup") is not None:
        yield "warmup.for", plain["warmup"]["for"]
    if plain.get("eval_every") is not None:
        yield "eval_every", plain["eval_every"]
    for key, value in plain["optimizer"].items():
        for inner in value.values() if isinstance(value, Mapping) else (value,):
            if isinstance(inner, str):
                yield f"optimizer.{key}", inner


def _whole(exact: float, unit: Literal["epochs", "steps", "percent"], what: str, key: str = "decay") -> Duration:
    """Return a length in whole steps or epochs. Steps are rounded; epochs must come out even. Raises ConfigError."""
    if unit == "epochs" and not float(f"{exact:.9g}").is_integer():
        problem = f"is no whole number of epochs: {what} is {exact:.3g} epochs; give lengths in steps"
        raise ConfigError(problem, key=f"branches.{key}")
    return Duration(float(max(int(exact + 0.5), 1)), unit)
