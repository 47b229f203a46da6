"""The figure of a sweep: quality against the learning rate, a line for each schedule, diverged runs marked."""

from __future__ import annotations

import io
import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lrbench.reports.figures.axes import lost, rate_scale, ring, value_scale
from lrbench.reports.figures.style import drawing, line_of
from lrbench.sweeps.plan import SweepFolder
from lrbench.sweeps.summary import Curve, Point, Summary


def save(summary: Summary, folder: SweepFolder) -> list[Path]:
    """Write `summary.csv`, `summary.png` and `summary.svg` into a sweep's folder. Raises FolderError."""
    files = [folder.save("summary.csv", summary.csv())]
    with drawing():
        figure = draw(summary)
        for kind in ("png", "svg"):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
            files.append(folder.save(f"summary.{kind}", buffer.getvalue()))
    return files


def draw(summary: Summary) -> Figure:
    """The figure: the final validation loss and the test accuracy (or loss) against the rate."""
    lines = max(len(summary.curves), 1)
    below = 0.22 * math.ceil(lines / 3) + 0.5
    figure = Figure(figsize=(10, 4.6 + below), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    accuracy = any(point.spread("test_accuracy") for curve in summary.curves for point in curve.points)
    second = "test_accuracy" if accuracy else "test_loss"
    for axes, metric in ((left, "val_loss"), (right, second)):
        _panel(axes, summary, metric)
    left.set_title("Validation loss at the end")
    right.set_title("Test accuracy at the end" if accuracy else "Test loss at the end")
    counts = sorted({len(point.cells) for curve in summary.curves for point in curve.points})
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)
    name = textwrap.shorten(summary.plan.name, 70, placeholder=" …")
    what = "one seed" if seeds == "1" else f"median and range over {seeds} seeds"
    title = f"Sweep {name}: {what}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if any(curve.best for curve in summary.curves):
        left.plot([], [], "o", markersize=11, markerfacecolor="none", markeredgecolor="#444444", linestyle="none",
                  label="best rate of its line")  # fmt: skip
    longest = max((len(curve.series) for curve in summary.curves), default=0)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3 if longest < 36 else 2, handlelength=3)
    return figure


def _panel(axes: Axes, summary: Summary, metric: str) -> None:
    finite = [v for curve in summary.curves for p in curve.points if (s := p.spread(metric)) for v in (s.low, s.high)]
    _scales(axes, summary, metric, finite)
    for index, curve in enumerate(summary.curves):
        _line(axes, curve, index, metric)
    _lost(axes, summary, metric)
    axes.set_xlabel("peak learning rate")


def _scales(axes: Axes, summary: Summary, metric: str, values: list[float]) -> None:
    rates = [point.lr for curve in summary.curves for point in curve.points if point.lr is not None]
    rate_scale(axes, rates)
    value_scale(axes, values, accuracy=metric == "test_accuracy")


def _line(axes: Axes, curve: Curve, index: int, metric: str) -> None:
    """The medians, joined only where neighbouring rates have one; the range over the seeds as a band."""
    look = line_of(index)
    spreads = [point.spread(metric) for point in curve.points]
    rates = [1.0 if point.lr is None else point.lr for point in curve.points]
    middle, low, high = (
        np.array([math.nan if s is None else getattr(s, part) for s in spreads]) for part in ("median", "low", "high")
    )
    axes.fill_between(rates, low, high, color=look.colour, alpha=0.15, linewidth=0)
    label = textwrap.shorten(curve.series, 60, placeholder=" …")
    axes.plot(
        rates, middle, color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4.5, linewidth=1.5,
        label=label,
    )  # fmt: skip
    best = curve.best
    if best is not None and (spread := best.spread(metric)) is not None:
        at = 1.0 if best.lr is None else best.lr
        ring(axes, at, spread.median, look.colour)


def _lost(axes: Axes, summary: Summary, metric: str) -> None:
    """Marks at the top (of the accuracy's panel: the bottom) for rates at which seeds diverged or were pruned."""
    kinds: tuple[tuple[str, str, str], ...] = (("diverged", "x", "diverged"), ("pruned", "|", "pruned"))
    labelled: set[str] = set()
    for index, curve in enumerate(summary.curves):
        height = 0.985 - 0.03 * index if metric != "test_accuracy" else 0.015 + 0.03 * index
        for point in curve.points:
            for state, mark, label in kinds:
                if point.lr is None or not _count(point, state):
                    continue
                first = None if label in labelled or metric == "test_accuracy" else f"a seed {label}, or more"
                lost(axes, point.lr, height, mark, line_of(index).colour)
                if first:
                    labelled.add(label)
                    axes.plot([], [], mark, color="#444444", markersize=6, linestyle="none", label=first)


def _count(point: Point, state: str) -> int:
    return sum(cell.state == state for cell in point.cells)
