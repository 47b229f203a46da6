"""Evaluations of a run: the rows of `epochs.csv`, and where they are on each axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrbench.components import epoch_columns
from lrbench.runs import Columns, RunFolder, read_csv

Axis = Literal["epoch", "step", "evaluation"]
"""What curves are drawn over."""
MOST_STEPS = 2**53  # what a float counts exactly
_PLACES = ("epoch", "step", "lr")


def _no_columns() -> dict[str, NDArray[Any]]:
    return {name: np.empty(0) for name in epoch_columns(())}


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The rows of `epochs.csv`. NaN is an unknown value.

    A data frame would take longer to make than the file takes to read.

    Attributes:
        columns: each (rows,), whole numbers for `epoch` and `step` where all are.
    """

    columns: dict[str, NDArray[Any]] = field(default_factory=_no_columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def measured(self, name: str) -> NDArray[np.bool_]:
        """Return which rows have a value, (rows,); none without the column."""
        values = self.columns.get(name)
        return np.zeros(len(self), dtype=bool) if values is None else ~np.isnan(values)

    def known(self, name: str) -> NDArray[Any]:
        """Return the values of a column that are known; none without the column."""
        return self.columns[name][self.measured(name)] if name in self.columns else np.empty(0)

    def where(self, rows: NDArray[np.bool_] | slice) -> Evaluations:
        """Return some of the rows."""
        return Evaluations({name: values[rows] for name, values in self.columns.items()})


def read_evaluations(folder: RunFolder, *, foreign: bool) -> Evaluations:
    """Read the rows of `epochs.csv` that have an epoch, a step and a learning rate.

    Of a run of another program, read all that have a value, and columns that are missing as unknown.

    Raises FolderError, ValueError.
    """
    return usable(read_csv(folder.epochs.path), folder, foreign=foreign)


def usable(found: Columns, folder: RunFolder, *, foreign: bool) -> Evaluations:
    """Return the rows that `read_evaluations` keeps of the columns in the folder's `epochs.csv`. Raises ValueError."""
    found = dict(found)
    if not found:
        return Evaluations()
    wanted = epoch_columns(())
    missing = [name for name in wanted if name not in found]
    if foreign:
        found |= {name: np.full(len(next(iter(found.values()))), np.nan) for name in missing}
        kept = ~np.isnan(np.array(list(found.values()))).all(axis=0)
    elif missing:
        raise ValueError(f"{folder.epochs.path} lacks the columns {', '.join(sorted(missing))}")
    else:
        kept = ~np.isnan(np.array([found[name] for name in _PLACES])).any(axis=0)
    columns: dict[str, NDArray[Any]] = {name: values[kept] for name, values in found.items()}
    for name in ("epoch", "step"):
        if (wrong := np.abs(columns[name]) > MOST_STEPS).any():
            raise ValueError(f"{folder.epochs.path}: impossible {name} {columns[name][wrong][0]:g}")
    return Evaluations(counted(columns))


def counted(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return columns with whole numbers for `epoch` and `step`, where all of their values are."""
    return {
        name: values.astype(int) if name in ("epoch", "step") and _all_whole(values) else values
        for name, values in columns.items()
    }


def _all_whole(values: NDArray[Any]) -> bool:
    return len(values) > 0 and bool((values == np.floor(values)).all())


def places(table: Evaluations, axis: Axis) -> np.ndarray | None:
    """Return where evaluations are on an axis; None if that is unknown of one, or they do not go forward."""
    if axis == "evaluation":
        return np.arange(1.0, len(table) + 1)
    found = table[axis].astype(float)
    forward = len(found) and not np.isnan(found).any() and found[-1] > 0 and (np.diff(found) >= 0).all()
    return found if forward or not len(found) else None
