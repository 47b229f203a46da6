"""From curves to advice: is there a suggestion at all, and if so, which rates for which purpose, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from lrbench.lr_finder.curves import Curve, Trend, trend
from lrbench.lr_finder.methods import MOST_DELAY, delay_of, minimum_half
from lrbench.lr_finder.settings import Ramp

LEAST_POINTS = 20  # losses to a seed; fewer say too little
SIGNIFICANT = 3.5  # a fall counts if it is so many standard errors
LEAST_FALL = 0.01  # and so much of the loss before it
UNSURE_DECADES = 0.75  # seeds further apart are said to be


@dataclass(frozen=True)
class Advice:
    """The rates to take, with how each was come by.

    Attributes:
        initial: to hold constant, or to decay from.
        maximum: the top of `one_cycle`.
        low: the lower bound of cyclical rates; the upper is the maximum.
        how: for `initial`, `maximum`, `low` and `high`, in words.
        notes: what to know of it.
    """

    initial: float
    maximum: float
    low: float
    how: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def high(self) -> float:
        """The upper bound of cyclical rates."""
        return self.maximum


@dataclass(frozen=True)
class Refusal:
    """Why there is no suggestion, and which range of rates to try instead, where another may help."""

    why: str
    again: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.again is None:
            return self.why
        low, high = (float(f"{rate:.1g}") for rate in self.again)
        return f"{self.why}; try --start {low:g} --end {high:g}"


def advise(curves: Sequence[Curve], ramp: Ramp) -> Advice | Refusal:
    """What several seeds' curves on a ramp say."""
    usable = median(curve.usable for curve in curves)
    if usable < 2 and any("not finite" in curve.reason or not curve.usable for curve in curves):
        return Refusal("the loss was not finite at the very first update, so it is the data or the model, not the rate")
    found = trend(curves)
    if found is None or usable < LEAST_POINTS:
        return _too_short(curves, ramp, int(usable))
    refused = _shape(curves, found, ramp)
    if refused is not None and _one_sided(ramp):
        return Refusal(f"{refused.why}; but a linear ramp hardly sees its lower rates: try --shape exponential")
    if refused is not None:
        return refused
    whole_delay = delay_of(curves, found)
    delay = min(whole_delay, MOST_DELAY)
    lowest = float(found.rates[found.lowest])
    initial = minimum_half(found, delay)
    if initial <= ramp.start:
        text = f"the loss is lowest at {lowest:.2g}, too near to where the rates begin"
        return Refusal(text, (ramp.start / 1e3, ramp.end))
    maximum = lowest / delay
    low = min(found.fallen(0.1) / delay, initial / 2)
    seen = f"the loss was lowest at {lowest:.2g}"
    if delay > 1.05:
        seen += f", which momentum shows too late by a factor of {delay:.1f}, so at {maximum:.2g}"
    bounds = f"from where the loss had done a tenth of its fall, to where it was lowest ({maximum:.2g})"
    how = {
        "initial": f"{seen}; half of that, to be safe",
        "maximum": f"{seen}; the top is held for a moment only",
        "low": bounds,
        "high": bounds,
    }
    notes = _notes(curves, found, ramp)
    if whole_delay > MOST_DELAY:
        needed = math.ceil(ramp.iterations * math.log(whole_delay) / math.log(MOST_DELAY) / 100) * 100
        notes += (f"this momentum shows a rate's effect too late for so steep a ramp; try --iterations {needed:,}",)
    return Advice(initial, maximum, max(low, ramp.start), how, notes)


def _too_short(curves: Sequence[Curve], ramp: Ramp, usable: int) -> Refusal:
    if _mostly_ended(curves) and usable < ramp.iterations:
        last = median(curve.rates[-1] for curve in curves)
        text = f"the loss rose or was no longer finite after {usable} updates, at a rate of {last:.2g}"
        if ramp.stop_factor < 2:
            return Refusal(f"{text}, by a --stop-factor of only {ramp.stop_factor:g}")
        return Refusal(text, (ramp.start / 1e4, last))
    return Refusal(f"{usable} updates are too few to see a course in; try --iterations 300")


def _shape(curves: Sequence[Curve], found: Trend, ramp: Ramp) -> Refusal | None:
    """Why a trend has no optimum within it, if it has none."""
    rates, losses, lowest = found.rates, found.losses, found.lowest
    ended = _mostly_ended(curves)
    falls = found.fall > max(_least_change(found), 1e-12)
    rises = float(losses[-1]) - found.start > _least_change(found)
    edge = math.log10(float(rates[-1]) / float(rates[lowest])) < 0.1
    beginning = math.log10(float(rates[lowest]) / float(rates[0])) < 0.25
    if rises and (beginning or (not falls and _risen(found) < 10 * rates[0])):
        return Refusal("the loss is lowest at the lowest rates", (ramp.start / 1e4, float(rates[-1])))
    if not falls:
        if not edge and found.fall > max(0.75 * SIGNIFICANT * found.noise, LEAST_FALL / 10 * abs(found.start)):
            why = f"the loss may fall, to its lowest at a rate of {rates[lowest]:.1g}, but not beyond its noise"
            return Refusal(f"{why}; try --iterations {3 * ramp.iterations} or more --seeds")
        if ended or rises:
            why = "the loss does not fall before it rises; nearer to that, and with more --iterations, it may"
            high = _risen(found)
            return Refusal(why, (max(high / 1e4, ramp.start), high))
        return Refusal("the loss hardly changes over the whole range", (ramp.end, ramp.end * 1e4))
    if edge and not ended and rates[-1] >= ramp.end * 0.99:
        return Refusal("the loss still falls at the highest rate", (ramp.start, ramp.end * 1e3))
    return None


def _least_change(found: Trend) -> float:
    """How much a loss must change to have changed."""
    return max(SIGNIFICANT * found.noise, LEAST_FALL * abs(found.start))


def _mostly_ended(curves: Sequence[Curve]) -> bool:
    """True where most seeds' tests were over before the ramp was."""
    return 2 * sum(bool(curve.reason) for curve in curves) > len(curves)


def _one_sided(ramp: Ramp) -> bool:
    """True for a linear ramp over decades, nearly all of whose updates are in the last of them."""
    return ramp.shape == "linear" and ramp.end > 100 * ramp.start


def _risen(found: Trend) -> float:
    """The rate at which the loss has left its level upwards, or at which the test was over."""
    above = np.flatnonzero(found.losses > found.start + _least_change(found))
    above = above[above > found.lowest]
    return float(found.rates[above[0] if len(above) else -1])


def _notes(curves: Sequence[Curve], found: Trend, ramp: Ramp) -> tuple[str, ...]:
    """How far the seeds agree, and what else there is to doubt."""
    notes = []
    if found.lowest > len(found.losses) - 3:
        notes.append("the loss fell until the test was over: its lowest point is where that was, no turn")
    if _one_sided(ramp):
        notes.append("a linear ramp hardly sees its lower rates; --shape exponential sees all alike")
    each = [curve.trend for curve in curves if curve.trend is not None]
    places = [float(own.rates[own.lowest]) for own in each]
    if len(places) < len(curves):
        notes.append(f"{len(curves) - len(places)} of {len(curves)} seeds ended too early to be used")
    if len(curves) == 1:
        notes.append("one seed: how sure this is, only more seeds tell")
    elif places and math.log10(max(places) / min(places)) > UNSURE_DECADES:
        apart = math.log10(max(places) / min(places))
        notes.append(f"the seeds' lowest points are {apart:.1f} decades apart; more --iterations or --seeds may help")
    if found.fall < 2 * SIGNIFICANT * found.noise:
        notes.append("the fall is hardly larger than the noise")
    return tuple(notes)
