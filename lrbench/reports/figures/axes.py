"""Axes with readable labels: log scales, scales of a metric, marks for what is beyond them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from lrbench.components import Measure
from lrbench.reports.charted import LARGEST, Scale
from lrbench.reports.figures.style import large

# With more than this many decades, these digits of each are labelled; with fewer, evenly spaced values.
_TICKS = ((2.7, (1.0,)), (1.6, (1.0, 3.0)), (0.9, (1.0, 2.0, 5.0)), (0.35, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))


def log_scale(axis: XAxis | YAxis, low: float, high: float, form: Callable[[float], str]) -> None:
    """Set a log scale from `low` to `high`, both above 0, with a handful of labels for any length."""
    axes: Axes = axis.axes
    across = isinstance(axis, XAxis)
    limits, scale = (axes.set_xlim, axes.set_xscale) if across else (axes.set_ylim, axes.set_yscale)
    low, high = (min(max(end, 1 / LARGEST), LARGEST) for end in (low, high))
    low, high = (low, high) if low < high else (low / 1.1, high * 1.1)
    limits(low, high)  # first, since the log scale would look for its own limits, which fails for equal values
    scale("log")
    decades = math.log10(high) - math.log10(low)
    digits = next((digits for least, digits in _TICKS if decades > least), None)
    axis.set_major_locator(MaxNLocator(nbins=6) if digits is None else LogLocator(subs=digits, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def value_axis(axes: Axes, scale: Scale, measure: Measure) -> None:
    """Set the vertical axis of a metric."""
    if scale.log:
        log_scale(axes.yaxis, scale.low, scale.high, "{:g}".format)
        return
    axes.set_ylim(scale.low, scale.high)
    if measure.form == "percent":
        axes.yaxis.set_major_formatter(FuncFormatter(percent))


def percent(value: float, _: object = None) -> str:
    """`98.5 %`; nothing below 0 %, where only marks are."""
    return f"{100 * value:.4g} %" if value > -1e-9 else ""


def thousands(value: float, _: object = None) -> str:
    """`500`, `20k`, `1.5M`, so that the labels of steps have room."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def above(axes: Axes, places: np.ndarray, values: np.ndarray, high: float, colour: str, most: int = 5) -> float | None:
    """Mark stretches of a line that leave the axes at the top by triangles there, `most` of them.

    Returns the highest value of all; None if the line stays below the top.
    """
    out = values > high
    if not out.any():
        return None
    starts = np.flatnonzero(np.diff(np.concatenate([[False], out]).astype(int)) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([out, [False]]).astype(int)) == -1)
    at = [places[a + int(np.argmax(values[a : b + 1]))] for a, b in zip(starts, ends, strict=True)][:most]
    axes.plot(at, [1.0] * len(at), "^", color=colour, markersize=large(4.5), transform=axes.get_xaxis_transform(),
              clip_on=False, zorder=5)  # fmt: skip
    return float(values[out].max())


def thin_out(figure: Figure, renderer: RendererBase | None = None) -> bool:
    """Fix the ticks, without those whose labels would touch a neighbour; of a log axis, powers of ten stay first.

    Returns whether there were such ticks. A figure that has not been drawn needs a renderer that measures its text.
    """
    fewer = False
    for axes in (one for parent in figure.axes for one in (parent, *parent.child_axes)):
        for axis in (axes.xaxis, axes.yaxis):
            named = isinstance(axis.get_major_formatter(), FixedFormatter)  # the labels belong to these ticks
            if axes.get_visible() and axis.get_visible() and not named:
                if renderer is not None:
                    axis.get_majorticklabels()  # has the ticks that a drawing would have
                fewer |= _thin(axis, renderer, log=axis.get_scale() == "log")
    return fewer


def _thin(axis: Axis, renderer: RendererBase | None, *, log: bool) -> bool:
    across = isinstance(axis, XAxis)
    low, high = sorted(axis.get_view_interval())
    shown = [
        (tick.get_loc(), label.get_window_extent(renderer))
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if label.get_visible() and label.get_text() and low * (1 - 1e-9) <= tick.get_loc() <= high * 1.000001
    ]
    if len(shown) < 2:
        return False
    spans = {at: (box.x0, box.x1) if across else (box.y0, box.y1) for at, box in shown}
    room = 0.04 * axis.axes.figure.dpi if across else 0.0
    orders = [sorted(spans, key=_worth)] if log else [list(spans)[::step] for step in range(1, 9)]
    for order in orders:
        kept = _clear(order, spans, room)
        if len(kept) == len(order) or log:
            axis.set_major_locator(FixedLocator(sorted(kept)))  # outside of the style, others would be chosen
            return len(kept) < len(spans)
    return False


def _clear(order: Sequence[float], spans: dict[float, tuple[float, float]], room: float) -> list[float]:
    kept: list[float] = []
    for at in order:
        start, end = spans[at]
        if all(end + room <= spans[other][0] or spans[other][1] + room <= start for other in kept):
            kept.append(at)
    return kept


def _worth(value: float) -> tuple[int, float]:
    if value <= 0:
        return 3, value
    digit = value / 10 ** math.floor(math.log10(value) + 1e-9)
    return (0 if abs(digit - 1) < 1e-6 else 1 if min(abs(digit - d) for d in (3, 5)) < 1e-6 else 2), value
