"""Tests of a group's seeds against a target: whether their mean reaches it, and from which evaluation on.

It is the rule of the NanoGPT speedrun (one-sided t-test over runs, p < 0.01), on logarithms where lrbench compares
ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrbench.analysis.comparison import Row, row_of
from lrbench.analysis.estimates import centre, moments
from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record
from lrbench.analysis.seed_numbers import MoreSeeds, more_seeds
from lrbench.analysis.targets import Target

TARGET_LEVEL = 0.01
TargetWord = Literal["passes", "undecided", "fails"]


@dataclass(frozen=True)
class Passing:
    """An evaluation at which a group passes: where it is, the centre over the seeds, and p.

    `seconds` is the median over the seeds of the training time up to it; it and `epoch` are None if not recorded.
    """

    step: int
    epoch: float | None
    seconds: float | None
    centre: float
    p: float


@dataclass(frozen=True)
class TargetTest:
    """A group against a target.

    Attributes:
        row: the group's values at the end of its runs.
        word: `passes` if the mean at the end reaches the target with p below the level, `fails` if it misses it as
            surely or no seed of at least two reached its end, else `undecided`. A group that lost a seed never passes.
        p: that the mean reaches the target only by chance; None with fewer than two seeds.
        p_fails: the same for missing it.
        first: the first evaluation that passes; None if none does.
        more_seeds: how many more seeds would decide; None if decided, or for more than a thousand.
    """

    row: Row
    word: TargetWord
    p: float | None
    p_fails: float | None
    first: Passing | None
    more_seeds: MoreSeeds | None


def against_target(group: Group, target: Target, *, level: float = TARGET_LEVEL, tries: int = 1) -> TargetTest:
    """Test the mean over a group's seeds against a target: Student's one-sided t-test, times `tries` (Bonferroni).

    Args:
        group: the runs.
        target: what they are to reach.
        level: p must be below it.
        tries: the number of groups among which this one was chosen.
    """
    row = row_of(group, target.measure)
    values = list(row.values.values())
    if group.pruned:
        return TargetTest(row, "undecided", None, None, None, None)
    if len(values) < 2:
        word: TargetWord = "fails" if not values and row.lost > 1 else "undecided"
        lacking = 3 - len(values)
        return TargetTest(row, word, None, None, None, None if word == "fails" else MoreSeeds(*[lacking] * 3))
    p, p_fails = (min(1.0, tries * one) for one in one_sided(values, target))
    word = "passes" if p < level and not row.lost else "fails" if p_fails < level else "undecided"
    first = next((one for one in _evaluations(group, target, tries) if one.p < level), None)
    more = None if word != "undecided" or row.lost else _more(values, target, level / tries)
    return TargetTest(row, word, p, p_fails, first, more)


def one_sided(values: Sequence[float], target: Target) -> tuple[float, float]:
    """Return the p of Student's one-sided t-test that the mean reaches the target, and that it misses it.

    Values without a spread decide by themselves, with p = 0.
    """
    mean, spread = moments(scaled := _scaled(values, target))
    aim = _scaled([*values, target.value], target)[-1]
    off = target.measure.sign * (mean - aim)
    if spread == 0:
        return float(off > 0), float(off <= 0)
    from scipy import special

    t = off * math.sqrt(len(scaled)) / spread
    return float(special.stdtr(len(scaled) - 1, t)), float(special.stdtr(len(scaled) - 1, -t))


def _scaled(values: Sequence[float], target: Target) -> list[float]:
    """Return logarithms where ratios are compared and everything is above 0."""
    logs = target.measure.by_ratio and target.value > 0 and min(values) > 0
    return [math.log(value) for value in values] if logs else list(values)


def _more(values: Sequence[float], target: Target, level: float) -> MoreSeeds | None:
    """Return the seeds to add until the mean is likely to pass or fail."""
    mean, spread = moments(_scaled(values, target))
    off, n = mean - _scaled([*values, target.value], target)[-1], len(values)
    return more_seeds(off, spread, n, freedom=n - 1, level=2 * level)


def _evaluations(group: Group, target: Target, tries: int) -> Iterator[Passing]:
    """Yield the evaluations that every complete seed has, in order."""
    runs = [_by_step(record, target) for record in group.records if record.status.complete]
    shared = set.intersection(*(set(run) for run in runs)) if runs else set()
    for step in sorted(shared) if len(runs) > 1 else ():
        rows = [run[step] for run in runs]
        values = [value for value, _, _ in rows]
        spent = float(np.median([seconds for _, _, seconds in rows]))
        p = min(1.0, tries * one_sided(values, target)[0])
        middle = centre(values, logs=target.measure.by_ratio)
        epoch = rows[0][1] if math.isfinite(rows[0][1]) else None
        yield Passing(step, epoch, spent if math.isfinite(spent) else None, middle, p)


def _by_step(record: Record, target: Target) -> dict[int, tuple[float, float, float]]:
    """Return value, epoch and seconds of training so far of each evaluation, by its step."""
    rows = record.epochs
    if target.measure.name not in rows:
        return {}
    spent = _so_far(rows["seconds"]) if "seconds" in rows else [math.nan] * len(rows)
    found = zip(rows["step"], rows[target.measure.name], rows["epoch"], spent, strict=True)
    return {
        int(step): (float(value), float(epoch), float(seconds))
        for step, value, epoch, seconds in found
        if math.isfinite(step) and math.isfinite(value)
    }


def _so_far(values: np.ndarray) -> np.ndarray:
    """Return the sum up to each value; NaN where one is unknown, which counts as 0 after it."""
    total: np.ndarray = np.where(np.isnan(values), np.nan, np.nancumsum(values))
    return total
