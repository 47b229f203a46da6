"""The learning rates that were meant: the schedule of a run's config, or one that the user states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrbench.analysis.audits.recorded import Floats, Whole
from lrbench.errors import ConfigError, option
from lrbench.schedules import SCHEDULES, WarmUpRule, build_schedule
from lrbench.types import Duration, Part

_OWN_WARMUPS = ("num_warmup_steps", "warmup_steps", "warmup", "warmup_fraction")
"""Parameters of schedules that are the length of a warm-up."""


@dataclass(frozen=True)
class Meant:
    """A schedule and the sizes of a run.

    Attributes:
        part: the schedule.
        lr: its peak.
        total_steps: steps in the run, from step 0 of the schedule on.
        steps_per_epoch: steps in an epoch; None if unknown.
        warmup: a config's `warmup:`.
        as_of: 2 for the learning rates of run folders of formats 1 and 2.
        start: the step of the schedule at which the run begins.
        lr_known: False if `lr` is only the highest learning rate recorded.
        length_known: False if `total_steps` is only the last step recorded.
    """

    part: Part
    lr: float
    total_steps: int
    steps_per_epoch: int | None = None
    warmup: WarmUpRule | None = None
    as_of: int | None = None
    start: int = 0
    lr_known: bool = True
    length_known: bool = True

    @property
    def words(self) -> str:
        """`hf/cosine`, `cosine with a warm-up of 5%`."""
        return self.part.name + (f" with a warm-up of {self.warmup.duration}" if self.warmup else "")

    def rates(self, positions: Whole) -> Floats:
        """Return the learning rate at these steps of the run, which may lie beyond its end.

        Raises:
            ConfigError: the schedule can't be built.
        """
        schedule = build_schedule(
            self.part,
            lr=self.lr,
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch or self.total_steps,
            warmup=self.warmup,
            as_of=self.as_of,
        )
        return np.array([schedule(step) for step in (np.maximum(positions, 0) + self.start).tolist()])

    def table(self) -> Floats:
        """Return the learning rate of every step of the run."""
        return self.rates(np.arange(max(self.total_steps - self.start, 1)))

    def over(self, total_steps: int) -> Meant:
        """Return the same schedule over another number of steps."""
        return replace(self, total_steps=max(total_steps, 1))

    @property
    def rise(self) -> int:
        """The steps of its warm-up."""
        sizes = {"total_steps": self.total_steps, "steps_per_epoch": self.steps_per_epoch or self.total_steps}
        if self.warmup is not None:
            return int(self.warmup.duration.steps(**sizes))
        key = self._own_warmup
        if key is None:
            return 0
        value = SCHEDULES.complete(self.part).params[key]
        if key == "warmup_fraction":
            return math.ceil(float(value) * self.total_steps)
        duration = Duration.parse(value, "epochs" if key == "warmup" else "steps")
        return duration.steps(**sizes)

    @property
    def _own_warmup(self) -> str | None:
        """The parameter of the schedule that is the length of its warm-up."""
        if self.part.name not in SCHEDULES.entries:
            return next((key for key in _OWN_WARMUPS if key in self.part.params), None)
        known = SCHEDULES.complete(self.part).params
        return next((key for key in _OWN_WARMUPS if key in known), None)

    def warmed(self, duration: Duration) -> Meant:
        """Return the same schedule with another warm-up: the schedule's own if it has one, else a `warmup:`."""
        key = self._own_warmup if self.warmup is None else None
        if key is None:
            rule = self.warmup or WarmUpRule(duration)
            return replace(self, warmup=replace(rule, duration=duration) if duration.amount else None)
        value: Any = str(duration)
        if key == "warmup_fraction":
            sizes = {"total_steps": self.total_steps, "steps_per_epoch": self.steps_per_epoch or self.total_steps}
            value = duration.exact(**sizes) / self.total_steps
        return replace(self, part=Part(self.part.name, {**self.part.params, key: value}))

    @property
    def counts_epochs(self) -> bool:
        """Whether the learning rates depend on the length of an epoch."""
        steps = np.unique(np.linspace(0, self.total_steps - 1, 50).astype(np.int64))
        one, other = (replace(self, steps_per_epoch=n) for n in (1, max(self.total_steps // 7, 2)))
        try:
            return not np.array_equal(one.rates(steps), other.rates(steps))
        except ConfigError:
            return True


def stated(
    schedule: Part,
    *,
    lr: float | None,
    warmup: Duration | Mapping[str, Any] | None,
    sizes: tuple[int, bool, int | None],
    peak: float,
) -> Meant:
    """Return the schedule that the user states for a run.

    Args:
        schedule: the schedule.
        lr: its peak; None for the highest learning rate recorded.
        warmup: the length of a warm-up, or a config's block.
        sizes: the steps in the run, whether that is known, and the steps in an epoch if known.
        peak: the highest learning rate recorded.

    Raises:
        ConfigError: the schedule can't be built, or depends on the unknown length of an epoch.
    """
    total, known, per_epoch = sizes
    if schedule.name in SCHEDULES.entries or not schedule.imported:
        try:
            SCHEDULES.complete(schedule, "schedule")
        except ConfigError as error:
            key = error.key.removeprefix("schedule").lstrip(".").removeprefix("name")
            raise ConfigError(f"{key and f'{key}: '}{error.problem}", key=option("--schedule")) from None
    meant = Meant(schedule, lr or peak, total, per_epoch, lr_known=lr is not None, length_known=known)
    if isinstance(warmup, Duration):
        meant = meant.warmed(warmup)
    elif warmup is not None:
        meant = replace(meant, warmup=WarmUpRule.of(warmup))
    if per_epoch is None and meant.counts_epochs:
        raise ConfigError(
            f"counts epochs, whose length is unknown here; give {option('--steps-per-epoch')}", key=option("--schedule")
        )
    return meant
