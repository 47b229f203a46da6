"""The figure of times to a target: the share of seeds that have reached it, a step curve for each group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from lrbench.analysis import Group, Target, TimeToTarget
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import OTHERS, SOFT, drawing, large, line_of, wide
from lrbench.reports.figures.text import End, all_wrapped, ends_fit, heading, legend, width_of
from lrbench.reports.targets import arrivals, fastest

MOST = 8
"""Groups that a reader can tell apart; the others are grey."""
WIDE = 8.0
"""Times that differ by more than this factor are on a log axis."""


@drawing()
def draw(groups: Sequence[Group], target: Target, sheet: Sheet = SCREEN) -> Figure | None:
    """Draw the curves; None if no seed reached the target.

    Marks show how far seeds got that have not reached it: ticks if they may yet, crosses if they never will.
    """
    part = groups[0].axis if groups else "epoch"
    found = arrivals(target, groups, part)
    soonest = fastest(found)
    if not any(one.times for one in found.values()):
        return None
    order = sorted(found, key=lambda label: (found[label].median, -found[label].reached_by(math.inf), label))
    named = {group.label: group.short for group in groups}
    width = sheet.across(7.9 + min(max(width_of(named[label]) for label in order[:MOST]), 3.2))
    body = 0.9 * width if sheet.narrow else min(0.55 * width, 4.4)
    figure = Figure(figsize=(width, sheet.height or body), layout="constrained")
    more = f"{MOST} of {len(order)} in colour" if len(order) > MOST else ""
    top = heading(figure, sheet, f"Seeds that have reached {target.words}", more)
    axes = figure.subplots()
    end = max(place for one in found.values() for place in (*one.times, *one.missed))
    start = _scale(axes, [place for one in found.values() for place in one.times], end)
    for label in reversed(order[MOST:]):
        _curve(axes, found[label], start, end, OTHERS, "-", 0.8)
    ends, handles = [], []
    texts = all_wrapped([named[label] for label in order[:MOST]], 0.3 * width)
    for index, (label, text) in enumerate(zip(order[:MOST], texts, strict=True)):
        look = line_of(index)
        line, last, height = _curve(axes, found[label], start, end, look.colour, look.dash, 1.8, index)
        ends.append(End(last, height, text, look.colour))
        handles.append(line)
    _finish(axes, target, part, soonest)
    handles, labels = _marks(handles, [named[label] for label in order[:MOST]], list(found.values()))
    fits = ends_fit(figure, texts, body - 1.15)
    legend(figure, handles[len(texts) :] if fits else handles, labels[len(texts) :] if fits else labels)
    return finish(figure, sheet, body + top, "figure of arrivals", axes, ends if fits else ())


def _marks(lines: list[Artist], labels: list[str], found: Sequence[TimeToTarget]) -> tuple[list[Artist], list[str]]:
    """Add the meaning of the marks that are there to the legend."""
    there = (("|", "may still reach it", any(one.censored for one in found)),
             ("x", "never will", any(one.never for one in found)))  # fmt: skip
    marks = [(mark, text) for mark, text, shown in there if shown]
    look: Any = {"linestyle": "none", "color": "#444444", "markersize": large(7), "markeredgewidth": wide(1.6)}
    made: list[Artist] = [Line2D([], [], marker=mark, **look) for mark, _ in marks]
    return [*lines, *made], [*labels, *(text for _, text in marks)]


def _finish(axes: Axes, target: Target, part: str, soonest: float) -> None:
    """Add limits, labels, and at the top the multiples of the fastest median."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("seeds that have reached it")
    unit = "seconds of training" if part == "seconds" else f"{part}s"
    axes.set_xlabel(f"{unit} to {target.words}")
    if math.isfinite(soonest):
        axes.axvline(soonest, color="#999999", linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        top = axes.twiny()
        top.set_frame_on(False)
        top.grid(visible=False)
        top.set_xscale(axes.get_xscale())
        top.set_xlim(*(place / soonest for place in axes.get_xlim()))
        low, high = (place / soonest for place in axes.get_xlim())
        ticks = [tick for tick in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64) if low <= tick <= high]
        top.set_xticks(ticks if len(ticks) < 9 else ticks[::2], minor=False)
        top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        top.xaxis.set_minor_locator(MaxNLocator(1))
        top.set_xlabel("of the fastest median", fontsize="small", color=SOFT)
        top.tick_params(which="minor", length=0, labeltop=False)


def _scale(axes: Axes, times: Sequence[float], end: float) -> float:
    """Set the axis of times, logarithmic if they are far apart, and return its start."""
    low = min(times)
    if low > 0 and end > WIDE * low:
        log_scale(axes.xaxis, low / 1.5, end * 1.05, lambda value: f"{value:,.4g}")
        return low / 1.5
    axes.set_xlim(0, end * 1.02 or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    return 0.0


def _curve(
    axes: Axes,
    one: TimeToTarget,
    start: float,
    end: float,
    colour: str,
    dash: Any,
    line: float,
    index: int | None = None,
) -> tuple[Artist, float, float]:
    """Draw one curve with its marks, as far as its seeds got; return it, its last place and its last height."""
    at, share = one.curve
    last = max((*one.times, *one.missed), default=end) if one.open else end
    places, heights = (
        np.concatenate([[start], at, [last]]),
        np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]]),
    )
    shift = 0.0 if index is None else 0.004 * ((MOST - 1) / 2 - index)  # equal curves do not hide each other
    (drawn,) = axes.plot(
        places, heights + shift, drawstyle="steps-post", color=colour, linestyle=dash, linewidth=wide(line)
    )
    if index is not None:
        for marker, missed in (("|", one.censored), ("x", one.never)):
            if not missed:  # an empty line without clipping would count as one at the figure's corner
                continue
            ends = [max(place, start) for place in missed]
            levels = [one.reached_by(place) + shift for place in missed]
            look: Any = {"markersize": large(7), "markeredgewidth": wide(1.6), "clip_on": False}
            axes.plot(ends, levels, marker, color=colour, zorder=4, **look)
    return drawn, float(last), float(heights[-1] + shift)
