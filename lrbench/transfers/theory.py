"""What theory and earlier measurements say of the exponents of the best learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lrbench.config import SizeKind, size_kind


class Theory(NamedTuple):
    """An exponent, its name and its source."""

    name: str
    exponent: float
    source: str = ""


LEVEL = Theory("no change", 0.0)

THEORIES: Mapping[SizeKind, tuple[Theory, ...]] = {
    "batch": (
        Theory("linear", 1.0, "Goyal et al. 2017, for SGD"),
        Theory("square root", 0.5, "Krizhevsky 2014; Malladi et al. 2022, for Adam"),
        LEVEL,
    ),
    "length": (
        LEVEL,
        Theory("length to the power −0.32", -0.32, "Bjorck et al. 2024, measured on language models"),
        Theory("1/√length", -0.5, "Nemirovski et al. 2009, constant steps on convex losses"),
    ),
    "data": (
        LEVEL,
        Theory("data to the power −0.32", -0.32, "Bjorck et al. 2024, measured on language models"),
        Theory("1/√data", -0.5, "Nemirovski et al. 2009, one pass on convex losses"),
    ),
    "width": (
        Theory("no change", 0.0, "Yang et al. 2022, with μP"),
        Theory("1/width", -1.0, "Yang et al. 2022, hidden layers with Adam without μP"),
    ),
    "depth": (LEVEL, Theory("1/√depth", -0.5, "Yang et al. 2023, residual networks")),
    "other": (LEVEL,),
}


def agreement(name: str, low: float, high: float) -> str:
    """Compare the interval of an exponent with what theory says of a size.

    >>> agreement("batch_size", 0.41, 0.62)
    'agrees with square root (0.5), not with linear (1) or no change (0)'
    >>> agreement("batch_size", 0.3, 1.2)
    'undecided between linear (1) and square root (0.5); not no change (0)'
    >>> agreement("model.width", -0.8, -0.2)
    'agrees with none of no change (0), 1/width (-1)'
    """
    known = THEORIES[size_kind(name)]
    fitting = [f"{one.name} ({one.exponent:g})" for one in known if low <= one.exponent <= high]
    others = [f"{one.name} ({one.exponent:g})" for one in known if not low <= one.exponent <= high]
    if not fitting:
        return f"agrees with none of {', '.join(others)}" if len(others) > 1 else f"is not {others[0]}"
    if len(fitting) == 1:
        return f"agrees with {fitting[0]}" + (f", not with {' or '.join(others)}" if others else "")
    between = f"undecided between {', '.join(fitting[:-1])} and {fitting[-1]}"
    return between + (f"; not {' or '.join(others)}" if others else "")
