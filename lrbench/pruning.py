"""Ending runs that are hopeless: the rule. What it does to training is in `lrbench.pruned`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrbench.errors import UsageError


@dataclass(frozen=True)
class Prune:
    """End a run whose validation loss is still at chance when it has done a fraction of its updates.

    Chance is the loss of the best constant answer: of the training classes' frequencies for cross-entropy, of the mean
    target for mse. A loss that is not finite ends a run anyway.

    Args:
        after: the fraction, above 0 and below 1.
        margin: a loss less than that part below chance is at chance.

    Raises:
        UsageError: values outside these bounds.
    """

    after: float = 0.25
    margin: float = 0.02

    def __post_init__(self) -> None:
        if not (math.isfinite(self.after) and 0 < self.after < 1):
            raise UsageError(f"--prune must be a part of the run, above 0 and below 1 (got {self.after:g})")
