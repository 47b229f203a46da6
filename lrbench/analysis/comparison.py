"""Compare groups with one of them: how much better or worse, how certain that is, and which ranks are possible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lrbench.analysis import answers, statistics
from lrbench.analysis.answers import Answer
from lrbench.analysis.estimates import Estimate, estimate, standing
from lrbench.analysis.groups import Group
from lrbench.analysis.looks import looks, weight
from lrbench.analysis.measures import default_metric, measure_named
from lrbench.analysis.moderation import Prior, effective_comparisons, range_ps
from lrbench.analysis.selectors import called
from lrbench.analysis.statistics import ALPHA, PERCENT_MARGIN, Difference, Failures
from lrbench.components import Measure
from lrbench.errors import UsageError, nearest, option

MANY = 60
"""More groups than these are compared with the reference alone, not all with all, which takes time by the square."""
NEIGHBOURS = 4
"""The spread of so many groups' pairs is told by each one's pairs with so many that follow it in rank."""


@dataclass(frozen=True)
class Row:
    """A group in a comparison.

    Attributes:
        group: the group.
        values: the metric by seed, of those that reached their end; empty if a seed was pruned.
        estimate: the metric over the seeds that reached their end; None if all are lost.
        lost: number of seeds that diverged, failed or ended on a plateau, which are not in the estimate; 0 if one was
            pruned.
        difference: from the reference group; None for that group itself, and with too few seeds of which equal shares
            are lost.
        answer: what the difference shows, corrected for the number of comparisons and looks.
        permutation: p of the sign-flip permutation test; None with fewer than six pairs.
        ranks: best and worst possible rank, given the differences between all groups; None for many groups, and with
            single seeds.
    """

    group: Group
    values: Mapping[int | str, float]
    estimate: Estimate | None
    lost: int
    difference: Difference | None = None
    answer: Answer | None = None
    permutation: float | None = None
    ranks: tuple[int, int] | None = None

    @property
    def n(self) -> int:
        """Number of seeds that reached their end."""
        return len(self.values)

    @property
    def centre(self) -> float:
        """The centre of the metric; NaN if all seeds are lost."""
        return math.nan if self.estimate is None else self.estimate.centre

    @property
    def ended(self) -> int:
        """Number of seeds that ended."""
        return self.n + self.lost


@dataclass(frozen=True)
class Comparison:
    """Groups compared by a metric.

    Attributes:
        measure: the metric.
        rows: the best first: by the share of lost seeds, then by the centre; the first has a value.
        against: the row of the reference group: the best, or the user's choice.
        chosen: whether the user chose it.
        prior: what all pairs tell about the spread of each; None for two rows or values that do not pair.
        looks: how often seeds were added and compared, as far as the runs tell.
    """

    measure: Measure
    rows: tuple[Row, ...]
    against: Row
    chosen: bool
    prior: Prior | None = None
    looks: int = 1

    @property
    def best(self) -> Row:
        """The first row."""
        return self.rows[0]

    @property
    def single(self) -> bool:
        """Whether each row has one seed at most, so that nothing can be said of their spread."""
        return all(row.ended <= 1 for row in self.rows)

    @property
    def ranked(self) -> bool:
        """Whether the ranks tell anything: not if every row may have any rank."""
        return self.rows[0].ranks is None or len({row.ranks for row in self.rows}) > 1

    def row(self, group: Group) -> Row | None:
        """Return the row of a group; None if it has too few seeds that ended."""
        return next((row for row in self.rows if row.group is group), None)


def compare_groups(
    groups: Sequence[Group], metric: str | None = None, baseline: str | None = None
) -> Comparison | None:
    """Compare groups by a metric, in pairs of equal seeds if possible.

    Args:
        groups: groups of one task.
        metric: a column of `load_runs`, such as val_loss or best_val_accuracy; `default_metric` if None.
        baseline: label, short label or name of the reference group; the best one if None.

    Returns:
        The comparison; None if no group has a value.

    Raises:
        UsageError: no such metric or group.
    """
    records = [record for group in groups for record in group.records]
    metric = metric or default_metric(records)
    measure = measure_named(records, metric)
    wanted = None if baseline is None else _named(groups, baseline)
    # One seed tells little, one lost seed nothing.
    rows = [row for row in (row_of(group, measure) for group in groups) if row.n or row.lost > 1]
    if not any(row.n for row in rows):
        return None
    rows.sort(key=lambda row: (_standing(row, measure), row.group.label))
    if wanted is not None and all(row.group is not wanted for row in rows):
        raise UsageError(f"{option('--baseline')} {baseline}: {_lacks(wanted, measure)}")
    against = rows[0] if wanted is None else next(row for row in rows if row.group is wanted)
    looked = looks(row.group for row in rows)
    judged, prior = judged_rows(rows, against, measure, chosen=wanted is not None, looked=looked)
    return Comparison(measure, tuple(judged), judged[rows.index(against)], wanted is not None, prior, looked)


def compare_two(group: Group, other: Group, measure: Measure, *, tries: int = 1) -> tuple[Row, Row]:
    """Compare a group with another one of the same task, in pairs of equal seeds if possible.

    Args:
        group: what is judged.
        other: what it is compared with.
        measure: the metric.
        tries: the number of groups among which `group` was chosen by the same runs: its p is corrected for it
            (Bonferroni, which is what Holm's method does to the smallest p).

    Returns:
        The rows of both; the first has the difference and the answer, unless there are too few seeds.
    """
    row, against = row_of(group, measure), row_of(other, measure)
    found = _difference(row, against, measure)
    if found is None:
        return row, against
    looked = looks([group, other])
    (answer,) = answers.answers([found], comparisons=tries, lower=measure.lower, looks=looked)
    return replace(row, difference=found, answer=answer, permutation=_permuted(row, against, found)), against


def row_of(group: Group, measure: Measure) -> Row:
    """Return a group's row, compared with nothing."""
    values = group.counted(measure.name)
    lost = 0 if group.pruned else group.lost(measure.name)
    return Row(group, values, estimate(list(values.values()), logs=measure.by_ratio), lost)


def _standing(row: Row, measure: Measure) -> tuple[float, float]:
    return standing(list(row.values.values()), row.lost, logs=measure.by_ratio, sign=measure.sign)


def _lacks(group: Group, measure: Measure) -> str:
    """Say why a group can't be compared."""
    return f"it has no mean: {group.selection}" if group.pruned else f"none of its runs has {measure.name}"


def _named(groups: Sequence[Group], name: str) -> Group:
    found = called(groups, name)
    if len(found) == 1:
        return found[0]
    labels = [group.label for group in (found or groups)]
    shown = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    near = "" if found else nearest(name, [word for one in groups for word in (one.label, one.short, one.first.name)])
    none = f"no such group of runs; {near}{'Choose' if near else 'choose'}"
    what = f"{'several groups have this name; choose' if found else none} one of"
    raise UsageError(f"{option('--baseline')} {name}: {what}: {shown}")


def judged_rows(
    rows: Sequence[Row], against: Row, measure: Measure, *, chosen: bool, looked: int
) -> tuple[list[Row], Prior | None]:
    """Compare rows with one of them: by all pairs, since the same runs chose the best, unless the user chose it.

    Of many rows, the pairs of neighbours in rank stand for all, and each p is corrected for all pairs nevertheless.

    Returns:
        The rows with their differences, answers and ranks; and what the pairs tell about the spread of each.
    """
    reference, many = rows.index(against), len(rows) > MANY
    near = _pairs(rows, measure, NEIGHBOURS if many else len(rows))
    prior = Prior.of(near)
    pairs = near | ({} if chosen or not many else _pairs_with_first(rows, measure))
    pairs = {arms: d if prior is None else prior.moderated(d, *arms) for arms, d in pairs.items()}
    ps = dict(zip(pairs, _corrected(pairs, prior, measure, len(rows)), strict=True))
    found: dict[int, Difference] = {}
    for i, row in enumerate(rows):
        d = None if i == reference else _difference(row, against, measure)
        if d is not None:
            found[i] = d if prior is None else prior.moderated(d, i, reference)
    own, total = (None, float(len(found))) if chosen else ([ps[i, reference] for i in found], _comparisons(rows, prior))
    told = answers.answers(list(found.values()), comparisons=total, lower=measure.lower, ps=own, looks=looked)
    said = dict(zip(found, told, strict=True))
    weighed = {arms: weight(looked) * p for arms, p in ps.items()}
    ranks = [None] * len(rows) if many else _ranks(rows, pairs, weighed, said, reference, measure)
    judged = []
    for i, row in enumerate(rows):
        d = found.get(i)
        permuted = _permuted(row, against, d)
        judged.append(replace(row, difference=d, answer=said.get(i), permutation=permuted, ranks=ranks[i]))
    return judged, prior


def _pairs(rows: Sequence[Row], measure: Measure, most: int) -> dict[tuple[int, int], Difference]:
    """Return the differences between rows that are at most so far apart, by their places, the larger one first."""
    told = {
        (i, j): _difference(rows[i], rows[j], measure) for i in range(len(rows)) for j in range(max(i - most, 0), i)
    }
    return {arms: d for arms, d in told.items() if d is not None}


def _pairs_with_first(rows: Sequence[Row], measure: Measure) -> dict[tuple[int, int], Difference]:
    told = {(i, 0): _difference(rows[i], rows[0], measure) for i in range(1, len(rows))}
    return {arms: d for arms, d in told.items() if d is not None}


def _comparisons(rows: Sequence[Row], prior: Prior | None) -> float:
    return effective_comparisons(prior.arms) if prior and prior.alike else len(rows) * (len(rows) - 1) / 2


def _corrected(
    pairs: Mapping[tuple[int, int], Difference], prior: Prior | None, measure: Measure, arms: int
) -> Sequence[float]:
    """Return each pair's p, corrected for all pairs of arms: by the studentized range where variances are alike."""
    known, total = list(pairs.values()), arms * (arms - 1) // 2 if arms > MANY else len(pairs)
    if prior is None or not prior.alike:
        return answers.corrected(known, total, measure.lower)
    wanted: dict[float, list[int]] = {}
    for at, (both, d) in enumerate(pairs.items()):
        if prior.covers(d, *both) and d.p < ALPHA and (d.p * total >= ALPHA / 100 or 0 in both):
            wanted.setdefault(d.freedom, []).append(at)
    ranges: list[float | None] = [None] * len(known)
    for freedom, places in wanted.items():
        ts = [known[at].mean / known[at].error for at in places]
        for at, p in zip(places, range_ps(ts, prior.arms, freedom), strict=True):
            ranges[at] = p
    return answers.corrected(known, total, measure.lower, ranges)


def _permuted(row: Row, against: Row, found: Difference | None) -> float | None:
    if found is None or not found.paired:
        return None
    return statistics.permutation_p(row.values, against.values, logs=found.logs)


def _difference(row: Row, other: Row, measure: Measure) -> Difference | None:
    failures = Failures(row.lost, row.ended, other.lost, other.ended) if row.lost or other.lost else None
    margin = PERCENT_MARGIN if measure.form == "percent" else None
    found = statistics.difference(row.values, other.values, logs=measure.by_ratio, margin=margin, failures=failures)
    mixed = row.estimate and other.estimate and row.estimate.logs != other.estimate.logs
    if found is not None and mixed and found.mean * (row.centre - other.centre) < 0:
        return replace(found, p=1.0)  # the groups' order, by a geometric and an arithmetic mean, contradicts it
    return found


def _ranks(
    rows: Sequence[Row],
    pairs: Mapping[tuple[int, int], Difference],
    ps: Mapping[tuple[int, int], float],
    said: Mapping[int, Answer],
    reference: int,
    measure: Measure,
) -> Sequence[tuple[int, int] | None]:
    """Return the possible ranks, by the answers where rows were compared with the reference, else by all pairs."""
    if any(row.ended < 2 for row in rows):
        return [None] * len(rows)
    worse = [[False] * len(rows) for _ in rows]
    for (i, j), d in pairs.items():
        told = answers.says_worse(d, ps[i, j], measure.lower)
        worse[i][j], worse[j][i] = told is True, told is False
    for i, answer in said.items():
        worse[i][reference], worse[reference][i] = answer.word == "worse", answer.word == "better"
    return answers.rank_ranges(worse)
