"""Meters: each computes one metric from sums over the batches, or from a whole split at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lrbench.components.losses import Loss
from lrbench.components.metrics import NAMED, Metric
from lrbench.errors import ConfigError


@dataclass(frozen=True)
class Facts:
    """What meters may need to know.

    Attributes:
        loss: the loss of the task, whose ignored targets no meter counts.
        classes: the number of classes or labels; None if unknown.
        size: numbers in the target of an example.
        center: the mean target of a regression, shape (size,); zeros if unknown.
        bytes_per_token: the mean length of a token; None if unknown.
        positions: whether every example has a class at each of its positions.
    """

    loss: Loss
    classes: int | None
    size: int
    center: Tensor
    bytes_per_token: float | None
    positions: bool


class Meter:
    """Computes one metric from sums that add up over batches.

    Attributes:
        metric: what is measured.
        length: the number of sums.
        whole: whether it needs a whole split instead, through `begin`, `note` and `noted`.
    """

    length = 0
    whole = False

    def __init__(self, name: str, facts: Facts) -> None:
        self.metric: Metric = NAMED[name]
        self.facts = facts

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sums of a batch, shape (length,); outputs are detached."""
        return outputs.new_empty(0)

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """Return the metric of all batches; None if it can't be told."""
        raise NotImplementedError

    @property
    def classes(self) -> int:
        """The number of classes. Raises ConfigError if it is unknown."""
        if self.facts.classes is None:
            problem = f"{self.metric.name} needs the number of classes, which this data set does not give"
            raise ConfigError(f"{problem}; return it as `classes`", key="metrics")
        return self.facts.classes

    def used(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return which targets count, as numbers 0 and 1 of the targets' shape."""
        ignored = self.facts.loss.ignored
        return torch.ones_like(targets) if ignored is None else (targets != ignored).to(targets.dtype)


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, or in float32 on devices without it."""
    return tensor.detach().to(torch.float32 if tensor.device.type == "mps" else torch.float64)
