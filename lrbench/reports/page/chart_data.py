"""The data of a page's charts of curves, thinned so that the page stays small."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lrbench.analysis import Band, Group, measures_of, once, task_of
from lrbench.components import Measure, in_words
from lrbench.errors import FolderError
from lrbench.reports.charted import by_task, evenly, loss_limits
from lrbench.reports.headline import charted_metrics
from lrbench.runs import read_thinned

SPLITS = {"train": ("train_loss",), "val": ("val_loss",), "both": ("train_loss", "val_loss")}
MOST_PLACES, LEAST_PLACES = 250, 24
MOST_VALUES = 900_000
"""Of all curves together; more groups have fewer places each."""
MOST_RATES = 250
MANY = 200
"""With more groups, learning rates are drawn in less detail."""


def id_of(group: Group) -> str:
    """Return what names a group in the page's data and addresses; it stays the same while runs are added."""
    return hashlib.sha256(f"{group.first.group} {group.part}".encode(errors="replace")).hexdigest()[:10]


def charted(groups: Sequence[Group]) -> dict[str, Any]:
    """Collect all that the charts of curves draw, as plain numbers and lists.

    Returns:
        `axis`, what curves are drawn over; the `metrics` with direction and format, and their `words`; `limits` of
        training, validation and both losses, by task; `thinned`, the most places of a curve, or None if all are there;
        and for each of the `groups` its id, label, `task`, and of every metric's column in `epochs.csv` the `x`,
        `median`, `low` and `high` (`low` and `high` only for several seeds), and the learning `rate` of its first run.
    """
    metrics = charted_metrics(groups)
    columns = {id(group): _columns(group) for group in groups}
    total = sum(len(found) * (3 if len(group.records) > 1 else 1) for group in groups for found in [columns[id(group)]])
    most = min(MOST_PLACES, max(LEAST_PLACES, MOST_VALUES // max(total, 1)))
    bands = {id(group): {one.name: group.curve(one.name) for one in columns[id(group)]} for group in groups}
    thinned = any(len(band.places) > most for found in bands.values() for band in found.values())
    closely = len(groups) <= MANY
    return {
        "axis": groups[0].axis if groups else "epoch",
        "metrics": {name: metric.plain() for name, metric in metrics.items()},
        "words": {name: in_words(name) for name in metrics},
        "limits": {task: _limits(members) for task, members in by_task(groups).items()},
        "thinned": most if thinned else None,
        "groups": [_group(group, bands[id(group)], most, closely=closely) for group in groups],
    }


def _columns(group: Group) -> list[Measure]:
    return [one for one in measures_of(group.records).values() if one.per_epoch]


def _limits(groups: Sequence[Group]) -> dict[str, list[float | None]]:
    return {key: numbers(loss_limits(groups, columns)) for key, columns in SPLITS.items()}


def _group(group: Group, bands: dict[str, Band], most: int, *, closely: bool) -> dict[str, Any]:
    return {
        "id": id_of(group),
        "label": group.label,
        "short": group.short,
        "task": task_of(group),
        "seeds": len(group.records),
        "rate": _rate(group, closely=closely),
        **{column: _drawn(group, column, band, most) for column, band in bands.items() if len(band.places)},
    }


def _drawn(group: Group, column: str, band: Band, most: int) -> dict[str, list[float | None]]:
    return once(group.records, ("drawn", column, group.axis, most), lambda: _band(group, band, most))


def _band(group: Group, band: Band, most: int) -> dict[str, list[float | None]]:
    if len(band.places) > most:
        band = band.where(kept(band.median, most))
    drawn = {"x": numbers(band.places), "median": numbers(band.median)}
    if len(group.records) > 1:
        drawn |= {"low": numbers(band.low), "high": numbers(band.high)}
    return drawn


def kept(values: np.ndarray, most: int) -> np.ndarray:
    """Return the indices of at most `most` values: the first, the last, and the lowest and highest of each stretch.

    >>> kept(np.array([0.0, 5, 1, 1, 1, -3, 1, 1]), 6).tolist()
    [0, 1, 2, 5, 7]
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(1, len(values) - 1, max((most - 2) // 2, 1) + 1).round().astype(int)
    found = {0, len(values) - 1}
    for start, end in itertools.pairwise(edges.tolist()):
        if end > start:
            stretch = np.nan_to_num(values[start:end])
            found |= {int(start + stretch.argmin()), int(start + stretch.argmax())}
    return np.array(sorted(found))


def _rate(group: Group, *, closely: bool) -> dict[str, list[float | None]]:
    """Return the learning rate, reduced without losing a jump.

    If not `closely`, only at evaluations: a thousand `steps.csv` take long to read. That of a run under way grows.
    """
    if not group.first.status.over:
        return _reduced(group, closely=closely)
    return once([group.first], ("rate", group.axis, closely), lambda: _reduced(group, closely=closely))


def _reduced(group: Group, *, closely: bool) -> dict[str, list[float | None]]:
    places, rates = group.rates(closely=closely)
    if not len(rates):
        return {"x": [], "y": []}
    inner = np.flatnonzero((rates[1:-1] != rates[:-2]) | (rates[1:-1] != rates[2:])) + 1  # both sides of each change
    corners = np.concatenate([[0], inner, [len(rates) - 1]]) if len(rates) > 1 else np.array([0])
    if len(corners) > MOST_RATES:
        corners = corners[evenly(len(corners), MOST_RATES)]
    return {"x": numbers(places[corners]), "y": numbers(rates[corners])}


def gradient_norm(group: Group) -> dict[str, list[float | None]]:
    """Return the gradient norm of the first run's steps, thinned; empty if it was not recorded."""
    try:
        table = read_thinned(group.first.folder.steps.path, ("step", "grad_norm"))
    except FolderError:
        table = {}
    if not {"step", "grad_norm"} <= set(table):
        return {"x": [], "y": []}
    steps, norms = (np.asarray(table[name], float) for name in ("step", "grad_norm"))
    known = np.isfinite(steps) & np.isfinite(norms)
    steps, norms = steps[known], norms[known]
    at = kept(norms, 2 * MOST_PLACES)
    places, axis = steps[at], group.first.places(group.axis)
    there = group.first.places("step")
    if group.axis != "step" and axis is not None and there is not None and len(there):
        places = np.interp(places, np.append(0, there), np.append(0, axis))
    return {"x": numbers(places), "y": numbers(norms[at])}


def numbers(values: Iterable[float] | np.ndarray) -> list[float | None]:
    """Round values for a chart."""
    return [number(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]


def number(value: float) -> float | None:
    """Round to five digits, more than any chart shows; None if it is not finite."""
    rounded = float(f"{value:.5g}")
    if rounded.is_integer():
        return int(rounded) if abs(rounded) < 1e6 else rounded
    return rounded if math.isfinite(rounded) else None
