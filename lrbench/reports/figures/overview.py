"""The main figure: all validation losses together, and a panel with losses and learning rate for each group."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Band, Group, cut, measures_of, shortened, task_of
from lrbench.components import LOSS, Measure, in_words
from lrbench.reports.figures.axes import drawable, log_scale
from lrbench.reports.figures.layout import Layout
from lrbench.reports.figures.style import MOST_POINTS, OTHERS, RATE, TRAINING, VALIDATION, drawing, line_of
from lrbench.reports.headline import headline

MOST_LINES, MOST_PANELS = 12, 24
"""More lines can't be told apart, so of more groups some are picked and the others are grey."""
PICKED, PANELS_OF_MANY = 7, 12


def evenly(count: int, most: int) -> np.ndarray:
    """Return `most` indices of `count` values, evenly spread, with the first and the last."""
    return np.linspace(0, count - 1, most).round().astype(int)


def picked_out(groups: Sequence[Group], always: Group | None = None) -> list[int]:
    """Return the indices of groups to colour: all of a few; of many the best, the last, some between, and `always`."""
    with_curves = [i for i, group in enumerate(groups) if any(len(record.epochs) for record in group.records)]
    if len(groups) <= MOST_LINES:
        return list(range(len(groups)))
    chosen = {with_curves[place] for place in evenly(len(with_curves), min(PICKED, len(with_curves)))}
    return sorted(chosen | {i for i, group in enumerate(groups) if group is always})


@drawing()
def draw(groups: Sequence[Group], always: Group | None = None) -> Figure:
    """Draw the figure for at least one group; `always` is in colour even among many."""
    shown, picked = groups if len(groups) <= MOST_PANELS else groups[:PANELS_OF_MANY], picked_out(groups, always)
    measure = headline(groups)
    legend = _legend([groups[i] for i in picked], measure)
    place = Layout.of(len(shown), len(picked), max(map(len, legend), default=24))
    figure = Figure(figsize=(place.width, place.height))
    scales = {task: _scale(members, measure) for task, members in by_task(groups).items()}
    _overlay(figure.add_axes(place.overlay()), groups, dict(zip(picked, legend, strict=True)), measure, place)
    titles = shortened([group.short for group in shown], 36)
    for index, group in enumerate(shown):
        (left, top, width, height), lower = place.panel(index)
        first_in_row, (steps, rates) = index % place.across == 0, group.rates()
        known = len(rates) > 0 or not group.foreign
        box = (left, top, width, height) if known else (left, lower[1], width, top + height - lower[1])
        panel = figure.add_axes(box)
        panel.set_title(titles[index], pad=16)
        _panel(panel, group, measure, scales[task_of(group)], labelled=first_in_row, legend=index == 0)
        beneath = panel
        if known:
            panel.tick_params(labelbottom=False)
            beneath = figure.add_axes(lower, sharex=panel)
            _rate(beneath, steps, rates, labelled=first_in_row)
        _place_axis(beneath, group)
    return figure


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by task: losses of different tasks share no axis."""
    return {task: [one for one in groups if task_of(one) == task] for task in dict.fromkeys(map(task_of, groups))}


def loss_limits(groups: Sequence[Group], columns: Sequence[str] = ("train_loss", "val_loss")) -> tuple[float, float]:
    """Return the limits of the shared loss axis, without a diverging run's last jump.

    The lower limit is below 0 if losses are negative, as for a density; then the axis can't be logarithmic.
    """
    values = np.concatenate([np.empty(0), *(group.curve(column).median for group in groups for column in columns)])
    values = drawable(values[np.isfinite(values)])
    if len(values) and values.min() < 0:
        low, high = values.min(), np.quantile(values, 0.98)
        room = 0.06 * max(high - low, 1e-9)
        return float(low - room), float(high + room)
    values = values[values > 0]
    if not len(values):
        return 0.1, 1.0
    low, high = values.min(), values.max()
    # One huge first epoch (in the thousands for a learning rate of 0.5) would flatten everything else; panels say
    # what they cut off.
    high = min(high, max(2 * np.quantile(values, 0.95), 4 * low))
    return float(low / 1.25), float(high * 1.4)


class Scale(NamedTuple):
    """The limits of an axis, and whether it is logarithmic."""

    low: float
    high: float
    log: bool


def _scale(groups: Sequence[Group], measure: Measure, splits: Sequence[str] = ("train", "val")) -> Scale:
    """Return the scale that curves of a metric share: that of losses, or a linear one if more is better."""
    columns = [f"{split}_{measure.metric.name}" for split in splits]
    if measure.lower and measure.form != "percent":
        low, high = loss_limits(groups, columns)
        return Scale(low, high, low > 0)
    values = np.concatenate([np.empty(0), *(group.curve(column).median for group in groups for column in columns)])
    values = drawable(values[np.isfinite(values)])
    if not len(values):
        return Scale(0.0, 1.0, log=False)
    room = 0.06 * max(values.max() - values.min(), 0.01 * abs(values.max()), 1e-9)
    return Scale(float(values.min() - room), float(values.max() + room), log=False)


def _overlay(axes: Axes, groups: Sequence[Group], picked: Mapping[int, str], measure: Measure, place: Layout) -> None:
    """Draw the medians of all groups, in colour those picked, given by their indices with their legends."""
    few = len(picked) == len(groups)
    more = "" if few else f"; {len(picked)} of {len(groups)} in colour, the others grey"
    rest = f"; panels of the first {PANELS_OF_MANY} below" if len(groups) > MOST_PANELS else ""
    words, axis = measure.words, groups[0].axis
    order = "lowest" if measure.lower else "highest"
    axes.set_title(f"{words[:1].upper()}{words[1:]}, {order} first{more}{rest}", fontsize=12)
    scale = _scale(groups, measure, [measure.name.partition("_")[0]])
    curves = [_drawable(group, measure.name, scale) for group in groups]
    for index, curve in enumerate(curves):
        if index not in picked:
            axes.plot(curve.places, curve.median, color=OTHERS, linewidth=0.8)
    for position, index in enumerate(picked):
        group, curve, look = groups[index], curves[index], line_of(position)
        end = {"marker": look.marker, "markersize": 4.5, "markevery": slice(-1, None)}
        label = picked[index]
        _curve(axes, group, curve, look.colour, 0.13, linestyle=look.dash, linewidth=1.5, label=label, **end)
    _value_axis(axes, scale, measure)
    axes.set_ylabel(words)
    axes.set_xlabel(axis)
    axes.set_xlim(0, max([1, *(group.last for group in groups)]) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if axis == "step":
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    if not any(len(curve.places) for curve in curves):
        _in_the_middle(axes, "no run has finished an epoch yet" if axis == "epoch" else "no run has been evaluated yet")
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.01, -0.47 / place.overlay_height), ncols=place.legend_columns,
        fontsize=8.5, handlelength=3.4, borderaxespad=0, columnspacing=1.6, labelspacing=0.35,
    )  # fmt: skip


def _curve(axes: Axes, group: Group, curve: Band, colour: str, alpha: float, **look: Any) -> None:
    """Draw the median, and a band from the lowest to the highest seed."""
    axes.plot(curve.places, curve.median, color=colour, **look)
    if len(group.records) > 1:
        axes.fill_between(curve.places, curve.low, curve.high, color=colour, alpha=alpha, linewidth=0)


def _legend(groups: Sequence[Group], measure: Measure) -> list[str]:
    names, spreads = shortened([group.short for group in groups], 40), [group.spread(measure.name) for group in groups]
    values = [f"({g.status()})" if s is None else measure.text(s.centre) for g, s in zip(groups, spreads, strict=True)]
    return [f"{name}  {value}" for name, value in zip(names, values, strict=True)]


def _panel(axes: Axes, group: Group, measure: Measure, scale: Scale, *, labelled: bool, legend: bool) -> None:
    axes.text(0, 1.02, subtitle(group, measure), transform=axes.transAxes, fontsize=8, color="#555555", va="bottom")
    count = 0
    for split, colour, dash, text in (
        ("train", TRAINING, (0, (4, 1.5)), "training"),
        ("val", VALIDATION, "-", "validation"),
    ):
        curve = _drawable(group, f"{split}_{measure.metric.name}", scale)
        if not len(curve.places):
            continue
        count = len(curve.places)
        point = {"marker": "o", "markersize": 4} if count == 1 else {}
        _curve(axes, group, curve, colour, 0.15, linestyle=dash, linewidth=1.4, label=text, **point)
        worst = int(np.argmax(curve.median))
        if curve.median[worst] > scale.high:
            note = f"{text}, {group.axis} {curve.places[worst]:.0f}, off the scale: {curve.median[worst]:,.3g}"
            height = 0.93 if split == "train" else 0.85
            axes.text(0.99, height, note, transform=axes.transAxes, fontsize=7.5, color=colour, ha="right")
    _value_axis(axes, scale, measure)
    if labelled:
        axes.set_ylabel(in_words(measure.metric.name))
    if not count:
        _in_the_middle(axes, textwrap.fill(cut(problem(group), 160), 34), fontsize=8, color="#a02020")
    elif legend:
        axes.legend(loc="upper right" if measure.lower else "lower right", fontsize=8)


def problem(group: Group) -> str:
    """Return what is wrong with the first damaged run, or else the status of the runs."""
    return next((record.problem for record in group.records if record.problem), group.status())


def subtitle(group: Group, measure: Measure) -> str:
    """Summarise a group in a line: the main validation metric and others, seeds and status."""
    value, status = group.spread(measure.name), group.status()
    if value is None:
        return cut(status, 48)
    loss = measure.metric == LOSS
    pieces = [f"{'val' if loss and measure.on_validation else measure.name_in_short} {measure.text(value.centre)}"]
    beside = [one for one in measures_of(group.records).values() if one.on_validation and one.metric != measure.metric]
    alone = loss and len(beside) == 1 and beside[0].form == "percent"
    for one in beside:
        if (found := group.spread(one.name)) is not None:
            name = "" if alone else in_words(one.metric.name) + " "
            pieces.append(f"{name}{one.text(found.centre)}")
    if value.n > 1:
        pieces.append(f"{value.n} {'runs' if group.first.plain.get('seed') is None and group.foreign else 'seeds'}")
    if status != "finished":
        pieces.append(status)
    return cut(" · ".join(pieces), 52)


def _rate(axes: Axes, places: np.ndarray, rates: np.ndarray, *, labelled: bool) -> None:
    """Draw the learning rate of every step."""
    if len(rates):
        stride = max(len(rates) // MOST_POINTS, 1)
        at, lr = places[::stride], drawable(rates[::stride])
        axes.plot(at, lr, color=RATE, linewidth=1.2)
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
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def _drawable(group: Group, column: str, scale: Scale) -> Band:
    """Return a curve without values of 0 if the axis is logarithmic."""
    curve = group.curve(column)
    return curve.where(curve.low > 0) if scale.log else curve


def _thousands(value: float, _: object = None) -> str:
    """`500`, `20k`, `1.5M`, so that the labels of steps have room."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def _in_the_middle(axes: Axes, text: str, **look: Any) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **look)


def _value_axis(axes: Axes, scale: Scale, measure: Measure) -> None:
    if scale.log:
        log_scale(axes.yaxis, scale.low, scale.high, "{:g}".format)
        return
    axes.set_ylim(scale.low, scale.high)
    if measure.form == "percent":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
