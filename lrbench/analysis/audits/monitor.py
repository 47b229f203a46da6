"""Watches the learning rate of a run in progress. Pure Python: a training loop calls it after every update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping


class RateMonitor:
    """Tells once, early in a run, that the schedule does not do what was meant.

    Args:
        total_steps: updates in the run; None if unknown.
        steps_per_epoch: updates in an epoch; None if unknown.
        schedule: what is meant: a function of the step (from 0) that gives the learning rate; or the schedule's name,
            of which `cosine` and `linear` are known well enough to tell their pace; None without a schedule.
        per_epoch: whether the scheduler is meant to be stepped once an epoch.
    """

    FIRST_STEPS = 50
    MOST_TIMES = 64

    def __init__(
        self,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        schedule: Callable[[int], float] | str | None = None,
        *,
        per_epoch: bool = False,
    ) -> None:
        self.total_steps, self.steps_per_epoch, self.per_epoch = total_steps, steps_per_epoch, per_epoch
        self.function = schedule if callable(schedule) else None
        self.name = schedule if isinstance(schedule, str) else ""
        self.scheduled = schedule is not None
        self.first: Mapping[str, float] = {}
        self.peak, self.peak_at = 0.0, 0
        self.begun: int | None = None
        self.changes = 0
        self.last = math.nan
        self.over = not self.scheduled

    @property
    def window(self) -> int:
        """The updates that are watched: the first percent of the run, at least 50; two epochs for steps per epoch."""
        first = max(self.FIRST_STEPS, (self.total_steps or 0) // 100)
        epochs = 2 * (self.steps_per_epoch or 0) + 2
        return epochs if self.per_epoch else first

    def step(self, step: int, rates: Mapping[str, float] | float) -> str | None:
        """Take the learning rates of an update; return a warning, at most once, or None.

        Args:
            step: updates done, 1 after the first.
            rates: the learning rate of the update; or those of several parameter groups, by name.
        """
        if self.over:
            return None
        named = rates if isinstance(rates, Mapping) else {"": rates}
        if not named:
            return None
        rate = next(iter(named.values()))
        if self.begun is None and step > self.FIRST_STEPS:  # resumed: its beginning is not seen
            self.over = True
            return None
        if self.begun is None:
            self.begun, self.first = step, dict(named)
        elif rate != self.last:
            self.changes += 1
        self.last = rate
        if rate > self.peak:
            self.peak, self.peak_at = rate, step
        if step - self.begun + 1 < self.window:
            return None
        self.over = True
        return self._judged(step, named)

    def _judged(self, step: int, rates: Mapping[str, float]) -> str | None:
        still = [name for name, rate in rates.items() if rate == self.first.get(name)]
        if self.changes == 0:
            return self._never_moved(step)
        if self.function is not None:
            return self._beside(step)
        if still and len(rates) > 1:
            return f"the learning rate of group {', '.join(still)} has not moved in {step} updates, that of others has"
        return self._pace(step)

    def _never_moved(self, step: int) -> str | None:
        """A constant learning rate is right if the schedule is constant there, or steps once an epoch."""
        begun = self.begun or 1
        if self.function is not None:
            if all(math.isclose(self.function(t), self.last, rel_tol=1e-9) for t in range(begun - 1, step)):
                return None
        elif not self._moves_at_once and not self.per_epoch:
            return None
        named = f" '{self.name}'" if self.name else ""
        hint = ""
        if self.function is not None and self.steps_per_epoch and step < self.steps_per_epoch:
            hint = ", or only once an epoch"
        return (
            f"the learning rate is still {self.last:.3g} after {step} updates, though a schedule{named} is set: "
            f"is its scheduler not stepped{hint}?"
        )

    @property
    def _moves_at_once(self) -> bool:
        """Whether the named schedule changes the learning rate with every update, from the first one on."""
        name = self.name.lower()
        if any(word in name for word in ("constant", "stable", "wsd")):
            return False
        return any(word in name for word in ("cos", "linear", "poly", "one_cycle", "onecycle", "warmup"))

    def _beside(self, step: int) -> str | None:
        """Compare the last learning rate with the function; where they differ, with one that moves faster."""
        assert self.function is not None
        if self._near(step, 1):
            return None
        for times in range(2, self.MOST_TIMES + 1):
            if self._near(step, times):
                end = "" if self.total_steps is None else f": it would end after {self.total_steps // times:,} of "
                end += "" if self.total_steps is None else f"{self.total_steps:,} updates"
                return f"the schedule moves {times} steps per update{end}; is its scheduler stepped too often?"
        wanted = self.function(step - 1)
        return f"the learning rate is {self.last:.4g} at update {step}, where the schedule has {wanted:.4g}"

    def _near(self, step: int, times: int) -> bool:
        assert self.function is not None
        for late in (-1, 0, 1):
            wanted = self.function(max(times * (step - 1 + late), 0))
            if math.isclose(wanted, self.last, rel_tol=1e-6, abs_tol=1e-9 * self.peak):
                return True
        return False

    def _pace(self, step: int) -> str | None:
        """Tell of a cosine or linear decay that would reach its end before half of the run."""
        begun = self.begun or 1
        if self.total_steps is None or self.peak_at != begun or self.last >= self.peak or self.per_epoch:
            return None  # within a warm-up, the decay is not known yet
        if "restart" in self.name.lower():
            return None
        left = self.last / self.peak
        if "cos" in self.name.lower():
            done = math.acos(min(max(2 * left - 1, -1.0), 1.0)) / math.pi
        elif "linear" in self.name.lower():
            done = 1 - left
        else:
            return None
        end = (step - begun) / done if done > 0 else math.inf
        if end >= self.total_steps / 2:
            return None
        return (
            f"at its pace, the learning rate reaches its minimum after about {end:,.0f} of {self.total_steps:,} "
            "updates: is its scheduler stepped too often, or its length in the wrong unit?"
        )
