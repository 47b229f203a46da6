"""Rules of a config that belong to no part of the catalogue: `lr_scaling:` and `early_stopping:`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from lrbench.types import Count, MetricName, Natural, NonNegative

Rule = Literal["linear", "sqrt", "none"]
_ROOT = ("ada", "lamb")  # the names that timm scales by the root: Adam's whole family, LAMB


@dataclass(frozen=True)
class ScalingRule:
    """The rate that trains is the config's times r, or √r, with r = batch/base (Goyal et al. 2017; Krizhevsky 2014).

    The batch is what one update sees: `batch_size` times `accumulate`. Rates that a schedule is given absolutely
    (`final_lr`, `min_lr`) are not scaled.

    Args:
        rule: `linear`, `sqrt` or `none`. Unless given, as timm does it: `sqrt` for Adam's family, else `linear`.
        base_batch_size: the batch that the config's rate is meant for.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    rule: Rule | None = None
    base_batch_size: Count = 256

    def factor(self, optimizer: str, batch: int) -> float:
        """What the rate is multiplied by, for a batch of `batch` examples."""
        ratio = batch / self.base_batch_size
        rule = self.rule or usual_rule(optimizer)
        return {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[rule]


def usual_rule(optimizer: str) -> Rule:
    """The rule that suits an optimizer, by its name."""
    if optimizer == "prodigy":  # it finds its rate itself
        return "none"
    return "sqrt" if any(word in optimizer.lower() for word in _ROOT) else "linear"


@dataclass(frozen=True)
class EarlyStoppingRule:
    """Stop after `patience` epochs in a row without an improvement by more than `min_delta`.

    Args:
        metric: `val_loss` or another metric on the validation data, such as `val_accuracy`.
        patience: how many epochs without improvement end the run.
        min_delta: the least improvement that counts, in the metric's own units.
        start: epochs that must be done before the counting begins.
    """

    metric: MetricName = "val_loss"
    patience: Count = 5
    min_delta: NonNegative = 0.0
    start: Natural = 0
