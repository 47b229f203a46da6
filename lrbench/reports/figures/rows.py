"""Figures with a row for each group: labels at the left, dots and intervals, words at the right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.errors import counted
from lrbench.reports.charted import drawable
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import Sheet
from lrbench.reports.figures.style import SOFT, TRAINING, VALIDATION, large, wide
from lrbench.reports.figures.text import all_wrapped, legend, width_of, wrapped

MOST_ROWS, ROWS_OF_MANY = 60, 30
"""Rows of a figure, and how many of them are drawn if there are more."""
Look = dict[str, Any]
SEED: Look = {"marker": "o", "markersize": 4.5, "markerfacecolor": "none", "color": VALIDATION, "linestyle": "none"}
MIDDLE: Look = {"marker": "|", "markersize": 11, "markeredgewidth": 2.2, "color": TRAINING, "linestyle": "none"}
MISSED: Look = {"marker": ">", "markersize": 5, "color": "#888888", "linestyle": "none"}
INTERVAL: Look = {"linewidth": 1.6, "color": TRAINING, "solid_capstyle": "butt"}
NEAR = 4
"""Rows whose middle is above this multiple of the best are beyond the axis, so that the others can be told apart."""


T = TypeVar("T")


def first_rows(rows: Sequence[T]) -> Sequence[T]:
    """Return the rows that a figure has room for."""
    return rows if len(rows) <= MOST_ROWS else rows[:ROWS_OF_MANY]


@dataclass(frozen=True)
class Dots:
    """A row of dots.

    Attributes:
        values: one for each seed.
        middle: their mean, or the median time; None for no mark.
        interval: interval of the mean; None for no line.
        missed: how long the seeds that missed the target trained.
    """

    values: Sequence[float]
    middle: float | None = None
    interval: tuple[float, float] | None = None
    missed: Sequence[float] = ()


@dataclass(frozen=True)
class Rows:
    """Axes with a row for each label.

    Attributes:
        figure: the figure, in constrained layout.
        panels: the axes; their y is the number of the row.
        body: the height of all but the legend, in inches.
    """

    figure: Figure
    panels: list[Axes]
    body: float


def rows_of(sheet: Sheet, labels: Sequence[str], notes: Sequence[str] = (), panels: int = 1, top: float = 0.0) -> Rows:
    """Create axes with a row for each label, with a grey note below each; in a narrow figure panels are stacked."""
    longest = max((width_of(text) for text in labels), default=0.0)
    width = sheet.across(6.9 + 0.25 + min(longest, 3.4))
    room = min(0.36 * width if sheet.narrow or sheet.width else 3.4, longest + 0.02)
    texts = all_wrapped(labels, max(room, 0.5))
    below = [wrapped(note, max(0.36 * width, 1.0), "x-small", 2) if note else "" for note in notes] or [""] * len(texts)
    tall = [
        sheet.line * (1 + text.count("\n")) + (sheet.line * (1 + note.count("\n")) * 0.85 if note else 0) + 0.07
        for text, note in zip(texts, below, strict=True)
    ]
    stacked = panels if sheet.narrow else 1
    body = max(tall, default=0.2) * len(texts) * stacked + 0.62 * stacked + top
    figure = Figure(figsize=(width, sheet.height or body), layout="constrained")
    shape = (stacked, 1) if sheet.narrow else (1, panels)
    made = list(figure.subplots(*shape, squeeze=False).ravel())
    for index, axes in enumerate(made):
        axes.set_ylim(len(texts) - 0.5, -0.5)
        named = index == 0 or sheet.narrow
        axes.set_yticks(range(len(texts)), [""] * len(texts))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        _stripes(axes, len(texts))
        for row, (text, note) in enumerate(zip(texts, below, strict=True)) if named else ():
            _label(axes, row, text, note)
    return Rows(figure, made, body)


def _stripes(axes: Axes, count: int) -> None:
    """Shade every second row."""
    boxes = [[(0, row - 0.5), (1, row - 0.5), (1, row + 0.5), (0, row + 0.5)] for row in range(0, count, 2)]
    across = axes.get_yaxis_transform()
    axes.add_collection(
        PolyCollection(boxes, transform=across, facecolor="#888888", alpha=0.07, linewidth=0), autolim=False
    )


def _label(axes: Axes, row: int, text: str, note: str) -> None:
    at: Any = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    at |= {"annotation_clip": False, "linespacing": 1.05}
    lines, more = 1 + text.count("\n"), 1 + note.count("\n") if note else 0
    small, smaller = (_points(size) * 1.15 for size in ("small", "x-small"))
    up = (lines * small + more * smaller) / 2
    middle = up - lines * small / 2
    axes.annotate(text, (0, row), xytext=(-6, middle if note else 0), va="center", fontsize="small", **at)
    if note:
        down = -up + more * smaller / 2
        axes.annotate(note, (0, row), xytext=(-6, down), va="center", fontsize="x-small", color=SOFT, **at)


def _points(size: str) -> float:
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=size).get_size_in_points())


def draw_dots(axes: Axes, rows: Sequence[Dots]) -> None:
    """Draw seeds, their middle and its interval, as far as they are on the axis; the axis has its limits already."""
    low, high = sorted(axes.get_xlim())
    for place, row in enumerate(rows):
        if row.interval is not None:
            _interval(axes, place, row.interval, low, high)
    middles = [(row.middle, place) for place, row in enumerate(rows) if row.middle is not None]
    seeds = [at for place, row in enumerate(rows) for at in zip(row.values, _beside(place, row.values), strict=True)]
    missed = [at for place, row in enumerate(rows) for at in zip(row.missed, _beside(place, row.missed), strict=True)]
    for points, look in ((middles, {**MIDDLE, "zorder": 4}), (seeds, {**SEED, "zorder": 3, "alpha": 0.85})):
        values, heights = np.asarray(points, float).reshape(-1, 2).T
        on = (drawable(values) >= low) & (drawable(values) <= high)
        axes.plot(drawable(values[on]), heights[on], **_sized(look))  # one line for all rows: many are slow
    axes.plot(*np.asarray(missed, float).reshape(-1, 2).T, zorder=3, **_sized(MISSED))


def _sized(look: Look) -> Look:
    sized = {**look}
    for key, scaled in (("markersize", large), ("linewidth", wide), ("markeredgewidth", wide)):
        if key in sized:
            sized[key] = scaled(sized[key])
    return sized


def _interval(axes: Axes, place: int, ends: tuple[float, float], low: float, high: float) -> None:
    """Draw an interval, with an arrow at each end that the axis cuts."""
    first, last = (float(end) for end in drawable(ends))
    if first > high or last < low:
        return
    axes.plot([max(first, low), min(last, high)], [place] * 2, zorder=2, **_sized(INTERVAL))
    for out, at, mark in ((first < low, low, "<"), (last > high, high, ">")):
        if out:
            axes.plot(
                at, place, mark, color=TRAINING, markersize=large(5.5), markeredgewidth=0, clip_on=False, zorder=5
            )


def _beside(place: int, values: Sequence[float]) -> np.ndarray:
    """Spread heights in the order of the seeds, so that equal values do not hide each other."""
    return place + (np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(len(values)))


def near_axis(axes: Axes, rows: Sequence[Dots], form: Callable[[float], str]) -> list[str]:
    """Set a log axis for values near the best row; return what is beyond its end, in words, for each row.

    If a value is not above 0, the axis is linear and shows all.
    """
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    middles = [row.middle for row in rows if row.middle is not None and row.middle > 0]
    values = [value for row in rows for value in row.values]
    if not values or not middles or min(values) <= 0:
        everything = [*values, *(end for row in rows for end in row.interval or ())] or [0.0, 1.0]
        room = 0.05 * (max(everything) - min(everything)) or abs(max(everything)) * 0.05 or 1.0
        axes.set_xlim(*drawable([min(everything) - room, max(everything) + room]))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        return [""] * len(rows)
    cap = NEAR * min(middles)
    near = [row for row in rows if row.middle is not None and 0 < row.middle <= cap]
    told = [v for row in near for v in (*row.values, *(row.interval or ())) if v <= 2 * cap]
    tops = [*told, *(row.middle for row in near if row.middle is not None)]
    bottoms = [v for row in near for v in (row.interval or ())[:1] if v >= min(values) / 2]
    log_scale(axes.xaxis, min([*values, *bottoms]) / 1.08, max(tops, default=cap) * 1.08, form)
    return [_beyond(row, axes.get_xlim()[1], form) for row in rows]


def _beyond(row: Dots, high: float, form: Callable[[float], str]) -> str:
    out = sum(bool(value > high) for value in row.values)
    if not out:
        return ""
    if row.middle is not None and row.middle > high:
        return f"→ {form(row.middle)}"
    return f"→ {counted(out, 'seed')}"


def beside(axes: Axes, texts: Sequence[str]) -> None:
    """Write a text at the right of each row, outside of the axes."""
    for place, text in enumerate(texts):
        if text:
            axes.annotate(text, (1, place), xycoords=axes.get_yaxis_transform(), xytext=(7, 0), ha="left", va="center",
                          textcoords="offset points", fontsize="small", color=SOFT, annotation_clip=False)  # fmt: skip


def closed(made: Rows, sheet: Sheet, kind: str, *marks: tuple[Look, str]) -> Figure:
    """Add the legend and give the figure its size."""
    handles = [Line2D([], [], **_sized(look)) for look, _ in marks]
    legend(made.figure, handles, [text for _, text in marks])
    return finish(made.figure, sheet, made.body, kind)


def ordinary(value: float | None) -> bool:
    """Whether a value can be drawn."""
    return value is not None and math.isfinite(value)
