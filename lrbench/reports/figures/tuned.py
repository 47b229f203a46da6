"""The figure of families, such as schedules, each at its own best learning rate, with what the tuning took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from lrbench.analysis import (
    Comparison,
    Confirmation,
    Family,
    Finalist,
    Group,
    Row,
    Tuning,
    compare_groups,
    mean_text,
    rate_text,
    task_of,
)
from lrbench.components import Measure
from lrbench.errors import UsageError
from lrbench.reports.figures.rows import (
    INTERVAL,
    MIDDLE,
    MOST_ROWS,
    SEED,
    Dots,
    beside,
    closed,
    draw_dots,
    near_axis,
    rows_of,
)
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import drawing
from lrbench.reports.figures.text import heading


@dataclass(frozen=True)
class Tuned:
    """Families at their best learning rates.

    Attributes:
        finalists: the families.
        comparison: their comparison: by fresh seeds, or else by the seeds that chose the learning rates.
        confirmed: the comparison by fresh seeds; None without any.
    """

    finalists: tuple[Finalist, ...]
    comparison: Comparison
    confirmed: Confirmation | None

    def rows(self) -> list[tuple[Finalist, Row]]:
        """Return each family that is compared with its row, the best first."""
        by_label = {row.group.label: row for row in self.comparison.rows}
        known = [(one, by_label[one.label]) for one in self.finalists if one.label in by_label]
        return sorted(known, key=lambda pair: self.comparison.rows.index(pair[1]))

    def word(self, finalist: Finalist, row: Row) -> str:
        """Return how a family compares with the best one."""
        if row is self.comparison.against:
            return "reference"
        if self.confirmed is not None:
            return self.confirmed.word(finalist) or ""
        return "" if row.answer is None else row.answer.word


def tuned(families: Sequence[Family], confirmed: Confirmation | None, measure: Measure) -> Tuned:
    """Compare families at their best learning rates: by fresh seeds if at least two have some.

    Raises UsageError if fewer than two can be compared.
    """
    if confirmed is not None and confirmed.comparisons:
        fullest = max(confirmed.comparisons, key=lambda one: len(one.rows))
        return Tuned(confirmed.finalists, fullest, confirmed)
    finalists = tuple(
        Finalist(family, family.best(measure), None, Tuning.of(family), family.edge(measure)) for family in families
    )
    best = [replace(one.chosen.group, label=one.label) for one in finalists if one.chosen is not None]
    tasks: dict[str, list[Group]] = {}
    for group in best:
        tasks.setdefault(task_of(group), []).append(group)
    members = max(tasks.values(), key=len, default=[])
    comparison = compare_groups(members, measure.name) if len(members) > 1 else None
    if comparison is None:
        raise UsageError("a figure of tuned families needs at least two families of one task, each with at least 3 "
                         f"learning rates and a {measure.name_in_short} ({len(members)} found)")  # fmt: skip
    return Tuned(finalists, comparison, None)


@drawing()
def draw(found: Tuned, sheet: Sheet = SCREEN) -> Figure:
    """Draw each family's seeds at its best learning rate, their mean and interval, the best first."""
    measure, rows = found.comparison.measure, [(one, row) for one, row in found.rows() if row.estimate is not None]
    error = measure.metric.form == "percent" and not measure.lower
    dots = [_dots(row, error) for _, row in rows[:MOST_ROWS]]
    labels, notes = [one.label for one, _ in rows[:MOST_ROWS]], [_note(one) for one, _ in rows[:MOST_ROWS]]
    fresh = found.confirmed is not None
    kind = "by fresh seeds" if fresh else "by the seeds that chose the learning rates"
    made = rows_of(sheet, labels, notes)
    top = heading(
        made.figure,
        sheet,
        "Families at their own best learning rates",
        f"compared {kind}; grey: best learning rate, and the rates and runs of its tuning",
    )
    made = replace(made, body=made.body + top)
    (axes,) = made.panels
    beyond = near_axis(axes, dots, measure.text)
    words = [found.word(one, row) for one, row in rows[:MOST_ROWS]]
    beside(axes, ["\n".join(filter(None, pair)) for pair in zip(words, beyond, strict=True)])
    draw_dots(axes, dots)
    axes.set_xlabel(f"error: 1 − {measure.words}" if error else measure.words)
    interval = [(INTERVAL, "95 % interval of the mean")] if any(one.interval for one in dots) else []
    return closed(made, sheet, "figure of tuned families", (SEED, "a fresh seed" if fresh else "a seed"),
                    (MIDDLE, mean_text(measure.by_ratio)), *interval)  # fmt: skip


def _dots(row: Row, error: bool) -> Dots:
    estimate = row.estimate
    assert estimate is not None  # others are left out
    ends = None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
    values = list(row.values.values())
    if not error:
        return Dots(values, estimate.centre, ends)
    turned = None if ends is None else (1 - ends[1], 1 - ends[0])
    return Dots([1 - value for value in values], 1 - estimate.centre, turned)


def _note(one: Finalist) -> str:
    """`lr 0.03 · 7 rates, 21 runs`: what the tuning took."""
    tuning = one.tuning
    rate = "" if one.chosen is None else f"lr {rate_text(one.chosen.lr)}{' (edge)' if one.edge else ''} · "
    rates = f"{tuning.rates} rate{'s' * (tuning.rates != 1)}"
    return f"{rate}{rates}, {tuning.runs} run{'s' * (tuning.runs != 1)}"
