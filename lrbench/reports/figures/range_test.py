"""The figure of a range test: smoothed and raw loss by learning rate, with suggestions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrbench.lr_finder import Advice, Finding, trend
from lrbench.reports.figures.axes import above, log_scale
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import drawing, large, line_of, wide, write
from lrbench.reports.figures.text import heading, legend

MARKS = {"steepest": "v", "minimum/10": "s", "valley": "D", "minimum/2": "*"}
ADVISED, BAND, TREND = "#000000", "#DDE8F0", "#333333"


def save_finding(finding: Finding) -> None:
    """Draw a finding into its folder. Raises FolderError if it can't be written."""
    write(draw(finding), finding.folder.figure)


@drawing()
def draw(finding: Finding, sheet: Sheet = SCREEN) -> Figure:
    """Draw the figure."""
    width = sheet.across(9)
    body = 0.7 * width if sheet.narrow else min(0.5 * width, 4.6)
    figure = Figure(figsize=(width, sheet.height or body), layout="constrained")
    axes = figure.subplots()
    limits = _losses(axes, finding)
    log_scale(axes.xaxis, finding.ramp.start, finding.ramp.end, "{:g}".format)
    axes.set_ylim(*limits)
    _cut_off(axes, finding, limits[1])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation loss after each step" if finding.ramp.validation else "training loss of each step")
    advice = finding.advice
    refused = "" if isinstance(advice, Advice) else f"No suggestion: {advice}"
    top = heading(figure, sheet, f"Learning rate range test of {finding.experiment.name}", refused)
    if isinstance(advice, Advice):
        _advised(axes, advice)
        _suggested(axes, finding)
    legend(figure, *axes.get_legend_handles_labels())
    finish(figure, sheet, body + top, "range test")
    return figure


def _losses(axes: Axes, finding: Finding) -> tuple[float, float]:
    """Draw raw and smoothed curves and their trend; return the range of losses worth showing."""
    lowest, highest, starts = math.inf, -math.inf, []
    for index, curve in enumerate(finding.curves):
        look = line_of(index)
        rates, losses = curve.rates[: curve.usable], curve.losses[: curve.usable]
        if not losses:
            continue
        smooth = curve.smoothed(finding.ramp.smoothing)
        axes.plot(*_thinned(rates, losses), color=look.colour, linewidth=wide(0.7), alpha=0.45)
        label = _label(finding, index)
        axes.plot(*_thinned(rates, smooth), color=look.colour, linewidth=wide(1.5), linestyle=look.dash, label=label)
        starts.append(float(np.median(losses[: max(len(losses) // 10, 1)])))
        lowest, highest = min(lowest, *losses), max(highest, *smooth)
        if curve.reason:
            label = "end of a seed's test" if index == 0 else None
            height = min(losses[-1], starts[-1] + 0.75 * _room(starts[-1], lowest))
            axes.plot(rates[-1], height, "x", color=look.colour, markersize=large(7), clip_on=False, label=label)
    whole = trend(finding.curves)
    if whole is not None:
        ragged = np.flatnonzero(whole.losses[whole.lowest :] > whole.start + 0.5 * whole.fall)  # the rest is noise
        end = whole.lowest + int(ragged[0]) + 1 if len(ragged) else len(whole.rates)
        axes.plot(whole.rates[:end], whole.losses[:end], color=TREND, linewidth=wide(2.2), label="trend of all seeds")
        if isinstance(finding.advice, Advice):
            at, height = float(whole.rates[whole.lowest]), float(whole.losses[whole.lowest])
            label = f"its minimum, at {at:.2g}"
            axes.plot(at, height, "o", color=TREND, markerfacecolor="white", markersize=large(8), zorder=5, label=label)
    if not starts:
        return 0.0, 1.0
    start = max(starts)
    room = _room(start, lowest)
    return lowest - 0.08 * room, min(start + 0.8 * room, max(highest, start) + 0.2 * room)


def _cut_off(axes: Axes, finding: Finding, high: float) -> None:
    """Mark where smoothed curves leave the axes at the top."""
    out = []
    for index, curve in enumerate(finding.curves):
        smooth = np.asarray(curve.smoothed(finding.ramp.smoothing), float)[: curve.usable]
        if len(smooth):
            rates = np.asarray(curve.rates[: len(smooth)], float)
            out.append(above(axes, rates, np.nan_to_num(smooth, nan=-math.inf), high, line_of(index).colour))
    highest = [value for value in out if value is not None]
    if highest:
        axes.plot(
            [], [], "^", color="#444444", markersize=large(4.5), label=f"beyond the axis, up to {max(highest):.3g}"
        )


def _label(finding: Finding, index: int) -> str | None:
    """Return the legend of a seed or pass; many share one."""
    ramp, curves, how = finding.ramp, finding.curves, f"smoothed (β {finding.ramp.smoothing:g})"
    if len(curves) <= 6:
        return f"{ramp.repeat} {curves[index].seed}, {how}"
    return f"{ramp.repeats} {curves[0].seed}–{curves[-1].seed}, {how}" if index == 0 else None


def _room(start: float, lowest: float) -> float:
    return max(start - lowest, 0.05 * abs(start), 1e-9)


def _advised(axes: Axes, advice: Advice) -> None:
    bounds = f"bounds for a cyclical schedule: {advice.low:.2g} … {advice.high:.2g}"
    axes.axvspan(advice.low, advice.high, color=BAND, zorder=0, label=bounds)
    axes.axvline(
        advice.initial, color=ADVISED, linewidth=wide(1.4), label="recommended: constant or initial learning rate"
    )
    axes.axvline(
        advice.maximum, color=ADVISED, linewidth=wide(1.2), linestyle=(0, (5, 2)), label="maximum for one_cycle"
    )
    above: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    text = f"{advice.initial:.2g}"
    axes.annotate(text, (advice.initial, 1), xytext=(-4, 4), ha="right", fontweight="bold", **above)
    axes.annotate(f"{advice.maximum:.2g}", (advice.maximum, 1), xytext=(4, 4), ha="left", **above)


def _suggested(axes: Axes, finding: Finding) -> None:
    """Draw each method's median and range over the seeds near the bottom."""
    for row, (name, found) in enumerate(finding.suggestions.items()):
        if found.median is None or found.lowest is None or found.highest is None:
            continue
        height, mark = 0.04 + 0.045 * row, MARKS[name]
        look: Any = {"transform": axes.get_xaxis_transform(), "color": "#666666"}
        axes.plot([found.lowest, found.highest], [height] * 2, linewidth=1.2, **look)
        look |= {"markersize": large(9 if mark == "*" else 6), "markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.plot(found.median, height, mark, zorder=6, label=name, **look)


def _thinned(rates: Sequence[float], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    stride = max(len(rates) // 2000, 1)
    return rates[::stride], values[::stride]
