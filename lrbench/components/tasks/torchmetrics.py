"""Meters that are objects of torchmetrics, which see a whole split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lrbench.components.metrics import Metric
from lrbench.components.tasks.meters import Facts, Meter
from lrbench.errors import ConfigError, UserCodeError, reason_of


class AveragePrecision(Meter):
    """Average precision of each label, averaged over the labels, from torchmetrics."""

    whole = True

    def __init__(self, name: str, facts: Facts) -> None:
        super().__init__(name, facts)
        from torchmetrics.classification import MultilabelAveragePrecision

        self.inner = MultilabelAveragePrecision(self.classes)

    def begin(self) -> None:
        """Begin a split."""
        self.inner.reset()

    def note(self, outputs: Tensor, targets: Tensor) -> None:
        """Take note of a batch."""
        self.inner.to(outputs.device).update(outputs.float(), targets.long())

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`. Labels without a positive example are left out."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(self.inner.compute())


class Imported(Meter):
    """A metric object as torchmetrics has them, with `update(outputs, targets)`, `compute` and `reset`."""

    whole = True

    def __init__(self, metric: Metric, inner: Any) -> None:
        self.metric, self.inner = metric, inner

    def begin(self) -> None:
        """Begin a split."""
        self.inner.reset()

    def note(self, *values: Any) -> None:
        """Take note of a batch."""
        if callable(move := getattr(self.inner, "to", None)):
            move(next((v.device for v in values if isinstance(v, Tensor)), torch.device("cpu")))
        self._tried(lambda: self.inner.update(*values))

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return float(self._tried(self.inner.compute))

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return call()
        except Exception as error:
            raise UserCodeError.of(f"metric '{self.metric.name}'", error) from error


def as_metric(name: str, found: Any) -> Metric:
    """Return the metric that an object of torchmetrics measures. Raises ConfigError if it is no such object."""
    if not all(callable(getattr(found, method, None)) for method in ("update", "compute", "reset")):
        problem = f"'{name}' is a {type(found).__name__}, not a metric with update, compute and reset"
        raise ConfigError(f"{problem}, such as those of torchmetrics", key="metrics")
    try:
        higher = bool(found.higher_is_better)
    except Exception as error:
        raise ConfigError(
            f"'{name}' does not say which direction is better: {reason_of(error)}", key="metrics"
        ) from error
    return Metric(name, "higher" if higher else "lower")
