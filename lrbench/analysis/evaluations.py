"""Evaluations of a run: the rows of `epochs.csv`, and where they are on each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lrbench.components import epoch_columns
from lrbench.runs import Columns, RunFolder, read_csv

if TYPE_CHECKING:
    import pandas as pd

Axis = Literal["epoch", "step", "evaluation"]
"""What curves are drawn over."""
MOST_STEPS = 2**53  # what a float counts exactly
_PLACES = ("epoch", "step", "lr")


def no_evaluations() -> pd.DataFrame:
    """Return the table of a run without evaluations."""
    import pandas as pd

    return pd.DataFrame(columns=list(epoch_columns(())))


def read_evaluations(folder: RunFolder, *, foreign: bool) -> pd.DataFrame:
    """Read the rows of `epochs.csv` that have an epoch, a step and a learning rate.

    Of a run of another program, read all that have a value, and columns that are missing as unknown.

    Raises FolderError, ValueError.
    """
    return usable(read_csv(folder.epochs.path), folder, foreign=foreign)


def usable(found: Columns, folder: RunFolder, *, foreign: bool) -> pd.DataFrame:
    """Return the rows that `read_evaluations` keeps of the columns in the folder's `epochs.csv`. Raises ValueError."""
    import pandas as pd

    found = dict(found)
    if not found:
        return no_evaluations()
    wanted = epoch_columns(())
    missing = [name for name in wanted if name not in found]
    if foreign:
        found |= {name: np.full(len(next(iter(found.values()))), np.nan) for name in missing}
        kept = ~np.isnan(np.array(list(found.values()))).all(axis=0)
    elif missing:
        raise ValueError(f"{folder.epochs.path} lacks the columns {', '.join(sorted(missing))}")
    else:
        kept = ~np.isnan(np.array([found[name] for name in _PLACES])).any(axis=0)
    columns = {name: values[kept] for name, values in found.items()}
    for name in ("epoch", "step"):
        if (wrong := np.abs(columns[name]) > MOST_STEPS).any():
            raise ValueError(f"{folder.epochs.path}: impossible {name} {columns[name][wrong][0]:g}")
        if (columns[name] == np.floor(columns[name])).all():
            columns[name] = columns[name].astype(int)
    return pd.DataFrame(columns)


def places(table: pd.DataFrame, axis: Axis) -> np.ndarray | None:
    """Return where evaluations are on an axis; None if that is unknown of one, or they do not go forward."""
    if axis == "evaluation":
        return np.arange(1.0, len(table) + 1)
    found: np.ndarray = table[axis].to_numpy(float)
    forward = len(found) and not np.isnan(found).any() and found[-1] > 0 and (np.diff(found) >= 0).all()
    return found if forward or not len(found) else None
