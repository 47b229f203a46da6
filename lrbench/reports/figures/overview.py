"""The main figure: all validation losses together, and a panel with losses and learning rate for each group."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Group, cut, task_of
from lrbench.components import Measure, in_words
from lrbench.errors import UsageError, option
from lrbench.reports.charted import (
    Scale,
    by_task,
    curved,
    drawable,
    drawable_curve,
    picked_out,
    problem,
    scale_of,
    subtitle,
    value_of,
)
from lrbench.reports.figures.axes import thin_out, thousands, value_axis
from lrbench.reports.figures.curves import band, overlay
from lrbench.reports.figures.layout import Layout
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import BAD, MOST_POINTS, RATE, SOFT, TRAINING, VALIDATION, drawing, wide
from lrbench.reports.figures.text import all_wrapped, in_the_middle, legend, legend_height, wrapped

MOST_PANELS, PANELS_OF_MANY = 24, 8


@drawing()
def draw(
    groups: Sequence[Group], always: Group | None = None, metric: str | None = None, sheet: Sheet = SCREEN
) -> Figure:
    """Draw the figure for at least one group; `always` is in colour even among many."""
    shown, picked = groups if len(groups) <= MOST_PANELS else groups[:PANELS_OF_MANY], picked_out(groups, always)
    measure = curved(groups, metric)
    place = Layout.of(len(shown), sheet.width)
    figure = Figure(figsize=(place.width, place.height))
    upper = figure.add_axes(place.overlay())
    _, handles = overlay(upper, groups, picked, measure)
    legend(figure, handles, [f"{groups[i].short}{value_of(groups[i], measure)}" for i in picked])
    place = Layout.of(len(shown), sheet.width, legend_height(figure))
    if sheet.height is not None and sheet.height < place.height - 0.01:
        size = f"{option('--height')} {sheet.height:.3g}in"
        needed = f"it needs {place.height:.3g}in, since every group has a panel"
        raise UsageError(f"an overview of these runs has no room at {size}: {needed}")
    figure.set_size_inches(place.width, sheet.height or place.height)
    upper.set_position(place.overlay())
    _titled(upper, groups, picked, measure, place)
    (below,) = figure.legends or (None,)
    if isinstance(below, Legend):
        below.set_loc("upper left")
        below.set_bbox_to_anchor((0.0, 1 - place.legend_from / place.height))
    _panels(figure, groups, shown, measure, place)
    thin_out(figure, FigureCanvasAgg(figure).get_renderer())  # type: ignore[no-untyped-call]
    return figure


def _panels(figure: Figure, groups: Sequence[Group], shown: Sequence[Group], measure: Measure, place: Layout) -> None:
    scales = {task: scale_of(members, measure) for task, members in by_task(groups).items()}
    titles = all_wrapped([group.short for group in shown], 0.92 * place.cell, "medium", 1)
    for index, group in enumerate(shown):
        (left, top, width, height), lower = place.panel(index)
        first_in_row, (steps, rates) = index % place.across == 0, group.rates()
        known = len(rates) > 0 or not group.foreign
        box = (left, top, width, height) if known else (left, lower[1], width, top + height - lower[1])
        panel = figure.add_axes(box)
        panel.set_title(titles[index], pad=16)
        _panel(panel, group, measure, scales[task_of(group)], place, labelled=first_in_row, legend=index == 0)
        beneath = panel
        if known:
            panel.tick_params(labelbottom=False)
            beneath = figure.add_axes(lower, sharex=panel)
            _rate(beneath, steps, rates, labelled=first_in_row)
        _place_axis(beneath, group)


def _titled(axes: Axes, groups: Sequence[Group], picked: Sequence[int], measure: Measure, place: Layout) -> None:
    few = len(picked) == len(groups)
    more = "" if few else f"; {len(picked)} of {len(groups)} in colour, the others grey"
    rest = f"; panels of the first {PANELS_OF_MANY} below" if len(groups) > MOST_PANELS else ""
    words, order = measure.words, "lowest" if measure.lower else "highest"
    title = f"{words[:1].upper()}{words[1:]}, {order} first{more}{rest}"
    axes.set_title(wrapped(title, 0.76 * (place.width - place.left), "large", 1), fontsize="large", pad=13)


def _panel(
    axes: Axes, group: Group, measure: Measure, scale: Scale, place: Layout, *, labelled: bool, legend: bool
) -> None:
    axes.text(0, 1.02, wrapped(subtitle(group, measure), place.cell + 0.3, "small", 1), transform=axes.transAxes,
              fontsize="small", color=SOFT, va="bottom")  # fmt: skip
    count = 0
    for split, colour, dash, text in (
        ("train", TRAINING, (0, (4, 1.5)), "training"),
        ("val", VALIDATION, "-", "validation"),
    ):
        curve = drawable_curve(group, f"{split}_{measure.metric.name}", scale)
        if not len(curve.places):
            continue
        count = len(curve.places)
        point = {"marker": "o", "markersize": 4} if count == 1 else {}
        band(axes, group, curve, colour, 0.15, linestyle=dash, linewidth=wide(1.4), label=text, **point)
        worst = int(np.argmax(curve.median))
        if curve.median[worst] > scale.high:
            note = f"↑ {text}, {group.axis} {curve.places[worst]:.0f}: {curve.median[worst]:,.3g}"
            axes.text(0.99, 0.93 if split == "train" else 0.84, wrapped(note, place.cell, "small", 1),
                      transform=axes.transAxes, fontsize="small", color=colour, ha="right",
                      bbox={"facecolor": "#ffffff", "alpha": 0.8, "linewidth": 0, "pad": 0.5})  # fmt: skip
    value_axis(axes, scale, measure)
    if labelled:
        axes.set_ylabel(in_words(measure.metric.name))
    if not count:
        in_the_middle(axes, textwrap.fill(cut(problem(group), 160), 34), fontsize="small", color=BAD)
    elif legend:
        axes.legend(loc="upper right" if measure.lower else "lower right")


def _rate(axes: Axes, places: np.ndarray, rates: np.ndarray, *, labelled: bool) -> None:
    """Draw the learning rate of every step."""
    if len(rates):
        stride = max(len(rates) // MOST_POINTS, 1)
        at, lr = places[::stride], drawable(rates[::stride])
        axes.plot(at, lr, color=RATE, linewidth=wide(1.2))
        axes.fill_between(at, lr, 0, color=RATE, alpha=0.10, linewidth=0)
        top = float(np.nanmax(lr)) or 1.0
        axes.set_ylim(0, 1.25 * top)
        axes.set_yticks([0, top], ["0", f"{top:.2g}"])
    else:
        axes.set_yticks([])
        axes.set_ylim(0, 1)
    if labelled:
        axes.set_ylabel("lr")


def _place_axis(axes: Axes, group: Group) -> None:
    planned, last = group.planned, max(group.last, 1)
    far = planned > 20 * last  # just started: the planned length would leave nothing to see
    axes.set_xlim(0, (last if far else max(planned, last)) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.set_xlabel(group.axis, labelpad=1)
    if group.axis == "step":
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
