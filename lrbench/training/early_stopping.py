"""Early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrbench.config import EarlyStoppingRule


@dataclass
class EarlyStoppingState:
    """The state of early stopping, saved in the checkpoint."""

    best: float | None = None
    waited: int = 0

    def update(self, rule: EarlyStoppingRule, evaluation: int, value: float, *, lower: bool = True) -> bool:
        """Update the state with the metric of an evaluation, counted from 1; `lower` if less is better.

        Returns True if the run should stop.
        """
        sign = 1.0 if lower else -1.0
        improved = self.best is None or sign * value < sign * self.best - rule.min_delta
        if math.isfinite(value) and improved:
            self.best, self.waited = value, 0
        elif evaluation > rule.start:
            self.waited += 1
        return self.waited >= rule.patience
