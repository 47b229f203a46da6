"""The figure of a law: a panel for each size, with the optima, the line, its band, and what it predicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrbench.analysis import cut, rate_text
from lrbench.reports.figures.axes import log_scale
from lrbench.reports.figures.style import COLOURS, drawing
from lrbench.transfers import Exponent, Fitted, Transfer

PLACES = 60
MOST_PANELS = 6
BAND, LINE, PREDICTED = "#dde8f0", COLOURS[0], COLOURS[1]


@drawing()
def draw(made: Transfer) -> Figure:
    """Draw a panel for each size; optima at other values of the other sizes are moved along the law."""
    law, exponents = made.law, made.exponents[:MOST_PANELS]
    columns = min(len(exponents), 3)
    rows = math.ceil(len(exponents) / columns)
    figure = Figure(figsize=(max(4.2 * columns, 6.4), 3.9 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, one in zip(panels, exponents, strict=False):
        _panel(axes, made, law, one)
    for axes in panels[len(exponents) :]:
        axes.set_axis_off()
    figure.suptitle("Best learning rate by size", x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, fontsize=8.5)
    return figure


def _panel(axes: Axes, made: Transfer, law: Fitted, one: Exponent) -> None:
    middle = {name: float(10**end) for name, end in zip(law.axes, law.middle, strict=True)}
    ends = [*one.tried, *(each.sizes[one.name] for each in made.predictions)]
    low, high = min(ends) / 1.3, max(ends) * 1.3
    places = np.geomspace(low, high, PLACES)
    line = [law.predict({**middle, one.name: float(place)}) for place in places]
    axes.fill_between(places, [p.low for p in line], [p.high for p in line], color=BAND, linewidth=0,
                      label="95% band of optima")  # fmt: skip
    rates = [p.lr for p in line]
    axes.plot(places, rates, color=LINE, linewidth=1.2, linestyle=(0, (3, 2)))
    tried = [one.tried[0], one.tried[-1]]
    inside = [law.predict({**middle, one.name: end}).lr for end in tried]
    axes.plot(tried, inside, color=LINE, linewidth=2, label="law, dashed beyond the sizes tried")
    tall: list[float] = []
    for point in law.points:
        moved = _moved(law, one, point.sizes, middle)
        tall += [point.low / moved, point.high / moved]
        _dot(axes, point.sizes[one.name], (point.lr / moved, tall[-2], tall[-1]),
             "#444444", "o", "optimum, 95% interval")  # fmt: skip
    for each in made.predictions:
        moved = _moved(law, one, each.sizes, middle)
        tall += [each.low / moved, each.high / moved]
        _dot(axes, each.sizes[one.name], (each.lr / moved, tall[-2], tall[-1]),
             PREDICTED, "D", "prediction, 95% interval")  # fmt: skip
    log_scale(axes.xaxis, low, high, "{:g}".format)
    log_scale(axes.yaxis, min(*tall, *rates) / 1.5, max(*tall, *rates) * 1.5, rate_text)
    axes.set_xlabel(cut(one.name, 40))
    axes.set_ylabel("best learning rate")
    axes.set_title(f"exponent {one.value:.2f} ({one.low:.2f} … {one.high:.2f})", fontsize=9)
    if len(law.axes) > 1:
        others = ", ".join(f"{cut(name, 20)} {value:.3g}" for name, value in middle.items() if name != one.name)
        axes.text(0.02, 0.02, f"moved along the law to {others}", transform=axes.transAxes, fontsize=7.5,
                  color="#555555")  # fmt: skip


def _moved(law: Fitted, one: Exponent, sizes: dict[str, float], middle: dict[str, float]) -> float:
    """Return by how much the law changes the rate from the middle of the other sizes to these."""
    here = law.predict(sizes).lr
    return here / law.predict({**middle, one.name: sizes[one.name]}).lr


def _dot(axes: Axes, x: float, rates: tuple[float, float, float], colour: str, marker: str, label: str) -> None:
    lr, low, high = rates
    known = label in axes.get_legend_handles_labels()[1]
    look: Any = {"color": colour, "markersize": 5.5, "capsize": 3, "linewidth": 1.2, "zorder": 4}
    axes.errorbar([x], [lr], yerr=[[lr - low], [high - lr]], fmt=marker, label=None if known else label, **look)
