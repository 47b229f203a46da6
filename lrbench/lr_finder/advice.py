"""Turn curves into advice: which learning rate for which purpose and why, or why there is no suggestion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from lrbench.errors import counted
from lrbench.lr_finder.curves import Curve, Trend, trend
from lrbench.lr_finder.methods import MOST_DELAY, delay_of, minimum_half
from lrbench.lr_finder.settings import Ramp

LEAST_POINTS = 20  # losses needed per seed
SIGNIFICANT = 3.5  # a fall counts if it is at least this many standard errors
LEAST_FALL = 0.01  # and at least this fraction of the loss before it
UNSURE_DECADES = 0.75  # seeds further apart than this get a note
MOSTLY_FALLEN = 0.95  # of the fall; if it was done at a much lower rate than the one suggested, a note tells where
FLAT_DECADES = 0.5  # much lower
MANY_PASSES = 10  # over the training data; from here on, --validation made a difference in docs/find-lr.md


@dataclass(frozen=True)
class Advice:
    """The suggested learning rates, each with its reason, and caveats."""

    initial: float  # for a constant learning rate or the start of a decay
    maximum: float  # of `one_cycle`
    low: float  # the lower bound of a cyclical schedule
    how: dict[str, str]  # the reason for `initial`, `maximum`, `low` and `high`
    notes: tuple[str, ...] = ()

    @property
    def high(self) -> float:
        """The upper bound of a cyclical schedule."""
        return self.maximum

    def __str__(self) -> str:
        return ". ".join([f"{self.initial:.3g}: {self.how['initial']}", *self.notes])


@dataclass(frozen=True)
class Refusal:
    """Why there is no suggestion, and which range of learning rates to try instead, if another may help."""

    why: str
    again: tuple[float, float] | None = None
    hint: str = ""  # how to ask for that range

    def __str__(self) -> str:
        return f"{self.why}; {self.hint}" if self.hint else self.why

    def hinted(self, ramp: Ramp) -> Refusal:
        """Return the refusal with its range as options."""
        if self.again is None:
            return self
        low, high = (float(f"{rate:.1g}") for rate in self.again)
        return replace(self, hint=f"try {ramp.range_of(low, high)}")


def advise(curves: Sequence[Curve], ramp: Ramp) -> Advice | Refusal:
    """Return the advice from the curves of several seeds, or why there is none."""
    found = _advise(curves, ramp)
    return found.hinted(ramp) if isinstance(found, Refusal) else found


def _advise(curves: Sequence[Curve], ramp: Ramp) -> Advice | Refusal:
    usable = median(curve.usable for curve in curves)
    if usable < 2 and any("not finite" in curve.reason or not curve.usable for curve in curves):
        return Refusal("the loss was not finite at the first step: check the data and the model, not the learning rate")
    found = trend(curves)
    if found is None or usable < LEAST_POINTS:
        return _too_short(curves, ramp, int(usable))
    refused = _shape(curves, found, ramp)
    if refused is not None and _cut_short(curves, ramp):
        return _too_few_batches(curves, ramp, int(usable))
    if refused is not None and _one_sided(ramp):
        why = f"{refused.why}, but a linear ramp hardly covers low learning rates"
        return Refusal(f"{why}; try {ramp.option('shape', 'exponential')}")
    if refused is not None:
        return refused
    whole_delay = delay_of(curves, found)
    delay = min(whole_delay, MOST_DELAY)
    lowest = float(found.rates[found.lowest])
    initial = minimum_half(found, delay)
    if initial <= ramp.start:
        text = f"the loss is lowest at {lowest:.2g}, too close to the first learning rate"
        return Refusal(text, (ramp.start / 1e3, ramp.end))
    maximum = lowest / delay
    low = min(found.fallen(0.1) / delay, initial / 2)
    seen = f"the loss was lowest at {lowest:.2g}"
    if delay > 1.05:
        seen += f", which momentum delays by a factor of {delay:.1f}, so at {maximum:.2g}"
    bounds = f"from where the loss had done a tenth of its fall, to where it was lowest ({maximum:.2g})"
    how = {
        "initial": f"{seen}; half of that, to be safe",
        "maximum": f"{seen}; the top is held for a moment only",
        "low": bounds,
        "high": bounds,
    }
    notes = _notes(curves, found, ramp)
    fallen = found.fallen(MOSTLY_FALLEN) / delay
    if math.log10(initial / fallen) > FLAT_DECADES:
        done = f"{MOSTLY_FALLEN:.0%} of the fall of the loss was done at {fallen:.2g}".replace("%", " %")
        notes += (f"{done}: the minimum is flat, and a learning rate between the two may be better",)
    if whole_delay > MOST_DELAY:
        needed = math.ceil(ramp.iterations * math.log(whole_delay) / math.log(MOST_DELAY) / 100) * 100
        notes += (f"the ramp is too steep for the delay that momentum causes; try {ramp.option('iterations', needed)}",)
    return Advice(initial, maximum, max(low, ramp.start), how, notes)


def _too_short(curves: Sequence[Curve], ramp: Ramp, usable: int) -> Refusal:
    if _mostly_ended(curves) and usable < ramp.iterations:
        last = median(curve.rates[-1] for curve in curves)
        text = f"the loss rose or became non-finite after {counted(usable, 'step')}, at a learning rate of {last:.2g}"
        if ramp.stop_factor < 2:
            return Refusal(f"{text}, with a {ramp.option('stop_factor')} of only {ramp.stop_factor:g}")
        return Refusal(text, (ramp.start / 1e4, last))
    if _cut_short(curves, ramp):
        return _too_few_batches(curves, ramp, usable)
    few = f"{counted(usable, 'step')} {'is' if usable == 1 else 'are'} too few to show a trend"
    return Refusal(f"{few}; try {ramp.option('iterations', 300)}")


def _cut_short(curves: Sequence[Curve], ramp: Ramp) -> bool:
    """Return whether the training ended by itself, far from the end of the ramp."""
    return not any(curve.reason for curve in curves) and max(curve.rates[-1] for curve in curves) < ramp.end / 2


def _too_few_batches(curves: Sequence[Curve], ramp: Ramp, usable: int) -> Refusal:
    last = max(curve.rates[-1] for curve in curves)
    text = f"the training ended after {usable} of {ramp.iterations} steps, at a learning rate of {last:.2g}"
    return Refusal(f"{text}; start over with the first batch after the last one")


def _shape(curves: Sequence[Curve], found: Trend, ramp: Ramp) -> Refusal | None:
    """Return why a trend has no optimum; None if it has one."""
    rates, losses, lowest = found.rates, found.losses, found.lowest
    ended = _mostly_ended(curves)
    falls = found.fall > max(_least_change(found), 1e-12)
    rises = float(losses[-1]) - found.start > _least_change(found)
    edge = math.log10(float(rates[-1]) / float(rates[lowest])) < 0.1
    beginning = math.log10(float(rates[lowest]) / float(rates[0])) < 0.25
    if rises and (beginning or (not falls and _risen(found) < 10 * rates[0])):
        return Refusal("the loss is lowest at the lowest learning rates", (ramp.start / 1e4, float(rates[-1])))
    if not falls:
        if not edge and found.fall > max(0.75 * SIGNIFICANT * found.noise, LEAST_FALL / 10 * abs(found.start)):
            why = f"the loss may be lowest at a learning rate of {rates[lowest]:.1g}, but the fall is within the noise"
            more = ramp.option("iterations", 3 * ramp.iterations)
            return Refusal(f"{why}; try {more} or more {ramp.option('seeds')}")
        if ended or rises:
            more = f"a narrower range with more {ramp.option('iterations')} may help"
            why = f"the loss rises without falling first; {more}"
            high = _risen(found)
            return Refusal(why, (max(high / 1e4, ramp.start), high))
        return Refusal("the loss hardly changes over the whole range", (ramp.end, ramp.end * 1e4))
    if edge and not ended and (rates[-1] >= ramp.end * 0.99 or _cut_short(curves, ramp)):
        return Refusal("the loss still falls at the highest learning rate", (ramp.start, ramp.end * 1e3))
    return None


def _least_change(found: Trend) -> float:
    """Return the smallest change of the loss that counts."""
    return max(SIGNIFICANT * found.noise, LEAST_FALL * abs(found.start))


def _mostly_ended(curves: Sequence[Curve]) -> bool:
    """Return whether most seeds ended before the end of the ramp."""
    return 2 * sum(bool(curve.reason) for curve in curves) > len(curves)


def _one_sided(ramp: Ramp) -> bool:
    """Return whether the ramp is linear over several decades, so that nearly all steps are in the last one."""
    return ramp.shape == "linear" and ramp.end > 100 * ramp.start


def _risen(found: Trend) -> float:
    """Return the learning rate at which the loss has risen above its start, or else the last one."""
    above = np.flatnonzero(found.losses > found.start + _least_change(found))
    above = above[above > found.lowest]
    return float(found.rates[above[0] if len(above) else -1])


def _notes(curves: Sequence[Curve], found: Trend, ramp: Ramp) -> tuple[str, ...]:
    """Return caveats, such as disagreeing seeds."""
    notes = []
    if found.lowest > len(found.losses) - 3:
        notes.append("the loss fell until the test ended, so its lowest point may not be a minimum")
    if _one_sided(ramp):
        other = ramp.option("shape", "exponential")
        notes.append(f"a linear ramp hardly covers low learning rates; {other} covers all equally")
    each = [curve.trend for curve in curves if curve.trend is not None]
    places = [float(own.rates[own.lowest]) for own in each]
    if len(places) < len(curves):
        notes.append(f"{len(curves) - len(places)} of {len(curves)} {ramp.repeats} ended too early to use")
    seeds, iterations = ramp.option("seeds"), ramp.option("iterations")
    if len(curves) == 1:
        notes.append(f"there is only one {ramp.repeat}; more {seeds} show how certain this is")
    elif places and (apart := math.log10(max(places) / min(places))) > UNSURE_DECADES:
        where = f"the {ramp.repeats}' lowest points are {apart:.1f} decades apart"
        notes.append(f"{where}; more {iterations} or {seeds} may help")
    passes = median(curve.passes for curve in curves)
    if passes > MANY_PASSES and not ramp.validation:
        why = (
            f"the test went over the training data {passes:.0f} times, and the training loss does not show overfitting"
        )
        notes.append(f"{why}; {ramp.option('validation')} does, and may find a lower learning rate")
    if found.fall < 2 * SIGNIFICANT * found.noise:
        notes.append("the loss falls by hardly more than its noise")
    return tuple(notes)
