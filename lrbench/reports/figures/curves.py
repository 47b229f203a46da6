"""The figure of curves: a metric of all groups together, over epochs or steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Band, Group, measures_of, task_of
from lrbench.components import Measure
from lrbench.reports.figures.axes import Scale, above, drawable, thousands, value_axis
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import OTHERS, SOFT, Line, drawing, large, line_of, wide
from lrbench.reports.figures.text import End, all_wrapped, ends_fit, heading, in_the_middle, legend
from lrbench.reports.headline import headline

MOST_LINES = 12
"""More lines can't be told apart, so of more groups some are picked and the others are grey."""
PICKED = 7


def evenly(count: int, most: int) -> np.ndarray:
    """Return `most` indices of `count` values, evenly spread, with the first and the last."""
    return np.linspace(0, count - 1, most).round().astype(int)


def picked_out(groups: Sequence[Group], always: Group | None = None) -> list[int]:
    """Return the indices of groups to colour: all of a few; of many the best, the last, some between, and `always`."""
    with_curves = [i for i, group in enumerate(groups) if any(len(record.epochs) for record in group.records)]
    if len(groups) <= MOST_LINES:
        return list(range(len(groups)))
    chosen = {with_curves[place] for place in evenly(len(with_curves), min(PICKED, len(with_curves)))}
    return sorted(chosen | {i for i, group in enumerate(groups) if group is always})


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by task: losses of different tasks share no axis."""
    return {task: [one for one in groups if task_of(one) == task] for task in dict.fromkeys(map(task_of, groups))}


def curved(groups: Sequence[Group], metric: str | None) -> Measure:
    """Return the measure to draw the curves of: the one named, if evaluations have it, else that of its metric."""
    known = measures_of(record for group in groups for record in group.records)
    chosen = known.get(metric or "")
    if chosen is None:
        return headline(groups)
    if chosen.per_epoch:
        return chosen
    return known.get(f"val_{chosen.metric.name}") or headline(groups)


@drawing()
def draw(
    groups: Sequence[Group], always: Group | None = None, metric: str | None = None, sheet: Sheet = SCREEN
) -> Figure:
    """Draw every group's curve; `always` is in colour even among many."""
    measure, picked = curved(groups, metric), picked_out(groups, always)
    width = sheet.across(8.3)
    body = sheet.height or (0.66 * width if sheet.narrow else min(0.52 * width, 4.4))
    figure = Figure(figsize=(width, body), layout="constrained")
    note = f"{len(picked)} of {len(groups)} in colour, the others grey" if len(picked) < len(groups) else ""
    order = "lowest" if measure.lower else "highest"
    top = heading(figure, sheet, f"{measure.words[:1].upper()}{measure.words[1:]}, {order} first", note)
    axes = figure.subplots()
    ends, handles = overlay(axes, groups, picked, measure)
    labels = [f"{groups[i].short}{value_of(groups[i], measure)}" for i in picked]
    texts = all_wrapped(labels, 0.3 * width)
    fits = ends_fit(figure, texts, body - 0.6) and all(end is not None for end in ends)
    if not fits:
        legend(figure, handles, labels)
    found = [End(*end, text, line_of(position).colour)
             for position, (end, text) in enumerate(zip(ends, texts, strict=True)) if fits and end]  # fmt: skip
    return finish(figure, sheet, body + top, "figure of curves", axes, found)


def value_of(group: Group, measure: Measure) -> str:
    """`: 0.0286`, or what became of the runs, to follow a label."""
    spread = group.spread(measure.name)
    return f": {measure.text(spread.centre)}" if spread else f" ({group.status()})"


def overlay(
    axes: Axes, groups: Sequence[Group], picked: Sequence[int], measure: Measure
) -> tuple[list[tuple[float, float] | None], list[Artist]]:
    """Draw all groups' curves; return where those that are picked out end, and their lines for a legend."""
    axis = groups[0].axis
    scale = scale_of(groups, measure, [measure.name.partition("_")[0]])
    curves = [drawable_curve(group, measure.name, scale) for group in groups]
    value_axis(axes, scale, measure)  # before lines are drawn: limits that fit huge values would overflow
    axes.set_xlim(0, max([1, *(group.last for group in groups)]) * 1.01)
    highest = [
        above(axes, curve.places, curve.median, scale.high, OTHERS)
        for index, curve in enumerate(curves) if index not in picked
    ]  # fmt: skip
    for index, curve in enumerate(curves):
        if index not in picked:
            axes.plot(curve.places, curve.median, color=OTHERS, linewidth=wide(0.8), zorder=1)
    ends: list[tuple[float, float] | None] = []
    handles: list[Artist] = []
    for position, index in enumerate(picked):
        curve, look = curves[index], line_of(position)
        handles.append(_line(axes, groups[index], curve, look))
        highest.append(above(axes, curve.places, curve.median, scale.high, look.colour))
        there = np.flatnonzero(np.isfinite(curve.median))
        ends.append((float(curve.places[there[-1]]), float(curve.median[there[-1]])) if len(there) else None)
    axes.set_ylabel(measure.words)
    axes.set_xlabel(axis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if axis == "step":
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    if not any(len(curve.places) for curve in curves):
        axes.set(xticks=[], yticks=[])  # there is nothing to measure
        axes.minorticks_off()
        in_the_middle(axes, "no evaluation yet")
    cut_off = [value for value in highest if value is not None]
    if cut_off:
        axes.text(1, 1.02, f"▲ beyond the axis, up to {measure.text(max(cut_off))}", transform=axes.transAxes,
                  fontsize="x-small", color=SOFT, ha="right", va="bottom")  # fmt: skip
    return ends, handles


def _line(axes: Axes, group: Group, curve: Band, look: Line) -> Artist:
    end: dict[str, Any] = {"marker": look.marker, "markersize": large(4.5), "markevery": slice(-1, None)}
    return band(axes, group, curve, look.colour, 0.13, linestyle=look.dash, linewidth=wide(1.5), **end)


def band(axes: Axes, group: Group, curve: Band, colour: str, alpha: float, **look: Any) -> Artist:
    """Draw the median, and a band from the lowest to the highest seed."""
    (line,) = axes.plot(curve.places, curve.median, color=colour, **look)
    if len(group.records) > 1:
        axes.fill_between(curve.places, curve.low, curve.high, color=colour, alpha=alpha, linewidth=0)
    return line


def loss_limits(groups: Sequence[Group], columns: Sequence[str] = ("train_loss", "val_loss")) -> tuple[float, float]:
    """Return the limits of the shared loss axis, without a diverging run's last jump.

    The lower limit is below 0 if losses are negative, as for a density; then the axis can't be logarithmic.
    """
    values = np.concatenate([np.empty(0), *(group.curve(column).median for group in groups for column in columns)])
    values = drawable(values[np.isfinite(values)])
    if len(values) and values.min() < 0:
        low, high = values.min(), np.quantile(values, 0.98)
        room = 0.06 * max(high - low, 1e-9)
        return float(low - room), float(high + room)
    values = values[values > 0]
    if not len(values):
        return 0.1, 1.0
    low, high = values.min(), values.max()
    # One huge first epoch (in the thousands for a learning rate of 0.5) would flatten everything else; figures say
    # what they cut off.
    high = min(high, max(2 * np.quantile(values, 0.95), 4 * low))
    return float(low / 1.25), float(high * 1.4)


def scale_of(groups: Sequence[Group], measure: Measure, splits: Sequence[str] = ("train", "val")) -> Scale:
    """Return the scale that curves of a metric share: that of losses, or a linear one if more is better."""
    columns = [f"{split}_{measure.metric.name}" for split in splits]
    if measure.lower and measure.form != "percent":
        low, high = loss_limits(groups, columns)
        bands = np.concatenate([np.empty(0), *(group.curve(column).low for group in groups for column in columns)])
        bands = drawable(bands[np.isfinite(bands) & ((bands > 0) | (low <= 0))])
        if len(bands):  # the best seed of a band, unless it is far below all medians
            low = min(low, max(float(bands.min()) / 1.1, low / 3 if low > 0 else low - (high - low) / 3))
        return Scale(low, high, low > 0)
    values = np.concatenate([np.empty(0), *(group.curve(column).median for group in groups for column in columns)])
    values = drawable(values[np.isfinite(values)])
    if not len(values):
        return Scale(0.0, 1.0, log=False)
    room = 0.06 * max(values.max() - values.min(), 0.01 * abs(values.max()), 1e-9)
    return Scale(float(values.min() - room), float(values.max() + room), log=False)


def drawable_curve(group: Group, column: str, scale: Scale) -> Band:
    """Return a curve without values of 0 if the axis is logarithmic."""
    curve = group.curve(column)
    return curve.where(curve.low > 0) if scale.log else curve
