"""The figure of curves: a metric of all groups together, over epochs or steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Band, Group
from lrbench.components import Measure
from lrbench.reports.charted import curved, drawable_curve, picked_out, scale_of, value_of
from lrbench.reports.figures.axes import above, thousands, value_axis
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import OTHERS, SOFT, Line, drawing, large, line_of, wide
from lrbench.reports.figures.text import End, all_wrapped, ends_fit, heading, in_the_middle, legend

TOGETHER = 100
"""Grey curves that are drawn as one line, with gaps: each line takes a millisecond, and thousands of curves memory."""


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


def overlay(
    axes: Axes, groups: Sequence[Group], picked: Sequence[int], measure: Measure
) -> tuple[list[tuple[float, float] | None], list[Artist]]:
    """Draw all groups' curves; return where those that are picked out end, and their lines for a legend."""
    axis = groups[0].axis
    scale = scale_of(groups, measure, [measure.name.partition("_")[0]])
    curves = [drawable_curve(group, measure.name, scale) for group in groups]
    value_axis(axes, scale, measure)  # before lines are drawn: limits that fit huge values would overflow
    axes.set_xlim(0, max([1, *(group.last for group in groups)]) * 1.01)
    coloured = set(picked)
    others = [curve for index, curve in enumerate(curves) if index not in coloured and len(curve.places)]
    highest = []
    for some in (others[start : start + TOGETHER] for start in range(0, len(others), TOGETHER)):
        places, values = (np.concatenate([np.append(one[part], np.nan) for one in some]) for part in (0, 1))
        highest.append(above(axes, places, values, scale.high, OTHERS, most=5 * len(some)))
        axes.plot(places, values, color=OTHERS, linewidth=wide(0.8), zorder=1)
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
