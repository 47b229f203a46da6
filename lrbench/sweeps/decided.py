"""What could be stopped: runs of a sweep that are pending or under way and can hardly change its answer any more.

Three rules, each for the seeds that a learning rate still lacks. Curves of runs under way play no part: a run that
looks bad half-way may be the best at its end.

- *lost*: learning rates are ordered by the share of lost seeds first. One that has lost more seeds than its line's best
  can lose in all is never the best, whatever its other seeds give. This is certain.
- *behind*: its seeds so far are so far behind the line's best that the missing ones would have to be better than the
  seeds' noise allows. The chance that they are is that of a t distribution for the change of both means, and must be
  below `CHANCE` divided by the number of learning rates with missing seeds. However often one looks, no more than this
  share of the advice is wrong, where noise is normal and alike: a chance that is right at each look needs no correction
  for the number of looks.
- *beyond*: no seed of it has ended, and the two learning rates next to it towards the best are both out by one of the
  rules above or by all of their seeds, the farther one by more. This takes the loss to have one valley.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lrbench.analysis import Family, Point, rate_text
from lrbench.components import Measure
from lrbench.errors import counted
from lrbench.runs import Status
from lrbench.sweeps.summary import Summary

CHANCE = 0.05
"""The chance that any of the learning rates that are called decided would have been the best of its line."""
LEAST_FREEDOM = 4.0
"""Degrees of freedom that the noise of the seeds must have, so that it can be trusted."""


@dataclass(frozen=True)
class Decided:
    """A learning rate of a line whose missing seeds can hardly change the answer.

    Attributes:
        series: the line.
        lr: the learning rate.
        runs: the names of its runs that are pending or under way.
        reason: why they change nothing, in words with numbers.
        chance: how likely it is that they would make it the line's best; 0 where that is certain, None beyond others.
    """

    series: str
    lr: float
    runs: tuple[str, ...]
    reason: str
    chance: float | None

    @property
    def words(self) -> str:
        """`cosine at 0.3: 2 runs could be dropped, since …`."""
        count = len(self.runs)
        could = f"{counted(count, 'run')} could be dropped"
        return f"{self.series} at {rate_text(self.lr)}: {could}, since {self.reason}."


def decided(summary: Summary) -> list[Decided]:
    """Return the learning rates whose missing seeds could be dropped, in the order of the lines.

    Args:
        summary: the sweep's results so far; see `summarize`.
    """
    measure = summary.measure
    started = [p for line in summary.lines for p in line.points if _missing(p) and (_values(p, measure) or _lost(p))]
    tries = max(len(started), 1)
    return [one for line in summary.lines for one in _in_line(line, measure, tries)]


def _in_line(line: Family, measure: Measure, tries: int) -> list[Decided]:
    points = sorted((point for point in line.points if point.lr), key=lambda point: point.rate)
    if len({point.lr for point in points}) < len(points):  # versions of the user's code share a learning rate
        return []
    best = min((point for point in points if _values(point, measure)), key=lambda p: p.standing(measure), default=None)
    if best is None or math.isinf(best.standing(measure)[1]):
        return []
    noise = _Noise.of(points, measure)
    found: dict[float, Decided] = {}
    out: set[float] = set()  # those that can hardly become the best, with or without missing seeds
    for point in points:
        told = None if point is best else _certain(point, best) or _behind(point, best, measure, noise, tries)
        if told is not None:
            out.add(point.rate)
            found[point.rate] = Decided(line.label, point.rate, _missing(point), *told)
    for point in points:
        if (reason := _beyond(point, points, best, out, measure)) is not None:
            found[point.rate] = Decided(line.label, point.rate, _missing(point), reason, None)
    return [found[point.rate] for point in points if point.rate in found and found[point.rate].runs]


def _certain(point: Point, best: Point) -> tuple[str, float] | None:
    """Tell that a learning rate has lost too many seeds to be the best."""
    lost, total = _lost(point), len(point.group.records)
    most = (_lost(best) + len(_missing(best))) / len(best.group.records)
    if lost / total <= most:
        return None
    whose = rate_text(best.lr)
    others = f"{whose} has lost none" if not most else f"{whose} can lose {most:.0%} at most"
    return f"{lost} of its {counted(total, 'seed')} diverged, and {others}", 0.0


def _behind(point: Point, best: Point, measure: Measure, noise: _Noise | None, tries: int) -> tuple[str, float] | None:
    """Tell that the seeds of a learning rate are too far behind for the missing ones to make it the best."""
    own, other = _values(point, measure), _values(best, measure)
    if noise is None or min(len(own), len(other)) < 2 or _lost(point) < _lost(best):
        return None
    costs = noise.costs(own)
    gap = float(costs.mean() - noise.costs(other).mean())
    variance = max(noise.variance, float(costs.var(ddof=1)))
    change = variance * (_change(point, len(own)) + _change(best, len(other)))
    if not change:  # all seeds have ended: what more of them would show is no concern of the sweep's
        change = variance * (1 / len(own) + 1 / len(other))
    chance = _tail(gap / math.sqrt(change), noise.freedom) if change else float(gap <= 0)
    if gap <= 0 or chance >= CHANCE / tries:
        return None
    ended = f"{len(own)} of its {counted(len(point.group.records), 'seed')} give {_text(point, measure)}"
    against = f"against {_text(best, measure)} at {rate_text(best.lr)}"
    return f"{ended} {against}; the chance to become the best is {_percent(chance)}", chance


def _beyond(point: Point, points: Sequence[Point], best: Point, out: set[float], measure: Measure) -> str | None:
    """Tell that a learning rate without ended seeds lies beyond two that are out."""
    if _values(point, measure) or _lost(point) or not _missing(point):
        return None
    low, high = sorted((point.rate, best.rate))
    between = [one for one in points if low < one.rate < high]
    known = sorted((o for o in between if _values(o, measure) or _lost(o)), key=lambda o: abs(o.rate - best.rate))
    if len(known) < 2 or any(one.rate not in out for one in known):
        return None
    near, far = known[-2:]
    if far.standing(measure) < near.standing(measure):
        return None
    named = f"{rate_text(near.lr)} and {rate_text(far.lr)}"
    return f"{named}, nearer to the best ({rate_text(best.lr)}), can hardly be the best, and the farther one is worse"


@dataclass(frozen=True)
class _Noise:
    """The variance of seeds, pooled over a line's learning rates, on the scale on which they are compared."""

    variance: float
    freedom: float
    logs: bool
    sign: int

    @classmethod
    def of(cls, points: Iterable[Point], measure: Measure) -> _Noise | None:
        """Return the noise; None if too few seeds tell it."""
        values = [found for point in points if len(found := _values(point, measure)) > 1]
        freedom = sum(len(found) - 1 for found in values)
        if freedom < LEAST_FREEDOM:
            return None
        logs = measure.by_ratio and min(map(min, values)) > 0
        made = cls(0.0, freedom, logs, measure.sign)
        squares = sum(
            float(((costs := made.costs(found)) - costs.mean()).dot(costs - costs.mean())) for found in values
        )
        return cls(squares / freedom, freedom, logs, measure.sign)

    def costs(self, values: Sequence[float]) -> np.ndarray:
        """Return the values as costs, of which lower ones are better."""
        found = np.asarray(values, float)
        return self.sign * (np.log(found) if self.logs else found)


def _values(point: Point, measure: Measure) -> Sequence[float]:
    """Return the values of the seeds that reached their end; those on a plateau too, since more seeds may join them."""
    return list(point.group.reached(measure.name).values())


def _lost(point: Point) -> int:
    """Count the seeds that diverged; failed ones are tried again."""
    return sum(record.status is Status.DIVERGED for record in point.group.records)


def _missing(point: Point) -> tuple[str, ...]:
    """Return the names of the runs that are to do or under way; none if one was pruned, as it has no mean then."""
    records = () if point.pruned else point.group.records
    return tuple(one.folder.name for one in records if one.status.to_do or one.status is Status.RUNNING)


def _change(point: Point, ended: int) -> float:
    """Return by how much the mean of a learning rate may still change, in units of the seeds' variance."""
    return 1 / ended - 1 / (ended + len(_missing(point)))


def _tail(t: float, freedom: float) -> float:
    from scipy import stats

    return float(stats.t.sf(t, freedom))


def _text(point: Point, measure: Measure) -> str:
    middle = point.centre(measure)
    return "no value" if middle is None else measure.text(middle)


def _percent(chance: float) -> str:
    return "below 0.1 %" if chance < 0.001 else f"{100 * chance:.1f} %"
