"""Tasks: what is measured besides the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from lrbench.components.metrics import ACCURACY, Metric

if TYPE_CHECKING:
    from torch import Tensor


class Task(Protocol):
    """Measures a batch by sums that add up over batches, so only the sums have to be kept."""

    metrics: ClassVar[tuple[Metric, ...]]

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return a batch's sums on its device, shape (sums,), of the same length for every batch."""

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """Compute the metrics by name from the sums over all batches and their number of examples."""


@dataclass(frozen=True)
class Classification:
    """One class per example or position, measured by accuracy.

    Attributes:
        ignored: the target of examples and positions without a class, which are not counted; None if there is none.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY,)
    ignored: int | None = None

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the correct answers, shape (1,); with `ignored`, also the targets that have one, shape (2,)."""
        right = outputs.detach().argmax(1) == targets
        if self.ignored is None:
            return right.sum().reshape(1)
        import torch

        used = targets != self.ignored
        return torch.stack([(right & used).sum(), used.sum()])

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """Return the fraction of correct answers; nothing if no target was counted."""
        counted = examples if self.ignored is None else sums[1]
        return {"accuracy": sums[0] / counted} if counted else {}


@dataclass(frozen=True)
class Regression:
    """Numbers per example, measured only by the loss."""

    metrics: ClassVar[tuple[Metric, ...]] = ()

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return no sums, shape (0,)."""
        return outputs.new_empty(0)

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """Return no metrics."""
        return {}


def task_for(classes: int | None, ignored: int | None = None) -> Task:
    """Return classification for data with classes, of which targets of `ignored` have none; else regression."""
    return Regression() if classes is None else Classification(ignored)
