"""The figure of one run: its losses, learning rate and gradient norm over the steps, one below the other."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.analysis import Group, Record
from lrbench.components import LOSS, Measure, in_words
from lrbench.errors import FolderError
from lrbench.reports.charted import Scale, drawable, scale_of
from lrbench.reports.figures.axes import above, log_scale, thousands, value_axis
from lrbench.reports.figures.finish import finish
from lrbench.reports.figures.sheet import SCREEN, Sheet
from lrbench.reports.figures.style import RATE, SOFT, TRAINING, VALIDATION, drawing, large, wide
from lrbench.reports.figures.text import heading, in_the_middle, legend
from lrbench.runs import read_thinned

BUCKETS = 400
"""Lines of steps keep the lowest and the highest value of so many parts of the run."""
NORM = "#009E73"


@drawing()
def draw(group: Group, measure: Measure, sheet: Sheet = SCREEN) -> Figure:
    """Draw the runs of one group; several seeds are drawn as one line each."""
    steps = [_steps(record) for record in group.records]
    norms = [(at["step"], at["grad_norm"]) for at in steps if np.isfinite(at.get("grad_norm", np.empty(0))).any()]
    metric = measure.metric if measure.metric != LOSS and _has(group, measure.metric.name) else None
    rows = ["loss", *(["metric"] if metric else []), "lr", *(["norm"] if norms else [])]
    width = sheet.across(8.0)
    tall = {"loss": 1.7, "metric": 1.2, "lr": 0.8, "norm": 0.9}
    scaled = 0.85 if sheet.narrow else 1.1
    body = sum(tall[row] for row in rows) * scaled + 0.6
    figure = Figure(figsize=(width, sheet.height or body), layout="constrained")
    top = heading(figure, sheet, group.label, _told(group))
    ratios = [tall[row] for row in rows]
    made = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=ratios)
    panels = dict(zip(rows, made.ravel(), strict=True))
    by_step = all(record.places("step") is not None for record in group.records)
    _losses(panels["loss"], group, steps, by_step)
    if metric is not None:
        _metric(panels["metric"], group, measure, by_step)
    _rates(panels["lr"], group, by_step)
    if norms:
        _norms(panels["norm"], norms)
    last = panels[rows[-1]]
    last.set_xlabel("step" if by_step else group.axis)
    last.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    last.xaxis.set_major_formatter(FuncFormatter(thousands))
    end = max((float(at[-1]) for record in group.records if (at := _places(record, group, by_step)) is not None and
               len(at)), default=1.0)  # fmt: skip
    last.set_xlim(0, max([end, *(float(at["step"][-1]) for at in steps if by_step and len(at["step"]))]) * 1.01)
    figure.align_ylabels(list(panels.values()))
    handles, labels = panels["loss"].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    legend(figure, list(known.values()), list(known))
    finish(figure, sheet, body + top, "figure of a run")
    return figure


def _told(group: Group) -> str:
    judged = group.verdict()
    seeds = f"{len(group.records)} seeds" if len(group.records) > 1 else ""
    status = group.status()
    return ", ".join(filter(None, [seeds, status if judged is None else judged.verdict.label]))


def _steps(record: Record) -> dict[str, np.ndarray]:
    """Return the columns that are drawn of a run's steps; empty ones if there are none."""
    with contextlib.suppress(FolderError, OSError):
        table = read_thinned(record.folder.steps.path, ("step", "loss", "grad_norm"))
        if "step" in table:
            return {name: np.asarray(column, float) for name, column in table.items()}
    return {"step": np.empty(0)}


def _places(record: Record, group: Group, by_step: bool) -> np.ndarray | None:
    return record.places("step" if by_step else group.axis)


def _has(group: Group, name: str) -> bool:
    return any(f"{split}_{name}" in record.epochs for record in group.records for split in ("train", "val"))


def thinned(at: np.ndarray, values: np.ndarray, buckets: int = BUCKETS) -> tuple[np.ndarray, np.ndarray]:
    """Keep the lowest and the highest of each part of a line, so that no spike is lost.

    >>> at, values = thinned(np.arange(6), np.array([0, 9, 1, 2, 8, 3]), 2)
    >>> at.tolist(), values.tolist()
    ([0, 1, 3, 4], [0, 9, 2, 8])
    """
    if len(at) <= 2 * buckets:
        return at, values
    kept: list[int] = []
    for part in np.array_split(np.arange(len(at)), buckets):
        kept += sorted({int(part[np.argmin(values[part])]), int(part[np.argmax(values[part])])})
    return at[kept], values[kept]


def _fine(at: np.ndarray, values: np.ndarray, *, log: bool) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(at) & np.isfinite(values) & ((values > 0) if log else True)
    return thinned(at[there], drawable(values[there]))


def _losses(axes: Axes, group: Group, steps: Sequence[dict[str, np.ndarray]], by_step: bool) -> None:
    """Draw the loss of every step, faintly, and training and validation loss of the evaluations."""
    from lrbench.components import measures

    loss = measures((LOSS,))["val_loss"]
    scale = scale_of([group], loss)
    value_axis(axes, scale, loss)
    axes.set_ylabel("loss")
    highest, drawn = [], 0
    for table in steps if by_step else ():
        if "loss" in table:
            at, values = _fine(table["step"], table["loss"], log=scale.log)
            axes.plot(at, values, color=TRAINING, alpha=0.35, linewidth=wide(0.6), label="loss of each step", zorder=1)
            highest.append(above(axes, at, values, scale.high, TRAINING))
            drawn += len(at)
    looks = (("train", TRAINING, (0, (4, 1.5)), "training"), ("val", VALIDATION, "-", "validation"))
    for record in group.records:
        places = _places(record, group, by_step)
        for split, colour, dash, text in looks if places is not None else ():
            at, values = _column(record, places, f"{split}_loss", scale.log)
            mark: Any = {"marker": "o", "markersize": large(4)} if len(at) == 1 else {}
            axes.plot(at, values, color=colour, linestyle=dash, linewidth=wide(1.5), label=text, zorder=3, **mark)
            highest.append(above(axes, at, values, scale.high, colour))
            drawn += len(at)
    if not drawn:
        in_the_middle(axes, group.status(), fontsize="small")
    cut_off = [value for value in highest if value is not None]
    if cut_off:
        axes.text(1, 1.02, f"▲ beyond the axis, up to {loss.text(max(cut_off))}", transform=axes.transAxes,
                  fontsize="x-small", color=SOFT, ha="right", va="bottom")  # fmt: skip


def _column(record: Record, places: np.ndarray | None, name: str, log: bool) -> tuple[np.ndarray, np.ndarray]:
    if places is None or name not in record.epochs:
        return np.empty(0), np.empty(0)
    return _fine(np.asarray(places, float), record.epochs[name].astype(float), log=log)


def _metric(axes: Axes, group: Group, measure: Measure, by_step: bool) -> None:
    scale: Scale = scale_of([group], measure)
    value_axis(axes, scale, measure)
    axes.set_ylabel(in_words(measure.metric.name))
    for record in group.records:
        places = _places(record, group, by_step)
        for split, colour, dash in (("train", TRAINING, (0, (4, 1.5))), ("val", VALIDATION, "-")):
            at, values = _column(record, places, f"{split}_{measure.metric.name}", scale.log)
            axes.plot(at, values, color=colour, linestyle=dash, linewidth=wide(1.5))


def _rates(axes: Axes, group: Group, by_step: bool) -> None:
    axes.set_ylabel("learning rate")
    top = 0.0
    for record in group.records:
        at, lr = record.rates() if by_step else group.rates()
        at, lr = _fine(at, lr, log=False)
        axes.plot(at, lr, color=RATE, linewidth=wide(1.3))
        top = max([top, *lr.tolist()])
    if top:
        axes.set_ylim(0, 1.12 * top)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    else:
        axes.set_yticks([])
        in_the_middle(axes, "not recorded", fontsize="small")


def _norms(axes: Axes, norms: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    axes.set_ylabel("gradient norm")
    drawn = [_fine(at, values, log=True) for at, values in norms]
    values = np.concatenate([found for _, found in drawn])
    for at, found in drawn:
        axes.plot(at, found, color=NORM, linewidth=wide(0.8))
    if len(values):
        log_scale(axes.yaxis, float(values.min()) / 1.2, float(values.max()) * 1.2, "{:.3g}".format)
