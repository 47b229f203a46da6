"""Log scales with readable labels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

# With more than this many decades, these digits of each are labelled; with fewer, evenly spaced values.
_TICKS = ((2.7, (1.0,)), (1.6, (1.0, 3.0)), (0.9, (1.0, 2.0, 5.0)), (0.35, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))


LARGEST = 1e200
"""Beyond this, matplotlib's own arithmetic overflows; and beyond its inverse on a log scale."""


def drawable(values: npt.ArrayLike) -> np.ndarray:
    """Return values, with the largest that can be drawn in place of larger ones."""
    return np.asarray(values, float).clip(-LARGEST, LARGEST)


def log_scale(axis: XAxis | YAxis, low: float, high: float, form: Callable[[float], str]) -> None:
    """Set a log scale from `low` to `high`, both above 0, with a handful of labels for any length."""
    axes: Axes = axis.axes
    across = isinstance(axis, XAxis)
    limits, scale = (axes.set_xlim, axes.set_xscale) if across else (axes.set_ylim, axes.set_yscale)
    low, high = (min(max(end, 1 / LARGEST), LARGEST) for end in (low, high))
    low, high = (low, high) if low < high else (low / 1.1, high * 1.1)
    limits(low, high)  # first, since the log scale would look for its own limits, which fails for equal values
    scale("log")
    decades = math.log10(high) - math.log10(low)
    digits = next((digits for least, digits in _TICKS if decades > least), None)
    axis.set_major_locator(MaxNLocator(nbins=6) if digits is None else LogLocator(subs=digits, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
