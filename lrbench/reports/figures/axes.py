"""What figures over the learning rate share: their scales, the ring at a best rate, marks for what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lrbench.components import Metric, number


def rate_scale(axes: Axes, rates: Sequence[float]) -> None:
    """A log axis for these rates; no ticks where there are none."""
    if not rates:
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    ratio = max(rates) / min(rates)
    room = max(1.4, ratio**0.045)  # for rings and arrows, which are as large whatever the range is
    axes.set_xlim(min(rates) / room, max(rates) * room)
    axes.xaxis.set_major_locator(LogLocator(subs=_subdivisions(ratio) if ratio < 30 else (1.0,), numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def value_scale(axes: Axes, values: Sequence[float], metric: Metric) -> None:
    """Percentages where the metric is written so; else a log axis, where values can be on one and differ by enough."""
    if metric.form == "percent":
        # Marks stand below 0 %, where no value can be.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %" if value > -1e-9 else ""))
    elif values and min(values) > 0 and max(values) > 3 * min(values):
        axes.set_yscale("log")
        ticks = LogLocator(subs=_subdivisions(max(values) / min(values)), numticks=12)
        axes.yaxis.set_major_locator(ticks)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _subdivisions(ratio: float) -> tuple[float, ...]:
    """The digits of a decade that are labelled: a few labels, whatever the ratio of highest and lowest."""
    return (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if ratio < 10 else (1.0, 2.0, 5.0) if ratio < 100 else (1.0,)


def ring(axes: Axes, lr: float, value: float, colour: str) -> None:
    """A ring around the best point of a line."""
    axes.plot(
        lr, value, "o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.4, zorder=5
    )


def lost(axes: Axes, lr: float, height: float, mark: str, colour: str) -> None:
    """A mark for seeds without a value at a rate, at a part of the axes' height."""
    across: Any = axes.get_xaxis_transform()
    axes.plot(
        lr, height, mark, color=colour, transform=across, markersize=8, markeredgewidth=1.8, clip_on=False, zorder=6
    )
