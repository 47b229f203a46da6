"""Early stopping: a rule from the config and a small state, kept in the checkpoint; and which epoch is the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lrbench.types import Count, Natural, NonNegative


@dataclass(frozen=True)
class EarlyStoppingRule:
    """Stop after `patience` epochs in a row without an improvement by more than `min_delta`.

    Args:
        metric: `val_loss` (lower is better) or `val_accuracy` (higher is better).
        patience: how many epochs without improvement end the run.
        min_delta: the least improvement that counts, in the metric's own units.
        start: epochs that must be done before the counting begins.
    """

    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: Count = 5
    min_delta: NonNegative = 0.0
    start: Natural = 0


@dataclass
class EarlyStoppingState:
    """What the rule remembers between epochs."""

    best: float | None = None
    waited: int = 0

    def update(self, rule: EarlyStoppingRule, epoch: int, value: float) -> bool:
        """Take in the metric after `epoch` epochs; True when the run is to stop."""
        sign = -1.0 if rule.metric == "val_accuracy" else 1.0
        improved = self.best is None or sign * value < sign * self.best - rule.min_delta
        if math.isfinite(value) and improved:
            self.best, self.waited = value, 0
        elif epoch > rule.start:
            self.waited += 1
        return self.waited >= rule.patience


def is_best(metric: str | None, best: Mapping[str, Any] | None, val_loss: float, val_accuracy: float | None) -> bool:
    """True where an epoch is better than the best before it, by `val_accuracy` or else by `val_loss`."""
    if best is None:
        return True
    if metric == "val_accuracy" and val_accuracy is not None:
        return bool(val_accuracy > best["val_accuracy"])
    return bool(val_loss < best["val_loss"])
