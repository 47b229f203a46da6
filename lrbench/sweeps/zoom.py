"""`--zoom`: which learning rates to add to a line of a sweep, until the interval of its optimum is narrow enough.

Learning rates are added on a lattice of 16 to the decade, two in a round, so that two zooms into the same line share
runs. A round depends on nothing but the results of those before: a command that was stopped plans the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrbench.analysis import Family, NoOptimum, optimum, rate_text
from lrbench.components import Measure
from lrbench.errors import UsageError, counted, option
from lrbench.types import AT_LEAST_1, NOTHING, NUMBER, Kind

WIDTH = 0.15
"""Decades: the interval at which a zoom ends."""
LATTICE = 16
PER_ROUND = 2
FARTHEST = 4.0
"""Decades by which a zoom goes beyond the grid."""
SEEDS = "and only more seeds would narrow it, not more learning rates"
NO_MORE = "; closer learning rates would not narrow it"
UNCHANGED = 0.002  # relative difference at the three lowest learning rates, of which lower ones promise nothing
SPACINGS = (0.25, 1.0)  # decades between learning rates beyond the grid, at least and at most


@dataclass(frozen=True)
class Zoom:
    """When a zoom ends.

    Args:
        width: the 95% interval of each optimum, in decades.
        max_runs: the runs of the sweep, those of the grid included; None for no limit.

    Raises:
        UsageError: invalid values.
    """

    width: float = WIDTH
    max_runs: int | None = None

    def __post_init__(self) -> None:
        if not (NUMBER.fits(self.width) and 1 / LATTICE <= self.width < math.inf):
            least = f"at least {1 / LATTICE:g} decades"
            raise UsageError(f"{option('--zoom-width', 'Zoom.width')} must be {least} (got {self.width!r:.40})")
        if not (self.max_runs is None or AT_LEAST_1.fits(self.max_runs)):
            raise UsageError(f"{option('--max-runs')} must be a whole number, at least 1 (got {self.max_runs!r:.40})")

    @classmethod
    def asked(cls, given: Zoom | float | bool | None) -> Zoom | None:
        """Return what `sweep(zoom=…)` means: True is the default width, a number a width."""
        if isinstance(given, bool):
            return cls() if given else None
        return given if given is None or isinstance(given, Zoom) else cls(given)


ZOOM = (
    Kind("True, a Zoom", lambda value: isinstance(value, bool | Zoom))
    | Kind("a number of decades", NUMBER.fits)
    | NOTHING
)


@dataclass(frozen=True)
class Step:
    """What a zoom does next with a line: learning rates to add, the most wanted first; none at the end. And why."""

    rates: tuple[float, ...]
    reason: str


def next_step(line: Family, measure: Measure, grid: Sequence[float], width: float = WIDTH) -> Step:
    """Return what to add to a line.

    Args:
        line: its results so far.
        measure: what learning rates are compared by.
        grid: the learning rates of the grid, which limit how far beyond it a zoom goes.
        width: the interval, in decades, at which it ends.
    """
    tried = sorted({point.lr for point in line.points if point.lr})
    if not tried:
        return Step((), "no learning rate is known")
    if max(len(point.values(measure)) + point.lost(measure) for point in line.points) < 2:
        return Step((), "a single seed does not show the noise: train at least 3")
    best = line.best(measure)
    if best is None or best.lr is None:
        return _beyond(tried, grid, down=True, why="no learning rate has a value")
    at = tried.index(best.lr)
    if at == 0 or at == len(tried) - 1:
        where = "lowest" if at == 0 else "highest"
        if at == 0 and _unchanged(line, measure, tried):
            return Step((), "the best is the lowest learning rate tried, but the lowest three hardly differ")
        return _beyond(tried, grid, down=at == 0, why=f"the best is the {where} learning rate tried")
    found = optimum(line, measure)
    if not isinstance(found, NoOptimum):
        why = f"the optimum's interval is {found.decades:.2f} decades wide"
        if found.decades <= width:
            return Step((), why)
        unsure = optimum(line, measure, noise=0.0)  # what seeds leave unsure, however many
        if not isinstance(unsure, NoOptimum) and unsure.decades <= width:
            return Step((), f"{why}, {SEEDS}")
        return _between(tried, found.low, found.high, width, why, f", {SEEDS}")
    why = found.reason.partition(": try ")[0]  # the advice is for people; a zoom follows it
    if found.kind in ("lowest", "highest"):
        inside = _between(tried, tried[at - 1], tried[at + 1], 4 * width, why)
        return inside if inside.rates else _beyond(tried, grid, down=found.kind == "lowest", why=why)
    if found.kind == "diverged":
        low, high = _lost_around(line, measure, tried, at)
        return _between(tried, low, high, width, why)
    return _between(tried, tried[at - 1], tried[at + 1], 2 * width, why)


def _lost_around(line: Family, measure: Measure, tried: Sequence[float], at: int) -> tuple[float, float]:
    """Return the range from the best to the learning rates that lost seeds: its neighbours, else the nearest ones."""
    lost = {point.lr for point in line.points if point.lr and point.lost(measure)} - {tried[at]}
    near = lost & {tried[at - 1], tried[at + 1]} or lost
    low = max((lr for lr in near if lr < tried[at]), default=tried[at])
    high = min((lr for lr in near if lr > tried[at]), default=tried[at])
    return (low, high) if low < high else (tried[at - 1], tried[at + 1])


def _unchanged(line: Family, measure: Measure, tried: Sequence[float]) -> bool:
    """Whether the three lowest learning rates give the same, as where nothing is learned."""
    found = [point.values(measure) for point in line.points if point.lr in tried[:3]]
    means = [sum(values) / len(values) for values in found if values]
    wide = len(tried) > 2 and math.log10(tried[2] / tried[0]) >= 2 * SPACINGS[0]
    return wide and len(means) >= 3 and max(means) - min(means) <= UNCHANGED * max(map(abs, means))


def _beyond(tried: Sequence[float], grid: Sequence[float], *, down: bool, why: str) -> Step:
    """Extend the range by its own spacing."""
    logs = [math.log10(lr) for lr in tried]
    gaps = sorted(b - a for a, b in pairwise(logs))
    spacing = min(max(gaps[len(gaps) // 2] if gaps else SPACINGS[1] / 2, SPACINGS[0]), SPACINGS[1])
    end = logs[0] if down else logs[-1]
    limit = math.log10(min(grid)) - FARTHEST if down else math.log10(max(grid)) + FARTHEST
    steps = [end + (-1 if down else 1) * spacing * k for k in range(1, PER_ROUND + 1)]
    rates = [on_lattice(step) for step in steps if (step >= limit if down else step <= limit)]
    if not rates:
        way = "below" if down else "above"
        return Step((), f"{why}, and the zoom is already {FARTHEST:g} decades {way} the grid")
    return Step(tuple(dict.fromkeys(rates)), why)


def _between(tried: Sequence[float], low: float, high: float, width: float, why: str, otherwise: str = NO_MORE) -> Step:
    """Halve the widest gaps between `low` and `high`, down to the width that is wanted; `otherwise` none is left."""
    logs = [math.log10(lr) for lr in tried]
    start, end = math.log10(low), math.log10(high)
    new: list[float] = []
    for _ in range(PER_ROUND):
        known = sorted([*logs, *map(math.log10, new)])
        gaps = [(b - a, a, b) for a, b in pairwise(known) if b > start and a < end]
        fine = [gap for gap in gaps if gap[0] > max(0.8 * width, 1.9 / LATTICE)]
        if not fine:
            break
        _, a, b = max(
            fine, key=lambda gap: (round(min(gap[2], end) - max(gap[1], start), 3), round(gap[0], 3), -gap[1])
        )
        middle = on_lattice((a + b) / 2)
        if not a < math.log10(middle) < b:
            break
        new.append(middle)
    if not new:
        return Step((), f"{why}{otherwise}")
    return Step(tuple(new), why)


def on_lattice(place: float) -> float:
    """Return the learning rate of the lattice next to a log₁₀.

    >>> on_lattice(-2.51), on_lattice(-3.0)
    (0.003162, 0.001)
    """
    return float(f"{10 ** (round(place * LATTICE) / LATTICE):.4g}")


def told(line: Family, runs: int, step: Step) -> str:
    """Say how a zoom into a line ended, and what a grid as fine as its finest part would have taken."""
    tried = sorted({point.lr for point in line.points if point.lr})
    logs = [math.log10(lr) for lr in tried]
    finest = min((b - a for a, b in pairwise(logs)), default=0.0)
    unfinished = "not finished because runs have no result: " if step.rates else ""
    text = f"{line.label}: {unfinished}{step.reason}; tried {counted(len(tried), 'learning rate')} in {runs:,} runs."
    full = round((logs[-1] - logs[0]) / finest) + 1 if finest else 0
    if full <= len(tried):
        return text
    grid = f"with steps of {finest:.2g} decades from {rate_text(tried[0])} to {rate_text(tried[-1])}"
    return f"{text} A grid {grid} needs {full} learning rates and {full * runs // len(tried):,} runs."
