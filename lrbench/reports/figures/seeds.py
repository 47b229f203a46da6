"""Figures with a row for each group and a dot for each seed: final values and time to a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Comparison, Group, Part, Target, mean_text, shortened, time_to_target
from lrbench.reports.figures.axes import LARGEST, drawable, log_scale
from lrbench.reports.figures.style import TRAINING, VALIDATION, drawing
from lrbench.reports.targets import median, parts_known

MOST_ROWS = 60
ROW, EDGES = 0.24, 1.0  # inches
Look = dict[str, Any]
SEED: Look = {"marker": "o", "markersize": 4.5, "markerfacecolor": "none", "color": VALIDATION, "linestyle": "none"}
MIDDLE: Look = {"marker": "|", "markersize": 11, "markeredgewidth": 2.2, "color": TRAINING, "linestyle": "none"}
MISSED: Look = {"marker": ">", "markersize": 5, "color": "#888888", "linestyle": "none"}
INTERVAL: Look = {"linewidth": 1.6, "color": TRAINING, "solid_capstyle": "butt"}
NEAR = 4
"""Rows whose middle is above this multiple of the best are beyond the axis, so that the others can be told apart."""


@dataclass(frozen=True)
class Dots:
    """A row of dots.

    Attributes:
        values: one for each seed.
        middle: their mean, or the median time; None for no mark.
        interval: interval of the mean; None for no line.
        missed: how long the seeds that missed the target trained.
    """

    values: Sequence[float]
    middle: float | None = None
    interval: tuple[float, float] | None = None
    missed: Sequence[float] = ()


@drawing()
def final_values(comparison: Comparison) -> Figure:
    """Draw every seed's value of the compared metric, with their mean and its interval, best group first.

    A metric in percent that should be high is shown as an error, 1 − value, on a log axis, which tells good ones apart.
    """
    measure = comparison.measure
    error = measure.metric.form == "percent" and not measure.lower
    known = [(row, row.estimate) for row in comparison.rows if row.estimate is not None]
    dots = []
    for row, estimate in known[:MOST_ROWS]:
        values = [v for r in row.group.records if r.status.complete and (v := r.metric(measure.name)) is not None]
        low, high = estimate.low, estimate.high
        ends = None if low is None or high is None else (low, high)
        if error:
            values, ends = [1 - v for v in values], None if ends is None else (1 - ends[1], 1 - ends[0])
        dots.append(Dots(values, 1 - estimate.centre if error else estimate.centre, ends))
    figure, (axes,) = _rows([row.group for row, _ in known[:MOST_ROWS]], 1, len(known))
    _draw(axes, dots)
    _log_axis(axes, dots, measure.text)
    axes.set_xlabel(f"error: 1 − {measure.words}" if error else measure.words)
    interval = [(INTERVAL, "95 % interval of the mean")] if any(one.interval for one in dots) else []
    cut_off = any(abs(value) > LARGEST for one in dots for value in one.values)
    seed = f"a seed (beyond ±{LARGEST:g}: drawn there)" if cut_off else "a seed"
    _legend(figure, (SEED, seed), (MIDDLE, mean_text(measure.by_ratio)), *interval)
    return figure


@drawing()
def times(groups: Sequence[Group], target: Target) -> Figure | None:
    """Draw epochs (or steps, or evaluations) and seconds of training to a target; None if no run has ended."""
    ended = [g for g in groups if any(r.status.ended for r in g.records)]
    if not ended:
        return None
    axis = groups[0].axis
    shown = sorted(ended, key=lambda group: (median(target, group, axis), group.label))[:MOST_ROWS]
    parts: list[Part] = [axis, *(part for part in parts_known(target, groups) if part == "seconds")]
    figure, panels = _rows(shown, len(parts), len(ended))
    for part, axes in zip(parts, panels, strict=True):
        dots = [_time(group, target, part) for group in shown]
        _draw(axes, dots)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=part != "seconds", nbins=7))
        axes.set_xlabel(f"{'seconds of training' if part == 'seconds' else f'{part}s'} to {target.words}")
    missed = (MISSED, "not reached: length of training")
    _legend(figure, (SEED, "a seed"), (MIDDLE, "median"), missed)
    return figure


def _time(group: Group, target: Target, part: Part) -> Dots:
    found = time_to_target(group, target, part)
    if found is None:
        return Dots(())
    return Dots(found.times, found.median if math.isfinite(found.median) else None, None, found.missed)


def _rows(groups: Sequence[Group], panels: int, of: int) -> tuple[Figure, list[Axes]]:
    """Create axes with a row for each group, labelled at the left; `of` is the total number of groups."""
    labels = shortened([group.short for group in groups], 44)
    left = 0.25 + 0.077 * max(map(len, labels))
    width, height = left + 6.6, ROW * len(groups) + EDGES
    figure = Figure(figsize=(width, height))
    gap = 0.35
    each = (width - left - 0.3 - gap * (panels - 1)) / panels
    edges = {"left": left / width, "right": 1 - 0.3 / width, "bottom": 0.55 / height, "top": 1 - 0.45 / height}
    (made,) = figure.subplots(1, panels, squeeze=False, gridspec_kw={**edges, "wspace": gap / each})
    for axes in made:
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_yticks(range(len(groups)), labels if axes is made[0] else [""] * len(groups))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        for row in range(0, len(groups), 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#888888", alpha=0.07, linewidth=0)
    if of > len(groups):
        figure.text(1 - 0.3 / width, 1 - 0.12 / height, f"the first {len(groups)} of {of}", ha="right", va="top")
    return figure, list(made)


def _draw(axes: Axes, rows: Sequence[Dots]) -> None:
    for place, row in enumerate(rows):
        if row.interval is not None:
            axes.plot(drawable(row.interval), [place] * 2, zorder=2, **INTERVAL)
        if row.middle is not None:
            axes.plot(drawable(row.middle), place, zorder=4, **MIDDLE)
        axes.plot(drawable(row.values), _beside(place, row.values), alpha=0.85, zorder=3, **SEED)
        axes.plot(row.missed, _beside(place, row.missed), zorder=3, **MISSED)


def _beside(place: int, values: Sequence[float]) -> np.ndarray:
    """Spread heights in the order of the seeds, so that equal values do not hide each other."""
    return place + (np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(len(values)))


def _log_axis(axes: Axes, rows: Sequence[Dots], form: Callable[[float], str]) -> None:
    """Set a log axis for values near the best row, with others as text at its end.

    If a value is not above 0, the axis is linear and shows all.
    """
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    if any(value <= 0 for row in rows for value in row.values):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        return
    middles = [row.middle for row in rows if row.middle is not None and row.middle > 0]
    cap = NEAR * min(middles, default=1.0)
    near = [row for row in rows if row.middle is not None and 0 < row.middle <= cap]
    values = np.array([v for row in near for v in (*row.values, *(row.interval or ())) if 0 < v <= 2 * cap])
    if not len(values):
        return
    low, high = values.min() / 1.08, values.max() * 1.08
    log_scale(axes.xaxis, low, high, form)
    for place, row in enumerate(rows):
        beyond = [v for v in row.values if v > high]
        if beyond and row.middle is not None:
            said = f"{form(row.middle)} \u2192" if row.middle > high else f"{len(beyond)} beyond \u2192"
            axes.annotate(said, (1, place), xycoords=axes.get_yaxis_transform(), xytext=(-6, 0), ha="right",
                          va="center", textcoords="offset points", fontsize=8, color="#555555")  # fmt: skip


def _legend(figure: Figure, *marks: tuple[Look, str]) -> None:
    handles = [Line2D([], [], label=text, **look) for look, text in marks]
    figure.legend(handles=handles, loc="upper left", ncols=len(marks), fontsize=8.5, borderaxespad=0.6)
