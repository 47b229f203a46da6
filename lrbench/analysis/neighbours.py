"""What the other learning rates of a family show of a group, for its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lrbench.analysis.comparison import compare_two
from lrbench.analysis.groups import Group
from lrbench.analysis.sensitivity import Point, families, good_margin
from lrbench.analysis.verdicts import Beside, Other
from lrbench.components import Measure


def with_families(groups: Sequence[Group], measure: Measure) -> list[Group]:
    """Return the groups, each with what the other learning rates of its family show: its `beside`.

    Confirmations are left as they are, and so is a group that is in no family.
    """
    compared = [group for group in groups if not group.first.confirms]
    found: dict[int, Beside] = {}
    for family in families(compared, measure):
        ended = [point for point in family.points if point.lr and _ended(point, measure)]
        ended.sort(key=lambda one: one.standing(measure))
        rates = np.array([point.lr for point in ended], dtype=float)
        for point in ended:
            if np.any(rates != point.lr):
                found[id(point.group)] = Beside(point.rate, rates, _Other(ended, rates, point, measure))
    return [replace(group, beside=found[id(group)]) if id(group) in found else group for group in groups]


@dataclass(frozen=True)
class _Other:
    """What another point of a family shows, beside one's own; `points` are sorted, the best first."""

    points: Sequence[Point]
    rates: NDArray[np.float64]
    own: Point
    measure: Measure

    def __call__(self, index: int) -> Other:
        if index == self.first:
            return self.best
        one, own, measure = self.points[index], self.own, self.measure
        better = one.standing(measure) < own.standing(measure)
        return Other(one.rate, better, notable=_notable(one, own, measure))

    @cached_property
    def first(self) -> int:
        """The index of the best of the others."""
        return int(np.argmax(self.rates != self.own.lr))

    @cached_property
    def best(self) -> Other:
        """The best of the others, which is compared with one's own."""
        others = int(np.sum(self.rates != self.own.lr))
        return _compared(self.points[self.first], self.own, self.measure, others)


def _ended(point: Point, measure: Measure) -> bool:
    """Whether all seeds have ended, so that none of what they show is a selection."""
    return not point.pruned and not point.unfinished and bool(point.values(measure) or point.lost(measure))


def _notable(one: Point, own: Point, measure: Measure) -> bool:
    """Whether a learning rate is better than one's own by more than what is nearly as good."""
    (share, cost), (own_share, own_cost) = one.standing(measure), own.standing(measure)
    if share != own_share or math.isinf(own_cost):
        return share < own_share
    return own_cost - cost > good_margin(measure.sign * own_cost, measure)


def _compared(best: Point, own: Point, measure: Measure, tries: int) -> Other:
    """Compare the best of the others, chosen among `tries`, with one's own."""
    row, _ = compare_two(best.group, own.group, measure, tries=tries)
    one, other = best.centre(measure), own.centre(measure)
    better = best.standing(measure) < own.standing(measure)
    sure = row.answer is not None and row.answer.word == "better"
    if one is None:
        return Other(best.lr or 0.0, better)
    seeds = len(best.values(measure))
    over = f"over {seeds} seeds" if seeds > 1 else "with one seed"
    here = "none" if other is None else measure.text(other)
    notable = _notable(best, own, measure)
    return Other(
        best.lr or 0.0,
        better,
        sure,
        notable,
        f"{measure.name_in_short} of {measure.text(one)} instead of {here}, {over}",
    )
