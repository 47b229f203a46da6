"""Compare groups with one of them: how much better or worse, how certain that is, and which ranks are possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.analysis import statistics
from lrbench.analysis.groups import Group
from lrbench.analysis.records import measure_named
from lrbench.analysis.statistics import MARGIN, PERCENT_MARGIN, Answer, Difference, Estimate
from lrbench.components import Measure
from lrbench.errors import UsageError
from lrbench.runs import Environment, Status

DEFAULT_METRIC = "val_loss"


@dataclass(frozen=True)
class Row:
    """A group in a comparison.

    Attributes:
        group: the group.
        estimate: the metric over the seeds that reached their end.
        diverged: number of diverged seeds, which are not in the estimate.
        difference: from the reference group; None for that group itself, and with too few seeds.
        answer: what the difference shows, corrected for the number of comparisons.
        permutation: p of the sign-flip permutation test; None with fewer than six pairs.
        ranks: best and worst possible rank, given the differences between all groups.
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
        measure: the metric.
        rows: best median first.
        against: the row of the reference group: the best, or the user's choice.
        chosen: whether the user chose it.
    """

    measure: Measure
    rows: tuple[Row, ...]
    against: Row
    chosen: bool

    @property
    def best(self) -> Row:
        """The best median among groups without diverged seeds, or among all if there are none."""
        return best_of(self.rows)

    def row(self, group: Group) -> Row | None:
        """Return the row of a group; None if it has no value."""
        return next((row for row in self.rows if row.group is group), None)


def by_ratio(measure: Measure) -> bool:
    """Whether to compare ratios, by logarithms; metrics in percent are compared by differences."""
    return measure.metric.form != "percent"


def compare(groups: Sequence[Group], metric: str = DEFAULT_METRIC, baseline: str | None = None) -> Comparison | None:
    """Compare groups by a metric, in pairs of equal seeds if possible.

    Args:
        groups: groups of one task.
        metric: a column of `load_runs`, such as val_loss or best_val_accuracy.
        baseline: label or name of the reference group; the best one if None.

    Returns:
        The comparison; None if no group has a value.

    Raises:
        UsageError: no such metric or group.
    """
    measure = measure_named([record for group in groups for record in group.records], metric)
    wanted = None if baseline is None else _named(groups, baseline)
    rows = []
    for group in groups:
        found = statistics.estimate(list(group.values(metric).values()))
        if found is not None:
            rows.append(Row(group, found, sum(record.status is Status.DIVERGED for record in group.records)))
    if not rows:
        return None
    rows.sort(key=lambda row: (measure.sign * row.estimate.median, row.group.label))
    if wanted is not None and all(row.group is not wanted for row in rows):
        raise UsageError(f"--baseline {baseline}: none of its runs has {metric}")
    against = best_of(rows) if wanted is None else next(row for row in rows if row.group is wanted)
    judged = _judged(rows, against, measure, chosen=wanted is not None)
    return Comparison(measure, tuple(judged), judged[rows.index(against)], wanted is not None)


def best_of(rows: Sequence[Row]) -> Row:
    """Return the first row without diverged seeds, or the first of all if there is none."""
    return next((row for row in rows if not row.diverged), rows[0])


def with_the_best(count: int) -> int:
    """Return the number of comparisons to correct for when arms are compared with the best of `count`.

    The same data chose the best, so count − 1 is too few: among equal arms, 5 to 7% of comparisons called an arm
    worse. Twice that number keeps it below 5%. All pairs keep it below 4%, at the cost of power (simulated for 3 to 27
    arms with 3, 8 and 20 seeds).
    """
    return min(count * (count - 1) // 2, 2 * (count - 1))


def _named(groups: Sequence[Group], name: str) -> Group:
    exact = [group for group in groups if group.label == name]
    found = exact or [group for group in groups if group.first.name == name]
    if len(found) == 1:
        return found[0]
    labels = [group.label for group in (found or groups)]
    shown = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    what = "several groups have this name" if found else "no such group of runs"
    raise UsageError(f"--baseline {name}: {what}; choose one of: {shown}")


def _judged(rows: Sequence[Row], against: Row, measure: Measure, *, chosen: bool) -> list[Row]:
    logs = by_ratio(measure)
    margin = MARGIN if logs else PERCENT_MARGIN
    arms = [row.group.values(measure.name) for row in rows]
    reference = arms[rows.index(against)]
    differences = [None if arm is reference else statistics.difference(arm, reference, logs=logs) for arm in arms]
    known = [d for d in differences if d is not None]
    comparisons = len(known) if chosen else with_the_best(len(rows))
    said = iter(statistics.answers(known, comparisons=comparisons, margin=margin, lower=measure.lower))
    ranks = _ranks(arms, measure, margin)
    judged = []
    for row, arm, found, rank in zip(rows, arms, differences, ranks, strict=True):
        answer = None if found is None else next(said)
        permuted = None if found is None else statistics.permutation_p(arm, reference, logs=found.logs)
        judged.append(Row(row.group, row.estimate, row.diverged, found, answer, permuted, rank))
    return judged


def _ranks(arms: Sequence[dict[int, float]], measure: Measure, margin: float) -> Sequence[tuple[int, int] | None]:
    if any(len(arm) < 2 for arm in arms):
        return [None] * len(arms)
    indices = [(i, j) for i in range(len(arms)) for j in range(i)]
    found = [statistics.difference(arms[i], arms[j], logs=by_ratio(measure)) for i, j in indices]
    said = statistics.words([d for d in found if d is not None], None, margin, measure.lower)
    worse = [[False] * len(arms) for _ in arms]
    for (i, j), (word, _) in zip(indices, said, strict=True):
        worse[i][j], worse[j][i] = word == "worse", word == "better"
    return statistics.rank_ranges(worse)


def budgets(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by training budget, in words; more than one key if budgets differ."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(_budget(group.first.plain, group.first.environment), []).append(group)
    return found


def _budget(plain: dict[str, Any], environment: Environment) -> str:
    if isinstance(plain.get("epochs"), int):
        said = f"{plain['epochs']} epochs"
    else:
        said = f"{plain.get('steps')} steps of {(plain.get('batch_size') or 0) * (plain.get('accumulate') or 1)}"
    examples = environment.sizes.train_examples
    return said if examples is None else f"{said} of {examples:,} examples"
