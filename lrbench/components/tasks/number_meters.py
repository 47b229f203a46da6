"""Meters of predicted numbers, and of what follows from the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lrbench.components.tasks.meters import Facts, Meter, wide
from lrbench.errors import ConfigError


class _Errors(Meter):
    """Metrics of a regression: (n, …) outputs and targets of as many numbers."""

    length = 2

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum the errors of all numbers, and count them."""
        errors = wide(self.error(wide(outputs).reshape(targets.shape) - targets))
        return torch.stack([errors.sum(), errors.new_tensor(errors.numel())])

    def error(self, difference: Tensor) -> Tensor:
        """Return what is averaged."""
        return difference.abs()

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return sums[0] / sums[1]


class Mae(_Errors):
    """Mean absolute error."""


class Rmse(_Errors):
    """Root of the mean squared error."""

    def error(self, difference: Tensor) -> Tensor:
        """See `_Errors`."""
        return difference.square()

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return math.sqrt(sums[0] / sums[1])


class R2(Meter):
    """Coefficient of determination, 1 − residual / total sum of squares, averaged over the outputs."""

    def __init__(self, name: str, facts: Facts) -> None:
        super().__init__(name, facts)
        self.length = 3 * facts.size + 1

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum residuals², targets and targets² of each output, about the center, which keeps their digits."""
        flat = wide(targets).reshape(len(targets), -1)
        away = flat - self.facts.center.to(flat)
        residual = (wide(outputs).reshape(flat.shape) - flat).square().sum(0)
        return torch.cat([residual, away.sum(0), away.square().sum(0), flat.new_tensor([len(flat)])])

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`. Outputs whose targets are all equal have no R² and are left out."""
        k, n = self.facts.size, sums[-1]
        totals = [squares - total * total / n for total, squares in zip(sums[k : 2 * k], sums[2 * k : -1], strict=True)]
        values = [1 - r / total for r, total in zip(sums[:k], totals, strict=True) if total > 0]
        return sum(values) / len(values) if values else None


class Perplexity(Meter):
    """The exponential of the mean cross-entropy per token."""

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        return None if loss is None else math.exp(min(loss, 700.0))


class BitsPerByte(Meter):
    """Cross-entropy in bits per byte of text, which does not depend on the tokenizer."""

    def value(self, sums: Sequence[float], examples: int, loss: float | None) -> float | None:
        """See `Meter`."""
        if self.facts.bytes_per_token is None:
            raise ConfigError("bits_per_byte needs to know the bytes of a token; this data set does not", key="metrics")
        return None if loss is None else loss / math.log(2) / self.facts.bytes_per_token
