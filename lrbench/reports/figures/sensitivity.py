"""The figure of sensitivity to the learning rate: a line for each family, and its good learning rates below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lrbench.analysis import CONFIDENCE, Edge, Family, Optimum, optimum, rate_text, shortened, width_text
from lrbench.components import Measure, number
from lrbench.reports.figures.axes import drawable, log_scale
from lrbench.reports.figures.style import Line, drawing, line_of

MOST = 8
"""Families that a reader can tell apart."""
MOST_DECADES = 5
"""Decades of losses above the lowest. A loss close to overflow, such as 1e30, would flatten the rest."""
ROW = 0.04  # of the axes' height, for the marks of one family's lost seeds


@drawing()
def draw(families: Sequence[Family], measure: Measure) -> Figure:
    """Draw at least one family; of more than eight, those with the best results."""
    shown = sorted(families, key=lambda family: family.standing(measure))[:MOST]
    names = shortened([family.label for family in shown], 44)
    labels = [_legend(name, family, measure) for name, family in zip(names, shown, strict=True)]
    columns = max(1, min(3, 150 // (max(map(len, labels)) + 14)))
    beneath, legend = 0.2 * len(shown) + 0.55, 0.2 * math.ceil((len(shown) + 4) / columns) + 0.3
    figure = Figure(figsize=(10, 4.2 + beneath + legend), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4.2, beneath])
    _rate_axis(upper, shown)
    _value_axis(upper, shown, measure)
    handles = [_line(upper, family, line_of(index), measure) for index, family in enumerate(shown)]
    for index, family in enumerate(shown):
        _curve(upper, family, line_of(index), measure, interval=len(shown) == 1)
    handles += _marks(upper, shown, measure, labels)
    _ranges(lower, shown, measure)
    when = "" if "best" in measure.name else " at the end"
    title = f"{measure.words[:1].upper()}{measure.words[1:]}{when}, by learning rate"
    more = f": the best {MOST} of {len(families)} families" if len(families) > MOST else ""
    figure.suptitle(title + more, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=3, fontsize=8.5)
    return figure


def _legend(name: str, family: Family, measure: Measure) -> str:
    best = family.best(measure)
    middle = None if best is None else best.centre(measure)
    if best is None or middle is None:
        return f"{name}  (no value)"
    return f"{name}  {measure.text(middle)} at {rate_text(best.lr)}"


def _rate_axis(axes: Axes, families: Sequence[Family]) -> None:
    rates = [point.rate for family in families for point in family.points]
    low, high = min(rates), max(rates)
    room = max(
        1.4, 10 ** (0.045 * (math.log10(high) - math.log10(low)))
    )  # for rings and arrows, which are as large whatever the range is
    log_scale(axes.xaxis, low / room, high * room, "{:g}".format)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("peak learning rate")


def _value_axis(axes: Axes, families: Sequence[Family], measure: Measure) -> None:
    """Scale the axis for all values, with room at the bad end for marks of seeds without one.

    It is logarithmic, except for percentages, nearly equal values, and values that are not all positive.
    """
    values = [value for family in families for point in family.points for value in point.values(measure)]
    axes.set_ylabel(measure.words)
    if not values:
        axes.set_yticks([])
        return
    low, high = drawable([min(values), max(values)]).tolist()
    percent = measure.metric.form == "percent"
    log = not percent and low > 0 and high > 3 * low
    if percent:  # marks may be below 0%, where no value can be
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %" if value > -1e-9 else ""))
    if log:
        log_scale(axes.yaxis, low / 1.1, high * 1.1, number)
        low = math.log10(low)
        high = min(math.log10(high), low + MOST_DECADES)
    span = (high - low) or abs(high) * 0.1 or 1.0
    rows = len([family for family in families if any(_absent(family, measure))])
    room = span * ROW * (rows + 0.5) / (1 - ROW * (rows + 0.5)) if rows else 0.0
    below, above = (0.05 * span, 0.05 * span + room) if measure.lower else (0.05 * span + room, 0.05 * span)
    limits = low - below, high + above
    axes.set_ylim(*((10**end for end in limits) if log else limits))
    if max(values) > axes.get_ylim()[1]:
        told = f"off the scale: up to {measure.text(max(values))}"
        axes.text(0.99, 0.97, told, transform=axes.transAxes, fontsize=8, color="#555555", ha="right", va="top")


def _absent(family: Family, measure: Measure) -> list[tuple[float, str]]:
    """Return the learning rates at which seeds have no value, with their marks."""
    diverged = [(point.rate, "x") for point in family.points if point.lost(measure)]
    return diverged + [(point.rate, "|") for point in family.points if point.pruned]


def _line(axes: Axes, family: Family, look: Line, measure: Measure) -> Line2D:
    """Draw centres, joined only between neighbours, and every seed's value; put a ring around the best centre."""
    rates = [point.rate for point in family.points]
    seeds = [(point.rate, value) for point in family.points for value in point.values(measure)]
    axes.plot(
        [lr for lr, _ in seeds], drawable([value for _, value in seeds]), linestyle="none", marker=look.marker,
        markersize=4.5, markerfacecolor="none", markeredgecolor=look.colour, markeredgewidth=0.8, alpha=0.6, zorder=1.5,
    )  # fmt: skip
    centres = [point.centre(measure) for point in family.points]
    middle = drawable([math.nan if centre is None else centre for centre in centres])
    (line,) = axes.plot(
        rates, middle, color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4.5, linewidth=1.5
    )
    best = family.best(measure)
    value = None if best is None else best.centre(measure)
    if best is not None and value is not None:
        around: Any = {"markerfacecolor": "none", "markeredgecolor": look.colour, "markeredgewidth": 1.4}
        axes.plot(best.rate, value, "o", markersize=11, zorder=5, **around)
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


_LOOKS: dict[str, tuple[float, str]] = {"o": (10, "none"), "*": (9, "#444444")}


def _marks(axes: Axes, families: Sequence[Family], measure: Measure, labels: list[str]) -> list[Line2D]:
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
    cross: Any = {"markersize": 8, "markeredgewidth": 1.8, "clip_on": False, "zorder": 6}
    row = 0
    for index, family in enumerate(families):
        absent = _absent(family, measure)
        for lr, mark in absent:
            height = 1 - ROW * (row + 0.5) if measure.lower else ROW * (row + 0.5)
            axes.plot(lr, height, mark, color=line_of(index).colour, transform=across, **cross)
            seen.add(mark)
        row += bool(absent)
    handles = []
    for mark in (mark for mark in kinds if mark in seen):
        size, inside = _LOOKS.get(mark, (6, "#444444"))
        handles.append(Line2D([], [], linestyle="none", marker=mark, markersize=size, color="#444444",
                              markerfacecolor=inside))  # fmt: skip
        labels.append(kinds[mark])
    return handles


def _ranges(axes: Axes, families: Sequence[Family], measure: Measure) -> None:
    """Draw a bar of good learning rates for each family, in the order of the legend."""
    around = "nearly as good as" if measure.metric.form == "percent" else f"within {100 * families[0].epsilon:g} % of"
    axes.set_title(f"Learning rates {around} the best", fontsize=9)
    for index, family in enumerate(families):
        good, best, look = family.good(measure), family.best(measure), line_of(index)
        text = "no value" if good is None else "no neighbour" if good.low == good.high else width_text(good)
        axes.text(1.01, index, text, transform=axes.get_yaxis_transform(), fontsize=8, color="#333333", va="center")
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
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(which="both", labelbottom=False, length=0)
