"""Plateau: the one part of the rate that depends on results. A small explicit state, kept in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from lrbench.types import Count, Fraction, MetricName, Natural, NonNegative, Positive


@dataclass(frozen=True)
class Growth:
    """Raise the rate too: after improvement, or, early in the run, on a plateau.

    `on: improvement` multiplies by `factor` after each `patience` epochs of improvement in a row (the "bold driver").
    `on: plateau` raises instead of lowers where the rule finds a plateau before the part `until` of the run, and
    lowers after it: the idea of LRBench's ChangeLROnPlateau, whose own test (no improvement over five epochs by
    0.05) and list of schedules are replaced by this rule's.

    Args:
        factor: what the rate is multiplied by.
        on: `improvement` or `plateau`.
        patience: epochs of improvement in a row; for `improvement` alone.
        until: the part of the run in which a plateau raises the rate; for `plateau` alone.
        max_lr: the rate is not brought above it; none unless given.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    factor: Annotated[float, Field(gt=1, allow_inf_nan=False, strict=True)]
    on: Literal["improvement", "plateau"] = "improvement"
    patience: Count = 1
    until: Fraction = 0.8
    max_lr: Positive | None = None


@dataclass(frozen=True)
class PlateauRule:
    """Multiply the rate by `factor` when the metric has not improved for more than `patience` epochs.

    Torch's ReduceLROnPlateau, as a multiplier of any schedule. A metric that is not finite is no improvement.

    Args:
        metric: `val_loss` or another metric on the validation data, such as `val_accuracy`.
        factor: what the rate is multiplied by.
        patience: epochs without improvement that are borne; the next one lowers the rate.
        threshold: what counts as an improvement, relative to the best so far.
        cooldown: epochs after a change that are not counted.
        min_lr: the rate is never brought under it by this rule.
        threshold_mode: `abs` where the threshold is a difference; `rel` unless given.
        start: epochs before it begins to look, a warm-up's say; none unless given.
        growth: raises the rate too; see `Growth`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    metric: MetricName = "val_loss"
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.5
    patience: Natural = 3
    threshold: NonNegative = 1e-4
    cooldown: Natural = 0
    min_lr: NonNegative = 0.0
    threshold_mode: Literal["rel", "abs"] | None = None
    start: Natural | None = None
    growth: Growth | None = None

    def better(self, value: float, best: float | None, *, lower: bool = True) -> bool:
        """Whether `value` improves on the best so far by more than the threshold; `lower` where less is better."""
        if not math.isfinite(value) or best is None:
            return math.isfinite(value)
        sign = 1.0 if lower else -1.0
        margin = self.threshold * (1.0 if self.threshold_mode == "abs" else abs(best))
        return sign * value < sign * best - margin


@dataclass
class PlateauState:
    """What the rule remembers between epochs; every field is in the checkpoint."""

    scale: float = 1.0
    best: float | None = None
    bad_epochs: int = 0
    cooling: int = 0
    good_epochs: int = 0
    seen: int = 0

    def update(
        self, rule: PlateauRule, value: float, *, lower: bool = True, lr: float = math.inf, done: float = 0.0
    ) -> None:
        """Take in one epoch's metric and change the scale where the rule says so.

        Args:
            rule: the config's block.
            value: the metric.
            lower: whether less is better.
            lr: the schedule's rate now; a rule with `growth` needs it for its bounds.
            done: the part of the run that is done, 0 to 1; a rule with `growth` needs it.
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
        if rule.growth is not None and lr > 0:  # at a bound the scale stops too, or the way back from it would be long
            highest = max(1.0, (rule.growth.max_lr or math.inf) / lr)
            self.scale = min(max(self.scale, min(1.0, rule.min_lr / lr)), highest)

    def apply(self, rule: PlateauRule, lr: float) -> float:
        """The rate really used where the schedule says `lr`."""
        if self.scale == 1.0:
            return lr
        scaled = max(lr * self.scale, min(lr, rule.min_lr))
        ceiling = rule.growth.max_lr if rule.growth is not None else None
        return scaled if ceiling is None else min(scaled, max(lr, ceiling))
