"""Curves over the seeds: the median at each place, between the lowest and the highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrbench.analysis.evaluations import Axis
from lrbench.analysis.records import Record


class Band(NamedTuple):
    """A column of `epochs.csv` over the seeds: median, minimum and maximum at each place, all of one length."""

    places: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def where(self, wanted: np.ndarray) -> Band:
        """Keep the places for which `wanted` is true."""
        return Band(*(part[wanted] for part in self))


def band_of(records: Sequence[Record], column: str, axis: Axis) -> Band:
    """Return a column of `epochs.csv` over the runs, without places on the axis for which no run has a number."""
    told = [(r.places(axis), r.epochs[column]) for r in records if len(r.epochs) and column in r.epochs]
    parts = [np.column_stack([at, values]) for at, values in told if at is not None]
    if parts and _alike(parts):  # as the runs of most groups
        return Band(parts[0][:, 0], *_middle_and_ends(np.sort([part[:, 1] for part in parts], axis=0)))
    whole = np.concatenate([np.empty((0, 2)), *parts])
    whole = whole[~np.isnan(whole).any(axis=1)]
    places, which = np.unique(whole[:, 0], return_inverse=True)
    if not len(places):
        return Band(*[np.empty(0)] * 4)
    order = np.lexsort((whole[:, 1], which))
    values, starts = whole[order, 1], np.searchsorted(which[order], np.arange(len(places) + 1))
    low, high = values[starts[:-1]], values[starts[1:] - 1]
    counts = np.diff(starts)
    one, other = values[starts[:-1] + (counts - 1) // 2], values[starts[:-1] + counts // 2]
    return Band(places, _between(one, other), low, high)


def _alike(parts: Sequence[np.ndarray]) -> bool:
    """Whether all have the same places, in ascending order, and a value at each."""
    first = parts[0][:, 0]
    return (
        bool(np.all(first[1:] > first[:-1]))
        and all(np.array_equal(part[:, 0], first) for part in parts)
        and not any(np.isnan(part).any() for part in parts)
    )


def _middle_and_ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return median, minimum and maximum of values that ascend along the first axis."""
    return _between(values[(len(values) - 1) // 2], values[len(values) // 2]), values[0], values[-1]


def _between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(one == other, one, one / 2 + other / 2)  # a sum may overflow
    return found
