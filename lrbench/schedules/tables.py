"""Run another library's scheduler once, on a dummy optimizer, into a table, so that it is a pure function too."""

from __future__ import annotations

import array
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lrbench.errors import ConfigError, UserCodeError
from lrbench.schedules.base import Context, Schedule, with_momentum
from lrbench.types import Duration

Per = Literal["step", "epoch"]
SET_BY_THE_RUN = ("optimizer", "last_epoch")
_REFUSALS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


class Recorded:
    """A table of what a scheduler did, 8 bytes a step.

    Attributes:
        key: what it holds, `lr` or `momentum`.
        lr: the learning rate that the scheduler started from.
        scheduler: the name of torch's class; None for what another library computed.
        arguments: what the class got besides the optimizer.
    """

    def __init__(self, key: str, lr: float, scheduler: str | None, arguments: Mapping[str, Any]) -> None:
        self.key, self.lr, self.scheduler, self.arguments = key, lr, scheduler, arguments
        self._values = array.array("d")

    def append(self, value: float) -> None:
        """Add the value of the next step."""
        self._values.append(value)

    def __getitem__(self, step: int) -> float:
        """Return the value of a step."""
        return self._values[step]

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)


def per_of(value: object) -> Per:
    """Return how often a scheduler steps. Raises ConfigError."""
    if value not in ("step", "epoch"):
        raise ConfigError(f"must be 'step' or 'epoch' (got {value!r})", key="schedule.per")
    return "step" if value == "step" else "epoch"


def filled(function: Callable[..., Any], params: Mapping[str, Any], run: Context, per: Per) -> dict[str, Any]:
    """Return a scheduler factory's arguments besides `optimizer`: the config's, and what only the run knows.

    `num_training_steps` and `total_steps` are the length of the run; `num_warmup_steps` is 0 unless given; `lr`,
    `steps_per_epoch` and `context` are as for a factory of schedules. Durations of parameters that end in `steps` are
    converted.

    Raises:
        ConfigError: a parameter that the run sets, or that the function does not take.
    """
    for own in SET_BY_THE_RUN:
        if own in params:
            raise ConfigError("can't be set in a config; the run sets it", key=f"schedule.{own}")
    known = inspect.signature(function).parameters
    length = -(-run.total_steps // (run.steps_per_epoch if per == "epoch" else 1))
    from_run = {**vars(run), "context": run, "num_training_steps": length, "total_steps": length}
    if "num_warmup_steps" in known and known["num_warmup_steps"].default is inspect.Parameter.empty:
        from_run["num_warmup_steps"] = 0
    arguments = {name: value for name, value in from_run.items() if name in known}
    return arguments | {name: in_steps(name, value, run, per) for name, value in params.items()}


def in_steps(name: str, value: Any, run: Context, per: Per = "step") -> Any:
    """Convert a duration for a parameter such as `num_warmup_steps` to steps or epochs, rounded up.

    Raises ConfigError for text that is no duration.
    """
    if not (isinstance(value, str) and name.endswith("steps")):
        return value
    try:
        exact = Duration.parse(value, "steps").exact(total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch)
    except ValueError as error:
        raise ConfigError(str(error), key=f"schedule.{name}") from None
    return math.ceil(exact / (run.steps_per_epoch if per == "epoch" else 1) - 1e-9)


def tabulated(
    title: str,
    make: Callable[[Any], Any],
    run: Context,
    *,
    per: Per,
    given: Mapping[str, Any],
    cycles: bool = False,
    advance: Callable[[Any, int], object] | None = None,
    of_torch: tuple[str, Mapping[str, Any]] | None = None,
) -> Schedule:
    """Record a scheduler's learning rates.

    Args:
        title: what it is, for messages.
        make: makes the scheduler for an optimizer.
        run: gives the peak and the length.
        per: what one call of its `step()` counts.
        given: its parameters, for messages.
        cycles: whether it changes momentum.
        advance: moves a scheduler to step or epoch t; by default, `scheduler.step()`.
        of_torch: the name and the arguments of a class of torch that it is an object of.

    Raises:
        ConfigError: the scheduler refused its parameters, or its `step()` needs a result of the run.
        UserCodeError: it raised anything else.
    """
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=run.lr, momentum=0.9)
    unit = run.steps_per_epoch if per == "epoch" else 1
    rates, momenta = (Recorded(key, run.lr, *(of_torch or (None, {}))) for key in ("lr", "momentum"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scheduler = make(optimizer)
            move = advance or _step(title, scheduler)
            for t in range(1, -(-run.total_steps // unit) + 1):
                rates.append(float(optimizer.param_groups[0]["lr"]))
                if cycles:
                    momenta.append(float(optimizer.param_groups[0]["momentum"]))
                if t * unit < run.total_steps:
                    optimizer.step()
                    move(scheduler, t)
        except ConfigError:
            raise
        except _REFUSALS as error:
            said = " ".join(str(error).split()) or type(error).__name__
            shown = ", ".join(f"{key}: {value}" for key, value in given.items()) or "no parameters"
            units = f"numbers count {per}s; the run has {-(-run.total_steps // unit)}"
            raise ConfigError(f"{title} refused {shown} ({units}): {said}", key="schedule") from error
        except Exception as error:
            raise UserCodeError.of(f"schedule '{title}'", error) from error
    last = len(rates) - 1
    return with_momentum(
        lambda step: rates[min(step // unit, last)],
        (lambda step: momenta[min(step // unit, last)]) if cycles else None,
    )


def _step(title: str, scheduler: Any) -> Callable[[Any, int], object]:
    """Return what calls `step()`. Raises ConfigError if there is none, or it needs an argument."""
    method = getattr(scheduler, "step", None)
    if not callable(method):
        problem = f"{title} must return a scheduler with a method step() (got {type(scheduler).__name__})"
        raise ConfigError(problem, key="schedule.name")
    try:
        inspect.signature(method).bind()
    except TypeError as error:
        problem = f"{title} can't be used: its step() needs a result of the run ({error})"
        raise ConfigError(f"{problem}; use the `plateau:` key, which works with any schedule", key="schedule") from None
    return lambda scheduler, t: scheduler.step()
