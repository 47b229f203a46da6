"""Plateau: the one part of the rate that depends on results. A small explicit state, kept in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from lrbench.values import Natural, NonNegative

Metric = Literal["val_loss", "val_accuracy"]


@dataclass(frozen=True)
class PlateauRule:
    """Multiply the rate by `factor` when the metric has not improved for more than `patience` epochs.

    Torch's ReduceLROnPlateau, as a multiplier of any schedule. An improvement is by more than `threshold`,
    relative to the best so far; for a loss downwards, for an accuracy upwards. A metric that is not finite is
    no improvement. The rate is never brought under `min_lr` by it.
    """

    metric: Metric = "val_loss"
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.5
    patience: Natural = 3
    threshold: NonNegative = 1e-4
    cooldown: Natural = 0
    min_lr: NonNegative = 0.0


@dataclass
class PlateauState:
    """What the rule remembers between epochs; every field is in the checkpoint."""

    scale: float = 1.0
    best: float | None = None
    bad_epochs: int = 0
    cooling: int = 0

    def update(self, rule: PlateauRule, value: float) -> None:
        """Take in one epoch's metric and, if it has been flat for too long, lower the scale."""
        sign = -1.0 if rule.metric.endswith("accuracy") else 1.0
        if math.isfinite(value) and (self.best is None or _better(sign, value, self.best, rule.threshold)):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad_epochs = 0
        if self.bad_epochs > rule.patience:
            self.scale *= rule.factor
            self.cooling, self.bad_epochs = rule.cooldown, 0

    def apply(self, rule: PlateauRule, lr: float) -> float:
        """The rate really used where the schedule says `lr`."""
        return lr if self.scale == 1.0 else max(lr * self.scale, min(lr, rule.min_lr))


def _better(sign: float, value: float, best: float, threshold: float) -> bool:
    return sign * value < sign * best - threshold * abs(best)
