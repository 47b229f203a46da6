"""Ending runs that are hopeless: the rule. What it does to training is in `lrbench.training.pruning_loop`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrbench.errors import UsageError

RUNGS = (0.25, 0.5)
"""The parts of the budget after which the worse half of a line's rates is left (successive halving)."""


@dataclass(frozen=True)
class Prune:
    """When a run is ended before its budget is spent, or made to wait.

    Chance is the loss of the best constant answer: of the training classes' frequencies for cross-entropy, of the mean
    target for mse. A loss that is not finite ends a run anyway.

    Args:
        after: end runs whose validation loss is at chance once they have done that part of their updates, above 0 and
            below 1; None for never.
        margin: a loss less than that part below chance is at chance.
        halve: leave the worse half of the rates of each line at each of `RUNGS`.
        pause: wait, with a checkpoint, at the end of the epoch in which that part is done.

    Raises:
        UsageError: values outside these bounds.
    """

    after: float | None = 0.25
    margin: float = 0.02
    halve: bool = False
    pause: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and not (math.isfinite(self.after) and 0 < self.after < 1):
            raise UsageError(f"--prune must be a part of the run, above 0 and below 1 (got {self.after:g})")

    @classmethod
    def asked(cls, after: float | None, halve: bool) -> Prune | None:
        """The rule of `--prune` and `--halve`; None where neither is given."""
        return None if after is None and not halve else cls(after=after, halve=halve)
