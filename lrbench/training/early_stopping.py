"""What early stopping remembers between evaluations, and which evaluation is the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrbench.config.rules import EarlyStoppingRule


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
