"""The figure of a coordinate check: the size of each layer's output by width, before and after the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrbench.analysis import cut
from lrbench.reports.escape import csv_cell
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.style import drawing, line_of, write_both
from lrbench.runs import write_file
from lrbench.transfers import CoordinateCheck

MOST_NAMED = 28
HEIGHT = 3.1


def save_coordinates(checks: Sequence[CoordinateCheck], stem: Path) -> list[Path]:
    """Write the figure as PNG and SVG, and the sizes as CSV, and return the paths. Raises FolderError."""
    return [*write_both(draw(checks), stem), write_file(stem.with_suffix(".csv"), _table(checks))]


@drawing()
def draw(checks: Sequence[CoordinateCheck]) -> Figure:
    """Draw a row for each check: the sizes at the start, and after the steps."""
    layers = list(dict.fromkeys(layer for check in checks for layer in check.layers))
    rows = -(-min(len(layers), MOST_NAMED) // 4)
    figure = Figure(figsize=(9, HEIGHT * len(checks) + 0.35 + 0.2 * rows), layout="constrained")
    grid = figure.subplots(len(checks), 2, squeeze=False, sharex="row", sharey=True)
    sizes = [value for check in checks for layer in check.layers for value in _sizes(check, layer, 0)]
    sizes += [value for check in checks for layer in check.layers for value in _sizes(check, layer, check.steps)]
    above = [value for value in sizes if value > 0] or [1.0]
    for check, pair in zip(checks, grid, strict=True):
        for axes, step in zip(pair, (0, check.steps), strict=True):
            for layer in check.layers:
                _line(axes, check, layer, step, layers.index(layer))
            log_scale(axes.yaxis, min(above) / 1.3, max(above) * 1.3, "{:g}".format)
            log_scale(axes.xaxis, check.widths[0] / 1.1, check.widths[-1] * 1.1, "{:g}".format)
            axes.set_xticks(check.widths, [str(width) for width in check.widths])
            steps = f"step{'s' * (step != 1)}"
            axes.set_title("at the start" if step == 0 else f"after {step} {steps} at {check.lr:g}: {_judged(check)}")
            axes.set_xlabel(check.key)
        pair[0].set_ylabel(f"{cut(check.name, 40)}\nmean |output|")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    named = figure.legend(
        handles[:MOST_NAMED], labels[:MOST_NAMED], loc="outside lower left", ncols=4, handlelength=2.6, fontsize=8
    )
    named.set_in_layout(True)
    return figure


def _judged(check: CoordinateCheck) -> str:
    return {"level": "level, as in μP", "not level": "not μP", "undecided": "undecided"}[check.verdict]


def _sizes(check: CoordinateCheck, layer: str, step: int) -> list[float]:
    return [check.mean(layer, width, step) for width in check.widths]


def _line(axes: Axes, check: CoordinateCheck, layer: str, step: int, index: int) -> None:
    look, sizes = line_of(index), _sizes(check, layer, step)
    if min(sizes) <= 0:
        return
    wide = 2.4 if layer == check.output else 1.3
    axes.plot(
        check.widths, sizes, color=look.colour, linestyle=look.dash, linewidth=wide, marker=".", label=cut(layer, 28)
    )


def _table(checks: Sequence[CoordinateCheck]) -> str:
    lines = ["check,key,width,seed,step,layer,size,change"]
    for check in checks:
        for row in check.rows:
            cells = (check.name, check.key, row.width, row.seed, row.step, row.layer, row.size, row.change)
            lines.append(",".join(csv_cell(str(cell)) for cell in cells))
    return "".join(f"{line}\n" for line in lines)
