"""The figure of how the best learning rate moves with the length of training, or with another number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lrbench.analysis import CONFIDENCE, Family, Optimum, optimum, rate_text
from lrbench.components import Measure
from lrbench.reports.charted import Scale, drawable
from lrbench.reports.figures.axes import log_scale, value_axis
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import Line, drawing, large, line_of, wide
from lrbench.reports.figures.swept import Swept
from lrbench.reports.figures.text import heading, legend

MOST = 8
FAR = 3.0
"""An interval that is wider than the optima and their learning rates by more than this factor is cut, with an arrow."""


@drawing()
def draw(swept: Swept, measure: Measure, sheet: Sheet = SCREEN) -> Figure:
    """Draw the optimum with its interval against the axis, and below it the metric there; a line for each panel."""
    panels = swept.panels[:MOST]
    width = sheet.across(7.2)
    body = (1.05 if sheet.narrow else 0.68) * width if not sheet.height else sheet.height
    figure = Figure(figsize=(width, min(body, 5.2)), layout="constrained")
    more = f"{MOST} of {len(swept.panels)} lines" if len(swept.panels) > MOST else ""
    top = heading(figure, sheet, f"Best learning rate by {swept.words}", more)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    sizes = [float(value) for panel in panels for value, _ in panel.families]
    log_scale(upper.xaxis, min(sizes) / 1.25, max(sizes) * 1.25, "{:g}".format)
    if len(set(sizes)) <= 10:
        upper.set_xticks(sorted(set(sizes)), [f"{size:g}" for size in sorted(set(sizes))])
    _rate_axis(upper, [family for panel in panels for _, family in panel.families], measure)
    seen: dict[str, Artist] = {}
    values: list[float] = []
    lines = []
    for index, panel in enumerate(panels):
        look = line_of(index)
        shift = 1.0 if len(panels) == 1 else 10 ** (0.012 * (index - (len(panels) - 1) / 2))
        places = [(float(value) * shift, family) for value, family in panel.families]
        lines.append(_line(upper, lower, places, measure, look, seen, values))
    value_axis(lower, _scale(values, measure), measure)
    upper.set_ylabel("best learning rate")
    lower.set_ylabel(f"{measure.words}\nthere" if not sheet.narrow else measure.name_in_short)
    lower.set_xlabel(swept.words)
    named = [(line, panel.label) for line, panel in zip(lines, panels, strict=True) if panel.label]
    legend(figure, [*(line for line, _ in named), *seen.values()], [*(label for _, label in named), *seen])
    finish(figure, sheet, min(body, 5.2) + top, "figure of optima")
    return figure


def _rate_axis(axes: Axes, families: Sequence[Family], measure: Measure) -> None:
    """Scale the axis for the optima, the best learning rates and the intervals, unless these are far wider."""
    centres, ends = [], []
    for family in families:
        found, best = optimum(family, measure), family.best(measure)
        if isinstance(found, Optimum):
            centres.append(found.lr)
            ends += [found.low, found.high]
        elif best is not None and best.lr:
            centres.append(best.lr)
    low, high = min(centres, default=0.1), max(centres, default=1.0)
    room = FAR * max(high / low, 3.0) ** 0.5
    near = [end for end in ends if low / room <= end <= high * room]
    log_scale(axes.yaxis, min([low, *near]) / 1.35, max([high, *near]) * 1.35, rate_text)


def _line(
    upper: Axes,
    lower: Axes,
    places: Sequence[tuple[float, Family]],
    measure: Measure,
    look: Line,
    seen: dict[str, Artist],
    values: list[float],
) -> Artist:
    """Draw one line in both panels; return it, and add the metric's values to `values`."""
    at, rates, costs = [], [], []
    for place, family in places:
        drawn = _optimum(upper, place, family, measure, look, seen)
        if drawn is not None:
            at.append(place)
            rates.append(drawn[0])
            costs.append(drawn[1])
    values += costs
    style: Any = {"color": look.colour, "linestyle": look.dash, "linewidth": wide(1.3)}
    (line,) = upper.plot(at, rates, zorder=2, **style)
    lower.plot(at, drawable(costs), marker=look.marker, markersize=large(4.5), **style)
    return line


def _optimum(
    axes: Axes, place: float, family: Family, measure: Measure, look: Line, seen: dict[str, Artist]
) -> tuple[float, float] | None:
    """Draw one optimum with its interval, or the best learning rate tried; return it and the metric there."""
    found, best = optimum(family, measure), family.best(measure)
    if isinstance(found, Optimum):
        low, high = axes.get_ylim()
        ends = max(found.low, low), min(found.high, high)
        bar: Any = {"yerr": [[found.lr - ends[0]], [ends[1] - found.lr]], "linestyle": "none", "zorder": 3}
        axes.errorbar([place], [found.lr], color=look.colour, capsize=large(3), linewidth=wide(1.2), **bar)
        for out, end, mark in ((found.low < low, low, "v"), (found.high > high, high, "^")):
            if out:
                axes.plot(place, end, mark, color=look.colour, markersize=large(5.5), clip_on=False, zorder=5)
        star: Any = {"marker": "*", "markersize": large(9), "linestyle": "none", "markeredgecolor": "#ffffff"}
        axes.plot(place, found.lr, color=look.colour, markeredgewidth=wide(0.6), zorder=4, **star)
        what = f"minimum of the curve, {CONFIDENCE:.0%} interval"
        seen.setdefault(what, Line2D([], [], color="#444444", **star))
        return found.lr, found.value
    centre = None if best is None else best.centre(measure)
    if best is None or best.lr is None or centre is None:
        return None
    edge = family.edge(measure)
    ring: Any = {"marker": "o", "markersize": large(6), "markerfacecolor": "#ffffff", "linestyle": "none"}
    axes.plot(place, best.lr, markeredgecolor=look.colour, markeredgewidth=wide(1.3), zorder=4, **ring)
    if edge:
        away = 15 if edge == "highest" else -15
        axes.annotate("", (place, best.lr), xytext=(0, away), textcoords="offset points", annotation_clip=False,
                      arrowprops={"arrowstyle": "<|-", "color": look.colour, "shrinkA": 0, "shrinkB": 3})  # fmt: skip
        what = "best, at an end of those tried (arrow): a better one may lie beyond"
    else:
        what = "best tried; the curve's minimum is not known"
    seen.setdefault(what, Line2D([], [], markeredgecolor="#444444", **ring))
    return best.lr, centre


def _scale(values: Sequence[float], measure: Measure) -> Scale:
    known = drawable([value for value in values if math.isfinite(value)] or [0.1, 1.0])
    low, high = float(np.min(known)), float(np.max(known))
    if measure.by_ratio and low > 0 and high > 1.5 * low:
        return Scale(low / 1.15, high * 1.15, log=True)
    room = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(low - room, high + room, log=False)
