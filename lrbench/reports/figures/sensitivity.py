"""The figure of sensitivity to the learning rate: a line for each family, and its good learning rates below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lrbench.analysis import CONFIDENCE, Edge, Family, Optimum, optimum, rate_text, width_text
from lrbench.components import Measure, number
from lrbench.reports.charted import drawable
from lrbench.reports.figures.axes import above, log_scale, percent
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import INK, SOFT, Line, drawing, large, line_of, wide
from lrbench.reports.figures.text import clear_of, heading, legend

MOST = 8
"""Families that a reader can tell apart."""
MOST_DECADES = 5
"""Decades of losses above the lowest. A loss close to overflow, such as 1e30, would flatten the rest."""
ROW = 0.15  # inches, for the marks of one family's lost seeds


@drawing()
def draw(families: Sequence[Family], measure: Measure, sheet: Sheet = SCREEN) -> Figure:
    """Draw at least one family; of more than eight, those with the best results."""
    shown = sorted(families, key=lambda family: family.standing(measure))[:MOST]
    labels = [_legend(family, measure) for family in shown]
    width = sheet.across(10)
    beneath, main = 0.19 * len(shown) + 0.35, 0.62 * width if sheet.narrow else min(0.5 * width, 4.6)
    figure = Figure(figsize=(width, main + beneath), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[main, beneath])
    _rate_axis(upper, shown, width)
    row = (0.6 if sheet.narrow else 1.0) * ROW / (main - 0.6)
    _value_axis(upper, shown, measure, row)
    handles = [_line(upper, family, line_of(index), measure) for index, family in enumerate(shown)]
    for index, family in enumerate(shown):
        _curve(upper, family, line_of(index), measure, interval=len(shown) == 1)
    handles += _marks(upper, shown, measure, labels, row)
    _ranges(lower, shown, measure, told=not sheet.narrow)
    when = "" if "best" in measure.name else " at the end"
    title = f"{measure.words[:1].upper()}{measure.words[1:]}{when}, by learning rate"
    more = f"the best {MOST} of {len(families)} families" if len(families) > MOST else ""
    top = heading(figure, sheet, title, more)
    legend(figure, handles, labels)
    finish(figure, sheet, main + beneath + top, "figure of learning rates")
    return figure


def _legend(family: Family, measure: Measure) -> str:
    best = family.best(measure)
    middle = None if best is None else best.centre(measure)
    if best is None or middle is None:
        return f"{family.label} (no value)"
    return f"{family.label}: {measure.text(middle)} at {rate_text(best.lr)}"


def _rate_axis(axes: Axes, families: Sequence[Family], width: float) -> None:
    rates = [point.rate for family in families for point in family.points]
    low, high = min(rates), max(rates)
    share = 27 / (72 * 0.8 * width)  # for rings and arrows, which are as large whatever the range is
    room = max(1.2 if width < 5 else 1.4, (high / low) ** (share / (1 - 2 * share)))
    log_scale(axes.xaxis, low / room, high * room, "{:g}".format)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("peak learning rate")


def _value_axis(axes: Axes, families: Sequence[Family], measure: Measure, row: float) -> None:
    """Scale the axis for all values, with room at the bad end for marks of seeds without one.

    It is logarithmic, except for percentages, nearly equal values, and values that are not all positive.
    """
    values = [value for family in families for point in family.points for value in point.values(measure)]
    axes.set_ylabel(measure.words)
    if not values:
        axes.set_yticks([])
        return
    low, high = drawable([min(values), max(values)]).tolist()
    shares = measure.metric.form == "percent"
    log = not shares and low > 0 and high > 3 * low
    if shares:  # marks may be below 0%, where no value can be
        axes.yaxis.set_major_formatter(FuncFormatter(percent))
    if log:
        log_scale(axes.yaxis, low / 1.1, high * 1.1, number)
        low = math.log10(low)
        high = min(math.log10(high), low + MOST_DECADES)
    span = (high - low) or abs(high) * 0.1 or 1.0
    rows = len([family for family in families if any(_absent(family, measure))])
    taken = min(row * (rows + 0.5), 0.6)
    room = span * taken / (1 - taken) if rows else 0.0
    beneath, over = (0.05 * span, 0.05 * span + room) if measure.lower else (0.05 * span + room, 0.05 * span)
    limits = low - beneath, high + over
    axes.set_ylim(*((10**end for end in limits) if log else limits))
    if max(values) > axes.get_ylim()[1]:
        told = f"▲ beyond the axis, up to {measure.text(max(values))}"
        axes.text(1, 1.015, told, transform=axes.transAxes, fontsize="x-small", color=SOFT, ha="right", va="bottom")


def _absent(family: Family, measure: Measure) -> list[tuple[float, str]]:
    """Return the learning rates at which seeds have no value, with their marks."""
    diverged = [(point.rate, "x") for point in family.points if point.lost(measure)]
    return diverged + [(point.rate, "|") for point in family.points if point.pruned]


def _line(axes: Axes, family: Family, look: Line, measure: Measure) -> Artist:
    """Draw centres, joined only between neighbours, and every seed's value; put a ring around the best centre."""
    rates = [point.rate for point in family.points]
    seeds = [(point.rate, value) for point in family.points for value in point.values(measure)]
    axes.plot(
        [lr for lr, _ in seeds], drawable([value for _, value in seeds]), linestyle="none", marker=look.marker,
        markersize=large(4.5), markerfacecolor="none", markeredgecolor=look.colour, markeredgewidth=0.8, alpha=0.6,
        zorder=1.5,
    )  # fmt: skip
    centres = [point.centre(measure) for point in family.points]
    middle = drawable([math.nan if centre is None else centre for centre in centres])
    (line,) = axes.plot(
        rates,
        middle,
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker,
        markersize=large(4.5),
        linewidth=wide(1.5),
    )
    above(axes, np.asarray(rates), np.nan_to_num(middle, nan=-math.inf), axes.get_ylim()[1], look.colour)
    best = family.best(measure)
    value = None if best is None else best.centre(measure)
    if best is not None and value is not None:
        around: Any = {"markerfacecolor": "none", "markeredgecolor": look.colour, "markeredgewidth": 1.4}
        axes.plot(best.rate, value, "o", markersize=large(11), zorder=5, **around)
        if edge := family.edge(measure):
            _beyond(axes, best.rate, value, edge, look.colour, 22)
    return line


def _curve(axes: Axes, family: Family, look: Line, measure: Measure, *, interval: bool) -> None:
    """Draw the curve near the best learning rate, a star at its minimum and, if there is room, the interval."""
    found = optimum(family, measure)
    if not isinstance(found, Optimum):
        return
    rates, values = zip(*found.curve, strict=True)
    axes.plot(rates, drawable(list(values)), color=look.colour, linewidth=4, alpha=0.25, solid_capstyle="round",
              zorder=1.2)  # fmt: skip
    _minimum(axes, found, found.value, look.colour, interval=interval)


def _minimum(axes: Axes, found: Optimum, height: float, colour: str, *, interval: bool = True) -> None:
    """Draw a star at a minimum, and its interval as a line with ends."""
    if interval:
        across = [[found.lr - found.low], [found.high - found.lr]]
        axes.errorbar([found.lr], [height], xerr=across, color="#222222", linewidth=1.1, capsize=3.5, zorder=6)
    axes.plot(found.lr, height, "*", markersize=11, markerfacecolor=colour, markeredgecolor="#ffffff",
              markeredgewidth=0.9, zorder=7)  # fmt: skip


def _beyond(axes: Axes, lr: float, height: float, end: Edge, colour: str, length: float) -> None:
    """Draw an arrow, `length` points long, away from the end of the learning rates tried."""
    away = (length if end == "highest" else -length, 0)
    axes.annotate(
        "", (lr, height), xytext=away, textcoords="offset points", annotation_clip=False,
        arrowprops={"arrowstyle": "<|-", "color": colour, "shrinkA": 0, "shrinkB": 6, "linewidth": 1.4},
    )  # fmt: skip


_LOOKS: dict[str, tuple[float, str]] = {"o": (9, "none"), "*": (9, "#444444")}


def _marks(axes: Axes, families: Sequence[Family], measure: Measure, labels: list[str], row: float) -> list[Artist]:
    """Mark seeds without a value; add the meaning of all marks to `labels` and return their handles."""
    lost = {"x": "at least one seed diverged or failed", "|": "at least one seed pruned"}
    star = f"minimum of the curve, {CONFIDENCE:.0%} interval"
    kinds = {"o": "best learning rate", "*": star, ">": "at an end of those tried", **lost}
    seen = {"o"} if any(family.best(measure) for family in families) else set()
    if any(good.open_below or good.open_above for family in families if (good := family.good(measure))):
        seen.add(">")
    if any(isinstance(optimum(family, measure), Optimum) for family in families):
        seen.add("*")
    across: Any = axes.get_xaxis_transform()
    cross: Any = {
        "markersize": large(8 if row < 0.05 else 5.5),
        "markeredgewidth": wide(1.6),
        "clip_on": False,
        "zorder": 6,
    }
    step = min(row, 0.6 / max(1, sum(bool(_absent(family, measure)) for family in families)))
    place = 0
    for index, family in enumerate(families):
        absent = _absent(family, measure)
        for lr, mark in absent:
            height = 1 - step * (place + 0.5) if measure.lower else step * (place + 0.5)
            axes.plot(lr, height, mark, color=line_of(index).colour, transform=across, **cross)
            seen.add(mark)
        place += bool(absent)
    handles: list[Artist] = []
    for mark in (mark for mark in kinds if mark in seen):
        size, inside = _LOOKS.get(mark, (6, "#444444"))
        handles.append(Line2D([], [], linestyle="none", marker=mark, markersize=large(size), color="#444444",
                              markerfacecolor=inside))  # fmt: skip
        labels.append(kinds[mark])
    return handles


def _ranges(axes: Axes, families: Sequence[Family], measure: Measure, *, told: bool) -> None:
    """Draw a bar of good learning rates for each family, in the order of the legend."""
    around = "nearly as good as" if measure.metric.form == "percent" else f"within {100 * families[0].epsilon:g} % of"
    axes.set_title(f"Learning rates {around} the best", fontsize="small")
    for index, family in enumerate(families):
        good, best, look = family.good(measure), family.best(measure), line_of(index)
        text = "no value" if good is None else "no neighbour" if good.low == good.high else width_text(good)
        if told:
            at: Any = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(1.01, index, text, fontsize="small", color=INK, **at)
        if good is None or best is None:
            continue
        axes.plot([good.low, good.high], [index, index], color=look.colour, linewidth=4, alpha=0.5,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot(best.rate, index, color=look.colour, marker=look.marker, markersize=6, linestyle="none")
        if isinstance(found := optimum(family, measure), Optimum):
            _minimum(axes, found, index, look.colour)
        if good.open_below:
            _beyond(axes, good.low, index, "lowest", look.colour, 18)
        if good.open_above:
            _beyond(axes, good.high, index, "highest", look.colour, 18)
    axes.set_ylim(len(families) - 0.4, -0.6)
    axes.set_yticks([])
    clear_of(axes)
    axes.grid(visible=True, axis="x")
    axes.tick_params(labelbottom=False)
