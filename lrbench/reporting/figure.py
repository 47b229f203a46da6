"""The one figure: all validation losses overlaid, a panel for each run, and the rate under each panel."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lrbench.errors import FolderError
from lrbench.reporting.groups import Group, planned_epochs
from lrbench.reporting.layout import Layout
from lrbench.reporting.tables import loss as loss_text
from lrbench.reporting.tables import percent

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours (without yellow, which is too light for a line on white): told apart by colour-blind
# readers. With 7 colours, 4 dashes and a marker at the end, 28 lines differ also in greyscale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = "osD^v<>P*X"
VALIDATION, TRAINING, RATE = "#0072B2", "#D55E00", "#444444"
MOST_POINTS = 600

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "lrbench",
    "text.parse_math": False,  # a name with $ in it is a name
}


@dataclass(frozen=True)
class Line:
    """How a group is drawn in the overlay and in the legend."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    marker: str


def line_of(index: int) -> Line:
    """The look of the index-th group; the first 28 are all different."""
    count = len(COLOURS)
    dash = DASHES[(index // count) % len(DASHES)]
    return Line(COLOURS[index % count], dash, MARKERS[index % len(MARKERS)])


def write(figure: Figure, path: Path) -> None:
    """Save a figure, its folder made if need be. Raises FolderError where it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror}") from error
    except ValueError as error:
        raise FolderError(f"cannot write {path}: {error}") from error


def save(groups: Sequence[Group], folder: Path) -> list[Path]:
    """Draw the groups and write `report.png` and `report.svg`; their paths."""
    with mpl.rc_context(STYLE):
        figure = draw(groups)
        paths = [folder / "report.png", folder / "report.svg"]
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def draw(groups: Sequence[Group]) -> Figure:
    """The figure, for at least one group."""
    place = Layout.of(len(groups), max(len(_legend(group)) for group in groups))
    figure = Figure(figsize=(place.width, place.height))
    FigureCanvasAgg(figure)
    limits = _limits(groups)
    _overlay(figure.add_axes(place.overlay()), groups, limits, place)
    for index, group in enumerate(groups):
        upper, lower = place.panel(index)
        panel = figure.add_axes(upper)
        rate = figure.add_axes(lower, sharex=panel)
        first_in_row = index % place.across == 0
        _panel(panel, group, limits, labelled=first_in_row, legend=index == 0)
        _rate(rate, group, labelled=first_in_row)
        _epoch_axis(rate, group)
    return figure


def _limits(groups: Sequence[Group]) -> tuple[float, float]:
    """The loss axis that all panels share: everything that was measured, but not a diverging run's last leap."""
    values = np.concatenate(
        [g.curve(c)["median"].to_numpy(dtype=float) for g in groups for c in ("train_loss", "val_loss")] + [[]]
    )
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.1, 1.0
    low, high = values.min(), values.max()
    # A single huge first epoch (a rate of 0.5 begins in the thousands) would flatten everything else; a panel says
    # in words what it cuts off.
    high = min(high, max(2 * np.quantile(values, 0.95), 4 * low))
    return float(low / 1.25), float(high * 1.4)


def _overlay(axes: Axes, groups: Sequence[Group], limits: tuple[float, float], place: Layout) -> None:
    axes.set_title("Validation loss of all runs, lowest first", fontsize=12)
    drawn = 0
    for index, group in enumerate(groups):
        curve = _drawable(group, "val_loss")
        look = line_of(index)
        text = _legend(group)
        if not len(curve):
            axes.plot([], [], color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4, label=text)
            continue
        drawn += 1
        epochs, middle = curve["epoch"].to_numpy(), curve["median"].to_numpy()
        axes.plot(
            epochs, middle, color=look.colour, linestyle=look.dash, linewidth=1.5, marker=look.marker,
            markersize=4.5, markevery=[len(epochs) - 1], label=text,
        )  # fmt: skip
        if len(group.records) > 1:
            axes.fill_between(epochs, curve["low"], curve["high"], color=look.colour, alpha=0.13, linewidth=0)
    _loss_axis(axes, limits)
    axes.set_ylabel("validation loss")
    axes.set_xlabel("epoch")
    axes.set_xlim(0, max([1, *(_last_epoch(group) for group in groups)]) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if not drawn:
        axes.text(0.5, 0.5, "no epoch of any run is done yet", ha="center", va="center", transform=axes.transAxes)
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.01, -0.47 / place.overlay_height), ncols=place.legend_columns,
        fontsize=8.5, handlelength=3.4, borderaxespad=0, columnspacing=1.6, labelspacing=0.35,
    )  # fmt: skip


def _legend(group: Group) -> str:
    spread = group.spread("val_loss")
    return _cut(group.label, 40) + (f"  {loss_text(spread.median)}" if spread else f"  ({group.status()})")


def _panel(axes: Axes, group: Group, limits: tuple[float, float], *, labelled: bool, legend: bool) -> None:
    axes.set_title(_cut(group.label, 36), pad=16)
    axes.text(0, 1.02, _subtitle(group), transform=axes.transAxes, fontsize=8, color="#555555", va="bottom")
    epochs = 0
    for column, colour, dash, text in (
        ("train_loss", TRAINING, (0, (4, 1.5)), "training"),
        ("val_loss", VALIDATION, "-", "validation"),
    ):
        curve = _drawable(group, column)
        if not len(curve):
            continue
        epochs = len(curve)
        marker = "o" if len(curve) == 1 else None
        axes.plot(
            curve["epoch"], curve["median"], color=colour, linestyle=dash, linewidth=1.4, marker=marker,
            markersize=4, label=text,
        )  # fmt: skip
        if len(group.records) > 1:
            axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0)
        above = curve[curve["median"] > limits[1]]
        if len(above):
            worst = above.sort_values("median").iloc[-1]
            note = f"{text}, epoch {worst['epoch']:.0f}, off the scale: {worst['median']:,.3g}"
            height = 0.93 if column == "train_loss" else 0.85
            axes.text(0.99, height, note, transform=axes.transAxes, fontsize=7.5, color=colour, ha="right")
    _loss_axis(axes, limits)
    axes.tick_params(labelbottom=False)
    if labelled:
        axes.set_ylabel("loss")
    if not epochs:
        problem = next((r.problem for r in group.records if r.problem), group.status())
        axes.text(
            0.5, 0.5, textwrap.fill(_cut(problem, 160), 34), transform=axes.transAxes, ha="center", va="center",
            fontsize=8, color="#a02020",
        )  # fmt: skip
    elif legend:
        axes.legend(loc="upper right", fontsize=8)


def _subtitle(group: Group) -> str:
    loss, accuracy, status = group.spread("val_loss"), group.spread("val_accuracy"), group.status()
    if loss is None:
        return _cut(status, 48)
    pieces = [f"val {loss_text(loss.median)}"]
    if accuracy is not None:
        pieces.append(percent(accuracy.median))
    if loss.n > 1:
        pieces.append(f"{loss.n} seeds")
    if status != "finished":
        pieces.append(status)
    return _cut(" · ".join(pieces), 52)


def _rate(axes: Axes, group: Group, *, labelled: bool) -> None:
    """The rate of every update, against epochs; of the first seed, since seeds share the schedule."""
    rates = group.first.rates()
    per_epoch = _steps_per_epoch(group)
    if len(rates):
        stride = max(len(rates) // MOST_POINTS, 1)
        thinned = rates.iloc[::stride]
        steps, lr = thinned["step"].to_numpy(dtype=float), thinned["lr"].to_numpy(dtype=float)
        axes.plot(steps / per_epoch, lr, color=RATE, linewidth=1.2)
        axes.fill_between(steps / per_epoch, lr, 0, color=RATE, alpha=0.10, linewidth=0)
        top = float(np.nanmax(lr)) or 1.0
        axes.set_ylim(0, 1.25 * top)
        axes.set_yticks([0, top], ["0", f"{top:.2g}"])
    else:
        axes.set_yticks([])
        axes.set_ylim(0, 1)
    if labelled:
        axes.set_ylabel("rate")


def _epoch_axis(axes: Axes, group: Group) -> None:
    planned = max((planned_epochs(record) or 0 for record in group.records), default=0)
    last = max(_last_epoch(group), 1)
    far = planned > 20 * last  # hardly begun: the plan would leave nothing to see
    axes.set_xlim(0, (last if far else max(planned, last)) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch", labelpad=1)


def _drawable(group: Group, column: str) -> pd.DataFrame:
    """A loss curve without what a log axis can't show: a loss of exactly 0."""
    curve = group.curve(column)
    return curve[curve["low"] > 0]


def _last_epoch(group: Group) -> int:
    return max((int(r.epochs["epoch"].max()) for r in group.records if len(r.epochs)), default=0)


def _steps_per_epoch(group: Group) -> float:
    sizes = group.first.environment.get("sizes") or {}
    epochs = group.first.epochs
    if sizes.get("steps_per_epoch"):
        return float(sizes["steps_per_epoch"])
    return float(epochs["step"].iloc[0] / epochs["epoch"].iloc[0]) if len(epochs) else 1.0


def _loss_axis(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    decades = math.log10(limits[1] / limits[0])
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.3 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def _cut(text: str, most: int) -> str:
    """At most that many characters, the middle left out: names often differ at their ends."""
    plain = " ".join(text.split())
    kept = most - 1
    return plain if len(plain) <= most else f"{plain[: kept - kept // 2]}…{plain[len(plain) - kept // 2 :]}"
