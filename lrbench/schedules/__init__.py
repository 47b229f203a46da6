"""Schedules: pure functions of the step, built by name. Adding one takes a function and a line in `SCHEDULES`.

They know only their parameters and the run's length, and import only the files at the top of the package.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Annotated, Any

from pydantic import AfterValidator

from lrbench.errors import ConfigError, counted
from lrbench.registry import Catalog
from lrbench.schedules import annealing, cyclic, decay, range_test, restarts
from lrbench.schedules.base import (
    Context,
    Momentum,
    Schedule,
    WithMomentum,
    document,
    momentum_of,
    with_momentum,
    within,
)
from lrbench.schedules.compat import ELSEWHERE, PEERS, PLATEAUS, USUAL_NAMES, huggingface, installed, timm
from lrbench.schedules.custom import REFUSED, checked_rate, imported
from lrbench.schedules.milestones import beyond
from lrbench.schedules.plateau import Growth, PlateauRule, PlateauState
from lrbench.schedules.tables import Recorded
from lrbench.schedules.warmup import UNTUNED, WarmUpRule, untuned, warm_up
from lrbench.types import NUMBER, WHOLE, Duration, Kind, Part, arguments, part_of


def _parsed(parts: list[Any]) -> Iterator[tuple[str, Part, Duration | None]]:
    """Yield the key, the schedule and the duration of each part."""
    for index, given in enumerate(parts):
        key = f"schedule.parts[{index}]"
        settings = dict(given) if isinstance(given, Mapping) else {"name": given}
        duration = settings.pop("for", None)
        yield key, part_of(settings, key), None if duration is None else _duration(duration, f"{key}.for")


def _complete_parts(parts: list[Any]) -> list[dict[str, Any]]:
    return [
        {**SCHEDULES.complete(part, key).plain(), **({} if duration is None else {"for": str(duration)})}
        for key, part, duration in _parsed(parts)
    ]


Parts = Annotated[list[Any], AfterValidator(_complete_parts)]


def sequence(*, parts: Parts, run: Context) -> Schedule:
    """Schedules in sequence; each runs `for` its duration, starting from its own step 0.

    Each part is built for its own length, so a cosine for 10 epochs ends after 10 epochs. The last part fills
    the rest of the run unless it has a `for`.

    Args:
        parts: a list such as [{name: constant, for: 10 epochs}, {name: cosine}].

    >>> rate = sequence(parts=[{"name": "constant", "for": "2 steps"}, {"name": "linear"}],
    ...                 run=Context(lr=1.0, total_steps=4, steps_per_epoch=1))
    >>> [rate(t) for t in range(4)]
    [1.0, 1.0, 1.0, 0.5]
    """
    if not parts:
        raise ConfigError("needs at least one part", key="schedule.parts")
    built, lengths, left = [], [], run.total_steps
    for index, (key, part, duration) in enumerate(_parsed(parts)):
        if duration is None and index < len(parts) - 1:
            raise ConfigError("needs a duration, `for`; only the last part may omit it", key=key)
        if left < 1:
            raise ConfigError(f"would start after the end of the run ({counted(run.total_steps, 'step')})", key=key)
        length = left if duration is None else min(left, run.steps(duration))
        left -= length
        sizes: dict[str, Any] = {"total_steps": length, "steps_per_epoch": run.steps_per_epoch, "as_of": run.as_of}
        built.append(unlimited(part, lr=run.lr, **sizes))
        lengths.append(length)
    starts = [0, *accumulate(lengths)][:-1]

    def rate(step: int) -> float:
        index = max(bisect.bisect_right(starts, step) - 1, 0)
        return built[index](min(step - starts[index], lengths[index] - 1))

    momenta = [momentum_of(schedule) for schedule in built]

    def momentum(step: int) -> float | None:
        index = max(bisect.bisect_right(starts, step) - 1, 0)
        inner = momenta[index]
        return inner(min(step - starts[index], lengths[index] - 1)) if inner else None

    return with_momentum(rate, momentum if any(momenta) else None)


_TORCH = "torch.optim.lr_scheduler:"
_MILESTONES = frozenset({
    *("step", "multistep", "piecewise", "sequence", "timm/step", "timm/multistep", "keras/PiecewiseConstantDecay"),
    *("lrbench2019/STEP", "lrbench2019/NSTEP", f"{_TORCH}StepLR", f"{_TORCH}MultiStepLR"),
    f"{_TORCH}CosineAnnealingWarmRestarts",
})  # fmt: skip
_RESTARTS = {"cosine_restarts": "cycle", "keras/CosineDecayRestarts": "first_decay_steps"}


def has_milestones(schedule: object) -> bool:
    """Return whether a config's `schedule:` block has times of its own: milestones, or restarts not given in percent.

    A schedule without them stretches over the length it is given.
    """
    try:
        part = SCHEDULES.canonical(Part.of(schedule))
    except ValueError:
        return False
    if part.name in _RESTARTS:
        return not str(part.params.get(_RESTARTS[part.name], "%")).endswith("%")
    return part.name in _MILESTONES


def revised(schedule: object, total_steps: int | None) -> bool:
    """Return whether a config's `schedule:` block had other learning rates before run folders got format 3.

    Without `total_steps`, also if that depends on the length of the run.
    """
    try:
        part = SCHEDULES.canonical(Part.of(schedule))
        if part.name == "sequence":
            return any(revised(inner, None) for _, inner, _ in _parsed(part.params.get("parts", [])))
        return timm.revised(part) or (part.name.startswith("hf/") and huggingface.revised(part, total_steps))
    except (LookupError, TypeError, ValueError, ConfigError):  # not valid, which is reported elsewhere
        return False


def lies_over(warmup: WarmUpRule, schedule: Part) -> bool:
    """Return whether a warm-up lies over the start of this schedule, whose times then count from the start of the run.

    This is what detectron2, mmengine and timm do with milestones. A cosine fills what the warm-up leaves.
    """
    return has_milestones(schedule) if warmup.over is None else warmup.over


def unreached(schedule: Part, *, total_steps: int, steps_per_epoch: int, warmup: WarmUpRule | None = None) -> list[str]:
    """Describe each time in a schedule that the run never reaches, such as a milestone beyond its end."""
    before = 0
    if warmup is not None and not lies_over(warmup, schedule):
        before = warmup.duration.steps(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return beyond(SCHEDULES.canonical(schedule), total_steps - before, steps_per_epoch)


_NEEDS_RESULTS = "it needs validation results, so it must be the whole `schedule:` of a config"

SCHEDULES = Catalog(
    kind="schedule",
    entries={
        "constant": decay.constant,
        "cosine": decay.cosine,
        "cosine_restarts": restarts.cosine_restarts,
        "exp_range": cyclic.exp_range,
        "exponential": decay.exponential,
        "inverse": decay.inverse,
        "inverse_sqrt": annealing.inverse_sqrt,
        "linear": decay.linear,
        "multistep": decay.multistep,
        "one_cycle": cyclic.one_cycle,
        "piecewise": restarts.piecewise,
        "polynomial": annealing.polynomial,
        "range_test": range_test.range_test,
        "rex": annealing.rex,
        "sequence": sequence,
        "sin": cyclic.sin,
        "sin2": cyclic.sin2,
        "sinexp": cyclic.sinexp,
        "step": decay.step,
        "tanh": annealing.tanh,
        "time": decay.time,
        "triangular": cyclic.triangular,
        "triangular2": cyclic.triangular2,
        "warmup_stable_decay": annealing.warmup_stable_decay,
        **PEERS,
    },
    refused={
        **{f"torch/{name}": why for name, why in REFUSED.items()},
        **dict.fromkeys(PLATEAUS.entries, _NEEDS_RESULTS),
        "hf/greedy": "it needs the loss of every step; use the `plateau:` key, with `growth`",
        "timm/none": "it is not a schedule; use constant",
    },
    aliases=USUAL_NAMES,
    elsewhere=ELSEWHERE,
    context=frozenset({"run"}),
    others=installed,
)

SCHEDULES_AND_PLATEAUS = replace(
    SCHEDULES,
    entries={**SCHEDULES.entries, **PLATEAUS.entries},
    refused={name: why for name, why in SCHEDULES.refused.items() if name not in PLATEAUS.entries},
)
"""All that `schedule:` can name in a config, where a plateau rule turns into a `plateau:` block."""

document(
    SCHEDULES.entries,
    {
        "final_factor": "the final learning rate as a fraction of lr; 0 by default.",
        "final_lr": "the final learning rate itself, instead of `final_factor`.",
        "base_factor": "the base as a fraction of lr; 0.1 by default.",
        "base_lr": "the base learning rate itself, instead of `base_factor`.",
        "step_size_up": "steps from the base up to lr; a bare number means steps. 10% of the run gives five cycles.",
        "step_size_down": "steps from lr down to the base; as many as `step_size_up` by default.",
        "half_cycle": "l, steps from the base up to lr; a bare number means steps.",
        "gamma": "γ, slightly below 1.",
        "cycle_momentum": "[lowest, highest] momentum (Adam: beta1), highest where lr(t) is lowest; off by default.",
        "per": "what n counts, `epoch` or `step`.",
    },
)


@arguments(lr=NUMBER, as_of=Kind("2 or None", lambda value: value in (None, 2)))
def build_schedule(
    part: Part | Mapping[str, Any] | str,
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    warmup: WarmUpRule | Mapping[str, Any] | str | float | None = None,
    as_of: int | None = None,
) -> Schedule:
    """Build the schedule that a config's `schedule:` block names, as a function of the step.

    Every schedule holds its last learning rate, that of step total_steps − 1, after the end of the run, as
    `torch_scheduler` does. A step that is negative, NaN or no whole number raises ValueError.

    Args:
        part: `"cosine"`, `{"name": "step", "every": "15 epochs"}` or a `Part`.
        lr: the peak learning rate.
        total_steps: steps in the run, 0 … total_steps − 1.
        steps_per_epoch: steps in an epoch.
        warmup: a config's `warmup:` block, `{"for": "5%"}` or `"5%"`; its steps are part of total_steps. Milestones
            count from the start of the run unless it has `"over": False`.
        as_of: 2 for the learning rates that run folders of formats 1 and 2 were made with; some differ.

    Raises:
        ConfigError: unknown name or invalid parameters.

    >>> build_schedule("cosine", lr=0.1, total_steps=100, steps_per_epoch=10)(50)
    0.05
    """
    rule = warmup if warmup is None or isinstance(warmup, WarmUpRule) else WarmUpRule.of(warmup)
    sizes: dict[str, Any] = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "as_of": as_of}
    schedule = unlimited(part_of(part, "schedule"), lr=lr, warmup=rule, **sizes)
    momentum = momentum_of(schedule)
    return with_momentum(within(schedule, total_steps), momentum and within(momentum, total_steps))


def unlimited(
    part: Part,
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    warmup: WarmUpRule | None = None,
    as_of: int | None = None,
) -> Schedule:
    """Build a schedule for the steps 0 … total_steps − 1 alone; all else as `build_schedule`."""
    for key, count in (("total_steps", total_steps), ("steps_per_epoch", steps_per_epoch)):
        if not WHOLE.fits(count) or count < 1:
            raise ConfigError(f"must be a whole number, at least 1 (got {count!r})", key=key)
    if not (math.isfinite(lr) and lr > 0):
        raise ConfigError(f"must be a number greater than 0 (got {lr!r})", key="lr")
    chosen = SCHEDULES.canonical(part)

    def build(steps: int) -> Schedule:
        run = Context(lr, steps, steps_per_epoch, as_of)
        schedule: Schedule = imported(chosen, run) if chosen.imported else SCHEDULES.build(chosen, run=run)
        return schedule

    if warmup is None:
        return build(total_steps)
    return replace(warmup, over=lies_over(warmup, chosen)).around(build, total_steps, steps_per_epoch)


def _duration(given: object, key: str) -> Duration:
    try:
        duration = Duration.parse(given, "epochs")
    except ValueError as error:
        raise ConfigError(str(error), key=key) from None
    if duration.amount == 0:
        raise ConfigError("must be longer than 0", key=key)
    return duration
