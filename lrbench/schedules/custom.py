"""The user's own schedules, any class of `torch.optim.lr_scheduler` and factories of schedulers, by import string."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from lrbench.errors import ConfigError, UserCodeError
from lrbench.schedules.base import Context, Schedule
from lrbench.schedules.tables import SET_BY_THE_RUN, filled, per_of, tabulated
from lrbench.types import Part, load_object

_PER_STEP = {"OneCycleLR", "CyclicLR"}  # torch documents that these step after every batch
REFUSED = {
    "ReduceLROnPlateau": "it needs validation results; use the `plateau:` key, which works with any schedule",
    "SequentialLR": "use {name: sequence, parts: […]}",
    "ChainedScheduler": "it takes scheduler objects; write a function of the step instead",
    "LambdaLR": "it takes a function; name the function itself: schedule: package.module:function",
    "MultiplicativeLR": "it takes a function; name the function itself: schedule: package.module:function",
}


def imported(part: Part, run: Context) -> Schedule:
    """Build a schedule from an import string.

    It may name a torch scheduler class, a function whose first parameter is `step` and which returns the learning
    rate, a factory that returns such a function, or a function that takes an `optimizer` and returns a scheduler with a
    method `step()`. Parameters named `lr`, `total_steps`, `steps_per_epoch` and
    `context` (a `Context`) come from the run, all others from the config.
    """
    target = load_object(part.name, "schedule.name")
    if inspect.isclass(target) and any(base.__name__ == "LRScheduler" for base in target.__mro__):
        return _torch_class(target, part.params, run)
    if not callable(target):
        raise ConfigError(f"'{part.name}' is not a function or a scheduler class", key="schedule.name")
    try:
        signature = inspect.signature(target)
    except ValueError:  # some functions written in C
        problem = f"'{part.name}' has no signature; wrap it in a function of the step"
        raise ConfigError(problem, key="schedule.name") from None
    names = list(signature.parameters)
    if "optimizer" in names:
        return _factory(part.name, target, part.params, run)
    arguments = {**{n: v for n, v in {**vars(run), "context": run}.items() if n in names}, **part.params}
    of_step = names[:1] == ["step"]
    try:
        signature.bind(*([0] if of_step else []), **arguments)
    except TypeError as error:
        hint = "" if of_step else " (the first parameter of a function of the step must be `step`)"
        raise ConfigError(f"'{part.name}' does not take these parameters: {error}{hint}", key="schedule") from None
    if of_step:
        return _guarded(part.name, lambda step: target(step, **arguments))
    made = _called(part.name, target, **arguments)
    if not callable(made):
        problem = f"'{part.name}' must return a function of the step (got {type(made).__name__})"
        raise ConfigError(problem, key="schedule.name")
    return _guarded(part.name, made)


def checked_rate(rate: float, step: int) -> float:
    """Return the learning rate. Raises ConfigError unless it is finite and at least 0."""
    if not (math.isfinite(rate) and rate >= 0):
        problem = f"gives learning rate {rate} at step {step}; it must be finite and at least 0"
        raise ConfigError(problem, key="schedule")
    return rate


def _called(name: str, function: Callable[..., Any], /, *arguments: Any, **params: Any) -> Any:
    try:
        return function(*arguments, **params)
    except ConfigError:
        raise
    except Exception as error:
        raise UserCodeError.of(f"schedule '{name}'", error) from error


def _guarded(name: str, function: Callable[[int], Any]) -> Schedule:
    def rate(step: int) -> float:
        value = _called(name, function, step)
        try:
            return checked_rate(float(value), step)
        except (TypeError, ValueError):
            problem = f"'{name}' returns {value!r:.60} at step {step}; it must return a number"
            raise ConfigError(problem, key="schedule") from None

    return rate


def _torch_class(scheduler: Callable[..., Any], params: Mapping[str, Any], run: Context) -> Schedule:
    """Build a torch scheduler.

    `per`, `step` or `epoch`, sets how often it steps. Momentum does not change without `cycle_momentum: true`.
    """
    name = scheduler.__name__
    if name in REFUSED:
        raise ConfigError(f"{name} can't be used here: {REFUSED[name]}", key="schedule.name")
    arguments = dict(params)
    per = per_of(arguments.pop("per", "step" if name in _PER_STEP else "epoch"))
    known = inspect.signature(scheduler).parameters
    for own in SET_BY_THE_RUN:
        if own in arguments:
            raise ConfigError("can't be set in a config; the run sets it", key=f"schedule.{own}")
    if "cycle_momentum" in known:
        arguments.setdefault("cycle_momentum", False)
    if "max_lr" in known:
        arguments.setdefault("max_lr", run.lr)
    if name == "OneCycleLR" and not {"total_steps", "epochs"} & arguments.keys():
        arguments["total_steps"] = run.total_steps

    def make(optimizer: Any) -> Any:
        inspect.signature(scheduler).bind(optimizer, **arguments)
        return scheduler(optimizer, **arguments)

    cycles = bool(arguments.get("cycle_momentum"))
    made = (name, arguments) if scheduler.__module__ == "torch.optim.lr_scheduler" else None
    return tabulated(f"torch's {name}", make, run, per=per, given=params, cycles=cycles, of_torch=made)


def _factory(name: str, function: Callable[..., Any], params: Mapping[str, Any], run: Context) -> Schedule:
    """Build what a function of an `optimizer` returns, such as transformers' get_cosine_schedule_with_warmup.

    `per`, `step` by default, sets how often it steps.
    """
    given = dict(params)
    per = per_of(given.pop("per", "step"))
    arguments = filled(function, given, run, per)
    try:
        inspect.signature(function).bind(optimizer=None, **arguments)
    except TypeError as error:
        raise ConfigError(f"'{name}' does not take these parameters: {error}", key="schedule") from None
    make = functools.partial(function, **arguments)
    return tabulated(f"'{name}'", lambda optimizer: make(optimizer=optimizer), run, per=per, given=given)
