"""The figure of two swept axes: a metric by learning rate and another axis, with the ridge of optima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from lrbench.analysis import CONFIDENCE, Family, Optimum, Point, optimum, value_text
from lrbench.components import Measure
from lrbench.reports.charted import drawable
from lrbench.reports.figures.axes import log_scale, percent
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import drawing, large, wide
from lrbench.reports.figures.swept import Panel, Swept
from lrbench.reports.figures.text import heading, legend, width_of, wrapped

MAP = "viridis_r"
"""Perceptually uniform, also for colour-blind readers and in grey; bright is better."""
MOST_PANELS, MOST_ROWS = 6, 40
WORST = 30.0
"""Losses above this multiple of the best share one colour, so that the others can be told apart."""
RIDGE, EMPTY, LOST = "#ffffff", "#f2f2f2", "#d9d9d9"


@drawing()
def draw(swept: Swept, measure: Measure, sheet: Sheet = SCREEN) -> Figure:
    """Draw a map for each panel of families, the first six at most."""
    panels = swept.panels[:MOST_PANELS]
    width = sheet.across(8.0 if len(panels) == 1 else 10.0)
    across = 1 if sheet.narrow else min(len(panels), 2)
    down = math.ceil(len(panels) / across)
    rows = min(max(len(panel.families) for panel in panels), MOST_ROWS)
    tall = min(0.46, max(0.2, (0.7 * width / across) / rows))
    body = down * (rows * tall + 0.75)
    figure = Figure(figsize=(width, sheet.height or body), layout="constrained")
    more = f"{len(panels)} of {len(swept.panels)} panels" if len(swept.panels) > len(panels) else ""
    top = heading(figure, sheet, f"{measure.words[:1].upper()}{measure.words[1:]} by learning rate and {swept.words}",
                  more)  # fmt: skip
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    norm, ends = _norm(panels, measure)
    seen: dict[str, Artist] = {}
    maps = [_Map(axes, panel, measure, norm) for axes, panel in zip(grid.ravel(), panels, strict=False)]
    edges = [edge for one in maps for edge in one.edges]
    for index, one in enumerate(maps):
        log_scale(one.axes.xaxis, min(edges), max(edges), "{:g}".format)
        one.frame(swept, index, across, len(panels))
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    _bar(figure, list(grid.ravel()), norm, ends, measure, sheet)
    figure.draw_without_rendering()  # so that cells have their sizes
    told = all(one.room_for_text(0.8 if sheet.height else 1.0) for one in maps)
    best = min(family.standing(measure) for panel in panels for _, family in panel.families)
    for one in maps:
        one.fill(seen, best, told, ridge=swept.numeric)
    legend(figure, list(seen.values()), list(seen))
    finish(figure, sheet, body + top + (0.5 if sheet.narrow else 0.0), "heat map")
    return figure


def _norm(panels: Sequence[Panel], measure: Measure) -> tuple[Normalize, tuple[bool, bool]]:
    """Return the scale of the colours, and whether values lie below or above it."""
    found = [centre for panel in panels for _, family in panel.families for point in family.points
             if (centre := point.centre(measure)) is not None]  # fmt: skip
    values = drawable(found or [0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if measure.by_ratio and low > 0:
        top = min(high, WORST * low) if measure.lower else high
        bottom = low if measure.lower else max(low, high / WORST)
        return LogNorm(bottom, top if top > bottom else bottom * 1.1), (low < bottom, high > top)
    return Normalize(low, high if high > low else low + 1.0), (False, False)


def _bar(
    figure: Figure, panels: Sequence[Axes], norm: Normalize, ends: tuple[bool, bool], measure: Measure, sheet: Sheet
) -> None:
    """Add the scale of the colours, with an arrow where values lie beyond it."""
    extend: Any = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(ends, "both")
    place: Any = (
        {"location": "top", "aspect": 40, "pad": 0.02}
        if sheet.narrow
        else {"location": "right", "aspect": 30, "shrink": min(1.0, 2.6 / (len(panels) ** 0.5 + 1))}
    )
    bar = figure.colorbar(ScalarMappable(norm, _colours(measure)), ax=list(panels), extend=extend, **place)
    bar.set_label(measure.words, fontsize="small")
    bar.outline.set_visible(False)
    axis = bar.ax.xaxis if sheet.narrow else bar.ax.yaxis
    if isinstance(norm, LogNorm):
        digits = (1.0, 2.0, 5.0) if float(norm.vmax or 1) / float(norm.vmin or 1) > 4 else tuple(range(1, 10))
        axis.set_major_locator(LogLocator(subs=digits, numticks=12))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(nbins=5))
    form = percent if measure.form == "percent" else (lambda value, _=None: measure.metric.short(value))
    axis.set_major_formatter(FuncFormatter(form))
    bar.ax.tick_params(labelsize="small", which="both")
    bar.ax.minorticks_off()


def _colours(measure: Measure) -> str:
    return MAP if measure.lower else MAP.removesuffix("_r")


@dataclass
class _Map:
    """One panel."""

    axes: Axes
    panel: Panel
    measure: Measure
    norm: Normalize

    def __post_init__(self) -> None:
        self.rows = self.panel.families[:MOST_ROWS]
        self.spans = [_spans(_rated(family, self.measure)) for _, family in self.rows]

    @property
    def edges(self) -> list[float]:
        """Where cells end on the axis of learning rates."""
        return [edge for row in self.spans for span in row for edge in span]

    def frame(self, swept: Swept, index: int, across: int, count: int) -> None:
        """Set axes, labels and the panel's title."""
        axes = self.axes
        axes.set_ylim(-0.5, len(self.rows) - 0.5)
        names = [wrapped(value_text(v), 0.9, "small", 2) for v, _ in self.rows]
        axes.set_yticks(range(len(self.rows)), names)
        axes.grid(visible=False)
        axes.tick_params(length=0, axis="y")
        axes.tick_params(labelbottom=True)
        axes.spines[["left", "bottom"]].set_visible(False)
        if index % across == 0 and swept.key:
            axes.set_ylabel(swept.words)
        if index + across >= count:
            axes.set_xlabel("peak learning rate")
        if self.panel.label:
            axes.set_title(wrapped(self.panel.label, 3.0, "small", 2), fontsize="small")

    def room_for_text(self, share: float) -> bool:
        """Whether values fit into cells, of whose height so much stays."""
        box, dpi = self.axes.get_window_extent(), self.axes.figure.dpi
        decades = math.log10(self.axes.get_xlim()[1] / self.axes.get_xlim()[0])
        narrowest = min(math.log10(b / a) for row in self.spans for a, b in row) / decades * box.width / dpi
        texts = [self.measure.metric.short(centre) for _, family in self.rows for point in family.points
                 if (centre := point.centre(self.measure)) is not None]  # fmt: skip
        tall = share * box.height / dpi / len(self.rows)
        return bool(texts) and max(width_of(text, "x-small") for text in texts) < 0.86 * narrowest and tall >= 0.32

    def fill(self, seen: dict[str, Artist], first: tuple[float, float], told: bool, *, ridge: bool) -> None:
        """Draw cells, the best ones outlined, their values if there is room, and the optima."""
        optima = []
        for row, ((_, family), spans) in enumerate(zip(self.rows, self.spans, strict=True)):
            best = family.best(self.measure)
            for point, span in zip(_rated(family, self.measure), spans, strict=True):
                self._cell(point, span, row, seen, told)
                if point is best:
                    self._outline(span, row, family.standing(self.measure) == first, seen)
            optima.append(self._optimum(family, best, row, seen, 0.26 if told else 0.0))
        known = [at for at in optima if at is not None]
        if ridge and len(known) > 1:
            line: Any = {"color": RIDGE, "linewidth": wide(1.4), "path_effects": _around()}
            self.axes.plot([lr for lr, _ in known], [row for _, row in known], zorder=5, **line)

    def _cell(self, point: Point, span: tuple[float, float], row: int, seen: dict[str, Artist], told: bool) -> None:
        centre = point.centre(self.measure)
        box: Any = {"xy": (span[0], row - 0.5), "width": span[1] - span[0], "height": 1.0}
        lost = point.lost(self.measure)
        if centre is None:
            hatch = "xxxx" if lost else "...." if point.pruned else ""
            look: Any = {"facecolor": LOST if lost else EMPTY, "edgecolor": "#777777", "linewidth": 0.0, "hatch": hatch}
            what = (
                "at least half of the seeds diverged or failed"
                if lost
                else "pruned"
                if point.pruned
                else "no value yet"
            )
            self.axes.add_patch(Rectangle(**box, **look))
            seen.setdefault(what, Patch(**look))
            return
        colour = mpl.colormaps[_colours(self.measure)](float(np.clip(self.norm(centre), 0, 1)))
        self.axes.add_patch(Rectangle(**box, facecolor=colour, edgecolor=RIDGE, linewidth=0.5))
        at = math.sqrt(span[0] * span[1])
        ink = "#000000" if np.dot(colour[:3], (0.2126, 0.7152, 0.0722)) > 0.42 else "#ffffff"
        if told:  # over the ridge, which passes behind it
            self.axes.text(at, row + 0.17, self.measure.metric.short(centre), ha="center", va="center", color=ink,
                           fontsize="x-small", zorder=6,
                           bbox={"facecolor": colour, "linewidth": 0, "pad": 0.6})  # fmt: skip
        if lost:
            mark: Any = {"linestyle": "none", "marker": "x", "markersize": large(4), "markeredgewidth": wide(1.2)}
            self.axes.plot(span[0] * (span[1] / span[0]) ** 0.12, row + 0.3, color=ink, zorder=4, **mark)
            seen.setdefault("some seeds diverged or failed", Line2D([], [], color="#444444", **mark))

    def _outline(self, span: tuple[float, float], row: int, overall: bool, seen: dict[str, Artist]) -> None:
        look: Any = {"fill": False, "edgecolor": "#000000", "linewidth": wide(1.8 if overall else 0.9)}
        look |= {"linestyle": "-" if overall else (0, (2, 1.5))}
        self.axes.add_patch(Rectangle((span[0], row - 0.5), span[1] - span[0], 1.0, zorder=4, clip_on=False, **look))
        seen.setdefault("best of all tried" if overall else "best of its row", Patch(**look))

    def _optimum(
        self, family: Family, best: Point | None, row: int, seen: dict[str, Artist], lower: float
    ) -> tuple[float, float] | None:
        """Draw the minimum of the row's curve with its interval, or where the best one is if that is unknown."""
        found, height = optimum(family, self.measure), row - lower
        around = _around()
        if isinstance(found, Optimum):
            low, high = min(self.edges), max(self.edges)
            self.axes.plot([max(found.low, low), min(found.high, high)], [height] * 2, color=RIDGE, zorder=6,
                           linewidth=wide(1.2), path_effects=around, solid_capstyle="butt")  # fmt: skip
            for out, at, mark in ((found.low < low, low, "<"), (found.high > high, high, ">")):
                if out:
                    self.axes.plot(at, height, mark, color=RIDGE, markersize=large(5), path_effects=around, zorder=6,
                                   clip_on=False)  # fmt: skip
            star: Any = {"marker": "*", "markersize": large(9), "markerfacecolor": RIDGE, "markeredgecolor": "#000000"}
            star |= {"markeredgewidth": wide(0.7), "linestyle": "none"}
            self.axes.plot(found.lr, height, zorder=7, **star)
            seen.setdefault(f"minimum of the row's curve, {CONFIDENCE:.0%} interval", Line2D([], [], **star))
            return found.lr, height
        if best is None or best.lr is None:
            return None
        edge = family.edge(self.measure)
        marker = {"highest": ">", "lowest": "<", "": "o"}[edge]
        look: Any = {"marker": marker, "markersize": large(5.5), "markerfacecolor": RIDGE, "linestyle": "none"}
        look |= {"markeredgecolor": "#000000", "markeredgewidth": wide(0.7)}
        self.axes.plot(best.lr, height, zorder=7, **look)
        what = "best, at an end of those tried" if edge else "best; the curve's minimum is not known"
        seen.setdefault(what, Line2D([], [], **{**look, "marker": ">" if edge else "o"}))
        return best.lr, height


def _around() -> list[Any]:
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=wide(2.6), foreground="#000000"), Normal()]


def _rated(family: Family, measure: Measure) -> list[Point]:
    return [point for point in family.by_rate(measure) if point.lr]


def _spans(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return where the cells of a row begin and end: half-way to their neighbours, on the log axis."""
    places = np.log10([point.rate for point in points])
    if len(places) < 2:
        return [(10 ** (place - 0.15), 10 ** (place + 0.15)) for place in places]
    gaps = np.diff(places)
    half = np.minimum(gaps, 1.5 * float(np.median(gaps))) / 2
    left, right = np.concatenate([half[:1], half]), np.concatenate([half, half[-1:]])
    return [(10 ** (p - a), 10 ** (p + b)) for p, a, b in zip(places.tolist(), left, right, strict=True)]
