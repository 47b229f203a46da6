"""How long a group's seeds take to a target, counting those that never get there; and the area under their curves.

A seed that has trained its whole budget without reaching the target is censored there: all that is known is that it
takes longer. So is one that is still training, at its last evaluation. A seed that diverged, failed, stopped early or
was pruned before it reached the target will never reach it. The share of seeds that have reached it by a time is
estimated by Kaplan and Meier's product limit (1958), in which those that never will are at risk for ever, as in a
cumulative incidence (Fine and Gray 1999). Without seeds that are still training, it is the plain share.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrbench.analysis.budgets import budgets
from lrbench.analysis.estimates import CONFIDENCE, centre
from lrbench.analysis.groups import Group
from lrbench.analysis.records import Record
from lrbench.analysis.targets import Part, Target, trained
from lrbench.components import Measure
from lrbench.runs import Status

HALF = 0.5 - 1e-9
"""Half of the seeds, but for rounding."""
_NO_RUN = (Status.PENDING, Status.DAMAGED, Status.COPY)


@dataclass(frozen=True)
class TimeToTarget:
    """The times at which a group's seeds first reach a target: epochs, steps, evaluations or seconds.

    Attributes:
        part: what they are counted in.
        times: of the seeds that reached it, ascending.
        censored: how far those got that may reach it later.
        never: how far those got that never will.
        open: the number of censored ones that are still training or were interrupted.
    """

    part: Part
    times: tuple[float, ...]
    censored: tuple[float, ...]
    never: tuple[float, ...]
    open: int = 0

    @property
    def seeds(self) -> int:
        """The number of seeds that were begun."""
        return len(self.times) + len(self.censored) + len(self.never)

    @property
    def missed(self) -> tuple[float, ...]:
        """How far those got that have not reached it."""
        return (*self.censored, *self.never)

    @cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """The times and the share of seeds that have reached the target by each of them (Kaplan and Meier)."""
        return self._steps[0], self._steps[1]

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Times, shares, and the ends of their 95% interval: Clopper-Pearson; log-log if seeds are still training."""
        if not self.times:
            return (np.empty(0),) * 4
        from scipy import stats

        beyond = max(*self.times, *self.missed, 0.0) + 1
        known = stats.CensoredData(uncensored=self.times, right=[*self.censored, *[beyond] * len(self.never)])
        found = stats.ecdf(known).cdf
        there = np.isin(found.quantiles, self.times)
        at, share = found.quantiles[there], found.probabilities[there]
        if not self.open:
            exact = np.array([_exact(round(part * self.seeds), self.seeds) for part in share])
            return at, share, exact[:, 0], exact[:, 1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it is undefined where no seed or every seed is there
            ends = found.confidence_interval(confidence_level=CONFIDENCE, method="log-log")
        low, high = (np.asarray(part.probabilities, float)[there] for part in (ends.low, ends.high))
        return at, share, low, np.where(share > 1 - 1e-9, 1.0, high)

    def reached_by(self, time: float) -> float:
        """Return the estimated share of seeds that have reached the target by a time."""
        at, share = self.curve
        before = at <= time
        return float(share[before][-1]) if before.any() else 0.0

    @property
    def median(self) -> float:
        """The time by which half of the seeds reach the target; infinite if more than half have not.

        Where the curve is flat at one half, it is the middle of that stretch, as for an even number of values.
        """
        at, share = self.curve
        if not (share >= HALF).any():
            return math.inf
        first = int((share >= HALF).argmax())
        if share[first] > 1 - HALF:
            return float(at[first])
        return float(at[first] + at[first + 1]) / 2 if first + 1 < len(at) else math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the median (Brookmeyer and Crowley 1982); infinite at an end that it does not have.

        It has an upper end from six seeds on, if all of them reach the target.
        """
        at, _, low, high = self._steps
        ends = [float(at[(side >= HALF).argmax()]) if (side >= HALF).any() else math.inf for side in (high, low)]
        return ends[0], ends[1]

    @property
    def share(self) -> tuple[float, float, float] | None:
        """The share of seeds that reach the target within their budget, with its exact 95% interval (Clopper-Pearson).

        None while seeds are still training, or without any.
        """
        if not self.seeds or self.open:
            return None
        return len(self.times) / self.seeds, *_exact(len(self.times), self.seeds)


def _exact(hits: int, of: int) -> tuple[float, float]:
    """Return the exact 95% interval of a share (Clopper and Pearson 1934)."""
    from scipy import stats

    ends = stats.binomtest(hits, of).proportion_ci(CONFIDENCE, method="exact")
    return float(ends.low), float(ends.high)


def time_to_target(group: Group, target: Target, part: Part) -> TimeToTarget | None:
    """Return the times at which a group's seeds first reach a target.

    Args:
        group: the runs.
        target: what they are to reach.
        part: what times are counted in.

    Returns:
        The times; None if no seed has ended, none was measured, or it is unknown how far one of them got.
    """
    begun = [record for record in group.records if record.status not in _NO_RUN]
    evaluated = [record for record in begun if len(record.epochs)]
    if not any(record.status.ended for record in begun) or (evaluated and not any(map(target.measured, evaluated))):
        return None
    times: list[float] = []
    censored: list[float] = []
    never: list[float] = []
    still = 0
    for record in begun:
        found = target.reached(record)
        length = trained(record.epochs, part) if found is None else found[part]
        if math.isnan(length):
            return None
        finished = record.status is Status.FINISHED
        waiting = not record.status.over
        kind = times if found is not None else censored if finished or waiting else never
        kind.append(length)
        still += waiting and found is None
    return TimeToTarget(part, tuple(sorted(times)), tuple(sorted(censored)), tuple(sorted(never)), still)


def time_to_stay(group: Group, target: Target, part: Part) -> float | None:
    """Return the median over the seeds of the first evaluation from which on the target holds to the end.

    It is infinite if less than half of the seeds stay there, and None while one is still training.
    """
    begun = [record for record in group.records if record.status not in _NO_RUN]
    if not begun or any(not record.status.over for record in begun) or not any(map(target.measured, begun)):
        return None
    found = [target.stays(record) if record.status.complete else None for record in begun]
    places = sorted(math.inf if one is None else one[part] for one in found)
    if any(map(math.isnan, places)):
        return None
    low, high = places[(len(places) - 1) // 2], places[len(places) // 2]
    return (low + high) / 2 if math.isfinite(high) else math.inf


def areas(groups: Sequence[Group], measure: Measure) -> dict[str, float]:
    """Return the mean level of each group's curves of a metric, by label: the area under them over their length.

    Where ratios are compared and all values are above 0, it is the geometric mean: the area under the logarithm. All
    curves are taken from the last of their first evaluations to the first of their last ones, by trapezoids.

    Returns:
        The centre over the seeds that reached their end. Groups that lost a seed have none, since a curve that ends
        early has no area of that length. Empty if budgets differ, or the steps of a curve are unknown.
    """
    complete = {g.label: [r for r in g.records if r.status.complete] for g in groups}
    ended = [group for group in groups if complete[group.label] and not group.lost(measure.name)]
    curves = {group.label: [_curve(record, measure) for record in complete[group.label]] for group in ended}
    whole = [curve for found in curves.values() for curve in found]
    if not whole or len(budgets(ended)) > 1 or any(len(at) < 2 for at, _ in whole):
        return {}
    start, end = max(at[0] for at, _ in whole), min(at[-1] for at, _ in whole)
    if not start < end:
        return {}
    logs = measure.by_ratio and all((values > 0).all() for _, values in whole)
    return {label: centre([_level(*c, start, end, logs) for c in found], logs=logs) for label, found in curves.items()}


def _curve(record: Record, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of the evaluations that have the metric; empty if the steps are unknown."""
    rows = record.epochs
    if measure.name not in rows:
        return np.empty(0), np.empty(0)
    steps, values = rows["step"].astype(float), rows[measure.name]
    there = np.isfinite(steps) & np.isfinite(values)
    return steps[there], values[there]


def _level(at: np.ndarray, values: np.ndarray, start: float, end: float, logs: bool) -> float:
    values = np.log(values) if logs else values
    inner = (at > start) & (at < end)
    places = np.concatenate([[start], at[inner], [end]])
    level = float(np.trapezoid(np.interp(places, at, values), places) / (end - start))
    return math.exp(level) if logs else level
