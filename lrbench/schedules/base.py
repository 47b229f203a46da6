"""What a schedule is: a pure function from the step to the absolute learning rate at that step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lrbench.errors import ConfigError
from lrbench.types import Duration

T = TypeVar("T")
Schedule = Callable[[int], float]
Momentum = Callable[[int], float | None]  # None leaves momentum as configured


@dataclass(frozen=True)
class Context:
    """What a schedule may know about the run; a user's `def rate(step, context)` gets one too.

    Attributes:
        lr: the peak learning rate.
        total_steps: steps in the run, without those of a `warmup` block before the schedule.
        steps_per_epoch: steps in an epoch.
        as_of: 2 for the learning rates that run folders of formats 1 and 2 were made with; some were different.
    """

    lr: float
    total_steps: int
    steps_per_epoch: int
    as_of: int | None = None

    def epoch(self, step: int) -> int:
        """Return the epoch that `step` belongs to, counted from 0."""
        return step // self.steps_per_epoch

    def progress(self, step: int) -> float:
        """Return the fraction of the run done before `step`."""
        return step / self.total_steps

    def steps(self, duration: Duration) -> int:
        """Convert a duration to steps."""
        return duration.steps(total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch)


def check_below_peak(lr: float, key: str, run: Context) -> None:
    """Raise ConfigError, naming `schedule.<key>`, if a learning rate is above the peak."""
    if lr > run.lr:
        raise ConfigError(f"is above the peak, optimizer.lr = {run.lr:g} (got {lr:g})", key=f"schedule.{key}")


@dataclass(frozen=True)
class WithMomentum:
    """A schedule that cycles momentum too; `lr` and `momentum` are both pure functions of the step."""

    lr: Schedule
    momentum: Momentum

    def __call__(self, step: int) -> float:
        """Return the learning rate at `step`."""
        return self.lr(step)


def momentum_of(schedule: Schedule) -> Momentum | None:
    """Return the schedule's momentum as a function of the step; None if it does not change momentum."""
    return schedule.momentum if isinstance(schedule, WithMomentum) else None


def with_momentum(lr: Schedule, momentum: Momentum | None) -> Schedule:
    """Combine a schedule with its momentum, if it has one."""
    return lr if momentum is None else WithMomentum(lr, momentum)


def within(function: Callable[[int], T], total_steps: int) -> Callable[[int], T]:
    """Hold a function of the step at its value of the last step. Raises ValueError for steps that can't be."""
    last = total_steps - 1

    def held(step: int) -> T:
        if step.__class__ is int and 0 <= step <= last:
            return function(step)
        return function(min(_whole(step), last))

    return held


def _whole(step: Any) -> int:
    try:
        if step >= 0 and step % 1 == 0:
            return int(step)
    except (TypeError, ValueError, RuntimeError):  # no number, or several
        pass
    raise ValueError(f"a step must be a whole number, at least 0 (got {step!r:.60})")


class Options:
    """Base of dataclasses whose fields are parameters that several schedules share."""


class unpacked:
    """Decorate a factory that takes `Options`, so that a config sets their fields like the factory's own parameters.

    This is a class because doctest skips functions that another module made.
    """

    def __init__(self, factory: Callable[..., Schedule]) -> None:
        functools.update_wrapper(self, factory)
        signature = inspect.signature(factory, eval_str=True)
        own = dict(signature.parameters)
        kinds = {name: parameter.annotation for name, parameter in own.items()}
        self._name = next(name for name, kind in kinds.items() if inspect.isclass(kind) and issubclass(kind, Options))
        self._options = own.pop(self._name).annotation
        self._factory, self._own = factory, own
        shared = inspect.signature(self._options, eval_str=True).parameters
        self.__signature__ = signature.replace(parameters=[*own.values(), *shared.values()])

    def __call__(self, **arguments: Any) -> Schedule:
        """Build the schedule."""
        own = {name: arguments.pop(name) for name in self._own if name in arguments}
        return self._factory(**own, **{self._name: self._options(**arguments)})


def document(factories: Mapping[str, Callable[..., object]], shared: Mapping[str, str]) -> None:
    """Add descriptions of shared parameters to the docstrings of factories, which `lrbench list` prints.

    A description in the docstring itself wins.
    """
    for factory in factories.values():
        text, prompt, examples = (inspect.getdoc(factory) or "").partition(">>>")
        names = [name for name in inspect.signature(factory).parameters if name in shared]
        lines = [f"    {name}: {shared[name]}" for name in names if f"    {name}: " not in text]
        if lines:
            head = text.rstrip() if "Args:\n" in text else f"{text.rstrip()}\n\nArgs:"
            factory.__doc__ = "\n".join([head, *lines, "", prompt + examples])
