"""How much a result depends on the learning rate: groups that differ in nothing else, their best and their good rates.

A rate is good where the median over its seeds is nearly as good as that of the best rate, and so are all rates
between them. A loss may be 10 % higher, as in a sweep's summary. An accuracy may be lower by 10 % of the errors, or
by the 0.2 points within which a comparison calls accuracies a tie, whichever is more.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import sensitivity_rule as rule
from lrbench.analysis.comparison import COMPARABLE, is_lower_better
from lrbench.analysis.format import measured
from lrbench.analysis.groups import Group
from lrbench.analysis.sensitivity_rule import EPSILON, Edge
from lrbench.analysis.spread import Spread
from lrbench.analysis.statistics import ACCURACY_MARGIN
from lrbench.config.identity import without_rate
from lrbench.errors import UsageError

LEAST_RATES = 3
ROUNDING = 1e-9  # 0.992 − 0.99 is more than 0.002, as computers reckon


@dataclass(frozen=True)
class Point:
    """One rate of a family: the group that was trained with it."""

    lr: float
    group: Group

    def values(self, metric: str) -> tuple[float, ...]:
        """The metric of each seed that reached its end and has it."""
        found = (record.metric(metric) for record in self.group.records if record.counts)
        return tuple(value for value in found if value is not None)

    def diverged(self, metric: str) -> int:
        """How many seeds diverged, or ended without a finite value."""
        ended = sum(record.counts or record.state == "diverged" for record in self.group.records)
        return ended - len(self.values(metric))

    @property
    def pruned(self) -> int:
        """How many seeds were given up as hopeless."""
        return sum(record.state == "pruned" for record in self.group.records)

    @property
    def unfinished(self) -> int:
        """How many seeds have not come to an end, or can't be read."""
        return sum(not record.counts and record.state not in ("diverged", "pruned") for record in self.group.records)

    def cost(self, metric: str) -> float:
        """The median over the seeds, an accuracy with its sign turned; a diverged seed is worse than any.

        Infinite where half of the seeds diverged or more, where none has come to an end, and where any was pruned,
        since the others are a choice.
        """
        sign = _sign(metric)
        values = [sign * value for value in self.values(metric)]
        spread = None if self.pruned else Spread.ranked([*values, *[None] * self.diverged(metric)])
        return math.inf if spread is None else spread.median

    def median(self, metric: str) -> float | None:
        """The median, None where `cost` is infinite."""
        cost = self.cost(metric)
        return _sign(metric) * cost if math.isfinite(cost) else None


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

    def costs(self, metric: str) -> list[float]:
        """What each point costs."""
        return [point.cost(metric) for point in self.points]

    def best(self, metric: str) -> Point | None:
        """The point with the best median; None where no rate has one."""
        at = rule.best(self.costs(metric))
        return None if at is None else self.points[at]

    def edge(self, metric: str) -> Edge:
        """At which end of the rates the best one lies, if it does."""
        return rule.edge(self.costs(metric))

    def good(self, metric: str) -> Good | None:
        """The good rates around the best one; None where there is no best one."""
        costs = self.costs(metric)
        at = rule.best(costs)
        if at is None:
            return None
        margin = margin_of(_sign(metric) * costs[at], metric)
        found = rule.near(costs, margin if is_lower_better(metric) else margin + ROUNDING)
        assert found is not None  # there is a best one
        low, high = found
        return Good(self.points[low].lr, self.points[high].lr, margin, low == 0, high == len(costs) - 1)


def margin_of(best: float, metric: str) -> float:
    """By how much a metric may be worse than its best value and still be nearly as good.

    >>> margin_of(0.03, "val_loss"), round(margin_of(0.7, "val_accuracy"), 3), margin_of(0.99, "val_accuracy")
    (0.003, 0.03, 0.002)
    """
    if is_lower_better(metric):
        return EPSILON * abs(best)
    return max(EPSILON * (1 - best), ACCURACY_MARGIN)


def families(groups: Sequence[Group], metric: str) -> list[Family]:
    """Families of groups that differ only in `optimizer.lr` (and the seeds), the one with the best result first.

    Args:
        groups: of a report. Those without a readable config, or whose config leaves the rate to the optimizer's
            default, are in no family.
        metric: a column of `load_runs`, such as val_loss or best_val_accuracy.

    Returns:
        Those with runs that came to their end at three rates or more; none whose runs lack the metric.

    Raises:
        UsageError: no such metric.
    """
    if metric not in COMPARABLE:
        raise UsageError(f"--metric {metric}: no such metric; {', '.join(COMPARABLE)}")
    members: dict[str, list[Group]] = {}
    for group in groups:
        if group.first.experiment is not None and _rate(group) is not None:
            members.setdefault(without_rate(group.first.experiment), []).append(group)
    chosen = [found for found in members.values() if _enough(found, metric)]
    made = []
    for label, found in zip(_labels(chosen), chosen, strict=True):
        points = [Point(lr, group) for group in found if (lr := _rate(group)) is not None]
        made.append(Family(label, tuple(sorted(points, key=lambda point: point.lr))))
    return sorted(made, key=lambda family: (min(family.costs(metric)), family.label))


def words(family: Family, metric: str) -> str:
    """One sentence: the best rate, the good ones, whether the best is at an end, and what was lost."""
    best, good = family.best(metric), family.good(metric)
    if best is None or good is None:
        return f"{family.label}: no rate has a median {name_of(metric)}{_lost(family, metric)}."
    middle, ended = best.median(metric), len(best.values(metric)) + best.diverged(metric)
    assert middle is not None  # the best one has one
    over = f", median of {ended} seeds" if ended > 1 else ", one seed"
    lines = [f"{family.label}: best at {rate_text(best.lr)} ({name_of(metric)} {measured(middle, metric)}{over})"]
    within = within_text(good, metric)
    if good.low == good.high:
        lines.append(f", no neighbour {within} of it")
    else:
        lines.append(f", {within} of it from {rate_text(good.low)} to {rate_text(good.high)} ({width_text(good)})")
    if edge := family.edge(metric):
        way = "higher" if edge == "highest" else "lower"
        lines.append(f"; the best is at the {edge} rate tried, so try {way} ones")
    return "".join([*lines, _lost(family, metric), "."])


def name_of(metric: str) -> str:
    """`val loss`, `test accuracy of the best epoch`."""
    if metric.startswith("test_best_"):
        return f"test {metric.removeprefix('test_best_')} of the best epoch"
    return metric.replace("_", " ")


def rate_text(lr: float) -> str:
    """Three significant digits: rates of a grid on a log scale have many."""
    return f"{lr:.3g}"


def within_text(good: Good, metric: str) -> str:
    """`within 10 %`, `within 0.2 points`."""
    return f"within {100 * EPSILON:g} %" if is_lower_better(metric) else f"within {100 * good.margin:.2g} points"


def width_text(good: Good) -> str:
    """`0.9 decades`; `at least 0.9 decades` where the good rates reach the end of those tried."""
    return f"{'at least ' if good.open_below or good.open_above else ''}{good.decades:.1f} decades"


def _lost(family: Family, metric: str) -> str:
    """The runs that have no part in the medians, and at which rates they are."""
    total = sum(len(point.group.records) for point in family.points)
    counts = {
        "diverged": [point.diverged(metric) for point in family.points],
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


def _sign(metric: str) -> int:
    return 1 if is_lower_better(metric) else -1


def _rate(group: Group) -> float | None:
    lr = group.first.identity_fields.get("optimizer.lr")
    return float(lr) if isinstance(lr, int | float) and math.isfinite(lr) and lr > 0 else None


def _enough(groups: Sequence[Group], metric: str) -> bool:
    points = [Point(0.0, group) for group in groups]
    ended = sum(bool(point.values(metric) or point.diverged(metric)) for point in points)
    lacking = not any(point.values(metric) for point in points) and any(r.counts for g in groups for r in g.records)
    return ended >= LEAST_RATES and not lacking


def _labels(members: Sequence[Sequence[Group]]) -> list[str]:
    """What the names of a family's groups have in common; where families share that, with what differs between them."""
    stems = [_stem([group.first.name for group in groups]) for groups in members]
    labels = []
    for stem, groups in zip(stems, members, strict=True):
        fields = groups[0].first.identity_fields
        others = [m[0].first.identity_fields for s, m in zip(stems, members, strict=True) if s == stem]
        labels.append(f"{stem} {_difference(fields, others)}".strip())
    return [f"{label} ({labels[: at + 1].count(label)})" if labels.count(label) > 1 else label
            for at, label in enumerate(labels)]  # fmt: skip


_SEPARATORS = "-_ ,=@(+"  # of words in a name


def _stem(names: Sequence[str]) -> str:
    """The name; of several, the words that all begin with, or else the first and how many others there are."""
    different = list(dict.fromkeys(names))
    if len(different) == 1:
        return different[0]
    words = zip(*(re.split(f"([{_SEPARATORS}])", name) for name in different), strict=False)
    start = "".join(word[0] for word in itertools.takewhile(lambda word: len(set(word)) == 1, words))
    others = len(different) - 1
    return start.rstrip(_SEPARATORS) or f"{different[0]} and {others} other{'s' * (others > 1)}"


def _difference(mine: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """`cosine`, `sgd momentum=0.9`, `no warmup`: where a family's config differs from those of others."""
    keys = dict.fromkeys(key for fields in (mine, *others) for key in fields if key not in ("seed", "optimizer.lr"))
    differing = [key for key in keys if any(other.get(key) != mine.get(key) for other in others)]
    renamed = {key.removesuffix("name") for key in differing if key.endswith(".name")}  # parameters of another part
    sections = {key.split(".")[0] for key in mine}
    pieces = []
    for key in differing:
        section, value = key.split(".")[0], mine.get(key)
        if section not in sections:
            pieces.append(f"no {section}")
        elif key.endswith(".name"):
            pieces.append(str(value))
        elif not any(key.startswith(part) for part in renamed):
            short = key.split(".")[-1] if section in ("optimizer", "schedule") else key
            pieces.append(f"{short}={f'{value:g}' if isinstance(value, float) else value}")
    return " ".join(list(dict.fromkeys(pieces))[:3])
