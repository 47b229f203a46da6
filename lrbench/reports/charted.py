"""Which curves are drawn, on which scale, and what is written above them: the same in figures and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lrbench.analysis import Band, Group, cut, measures_of, task_of
from lrbench.components import LOSS, Measure, in_words
from lrbench.reports.headline import headline

MOST_LINES = 12
"""More lines can't be told apart, so of more groups some are picked and the others are grey."""
PICKED = 7


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


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups by task: losses of different tasks share no axis."""
    return {task: [one for one in groups if task_of(one) == task] for task in dict.fromkeys(map(task_of, groups))}


def curved(groups: Sequence[Group], metric: str | None) -> Measure:
    """Return the measure to draw the curves of: the one named, if evaluations have it, else that of its metric."""
    known = measures_of(record for group in groups for record in group.records)
    chosen = known.get(metric or "")
    if chosen is None:
        return headline(groups)
    if chosen.per_epoch:
        return chosen
    return known.get(f"val_{chosen.metric.name}") or headline(groups)


LARGEST = 1e200
"""Beyond this, matplotlib's own arithmetic overflows; and beyond its inverse on a log scale."""


class Scale(NamedTuple):
    """The limits of an axis, and whether it is logarithmic."""

    low: float
    high: float
    log: bool


def drawable(values: npt.ArrayLike) -> np.ndarray:
    """Return values, with the largest that can be drawn in place of larger ones."""
    return np.asarray(values, float).clip(-LARGEST, LARGEST)


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
    # One huge first epoch (in the thousands for a learning rate of 0.5) would flatten everything else; figures say
    # what they cut off.
    high = min(high, max(2 * np.quantile(values, 0.95), 4 * low))
    return float(low / 1.25), float(high * 1.4)


def scale_of(groups: Sequence[Group], measure: Measure, splits: Sequence[str] = ("train", "val")) -> Scale:
    """Return the scale that curves of a metric share: that of losses, or a linear one if more is better."""
    columns = [f"{split}_{measure.metric.name}" for split in splits]
    if measure.lower and measure.form != "percent":
        low, high = loss_limits(groups, columns)
        bands = np.concatenate([np.empty(0), *(group.curve(column).low for group in groups for column in columns)])
        bands = drawable(bands[np.isfinite(bands) & ((bands > 0) | (low <= 0))])
        if len(bands):  # the best seed of a band, unless it is far below all medians
            low = min(low, max(float(bands.min()) / 1.1, low / 3 if low > 0 else low - (high - low) / 3))
        return Scale(low, high, low > 0)
    values = np.concatenate([np.empty(0), *(group.curve(column).median for group in groups for column in columns)])
    values = drawable(values[np.isfinite(values)])
    if not len(values):
        return Scale(0.0, 1.0, log=False)
    room = 0.06 * max(values.max() - values.min(), 0.01 * abs(values.max()), 1e-9)
    return Scale(float(values.min() - room), float(values.max() + room), log=False)


def drawable_curve(group: Group, column: str, scale: Scale) -> Band:
    """Return a curve without values of 0 if the axis is logarithmic."""
    curve = group.curve(column)
    return curve.where(curve.low > 0) if scale.log else curve


def value_of(group: Group, measure: Measure) -> str:
    """`: 0.0286`, or what became of the runs, to follow a label."""
    spread = group.spread(measure.name)
    return f": {measure.text(spread.centre)}" if spread else f" ({group.status()})"


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
