"""Figures with a row for each group and a dot for each seed: final values and time to a target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrbench.analysis import Comparison, Group, Part, Target, mean_text, time_to_target
from lrbench.reports.charted import LARGEST
from lrbench.reports.figures.rows import (
    INTERVAL,
    MIDDLE,
    MISSED,
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
from lrbench.reports.targets import median, parts_known


@drawing()
def final_values(comparison: Comparison, sheet: Sheet = SCREEN) -> Figure:
    """Draw every seed's value of the compared metric, with their mean and its interval, best group first.

    A metric in percent that should be high is shown as an error, 1 − value, on a log axis, which tells good ones apart.
    """
    measure = comparison.measure
    error = measure.metric.form == "percent" and not measure.lower
    every = [(row, row.estimate) for row in comparison.rows if row.estimate is not None]
    dots, known = [], first_rows(every)
    for row, estimate in known:
        values = [v for r in row.group.records if r.status.complete and (v := r.metric(measure.name)) is not None]
        low, high = estimate.low, estimate.high
        ends = None if low is None or high is None else (low, high)
        if error:
            values, ends = [1 - v for v in values], None if ends is None else (1 - ends[1], 1 - ends[0])
        dots.append(Dots(values, 1 - estimate.centre if error else estimate.centre, ends))
    made = rows_of(sheet, [row.group.short for row, _ in known])
    (axes,) = made.panels
    beside(axes, near_axis(axes, dots, measure.text))
    draw_dots(axes, dots)
    axes.set_xlabel(f"error: 1 − {measure.words}" if error else measure.words)
    interval = [(INTERVAL, "95 % interval of the mean")] if any(one.interval for one in dots) else []
    cut_off = any(abs(value) > LARGEST for one in dots for value in one.values)
    seed = f"a seed (beyond ±{LARGEST:g}: drawn there)" if cut_off else "a seed"
    _counted(made.figure, sheet, len(dots), len(every))
    return closed(made, sheet, "figure of seeds", (SEED, seed), (MIDDLE, mean_text(measure.by_ratio)), *interval)


@drawing()
def times(groups: Sequence[Group], target: Target, sheet: Sheet = SCREEN) -> Figure | None:
    """Draw epochs (or steps, or evaluations) and seconds of training to a target; None if no run has ended."""
    ended = [g for g in groups if any(r.status.ended for r in g.records)]
    if not ended:
        return None
    axis = groups[0].axis
    shown = first_rows(sorted(ended, key=lambda group: (median(target, group, axis), group.label)))
    parts: list[Part] = [axis, *(part for part in parts_known(target, groups) if part == "seconds")]
    made = rows_of(sheet, [group.short for group in shown], panels=len(parts))
    for part, axes in zip(parts, made.panels, strict=True):
        dots = [_time(group, target, part) for group in shown]
        most = max((place for one in dots for place in (*one.values, *one.missed)), default=1.0)
        axes.set_xlim(0, 1.04 * most or 1.0)
        draw_dots(axes, dots)
        axes.xaxis.set_major_locator(MaxNLocator(integer=part != "seconds", nbins=7))
        axes.set_xlabel(f"{'seconds of training' if part == 'seconds' else f'{part}s'} to {target.words}")
    _counted(made.figure, sheet, len(shown), len(ended))
    missed = (MISSED, "not reached: length of training")
    return closed(made, sheet, "figure of times", (SEED, "a seed"), (MIDDLE, "median"), missed)


def _time(group: Group, target: Target, part: Part) -> Dots:
    found = time_to_target(group, target, part)
    if found is None:
        return Dots(())
    return Dots(found.times, found.median if math.isfinite(found.median) else None, None, found.missed)


def _counted(figure: Figure, sheet: Sheet, shown: int, of: int) -> None:
    """Say that not all rows are shown, if so."""
    if of > shown:
        heading(figure, Sheet(sheet.width, sheet.height, titled=False), "", f"the first {shown} of {of}")
