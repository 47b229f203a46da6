"""Meters of predicted classes and labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lrbench.components.tasks.meters import Facts, Meter
from lrbench.errors import ConfigError

BINS = 15


class Accuracy(Meter):
    """Fraction of examples whose class has the highest output, of (n, classes)."""

    length = 1

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the correct answers."""
        return (outputs.argmax(1) == targets).sum().reshape(1)

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return sums[0] / examples


class PositionAccuracy(Meter):
    """Fraction of the counted positions whose class has the highest output, of (n, classes, …)."""

    length = 2

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the correct answers and all."""
        used = self.used(outputs, targets)
        return torch.stack([((outputs.argmax(1) == targets) * used).sum(), used.sum()])

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return sums[0] / sums[1] if sums[1] else None


class Top5(PositionAccuracy):
    """Fraction of targets among the five highest outputs."""

    def __init__(self, name: str, facts: Facts) -> None:
        super().__init__(name, facts)
        if self.classes < 5:
            raise ConfigError(f"{name} needs at least 5 classes; there are {self.classes}", key="metrics")

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the targets among the five, and all."""
        used = self.used(outputs, targets)
        found = (outputs.topk(5, 1).indices == targets.unsqueeze(1)).any(1)
        return torch.stack([(found * used).sum(), used.sum()])


class CalibrationError(Meter):
    """Expected calibration error (Guo et al. 2017): the mean |accuracy − confidence| over 15 bins of confidence."""

    length = 3 * BINS

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum the examples, their confidences and the correct answers of each bin."""
        confidence, answer = outputs.float().softmax(1).max(1)
        used = self.used(outputs, targets).flatten()
        bins = (confidence.flatten() * BINS).ceil().long().clamp(1, BINS) - 1
        rows = torch.stack([used, confidence.flatten() * used, (answer == targets).flatten() * used])
        empty = rows.new_zeros(3, BINS)
        return empty.index_add(1, bins, rows).flatten()

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        count, confidence, right = (sums[i * BINS : (i + 1) * BINS] for i in range(3))
        gaps = sum(abs(c - r) for c, r in zip(confidence, right, strict=True))
        return gaps / sum(count) if sum(count) else None


class _ByClass(Meter):
    """Metrics from the right, predicted and true positions of each class."""

    def __init__(self, name: str, facts: Facts) -> None:
        super().__init__(name, facts)
        self.length = 3 * self.classes

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the right, the predicted and the true positions of each class."""
        used, answer = self.used(outputs, targets).bool(), outputs.argmax(1)
        true, found = targets[used], answer[used]
        counted = [part.bincount(minlength=self.classes)[: self.classes] for part in (true[true == found], found, true)]
        return torch.cat(counted)

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """Average over the classes that occur in the targets or the predictions."""
        n = self.classes
        rows = zip(sums[:n], sums[n : 2 * n], sums[2 * n :], strict=True)
        values = [self.of_class(right, found, true) for right, found, true in rows if found + true > 0]
        return sum(values) / len(values) if values else None

    def of_class(self, right: float, found: float, true: float) -> float:
        """Return the value of one class."""
        return 2 * right / (found + true)


class F1(_ByClass):
    """F1 of each class, averaged over the classes (macro)."""


class MeanIou(_ByClass):
    """Intersection over union of each class, averaged over the classes."""

    def of_class(self, right: float, found: float, true: float) -> float:
        """See `_ByClass`."""
        return right / (found + true - right)


class LabelF1(_ByClass):
    """F1 of each label, whose output is a logit, averaged over the labels (macro); threshold ½."""

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count the right, the predicted and the true examples of each label."""
        found, true = (outputs > 0).flatten(1), (targets > 0.5).flatten(1)
        return torch.cat([(found & true).sum(0), found.sum(0), true.sum(0)])
