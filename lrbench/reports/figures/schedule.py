"""The figure of `lrbench preview`: learning rates, and cycled momentum, of several configs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrbench.reports.figures.style import MOST_POINTS, Line, drawing, line_of, write

if TYPE_CHECKING:
    from lrbench.reports import Preview

MOST_CLOSELY = 3 * MOST_POINTS  # points of a line, besides its restarts


def save_previews(previews: Sequence[Preview], path: Path) -> None:
    """Draw previews into a PNG or SVG file. Raises FolderError if it can't be written."""
    write(draw(previews), path)


@drawing()
def draw(previews: Sequence[Preview]) -> Figure:
    """Draw learning rates, and below them momentum if a config cycles it."""
    cycled = any(p.momenta for p in previews)
    legend = 0.19 * len(previews) + 0.2
    figure = Figure(figsize=(9, (6.2 if cycled else 4.2) + legend), layout="constrained")
    axes = figure.subplots(2 if cycled else 1, 1, sharex=True, squeeze=False, height_ratios=[2, 1] if cycled else [1])
    rate_axes = axes[0, 0]
    for index, made in enumerate(previews):
        _line(rate_axes, made, made.rates, line_of(index))
    rate_axes.set_ylabel("learning rate")
    rate_axes.set_ylim(bottom=0)
    rate_axes.set_title("Learning rate at every step")
    if cycled:
        for index, made in enumerate(previews):
            values = [float("nan") if m is None else m for m in made.momenta or []]
            _line(axes[1, 0], made, values, line_of(index))
        axes[1, 0].set_ylabel("momentum (Adam: beta1)")
    axes[-1, 0].set_xlabel("epoch")
    axes[-1, 0].set_xlim(left=0)
    axes[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*rate_axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, handlelength=3.4)
    return figure


def _line(axes: Axes, made: Preview, values: Sequence[float], look: Line) -> None:
    stride = max(len(values) // MOST_CLOSELY, 1)
    marked = {"^": made.restarts, "v": made.drops}
    # Every stride-th step, and both sides of every restart and drop, so that none is cut off.
    near = {s + d for places in marked.values() for s in places for d in (-1, 0)}
    steps = sorted(set(range(0, len(values), stride)) | near | {len(values) - 1}) if values else []
    places = [step / made.steps_per_epoch for step in steps]
    style = {"color": look.colour, "linestyle": look.dash, "linewidth": 1.6}
    axes.plot(places, [values[s] for s in steps], label=made.label, **style)  # type: ignore[arg-type]
    if made.seam and values:
        seam = min(made.seam - 1, len(values) - 1)
        axes.plot(seam / made.steps_per_epoch, values[seam], marker="o", markersize=6, color=look.colour, mfc="white")
    for marker, found in marked.items():
        for step in found:
            axes.plot(step / made.steps_per_epoch, values[step], marker=marker, markersize=5, color=look.colour)
