"""Blocks and keys of a config that are not in a catalogue: `lr_scaling:`, `early_stopping:`, `drop_last`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from lrbench.errors import ConfigError
from lrbench.types import Count, MetricName, Natural, NonNegative

Rule = Literal["linear", "sqrt", "none"]
_ROOT = ("ada", "lamb")  # names that timm scales by the square root: Adam's family and LAMB


@dataclass(frozen=True)
class ScalingRule:
    """Multiply the learning rate by r or √r, where r = batch/base (Goyal et al. 2017; Krizhevsky 2014).

    The batch is that of one step, `batch_size` times `accumulate`. Absolute learning rates of a schedule (`final_lr`,
    `min_lr`) are not scaled.

    Args:
        rule: `linear`, `sqrt` or `none`; by default as in timm, `sqrt` for Adam's family, else `linear`.
        base_batch_size: the batch size that the config's learning rate is meant for.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    rule: Rule | None = None
    base_batch_size: Count = 256

    def factor(self, optimizer: str, batch: int) -> float:
        """Return the factor of the learning rate for a batch of `batch` examples."""
        ratio = batch / self.base_batch_size
        rule = self.rule or usual_rule(optimizer)
        return {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[rule]


def usual_rule(optimizer: str) -> Rule:
    """Return the default rule for an optimizer."""
    if optimizer == "prodigy":  # it estimates its own learning rate
        return "none"
    return "sqrt" if any(word in optimizer.lower() for word in _ROOT) else "linear"


def batches_per_epoch(examples: int, batch_size: int, drop_last: bool | None) -> int:
    """Return the batches of an epoch. Raises ConfigError if `drop_last`, which drops a smaller one, leaves none."""
    if drop_last and examples < batch_size:
        problem = f"leaves no batch: there are {examples} training examples, batch_size is {batch_size}"
        raise ConfigError(problem, key="drop_last")
    return examples // batch_size if drop_last else -(-examples // batch_size)


@dataclass(frozen=True)
class EarlyStoppingRule:
    """Stop after `patience` epochs in a row without an improvement of more than `min_delta`.

    Args:
        metric: `val_loss` or another metric on the validation data, such as `val_accuracy`.
        patience: epochs without improvement that end the run.
        min_delta: smallest improvement that counts, in the metric's units.
        start: epochs to ignore at the start.
    """

    metric: MetricName = "val_loss"
    patience: Count = 5
    min_delta: NonNegative = 0.0
    start: Natural = 0
