"""Plateau: the only rule that depends on results. Its small explicit state is in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lrbench.types import Count, Fraction, MetricName, Natural, NonNegative, Positive, ProperFraction


@dataclass(frozen=True)
class Growth:
    """Raise the learning rate too: after improvement or, early in the run, on a plateau.

    `on: improvement` multiplies by `factor` after every `patience` epochs of improvement in a row (the "bold driver").
    `on: plateau` raises the learning rate on a plateau in the first part of the run, up to the fraction `until`, and
    lowers it later. This is the idea of LRBench's ChangeLROnPlateau, without its own test (no improvement by 0.05
    over five epochs) and its list of schedules.

    Args:
        factor: multiplies the learning rate.
        on: `improvement` or `plateau`.
        patience: epochs of improvement in a row; only for `improvement`.
        until: fraction of the run in which a plateau raises the learning rate; only for `plateau`.
        max_lr: maximum learning rate; none by default.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    factor: Annotated[float, Field(gt=1, allow_inf_nan=False, strict=True)]
    on: Literal["improvement", "plateau"] = "improvement"
    patience: Count = 1
    until: Fraction = 0.8
    max_lr: Positive | None = None


@dataclass(frozen=True)
class PlateauRule:
    """Multiply the learning rate by `factor` after more than `patience` epochs without improvement.

    Torch's ReduceLROnPlateau, on top of any schedule. A metric that is not finite is no improvement.

    Args:
        metric: `val_loss` or another metric on the validation data, such as `val_accuracy`.
        factor: multiplies the learning rate.
        patience: epochs without improvement to tolerate; the next one lowers the learning rate.
        threshold: smallest change that counts as an improvement, relative to the best value so far.
        cooldown: epochs to ignore after a change.
        min_lr: minimum learning rate of this rule.
        threshold_mode: `abs` makes the threshold an absolute difference; `rel` by default.
        start: epochs to ignore at the start, such as a warm-up; none by default.
        growth: raises the learning rate too; see `Growth`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    metric: MetricName = "val_loss"
    factor: ProperFraction = 0.5
    patience: Natural = 3
    threshold: NonNegative = 1e-4
    cooldown: Natural = 0
    min_lr: NonNegative = 0.0
    threshold_mode: Literal["rel", "abs"] | None = None
    start: Natural | None = None
    growth: Growth | None = None

    def better(self, value: float, best: float | None, *, lower: bool = True) -> bool:
        """Whether `value` improves on the best so far by more than the threshold; `lower` if less is better."""
        if not math.isfinite(value) or best is None:
            return math.isfinite(value)
        sign = 1.0 if lower else -1.0
        margin = self.threshold * (1.0 if self.threshold_mode == "abs" else abs(best))
        return sign * value < sign * best - margin


@dataclass
class PlateauState:
    """The rule's memory between epochs; every field is in the checkpoint."""

    scale: float = 1.0
    best: float | None = None
    bad_epochs: int = 0
    cooling: int = 0
    good_epochs: int = 0
    seen: int = 0

    def update(
        self, rule: PlateauRule, value: float, *, lower: bool = True, lr: float = math.inf, done: float = 0.0
    ) -> None:
        """Record one epoch's metric and apply the rule to the scale; `lower` if less is better.

        A rule with `growth` needs the schedule's current `lr`, for its bounds, and the fraction of the run `done`.
        """
        self.seen += 1
        if self.seen <= (rule.start or 0):
            return
        if rule.better(value, self.best, lower=lower):
            self.best, self.bad_epochs = value, 0
            self.good_epochs += 1
        else:
            self.bad_epochs += 1
            self.good_epochs = 0
        if self.cooling > 0:
            self.cooling -= 1
            self.bad_epochs = self.good_epochs = 0
        growth = rule.growth
        if self.bad_epochs > rule.patience:
            raises = growth is not None and growth.on == "plateau" and done < growth.until
            self._change(rule, growth.factor if growth is not None and raises else rule.factor, lr)
        elif growth is not None and growth.on == "improvement" and self.good_epochs >= growth.patience:
            self._change(rule, growth.factor, lr)

    def _change(self, rule: PlateauRule, factor: float, lr: float) -> None:
        self.scale *= factor
        self.cooling, self.bad_epochs, self.good_epochs = rule.cooldown, 0, 0
        if rule.growth is not None and lr > 0:  # else the scale would leave its bounds and take long to return
            highest = max(1.0, (rule.growth.max_lr or math.inf) / lr)
            self.scale = min(max(self.scale, min(1.0, rule.min_lr / lr)), highest)

    def apply(self, rule: PlateauRule, lr: float) -> float:
        """Return the learning rate to use when the schedule gives `lr`."""
        if self.scale == 1.0:
            return lr
        scaled = max(lr * self.scale, min(lr, rule.min_lr))
        ceiling = rule.growth.max_lr if rule.growth is not None else None
        return scaled if ceiling is None else min(scaled, max(lr, ceiling))
