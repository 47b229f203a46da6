"""Groups compared with one of them: how much better or worse, how sure that is, and what ranks they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis.groups import Group
from lrbench.analysis.records import measure_named
from lrbench.analysis.statistics import (
    MARGIN,
    PERCENT_MARGIN,
    Answer,
    Difference,
    Estimate,
    answers,
    difference,
    estimate,
    permutation_p,
    rank_ranges,
    words,
)
from lrbench.components import Measure
from lrbench.errors import UsageError
from lrbench.runs import Status

DEFAULT_METRIC = "val_loss"


@dataclass(frozen=True)
class Row:
    """A group in a comparison.

    Attributes:
        group: whose runs.
        estimate: of the metric over the seeds that reached their end.
        diverged: how many seeds diverged; they are in no estimate.
        difference: from the group that all are compared with; None for that one, and with too few seeds.
        answer: what the difference says, corrected for the number of comparisons.
        permutation: p of turning the signs of pairs, None with fewer than six.
        ranks: the best and the worst rank that the differences between all groups leave open.
    """

    group: Group
    estimate: Estimate
    diverged: int
    difference: Difference | None = None
    answer: Answer | None = None
    permutation: float | None = None
    ranks: tuple[int, int] | None = None


@dataclass(frozen=True)
class Comparison:
    """Groups compared by a metric.

    Attributes:
        measure: what they are compared by.
        rows: best median first.
        against: the row that all are compared with: the best, or the one that was asked for.
        chosen: whether it was asked for.
    """

    measure: Measure
    rows: tuple[Row, ...]
    against: Row
    chosen: bool

    @property
    def best(self) -> Row:
        """The best median of those none of whose seeds diverged, if there is such a one."""
        return best_of(self.rows)

    def row(self, group: Group) -> Row | None:
        """The row of a group, None where it has no value."""
        return next((row for row in self.rows if row.group is group), None)


def margin_of(measure: Measure) -> float:
    """What is as good as equal: absolute for metrics written in percent, else relative."""
    return PERCENT_MARGIN if measure.metric.form == "percent" else MARGIN


def by_ratio(measure: Measure) -> bool:
    """Whether values are compared by ratios, so by their logarithms; those written in percent are by differences."""
    return measure.metric.form != "percent"


def compare(groups: Sequence[Group], metric: str = DEFAULT_METRIC, baseline: str | None = None) -> Comparison | None:
    """Compare groups by a metric, by pairs of equal seeds where there are such.

    Args:
        groups: of one task.
        metric: a column of `load_runs`, such as val_loss or best_val_accuracy.
        baseline: the label or the name of the group to compare with; the best one if None.

    Returns:
        None where no group has a value.

    Raises:
        UsageError: no such metric, or no such group.
    """
    measure = measure_named([record for group in groups for record in group.records], metric)
    wanted = None if baseline is None else _named(groups, baseline)
    values = {id(group): _values(group, metric) for group in groups}
    rows = []
    for group in groups:
        found = estimate(list(values[id(group)].values()))
        if found is not None:
            rows.append(Row(group, found, sum(record.status is Status.DIVERGED for record in group.records)))
    if not rows:
        return None
    rows.sort(key=lambda row: (measure.sign * row.estimate.median, row.group.label))
    if wanted is not None and all(row.group is not wanted for row in rows):
        raise UsageError(f"--baseline {baseline}: none of its runs has a {metric}")
    against = best_of(rows) if wanted is None else next(row for row in rows if row.group is wanted)
    judged = _judged(rows, against, values, measure, chosen=wanted is not None)
    return Comparison(measure, tuple(judged), judged[rows.index(against)], wanted is not None)


def best_of(rows: Sequence[Row]) -> Row:
    """The first row none of whose seeds diverged; the first of all where there is none."""
    return next((row for row in rows if not row.diverged), rows[0])


def with_the_best(count: int) -> int:
    """For how many comparisons to correct where arms are compared with the best of `count`.

    The best was chosen by the data that it is compared with, so that count − 1 is too few: among equals, 5 to 7 in 100
    comparisons called an arm worse. Twice that keeps it below 5 in 100; all pairs, for which one could correct,
    keep it below 4, at the price of seeing less (simulated for 3 to 27 arms of 3, 8 and 20 seeds).
    """
    return min(count * (count - 1) // 2, 2 * (count - 1))


def _named(groups: Sequence[Group], name: str) -> Group:
    exact = [group for group in groups if group.label == name]
    found = exact or [group for group in groups if group.first.name == name]
    if len(found) == 1:
        return found[0]
    labels = [group.label for group in (found or groups)]
    shown = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    what = "there are several" if found else "no such group of runs"
    raise UsageError(f"--baseline {name}: {what}; say one of: {shown}")


def _values(group: Group, metric: str) -> dict[int, float]:
    found = {r.plain.get("seed") or 0: r.metric(metric) for r in group.records if r.status.complete}
    return {seed: value for seed, value in found.items() if value is not None}


def _judged(
    rows: Sequence[Row], against: Row, values: dict[int, dict[int, float]], measure: Measure, *, chosen: bool
) -> list[Row]:
    lower, logs, margin = measure.lower, by_ratio(measure), margin_of(measure)
    arms = [values[id(row.group)] for row in rows]
    middle = rows.index(against)
    differences = [None if i == middle else difference(arm, arms[middle], logs=logs) for i, arm in enumerate(arms)]
    known = [d for d in differences if d is not None]
    comparisons = len(known) if chosen else with_the_best(len(rows))
    said = iter(answers(known, comparisons=comparisons, margin=margin, lower=lower))
    ranks = _ranks(arms, margin=margin, lower=lower, logs=logs)
    judged = []
    for row, arm, found, rank in zip(rows, arms, differences, ranks, strict=True):
        answer = None if found is None else next(said)
        permuted = None if found is None else permutation_p(arm, arms[middle], logs=found.logs)
        judged.append(Row(row.group, row.estimate, row.diverged, found, answer, permuted, rank))
    return judged


def _ranks(
    arms: Sequence[dict[int, float]], *, margin: float, lower: bool, logs: bool
) -> Sequence[tuple[int, int] | None]:
    if any(len(arm) < 2 for arm in arms):
        return [None] * len(arms)
    indices = [(i, j) for i in range(len(arms)) for j in range(i)]
    found = [difference(arms[i], arms[j], logs=logs) for i, j in indices]
    said = words([d for d in found if d is not None], None, margin, lower)
    worse = [[False] * len(arms) for _ in arms]
    for (i, j), (word, _) in zip(indices, said, strict=True):
        worse[i][j], worse[j][i] = word == "worse", word == "better"
    return rank_ranges(worse)


def budgets(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Groups by how much training they were given, in words; more than one key where that is not equal."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(_budget(group.first.plain, group.first.environment), []).append(group)
    return found


def _budget(plain: dict[str, Any], environment: dict[str, Any]) -> str:
    sizes = environment.get("sizes") or {}
    if isinstance(plain.get("epochs"), int):
        said = f"{plain['epochs']} epochs"
    else:
        said = f"{plain.get('steps')} updates of {(plain.get('batch_size') or 0) * (plain.get('accumulate') or 1)}"
    examples = sizes.get("train_examples")
    return f"{said} of {examples:,} examples" if isinstance(examples, int) else said
