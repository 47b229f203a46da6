"""Mistakes that a curve of learning rates shows by itself, where no schedule is stated.

Each check leaves alone what a sensible schedule does: drops, restarts, cycles, a plateau rule, a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrbench.analysis.audits.faults import Answer, Fault, Kind
from lrbench.analysis.audits.recorded import Floats, Recorded
from lrbench.config import flat

SCHEDULE_KEYS = ("schedule", "lr_schedule", "scheduler", "lr_scheduler", "lr_scheduler_type", "scheduler_type", "sched")
MOVING = re.compile(r"cos|linear|poly|onecycle|one_cycle|wsd|warmup_stable|rex|tanh", re.IGNORECASE)
STILL = re.compile(r"constant|none|const\b", re.IGNORECASE)
CYCLIC = re.compile(r"cycl|restart|triang|sin\b|sin2|sinexp", re.IGNORECASE)
FLOOR = re.compile(r"(min|end|final|last).*lr|lr.*(min|end|final|last)|eta_min|lrf|alpha|cooldown", re.IGNORECASE)
FEWEST = 8  # rows
GONE, NEARLY_GONE = 1e-4, 1e-2  # of the peak
MOST_GONE, MOST_NEARLY_GONE = 0.2, 0.6  # of the run
BACK_UP = 0.5  # of the peak, to which a learning rate rises again
UNMOVED = 0.5  # of the peak, at which a full decay does not end


def named_schedule(plain: Mapping[str, Any]) -> str:
    """Return what a foreign run's config calls its schedule; empty if nothing does."""
    params = plain.get("params")
    for values in (params if isinstance(params, Mapping) else {}, plain):
        for key in SCHEDULE_KEYS:
            value = values.get(key)
            name = value.get("name") if isinstance(value, Mapping) else value
            if isinstance(name, str) and name:
                return name
    return ""


def has_floor(plain: Mapping[str, Any]) -> bool:
    """Return whether a foreign run's config has a lowest learning rate, such as `min_lr` or `eta_min`."""
    params = plain.get("params")
    keys = flat(params) if isinstance(params, Mapping) else {}
    return any(FLOOR.search(key.rpartition(".")[2]) for key in keys)


@dataclass(frozen=True)
class Curve:
    """The learning rates of a run without a stated schedule.

    Attributes:
        run: what was recorded.
        total_steps: steps in the run.
        ended: whether the run has come to its planned end.
        resumed: whether it was resumed.
        name: what its config calls the schedule; empty if unknown.
        floor: whether its config has a lowest learning rate, so that it need not end near 0.
    """

    run: Recorded
    total_steps: int
    ended: bool
    resumed: bool
    name: str = ""
    floor: bool = False

    def fault(self, kind: Kind, words: str, row: int) -> Fault:
        """Return a fault that begins at a row."""
        return Fault(kind, words, int(self.run.steps[row]), None, float(self.run.rates[row]))


def judged(curve: Curve) -> Answer:
    """Return the mistakes that the curve shows."""
    rates = curve.run.rates
    if (rates < 0).any():
        row = int((rates < 0).argmax())
        return Answer((curve.fault("other", "the learning rate is below 0", row),))
    if not rates.any():
        return Answer((curve.fault("zero", "the learning rate is 0 throughout", 0),))
    for check in (_never_moves, _rises_again, _starts_over, _gone, _never_low):
        faults = tuple(check(curve))
        if faults:
            return Answer(faults)
    return Answer(notes=("no schedule was stated, so only their course was checked",))


def _never_moves(curve: Curve) -> Iterator[Fault]:
    named = MOVING.search(curve.name) and not STILL.search(curve.name)
    if curve.run.still and len(curve.run) >= FEWEST and named:
        words = f"the learning rate is constant, though its schedule is called '{curve.name:.60}'"
        yield curve.fault("constant", f"{words}: is the scheduler stepped?", 0)


def _rises_again(curve: Curve) -> Iterator[Fault]:
    """A decay from the peak to 0, then a slow rise: torch's cosine stepped past its T_max."""
    rates, peak = curve.run.rates, curve.run.peak
    if CYCLIC.search(curve.name) or len(rates) < FEWEST:
        return
    top = int((rates >= 0.999 * peak).argmax())
    low = np.flatnonzero(rates[top:] < 1e-3 * peak)
    if not len(low) or top > 0.3 * len(rates) or (top and rates[0] > NEARLY_GONE * peak and top > 1):
        return
    bottom = top + int(low[0])
    rest = rates[bottom:]
    high = np.flatnonzero(rest >= BACK_UP * peak)
    if not len(high) or high[0] < 3:  # a jump is a restart
        return
    if rest[high[0] // 2] > 0.2 * peak:  # a cosine has 15 % there, the sides of a triangle 25 %
        return
    rise = np.diff(rest[: high[0] + 1])
    if (rise >= -1e-9 * peak).mean() < 0.9 or rise.max() > 0.5 * peak:
        return
    step = int(curve.run.steps[bottom])
    words = f"the learning rate falls to {rates[bottom]:.3g} at step {step:,} and rises to {rest[high[0] :].max():.3g}"
    yield curve.fault("horizon", f"{words} again, like a cosine that is stepped past its end (T_max)", bottom)


def _starts_over(curve: Curve) -> Iterator[Fault]:
    """One jump back to an early learning rate, in a run that was resumed."""
    rates, peak = curve.run.rates, curve.run.peak
    if not (curve.resumed or curve.run.went_back) or len(rates) < FEWEST:
        return
    up = np.flatnonzero(np.diff(rates) > 0.05 * peak) + 1
    falling = [row for row in up.tolist() if 2 <= row < len(rates) and rates[row - 1] <= rates[row - 2]]
    if len(falling) != 1:
        return
    row = falling[0]
    again = min(row, len(rates) - row)
    if again >= FEWEST // 2 and np.allclose(rates[row : row + again], rates[:again], rtol=0.02, atol=1e-3 * peak):
        words = f"the learning rate jumps from {rates[row - 1]:.3g} back to its first value"
        yield curve.fault("jump", f"{words}, and the run was resumed: was the scheduler's state restored?", row)


def _gone(curve: Curve) -> Iterator[Fault]:
    rates, peak = curve.run.rates, curve.run.peak
    if len(rates) < FEWEST or CYCLIC.search(curve.name):
        return
    if _exponential(rates[int(rates.argmax()) :]):
        return
    changes = np.flatnonzero(np.diff(rates))
    stairs = len(changes) < max(0.2 * len(rates), 3)  # drops, or a plateau rule
    for limit, most in ((GONE, MOST_GONE), *(() if stairs else ((NEARLY_GONE, MOST_NEARLY_GONE),))):
        high = np.flatnonzero(rates > limit * peak)
        row = int(high[-1]) + 1
        if row >= len(rates) or (stairs and rates[row] > 0):
            continue
        part = 1 - (curve.run.steps[row] - 1) / curve.total_steps
        if part > most:
            words = f"the learning rate is under {limit:.2%} of its peak for the last {part:.0%} of the run"
            yield curve.fault("zero", f"{words}: its schedule is too short", row)
            return


def _exponential(rates: Floats) -> bool:
    """Return whether each learning rate is the same part of the one before: such a decay has no length."""
    known = rates[rates > 0]
    if len(known) < FEWEST:
        return False
    ratios = np.diff(np.log(known))
    return bool(ratios.mean() < 0 and np.ptp(ratios) < 0.01 * abs(ratios.mean()))


def _never_low(curve: Curve) -> Iterator[Fault]:
    """A schedule that is called a decay, and does not decay."""
    rates, peak = curve.run.rates, curve.run.peak
    if (
        curve.floor
        or "min_lr" in curve.name
        or not curve.ended
        or not MOVING.search(curve.name)
        or CYCLIC.search(curve.name)
        or STILL.search(curve.name)
    ):
        return
    top = int(rates.argmax())
    lowest = float(rates[top:].min())
    if len(rates) >= FEWEST and lowest > UNMOVED * peak:
        words = f"the learning rate ends at {lowest / peak:.0%} of its peak, though its schedule is called"
        yield curve.fault("minimum", f"{words} '{curve.name:.60}': its length is not that of the run", len(rates) - 1)
