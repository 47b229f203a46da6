"""The data of a page's charts, reduced so that the page stays small."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lrbench.analysis import Group, measures_of, task_of
from lrbench.components import in_words
from lrbench.reports.figures.curves import by_task, evenly, loss_limits, picked_out
from lrbench.reports.headline import charted_metrics

LOSSES = {"train": ("train_loss",), "val": ("val_loss",), "both": ("train_loss", "val_loss")}
MOST_PLACES, MOST_RATES = 250, 250
MANY = 200
"""With more groups, learning rates are drawn in less detail."""


def charted(groups: Sequence[Group], always: Group | None = None) -> dict[str, Any]:
    """Collect all that the charts of a page draw, as plain numbers and lists.

    Returns:
        `axis`, what curves are drawn over; `limits` of training, validation and both losses, and of both for each of
        the `tasks`; indices of the groups `picked` for the overlay; the `metrics` with direction and format, and their
        `words`; and for each of the `groups` its label, `task`, `x`, `median`, `low` and `high` of every metric's
        column in `epochs.csv` (`low` and `high` only for several seeds), and the learning `rate` of its first run.
    """
    metrics = charted_metrics(groups)
    return {
        "axis": groups[0].axis,
        "limits": {key: _numbers(loss_limits(groups, columns)) for key, columns in LOSSES.items()},
        "tasks": {name: _numbers(loss_limits(members)) for name, members in by_task(groups).items()},
        "picked": picked_out(groups, always),
        "metrics": {name: metric.plain() for name, metric in metrics.items()},
        "words": {name: in_words(name) for name in metrics},
        "groups": [_group(group, closely=len(groups) <= MANY) for group in groups],
    }


def _group(group: Group, *, closely: bool) -> dict[str, Any]:
    columns = [one.name for one in measures_of(group.records).values() if one.per_epoch]
    return {
        "label": group.label,
        "task": task_of(group),
        "seeds": len(group.records),
        "rate": _rate(group, closely=closely),
        **{column: _band(group, column) for column in columns},
    }


def _band(group: Group, column: str) -> dict[str, list[float | None]]:
    band = group.curve(column)
    if len(band.places) > MOST_PLACES:
        band = band.where(evenly(len(band.places), MOST_PLACES))
    drawn = {"x": _numbers(band.places), "median": _numbers(band.median)}
    if len(group.records) > 1:
        drawn |= {"low": _numbers(band.low), "high": _numbers(band.high)}
    return drawn


def _rate(group: Group, *, closely: bool) -> dict[str, list[float | None]]:
    """Return the learning rate, reduced without losing a jump.

    If not `closely`, only at evaluations: a thousand `steps.csv` take long to read.
    """
    places, rates = group.rates(closely=closely)
    if not len(rates):
        return {"x": [], "y": []}
    inner = np.flatnonzero((rates[1:-1] != rates[:-2]) | (rates[1:-1] != rates[2:])) + 1  # both sides of each change
    corners = np.concatenate([[0], inner, [len(rates) - 1]]) if len(rates) > 1 else np.array([0])
    if len(corners) > MOST_RATES:
        corners = corners[evenly(len(corners), MOST_RATES)]
    return {"x": _numbers(places[corners]), "y": _numbers(rates[corners])}


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """Round to five digits, more than any chart shows."""
    rounded = float(f"{value:.5g}")
    if not math.isfinite(rounded):
        return None
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded
