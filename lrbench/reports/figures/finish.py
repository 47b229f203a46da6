"""The last step of a figure: its size, its layout, and labels that fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from lrbench.errors import UsageError, option
from lrbench.reports.figures.axes import thin_out
from lrbench.reports.figures.sheet import Sheet
from lrbench.reports.figures.text import End, label_ends, legend_height, width_of, wrapped

LEAST_WIDTH, LEAST_HEIGHT = 0.3, 0.1
"""Inches below which a panel shows nothing."""

SURE = 0.35  # of the width or height of a panel, with its labels of ticks, that its axes surely have


def finish(
    figure: Figure, sheet: Sheet, body: float, kind: str, axes: Axes | None = None, ends: Sequence[End] = ()
) -> Figure:
    """Give a figure in constrained layout its size and its layout, which stays.

    Args:
        figure: the figure, with its legends.
        sheet: what it is drawn on.
        body: the height of all but the legends, in inches, unless the sheet has a height.
        kind: what to call it.
        axes: where lines end that are labelled beside their ends.
        ends: these labels.

    Raises UsageError if the panels have no room.
    """
    width = figure.get_figwidth()
    figure.set_size_inches(width, sheet.height or body + legend_height(figure))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit_labels(figure)
        figure.draw_without_rendering()
        fewer = thin_out(figure)  # which may change how wide labels are
        if axes is not None and ends:
            label_ends(figure, axes, ends)
        elif fewer:
            figure.draw_without_rendering()
    figure.set_layout_engine("none")
    if any("collapsed" in str(one.message) for one in caught) or any(map(_too_small, figure.axes)):
        height = f" {option('--height')} {sheet.height:.3g}in" if sheet.height else ""
        size = f"{option('--width')} {width:.3g}in{height}"
        raise UsageError(f"this {kind} has no room at {size}: make it larger, or select fewer runs")
    return figure


def _fit_labels(figure: Figure) -> None:
    """Wrap the labels of axes that are longer than these: the layout would make the axes smaller for them."""
    engine = figure.get_layout_engine()
    pairs = [
        (axes, label)
        for axes in figure.axes
        for label in (axes.xaxis.label, axes.yaxis.label)
        if label.get_text() and not _short(figure, axes, label)
    ]
    if engine is None or not pairs:
        return
    for _, label in pairs:
        label.set_in_layout(False)
    for _ in range(2):  # the first one does not know yet what stands above and below the axes
        engine.execute(figure)
    for axes, label in pairs:
        box = axes.get_window_extent()
        room = (box.width if label is axes.xaxis.label else box.height) / figure.dpi
        if room > LEAST_WIDTH:
            label.set_text(wrapped(label.get_text(), room, label.get_fontsize()))
        label.set_in_layout(True)


def _short(figure: Figure, axes: Axes, label: Text) -> bool:
    """Whether a label surely fits: laying the figure out to know takes as long as drawing it."""
    spec = axes.get_subplotspec()
    if spec is None:
        return False
    rows, columns = spec.get_gridspec().get_geometry()
    width, height = figure.get_figwidth() / columns, figure.get_figheight() / rows
    room = SURE * (width if label is axes.xaxis.label else height)
    return width_of(label.get_text(), label.get_fontsize()) <= room


def _too_small(axes: Axes) -> bool:
    box, dpi = axes.get_window_extent(), axes.figure.dpi
    if axes.get_label() == "<colorbar>":
        return False
    return bool(box.width < LEAST_WIDTH * dpi or box.height < LEAST_HEIGHT * dpi)
