"""The user's own schedules and any class of `torch.optim.lr_scheduler`, by import string."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lrbench.errors import ConfigError, UserCodeError
from lrbench.registry import load_object
from lrbench.schedules.base import Context, Schedule, with_momentum
from lrbench.types import Part

_PER_STEP = {"OneCycleLR", "CyclicLR"}  # torch documents that these step after every batch
_REFUSALS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
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
    rate, or a factory that returns such a function. Parameters named `lr`, `total_steps`, `steps_per_epoch` and
    `context` (a `Context`) come from the run, all others from the config.
    """
    target = load_object(part.name, "schedule.name")
    if inspect.isclass(target) and any(base.__name__ == "LRScheduler" for base in target.__mro__):
        return _torch_table(target, part.params, run)
    if not callable(target):
        raise ConfigError(f"'{part.name}' is not a function or a scheduler class", key="schedule.name")
    try:
        signature = inspect.signature(target)
    except ValueError:  # some functions written in C
        problem = f"'{part.name}' has no signature; wrap it in a function of the step"
        raise ConfigError(problem, key="schedule.name") from None
    names = list(signature.parameters)
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


def _torch_table(scheduler: Callable[..., Any], params: Mapping[str, Any], run: Context) -> Schedule:
    """Run a torch scheduler once on a dummy optimizer and record it in a table, so that it is a pure function too.

    `per`, `step` or `epoch`, sets how often it steps. Momentum does not change without `cycle_momentum: true`.
    """
    import torch

    name = scheduler.__name__
    if name in REFUSED:
        raise ConfigError(f"{name} can't be used here: {REFUSED[name]}", key="schedule.name")
    arguments = dict(params)
    per: Literal["step", "epoch"] = arguments.pop("per", "step" if name in _PER_STEP else "epoch")
    if per not in ("step", "epoch"):
        raise ConfigError(f"must be 'step' or 'epoch' (got {per!r})", key="schedule.per")
    known = inspect.signature(scheduler).parameters
    for own in ("optimizer", "last_epoch"):
        if own in arguments:
            raise ConfigError("can't be set in a config; the run sets it", key=f"schedule.{own}")
    if "cycle_momentum" in known:
        arguments.setdefault("cycle_momentum", False)
    if "max_lr" in known:
        arguments.setdefault("max_lr", run.lr)
    if name == "OneCycleLR" and not {"total_steps", "epochs"} & arguments.keys():
        arguments["total_steps"] = run.total_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=run.lr, momentum=0.9)
    unit = run.steps_per_epoch if per == "epoch" else 1
    rates, momenta = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            inspect.signature(scheduler).bind(optimizer, **arguments)
            stepper = scheduler(optimizer, **arguments)
            for _ in range(-(-run.total_steps // unit)):
                rates.append(float(optimizer.param_groups[0]["lr"]))
                momenta.append(float(optimizer.param_groups[0]["momentum"]))
                if len(rates) * unit < run.total_steps:
                    optimizer.step()
                    stepper.step()
        except _REFUSALS as error:
            said = " ".join(str(error).split()) or type(error).__name__
            given = ", ".join(f"{key}: {value}" for key, value in params.items()) or "no parameters"
            units = f"numbers count {per}s; the run has {-(-run.total_steps // unit)}"
            raise ConfigError(f"torch's {name} refused {given} ({units}): {said}", key="schedule") from error
        except Exception as error:
            raise UserCodeError.of(f"schedule '{name}'", error) from error
    cycles = arguments.get("cycle_momentum")
    return with_momentum(
        lambda step: rates[step // unit],
        (lambda step: momenta[step // unit]) if cycles else None,
    )
