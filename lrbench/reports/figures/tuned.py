"""The figure of families, such as schedules, each at its own best learning rate, with what the tuning took."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from lrbench.analysis import AtBest, Comparison, Finalist, Row, mean_text, rate_text
from lrbench.errors import UsageError, counted
from lrbench.reports.figures.rows import (
    INTERVAL,
    MIDDLE,
    SEED,
    Dots,
    beside,
    closed,
    draw_dots,
    first_rows,
    near_axis,
    rows_of,
)
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import drawing
from lrbench.reports.figures.text import heading


def compared(found: AtBest) -> tuple[Comparison, list[tuple[Finalist, Row]]]:
    """Return the comparison of the most families, and each of them with its row, the best first.

    Raises UsageError if fewer than two can be compared.
    """
    if not found.comparisons:
        raise UsageError("a figure of tuned families needs at least two families of one task, each with at least 3 "
                         f"learning rates and a {found.measure.name_in_short}")  # fmt: skip
    comparison = max(found.comparisons, key=lambda one: len(one.rows))
    known = [(one, told[1]) for one in found.finalists if (told := found.row(one)) and told[0] is comparison]
    return comparison, sorted(known, key=lambda pair: comparison.rows.index(pair[1]))


@drawing()
def draw(found: AtBest, sheet: Sheet = SCREEN) -> Figure:
    """Draw each family's seeds at its best learning rate, their mean and interval, the best first."""
    comparison, every = compared(found)
    measure = comparison.measure
    rows = first_rows([(one, row) for one, row in every if row.estimate is not None])
    error = measure.metric.form == "percent" and not measure.lower
    dots = [_dots(row, error) for _, row in rows]
    labels, notes = [one.label for one, _ in rows], [_note(one) for one, _ in rows]
    fresh = found.by_fresh_seeds
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
    words = ["reference" if row is comparison.against else found.word(one) or "" for one, row in rows]
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
    rates = f"{counted(tuning.rates, 'rate')}"
    return f"{rate}{rates}, {counted(tuning.runs, 'run')}"
