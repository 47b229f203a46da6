"""How much a result depends on the learning rate: groups that differ in nothing else, their best and their good rates.

A rate is good where the median over its seeds is nearly as good as that of the best rate, and so are all rates
between them. A number, such as a loss, may be 10 % worse. A metric written in percent may be worse by 10 % of the
errors, or by the 0.2 points within which a comparison calls it a tie, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lrbench.analysis.groups import Group
from lrbench.analysis.labels import family_labels
from lrbench.analysis.spread import Spread
from lrbench.analysis.statistics import PERCENT_MARGIN
from lrbench.components import Measure
from lrbench.config import without_rate
from lrbench.runs import Status

EPSILON = 0.1
"""The part of the best loss by which others may be worse and still count as near it."""

Edge = Literal["", "lowest", "highest"]


LEAST_RATES = 3
ROUNDING = 1e-9  # 0.992 − 0.99 is more than 0.002, as computers reckon


def lowest(costs: Sequence[float]) -> int | None:
    """Where the lowest cost is, the first of equal ones; None where none is finite.

    >>> lowest([0.3, 0.1, math.inf])
    1
    """
    known = [at for at, cost in enumerate(costs) if math.isfinite(cost)]
    return min(known, key=lambda at: costs[at], default=None)


def edge(costs: Sequence[float]) -> Edge:
    """At which end the best rate lies, if it does. Of a single rate nothing is said.

    A rate that diverged is a neighbour too: it was tried, so that the best one beside it is at no end.

    >>> edge([0.3, 0.2, 0.1]), edge([0.3, 0.1, math.inf])
    ('highest', '')
    """
    at = lowest(costs)
    if at is None or len(costs) < 2 or 0 < at < len(costs) - 1:
        return ""
    return "highest" if at else "lowest"


def near(costs: Sequence[float], margin: float) -> tuple[int, int] | None:
    """The first and the last place, without a gap around the best one, that cost at most `margin` more than it.

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
    """One learning rate of a family: the group that was trained with it; None where only the optimizer knows it."""

    lr: float | None
    group: Group

    @property
    def rate(self) -> float:
        """The learning rate as a place on an axis; NaN where only the optimizer knows it."""
        return math.nan if self.lr is None else self.lr

    def values(self, measure: Measure) -> tuple[float, ...]:
        """The metric of each seed that reached its end and has it."""
        found = (record.metric(measure.name) for record in self.group.records if record.status.complete)
        return tuple(value for value in found if value is not None)

    def diverged(self, measure: Measure) -> int:
        """How many seeds diverged, or ended without a finite value."""
        ended = sum(record.status.ended for record in self.group.records)
        return ended - len(self.values(measure))

    @property
    def pruned(self) -> int:
        """How many seeds were given up as hopeless."""
        return sum(record.status is Status.PRUNED for record in self.group.records)

    @property
    def unfinished(self) -> int:
        """How many seeds have not come to an end, or can't be read."""
        return sum(not record.status.ended and record.status is not Status.PRUNED for record in self.group.records)

    def cost(self, measure: Measure) -> float:
        """The median over the seeds, its sign turned where more is better; a diverged seed is worse than any.

        Infinite where half of the seeds diverged or more, where none has come to an end, and where any was pruned,
        since the others are a choice.
        """
        values = [measure.sign * value for value in self.values(measure)]
        spread = None if self.pruned else Spread.ranked([*values, *[None] * self.diverged(measure)])
        return math.inf if spread is None else spread.median

    def median(self, measure: Measure) -> float | None:
        """The median, None where `cost` is infinite."""
        cost = self.cost(measure)
        return measure.sign * cost if math.isfinite(cost) else None


@dataclass(frozen=True)
class Good:
    """The good rates: from, to, and whether the rates tried end there, so that there may be more.

    Attributes:
        low: the lowest.
        high: the highest.
        margin: by how much the metric may differ from the best one.
        open_below: `low` is the lowest rate tried.
        open_above: `high` is the highest rate tried.
    """

    low: float
    high: float
    margin: float
    open_below: bool
    open_above: bool

    @property
    def decades(self) -> float:
        """Their width, log₁₀(high/low)."""
        return math.log10(self.high / self.low)


@dataclass(frozen=True)
class Family:
    """Groups that differ only in the rate, under a label that no other family has; the lowest rate first."""

    label: str
    points: tuple[Point, ...]
    epsilon: float = EPSILON

    def costs(self, measure: Measure) -> list[float]:
        """What each point costs."""
        return [point.cost(measure) for point in self.points]

    def best(self, measure: Measure) -> Point | None:
        """The point with the best median; None where no rate has one."""
        at = lowest(self.costs(measure))
        return None if at is None else self.points[at]

    def edge(self, measure: Measure) -> Edge:
        """At which end of the rates the best one lies, if it does."""
        return edge(self.costs(measure))

    def good(self, measure: Measure) -> Good | None:
        """The good rates around the best one; None where there is no best one."""
        costs = self.costs(measure)
        at = lowest(costs)
        if at is None or self.points[at].lr is None:
            return None
        margin = good_margin(measure.sign * costs[at], measure, self.epsilon)
        found = near(costs, margin if measure.lower else margin + ROUNDING)
        assert found is not None  # there is a best one
        low, high = found
        rates = [point.lr or 0.0 for point in self.points]
        return Good(rates[low], rates[high], margin, low == 0, high == len(costs) - 1)


def good_margin(best: float, measure: Measure, epsilon: float = EPSILON) -> float:
    """By how much a value may be worse than the best one and still be nearly as good.

    >>> from lrbench.components.metrics import ACCURACY, LOSS, measures
    >>> known = measures((LOSS, ACCURACY))
    >>> good_margin(0.03, known["val_loss"]), round(good_margin(0.7, known["val_accuracy"]), 3)
    (0.003, 0.03)
    """
    if measure.metric.form == "percent":
        return max(epsilon * (best if measure.lower else 1 - best), PERCENT_MARGIN)
    return epsilon * abs(best)


def families(
    groups: Sequence[Group], measure: Measure, least: int = LEAST_RATES, epsilon: float = EPSILON
) -> list[Family]:
    """Families of groups that differ only in `optimizer.lr` (and the seeds), the one with the best result first.

    Args:
        groups: of a report. Those without a readable config are in no family, and one whose learning rate only the
            optimizer knows is in none with others.
        measure: what they are compared by.
        least: the number of learning rates below which a family is left out.
        epsilon: see `good_margin`.

    Returns:
        Those with runs that came to their end at that many rates; none whose runs lack the measure.
    """
    members: dict[str, list[Group]] = {}
    for group in groups:
        if group.first.experiment is not None:
            members.setdefault(without_rate(group.first.experiment), []).append(group)
    rated = [[group for group in found if _rate(group) is not None] or found for found in members.values()]
    chosen = [found for found in rated if _enough(found, measure, least)]
    labels = family_labels([[group.first for group in found] for found in chosen])
    made = []
    for label, found in zip(labels, chosen, strict=True):
        points = [Point(_rate(group), group) for group in found]
        made.append(Family(label, tuple(sorted(points, key=lambda point: point.lr or 0.0)), epsilon))
    return sorted(made, key=lambda family: (min(family.costs(measure)), family.label))


def words(family: Family, measure: Measure) -> str:
    """One sentence: the best rate, the good ones, whether the best is at an end, and what was lost."""
    best, good = family.best(measure), family.good(measure)
    if best is None:
        return f"{family.label}: no rate has a median {measure.name_in_short}{_lost(family, measure)}."
    middle, ended = best.median(measure), len(best.values(measure)) + best.diverged(measure)
    assert middle is not None  # the best one has one
    over = f"median of {ended} seeds" if ended > 1 else "one seed"
    value, rate = f"{measure.name_in_short} {measure.text(middle)}", rate_text(best.lr)
    if good is None or len(family.points) == 1:
        return f"{family.label}: {value} ({over}) at {rate}, the only rate tried{_lost(family, measure)}."
    lines = [f"{family.label}: best at {rate} ({value}, {over})"]
    within = within_text(good, measure, family.epsilon)
    if good.low == good.high:
        lines.append(f", no neighbour {within} of it")
    else:
        lines.append(f", {within} of it from {rate_text(good.low)} to {rate_text(good.high)} ({width_text(good)})")
    if edge := family.edge(measure):
        way = "higher" if edge == "highest" else "lower"
        lines.append(f"; the best is at the {edge} rate tried, so try {way} ones")
    return "".join([*lines, _lost(family, measure), "."])


def rate_text(lr: float | None) -> str:
    """Three significant digits: the rates of a grid on a log scale have many."""
    return "its default rate" if lr is None else f"{lr:.3g}"


def within_text(good: Good, measure: Measure, epsilon: float = EPSILON) -> str:
    """`within 10 %`, `within 0.2 points`."""
    percent = measure.metric.form == "percent"
    return f"within {100 * good.margin:.2g} points" if percent else f"within {100 * epsilon:g} %"


def width_text(good: Good) -> str:
    """`0.9 decades`; `at least 0.9 decades` where the good rates reach the end of those tried."""
    return f"{'at least ' if good.open_below or good.open_above else ''}{good.decades:.1f} decades"


def _lost(family: Family, measure: Measure) -> str:
    """The runs that have no part in the medians, and at which rates they are."""
    total = sum(len(point.group.records) for point in family.points)
    counts = {
        "diverged": [point.diverged(measure) for point in family.points],
        "pruned": [point.pruned for point in family.points],
        "not finished": [point.unfinished for point in family.points],
    }
    told = []
    for kind, found in counts.items():
        rates = [rate_text(point.lr) for point, count in zip(family.points, found, strict=True) if count]
        if rates:
            listed = ", ".join(rates) if len(rates) < 4 else f"{len(rates)} rates from {rates[0]} to {rates[-1]}"
            told.append(f"; {sum(found)} of {total} runs {kind} (at {listed})")
    return "".join(told)


def _rate(group: Group) -> float | None:
    lr = group.first.identity_fields.get("optimizer.lr")
    return float(lr) if isinstance(lr, int | float) and math.isfinite(lr) and lr > 0 else None


def _enough(groups: Sequence[Group], measure: Measure, least: int) -> bool:
    points = [Point(None, group) for group in groups]
    ended = sum(bool(point.values(measure) or point.diverged(measure)) for point in points)
    complete = any(record.status.complete for group in groups for record in group.records)
    lacking = complete and not any(point.values(measure) for point in points)
    return ended >= least and not lacking
