"""Tasks: what is measured of a model's outputs beside the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from lrbench.components.metrics import ACCURACY, Metric

if TYPE_CHECKING:
    from torch import Tensor


class Task(Protocol):
    """Measures a batch by sums that add up over batches, so that nothing has to be kept but these."""

    metrics: ClassVar[tuple[Metric, ...]]

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A batch's sums, on its device; of any length, the same for each batch. Shape (sums,)."""

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """The metrics by name, from the sums over all batches and the number of their examples."""


@dataclass(frozen=True)
class Classification:
    """One class of several for each example: accuracy."""

    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY,)

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many answers are right, (1,)."""
        return (outputs.detach().argmax(1) == targets).sum().reshape(1)

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """The part of the examples whose class is right."""
        return {"accuracy": sums[0] / examples}


@dataclass(frozen=True)
class Regression:
    """Numbers for each example: nothing is measured beside the loss."""

    metrics: ClassVar[tuple[Metric, ...]] = ()

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Nothing, (0,)."""
        return outputs.new_empty(0)

    def values(self, sums: Sequence[float], examples: int) -> dict[str, float]:
        """Nothing."""
        return {}


def task_for(classes: int | None) -> Task:
    """Classification for data with classes, regression for others."""
    return Regression() if classes is None else Classification()
