"""What figures share: log scales, the axis of learning rates, the ring at the best one, marks for missing values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lrbench.components import Metric, number

# With more than this many decades, these digits of each are labelled; with fewer, evenly spaced values.
_TICKS = ((2.7, (1.0,)), (1.6, (1.0, 3.0)), (0.9, (1.0, 2.0, 5.0)), (0.35, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))


def log_scale(axis: XAxis | YAxis, low: float, high: float, form: Callable[[float], str]) -> None:
    """Set a log scale from `low` to `high`, both above 0, with a handful of labels for any length."""
    axes: Axes = axis.axes
    across = isinstance(axis, XAxis)
    limits, scale = (axes.set_xlim, axes.set_xscale) if across else (axes.set_ylim, axes.set_yscale)
    limits(low, high)  # first, since the log scale would look for its own limits, which fails for equal values
    scale("log")
    decades = math.log10(high / low)
    digits = next((digits for least, digits in _TICKS if decades > least), None)
    axis.set_major_locator(MaxNLocator(nbins=6) if digits is None else LogLocator(subs=digits, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def rate_text(rate: float) -> str:
    """Format a learning rate for a tick."""
    return f"{rate:g}"


def rate_scale(axes: Axes, rates: Sequence[float]) -> None:
    """Set a log axis for these learning rates; without any, no ticks."""
    if not rates:
        axes.set_xticks([])
        return
    room = max(
        1.4, (max(rates) / min(rates)) ** 0.045
    )  # for rings and arrows, which are as large whatever the range is
    log_scale(axes.xaxis, min(rates) / room, max(rates) * room, rate_text)


def value_scale(axes: Axes, values: Sequence[float], metric: Metric) -> None:
    """Show percentages for a metric in percent; else use a log axis if values are positive and differ enough."""
    if metric.form == "percent":
        # Marks may be below 0%, where no value can be.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %" if value > -1e-9 else ""))
    elif values and min(values) > 0 and max(values) > 3 * min(values):
        log_scale(axes.yaxis, min(values) / 1.1, max(values) * 1.1, number)


def ring(axes: Axes, lr: float, value: float, colour: str) -> None:
    """Draw a ring around the best point of a line."""
    axes.plot(
        lr, value, "o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4, zorder=5
    )


def lost(axes: Axes, lr: float, height: float, mark: str, colour: str) -> None:
    """Mark seeds without a value at a learning rate; `height` is a fraction of the axes' height."""
    across: Any = axes.get_xaxis_transform()
    axes.plot(
        lr, height, mark, color=colour, transform=across, markersize=8, markeredgewidth=1.8, clip_on=False, zorder=6
    )
