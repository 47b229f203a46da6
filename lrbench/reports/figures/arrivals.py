"""The figure of times to a target: the share of seeds that have reached it, a step curve for each group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from lrbench.analysis import Group, Target, TimeToTarget, shortened
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.style import OTHERS, drawing, line_of
from lrbench.reports.targets import arrivals, fastest

MOST = 8
"""Groups that a reader can tell apart; the others are grey."""
WIDE = 8.0
"""Times that differ by more than this factor are on a log axis."""
LABEL = 0.062  # of the axes' height, the least distance of two labels


@drawing()
def draw(groups: Sequence[Group], target: Target) -> Figure | None:
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
    labels = shortened([named[label] for label in order[:MOST]], 40)
    right = 0.3 + 0.078 * max(map(len, labels))
    figure = Figure(figsize=(7.6 + right, 4.6))
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.75 / width, 0.62 / height, 6.75 / width, 3.1 / height))
    end = max(place for one in found.values() for place in (*one.times, *one.missed))
    start = _scale(axes, [place for one in found.values() for place in one.times], end)
    for label in reversed(order[MOST:]):
        _curve(axes, found[label], start, end, OTHERS, "-", 0.8)
    heights = {}
    for index, label in enumerate(order[:MOST]):
        look = line_of(index)
        heights[label] = _curve(axes, found[label], start, end, look.colour, look.dash, 1.8, index)
    for (label, at), text in zip(_apart(heights).items(), labels, strict=True):
        colour = line_of(order.index(label)).colour
        axes.annotate(text, (1, at), xycoords="axes fraction", xytext=(8, 0), textcoords="offset points",
                      va="center", color=colour, fontsize=8.5, annotation_clip=False)  # fmt: skip
    _finish(figure, axes, target, part, soonest, len(order))
    return figure


def _finish(figure: Figure, axes: Axes, target: Target, part: str, soonest: float, count: int) -> None:
    """Add limits, labels, the title, and at the top the multiples of the fastest median."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("share of seeds that have reached it")
    unit = "seconds of training" if part == "seconds" else f"{part}s"
    axes.set_xlabel(f"{unit} to {target.words}    | may still reach it    × never will")
    if math.isfinite(soonest):
        axes.axvline(soonest, color="#999999", linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        top = axes.secondary_xaxis("top", functions=(partial(np.multiply, 1 / soonest), partial(np.multiply, soonest)))
        low, high = (place / soonest for place in axes.get_xlim())
        ticks = [tick for tick in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64) if low <= tick <= high]
        top.set_xticks(ticks if len(ticks) < 9 else ticks[::2], minor=False)
        top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        top.xaxis.set_minor_locator(MaxNLocator(1))
        top.set_xlabel("of the fastest median", fontsize=8, color="#555555")
        top.tick_params(which="minor", length=0, labeltop=False)
    more = f"; {MOST} of {count} in colour" if count > MOST else ""
    figure.text(0.01, 0.985, f"Seeds that have reached {target.words}{more}", fontsize=11, fontweight="bold", va="top")


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
) -> float:
    """Draw one curve with its marks, as far as its seeds got, and return its last height on the axes."""
    at, share = one.curve
    last = max((*one.times, *one.missed), default=end) if one.open else end
    places, heights = (
        np.concatenate([[start], at, [last]]),
        np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]]),
    )
    shift = 0.0 if index is None else 0.004 * ((MOST - 1) / 2 - index)  # equal curves do not hide each other
    axes.plot(places, heights + shift, drawstyle="steps-post", color=colour, linestyle=dash, linewidth=line)
    if index is not None:
        for marker, missed in (("|", one.censored), ("x", one.never)):
            ends = [max(place, start) for place in missed]
            levels = [one.reached_by(place) + shift for place in missed]
            axes.plot(ends, levels, marker, color=colour, markersize=7, markeredgewidth=1.6, zorder=4)
    return float((heights[-1] + shift + 0.03) / 1.06)


def _apart(heights: dict[str, float]) -> dict[str, float]:
    """Return heights of labels that do not overlap, in the order of the curves' ends."""
    order = sorted(heights, key=lambda label: heights[label])
    placed: dict[str, float] = {}
    lowest = 0.0
    for label in order:
        placed[label] = lowest = max(heights[label], lowest)
        lowest += LABEL
    over = max(0.0, lowest - LABEL - 1.0)
    limit = 1.0 + 1e-9
    for label in reversed(order if over else []):
        placed[label] = limit = min(placed[label], limit)
        limit -= LABEL
    return {label: placed[label] for label in heights}
