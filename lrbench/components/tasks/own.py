"""Tasks of the user's own: a class with `loss(model, batch)`, or a function of (model, batch)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lrbench.components.data.nested import examples_in
from lrbench.components.metrics import LOSS, NAMED, Better, Metric
from lrbench.components.tasks.base import Model
from lrbench.components.tasks.torchmetrics import Imported, as_metric
from lrbench.errors import ConfigError, LrbenchError, UserCodeError, choices
from lrbench.types import Part


class OwnTask:
    """A task written by the user.

    `loss(model, batch)` returns the mean loss of a batch, or (loss, {metric: value}). Values are averaged by examples;
    that of an object of torchmetrics is the tuple of arguments for its `update`. A function returns
    `{"loss": loss, metric: value}`.
    """

    recordable = replayable = False

    def __init__(self, name: str, made: Any, given: Mapping[str, Better]) -> None:
        """Wrap the user's object.

        Args:
            name: its import string, for messages.
            made: an object with `loss`, or a function.
            given: which way is better, by metric, as the config says.

        Raises:
            ConfigError: it is neither, or its metrics can't be read.
        """
        self.name, self.made, self.given = name, made, dict(given)
        self.called = getattr(made, "loss", None)
        self.is_step = self.called is None
        if not callable(self.called if not self.is_step else made):
            problem = f"'{name}' is a {type(made).__name__}: it needs a method loss(model, batch), or to be a function"
            raise ConfigError(problem, key="task")
        self._call = self.hook("__call__" if self.is_step else "loss")
        self._examples, self._count = self.hook("examples"), self.hook("count")
        declared = getattr(made, "metrics", None) or {}
        if not isinstance(declared, Mapping):
            problem = f"'{name}'.metrics must be a mapping such as {{'kl': 'lower'}} (got {declared!r:.60})"
            raise ConfigError(problem, key="task")
        self.objects: dict[str, Imported] = {}
        self.undeclared: set[str] = set()  # metrics of the last batch that nobody has declared
        named = {str(key): self._metric(str(key), said) for key, said in {**declared, **self.given}.items()}
        if "loss" in named:
            raise ConfigError(f"'{name}'.metrics can't have 'loss', which every task has", key="task")
        self._set(named)

    def _set(self, named: Mapping[str, Metric]) -> None:
        self.metrics = tuple(named.values())
        self.adding = [metric.name for metric in self.metrics if metric.name not in self.objects]

    def _metric(self, name: str, said: Any) -> Metric:
        if isinstance(said, Metric):
            return said
        if said in ("lower", "higher"):
            return Metric(name, said, NAMED[name].form if name in NAMED else "number")
        if isinstance(said, str):
            problem = f"'{self.name}'.metrics: '{name}' must be lower or higher, whichever is better (got {said!r:.40})"
            raise ConfigError(problem, key="task")
        self.objects[name] = Imported(as_metric(name, said), said)
        return self.objects[name].metric

    def discover(self, model: Model, batch: Any) -> None:
        """Learn from one batch which metrics a function returns; less is better unless the name is a known one."""
        if not self.is_step:
            return
        _, values = self._called(model, batch)
        known = {metric.name: metric for metric in self.metrics}
        self._set({name: known.get(name) or NAMED.get(name) or Metric(name) for name in [*known, *values]})

    @property
    def assumed(self) -> list[str]:
        """Metrics of a function for which nobody has said which way is better."""
        return [m.name for m in self.metrics if self.is_step and m.name not in {*self.given, *NAMED}]

    def hook(self, name: str) -> Callable[..., Any] | None:
        """Return one of the optional methods, guarded; None if it has none."""
        method = getattr(self.made, name, None)
        if not callable(method):
            return None

        def guarded(*arguments: Any, **named: Any) -> Any:
            with_frames = f"task '{self.name}'" if name == "loss" else f"task '{self.name}', {name}"
            try:
                return method(*arguments, **named)
            except (LrbenchError, KeyboardInterrupt):
                raise
            except BaseException as error:  # an exit in the user's code ends only its own run
                raise UserCodeError.of(with_frames, error) from error

        return guarded

    def examples(self, batch: Any) -> int:
        """See `Task`."""
        return examples_in(batch) if self._examples is None else int(self._examples(batch))

    def count(self, batch: Any) -> Tensor | int:
        """See `Task`: what the user's `count(batch)` says, else the examples."""
        found: Tensor | int = self.examples(batch) if self._count is None else self._count(batch)
        return found

    def _called(self, model: Model, batch: Any) -> tuple[Any, Mapping[str, Any]]:
        """Return what the user's code computes for a batch: the loss and the values by name."""
        assert self._call is not None
        returned = self._call(model, batch)
        if self.is_step or isinstance(returned, Mapping):
            if not isinstance(returned, Mapping):
                returned = {"loss": returned}
            if "loss" not in returned:
                problem = f"task '{self.name}' returned {', '.join(map(str, returned)) or 'nothing'}, without 'loss'"
                raise UserCodeError(problem)
            return returned["loss"], {str(k): v for k, v in returned.items() if k != "loss"}
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
            return returned[0], returned[1]
        return returned, {}

    def measure(self, model: Model, batch: Any, *, whole: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task`. Raises UserCodeError."""
        loss, values = self._called(model, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            problem = f"task '{self.name}' returned a loss of {what}; it must be a tensor of one number"
            raise UserCodeError(problem)
        self.undeclared = values.keys() - {metric.name for metric in self.metrics}
        missing = [metric.name for metric in self.metrics if metric.name not in values]
        if missing:
            got = ", ".join(map(str, values)) or "none"
            raise UserCodeError(
                f"task '{self.name}' returned no value of {', '.join(missing)} (metrics returned: {got})"
            )
        for name, meter in self.objects.items() if whole else ():
            given = values[name]
            meter.note(*(given if isinstance(given, tuple | list) else (given,)))
        loss = loss.reshape(())
        if not self.adding:
            return loss, loss.new_empty(0)
        counted = self.examples(batch)
        return loss, torch.stack([self._number(name, values[name], loss) * counted for name in self.adding])

    def _number(self, name: str, value: Any, loss: Tensor) -> Tensor:
        try:
            number = torch.as_tensor(value, dtype=torch.float32, device=loss.device).detach()
            return number.reshape(())
        except (TypeError, ValueError, RuntimeError) as error:
            problem = f"task '{self.name}' returned {value!r:.60} as {name}, which is not one number"
            raise UserCodeError(problem) from error

    def begin(self) -> None:
        """See `Task`."""
        for meter in self.objects.values():
            meter.begin()

    def values(
        self, sums: Sequence[float], examples: int, loss: float | None, *, whole: bool = False
    ) -> dict[str, float]:
        """See `Task`."""
        found = {name: total / examples for name, total in zip(self.adding, sums, strict=True)}
        whole_split = {name: meter.value((), examples, loss) for name, meter in self.objects.items() if whole}
        return found | {name: value for name, value in whole_split.items() if value is not None}

    def evaluate(self, model: Model, batches: Iterable[Any]) -> dict[str, float] | None:
        """See `Task`: the user's `evaluate(model, loader)`. Raises UserCodeError."""
        own = self.hook("evaluate")
        if own is None:
            return None
        found = own(model, batches)
        wanted = [LOSS.name, *(metric.name for metric in self.metrics)]
        if not isinstance(found, Mapping) or any(name not in found for name in wanted):
            got = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            raise UserCodeError(f"task '{self.name}', evaluate must return {', '.join(wanted)} by name (got {got})")
        return {name: float(found[name]) for name in wanted}


def own_task(part: Part, made: Any, metrics: Sequence[Part]) -> OwnTask:
    """Wrap an imported task. Raises ConfigError."""
    given: dict[str, Better] = {}
    for metric in metrics:
        better = metric.params.get("better", NAMED[metric.name].better if metric.name in NAMED else "lower")
        if better not in ("lower", "higher") or metric.imported:
            problem = f"'{metric.name}' of an own task is lower or higher, whichever is better"
            near = choices(str(better), ["lower", "higher"])
            raise ConfigError(f"{problem}; {near}", key="metrics")
        given[metric.name] = better
    return OwnTask(part.name, made, given)
