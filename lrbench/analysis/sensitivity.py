"""Sensitivity to the learning rate: families of groups that differ in nothing else, their best and good learning rates.

Learning rates are ordered as groups are in a comparison: by the share of seeds that diverged or failed, then by the
centre over the others. A learning rate is good if no larger share is lost and its centre is nearly as good as that of
the best one, and so are all learning rates between the two. A loss may be 10% worse. A metric in percent may be worse
by 10% of the errors, or by 0.2 points, the margin for a tie in a comparison, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lrbench.analysis.groups import Group
from lrbench.analysis.labels import family_naming
from lrbench.analysis.records import Record
from lrbench.analysis.statistics import PERCENT_MARGIN
from lrbench.components import Measure
from lrbench.config import without_rate
from lrbench.runs import Status

EPSILON = 0.1
"""The fraction of the best loss by which a good one may be worse."""

Edge = Literal["", "lowest", "highest"]


LEAST_RATES = 3
ROUNDING = 1e-9  # 0.992 − 0.99 is more than 0.002 in floating point


def lowest(costs: Sequence[float]) -> int | None:
    """Return the index of the lowest cost, the first of equal ones; None if none is finite.

    >>> lowest([0.3, 0.1, math.inf])
    1
    """
    known = [at for at, cost in enumerate(costs) if math.isfinite(cost)]
    return min(known, key=lambda at: costs[at], default=None)


def edge(costs: list[float]) -> Edge:
    """Return the end at which the best learning rate is, if any; not if another is as good, nor of a single one.

    A diverged neighbour counts: it was tried, so the best one next to it is not at the end.

    >>> edge([0.3, 0.2, 0.1]), edge([0.3, 0.1, math.inf])
    ('highest', '')
    """
    at = lowest(costs)
    if at is None or len(costs) < 2 or 0 < at < len(costs) - 1 or costs.count(costs[at]) > 1:
        return ""
    return "highest" if at else "lowest"


def near(costs: Sequence[float], margin: float) -> tuple[int, int] | None:
    """Return the first and last index around the best, without a gap, that cost at most `margin` more.

    >>> near([0.104, 0.3, 0.105, 0.1, 0.2], 0.01)
    (2, 3)
    """
    at = lowest(costs)
    if at is None:
        return None
    limit, low, high = costs[at] + margin, at, at
    while low > 0 and costs[low - 1] <= limit:
        low -= 1
    while high + 1 < len(costs) and costs[high + 1] <= limit:
        high += 1
    return low, high


@dataclass(frozen=True)
class Point:
    """A learning rate of a family and its group; `lr` is None if only the optimizer knows it."""

    lr: float | None
    group: Group

    @property
    def rate(self) -> float:
        """The learning rate as a position on an axis; NaN if only the optimizer knows it."""
        return math.nan if self.lr is None else self.lr

    def values(self, measure: Measure) -> tuple[float, ...]:
        """Return the metric of each seed that reached its end and has it."""
        return tuple(self.group.values(measure.name).values())

    def lost(self, measure: Measure) -> int:
        """Count the seeds that diverged, failed or ended without a finite value."""
        return self.group.lost(measure.name)

    @property
    def pruned(self) -> int:
        """Number of pruned seeds."""
        return self.group.pruned

    @property
    def unfinished(self) -> int:
        """Number of seeds that have not ended or can't be read."""
        over = (Status.PRUNED, Status.FAILED)
        return sum(not record.status.ended and record.status not in over for record in self.group.records)

    def standing(self, measure: Measure) -> tuple[float, float]:
        """Return what points are ordered by, the best first: the share of lost seeds, then the centre, as a cost.

        Infinite if at least half of the seeds are lost, if none has ended, or if one was pruned, since the others are
        then a selection.
        """
        share, cost = self.group.standing(measure)
        return (math.inf, math.inf) if share >= 0.5 else (share, cost)

    def centre(self, measure: Measure) -> float | None:
        """Return the centre over the seeds that reached their end; None if `standing` is infinite."""
        cost = self.standing(measure)[1]
        return measure.sign * cost if math.isfinite(cost) else None


@dataclass(frozen=True)
class Good:
    """The range of good learning rates.

    Attributes:
        low: the lowest.
        high: the highest.
        margin: how much worse than the best the metric may be.
        open_below: whether `low` is the lowest learning rate tried, so lower ones may be good too.
        open_above: whether `high` is the highest one tried.
    """

    low: float
    high: float
    margin: float
    open_below: bool
    open_above: bool

    @property
    def decades(self) -> float:
        """The width, log₁₀(high/low)."""
        return math.log10(self.high / self.low)


@dataclass(frozen=True)
class Family:
    """Groups that differ only in the learning rate, the lowest first, with a unique label.

    Families of one name are labelled by what differs between them, in words: `batch size 16`. `told` has the same as
    texts by key (`batch size` → `16`), for columns.
    """

    label: str
    points: tuple[Point, ...]
    epsilon: float = EPSILON
    told: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    optima: dict[tuple[str, float], Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `analysis.optimum` found, by measure, since the page, the figure and the table ask for it."""

    @property
    def first(self) -> Record:
        """The run with the lowest seed at the lowest learning rate."""
        return self.points[0].group.first

    def costs(self, measure: Measure) -> list[float]:
        """Return the centre of each point, negated if more is better; infinite if others lost a smaller share."""
        return costs_of(self.points, measure)

    def standing(self, measure: Measure) -> tuple[float, float]:
        """Return what families are ordered by: the standing of the best point."""
        return min((point.standing(measure) for point in self.points), default=(math.inf, math.inf))

    def best(self, measure: Measure) -> Point | None:
        """Return the best point; None if none has a centre."""
        at = lowest(self.costs(measure))
        return None if at is None else self.points[at]

    def edge(self, measure: Measure) -> Edge:
        """Return the end at which the best learning rate is, if any."""
        return edge(costs_of(self.by_rate(measure), measure))

    def by_rate(self, measure: Measure) -> list[Point]:
        """Return a point for each learning rate: the best one if several versions of the user's code share it."""
        found: dict[float | None, Point] = {}
        for point in self.points:
            if point.lr not in found or point.standing(measure) < found[point.lr].standing(measure):
                found[point.lr] = point
        return list(found.values())

    def good(self, measure: Measure) -> Good | None:
        """Return the good learning rates around the best one; None without a best one."""
        points = self.by_rate(measure)
        rates, costs = [point.lr or 0.0 for point in points], costs_of(points, measure)
        at = lowest(costs)
        if at is None or not rates[at]:
            return None
        margin = good_margin(measure.sign * costs[at], measure, self.epsilon)
        found = near(costs, margin if measure.lower else margin + ROUNDING)
        assert found is not None  # there is a best one
        low, high = found
        return Good(rates[low], rates[high], margin, low == 0, high == len(costs) - 1)


def costs_of(points: Sequence[Point], measure: Measure) -> list[float]:
    """Return the centre of each point, negated if more is better; infinite if others lost a smaller share."""
    known = [point.standing(measure) for point in points]
    least = min((share for share, _ in known), default=0.0)
    return [cost if share == least else math.inf for share, cost in known]


def good_margin(best: float, measure: Measure, epsilon: float = EPSILON) -> float:
    """Return how much worse than the best a good value may be.

    >>> from lrbench.components.metrics import ACCURACY, LOSS, measures
    >>> known = measures((LOSS, ACCURACY))
    >>> good_margin(0.03, known["val_loss"]), round(good_margin(0.7, known["val_accuracy"]), 3)
    (0.003, 0.03)
    """
    if measure.metric.form == "percent":
        return max(epsilon * (best if measure.lower else 1 - best), PERCENT_MARGIN)
    return epsilon * abs(best)


def families(groups: Sequence[Group], measure: Measure, least: int = LEAST_RATES) -> list[Family]:
    """Return families of groups that differ only in `optimizer.lr` (and seeds), best result first.

    A group without a readable config is in no family; one whose learning rate only the optimizer knows is in a family
    of its own. Families with fewer than `least` learning rates with ended runs, and those whose runs lack the measure,
    are left out.
    """
    members: dict[str, list[Group]] = {}
    for group in groups:
        if group.first.experiment is not None:
            members.setdefault(without_rate(group.first.experiment), []).append(group)
    rated = [[group for group in found if group.first.peak_lr is not None] or found for found in members.values()]
    chosen = [found for found in rated if _enough(found, measure, least)]
    naming = family_naming([[group.first for group in found] for found in chosen])
    made = []
    for at, found in enumerate(chosen):
        points = [Point(group.first.peak_lr, group) for group in found]
        points.sort(key=lambda point: point.lr or 0.0)
        made.append(Family(naming.shorts[at], tuple(points), told=naming.told(at)))
    return sorted(made, key=lambda family: (family.standing(measure), family.label))


def _enough(groups: Sequence[Group], measure: Measure, least: int) -> bool:
    ended = len({group.first.peak_lr for group in groups if any(record.status.ended for record in group.records)})
    complete = any(record.status.complete for group in groups for record in group.records)
    lacking = complete and not any(group.values(measure.name) for group in groups)
    return ended >= least and not lacking
