"""A verdict, and how its parts are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Label = Literal[
    "diverged",
    "stuck, rate too large",
    "stuck, rate too small",
    "nothing to learn",
    "oscillating",
    "overfitting",
    "past its best",
    "decayed too early",
    "too slow",
    "rate too small",
    "rate too large",
    "converged",
    "undecided",
    "too short to tell",
]


@dataclass(frozen=True)
class Verdict:
    """What a run's curves show, the numbers behind it, and what to try next.

    `factor` is what the advice multiplies the learning rate by; None if it leaves the learning rate as it is.
    """

    label: Label
    evidence: str
    advice: str = ""
    factor: float | None = None


def tried(factor: float, lr: float) -> str:
    """Return advice: `try 10 times smaller, 0.01`; without the number if the learning rate is unknown.

    >>> tried(3, 0.1), tried(0.1, math.nan)
    ('try 3 times larger, 0.3', 'try 10 times smaller')
    """
    words = f"{factor:.0f} times larger" if factor > 1 else f"{1 / factor:.0f} times smaller"
    lr *= factor
    return f"try {words}, {lr:.2g}" if math.isfinite(lr) else f"try {words}"


def last(count: int, unit: str) -> str:
    """`epoch` or `3 epochs`."""
    return unit if count == 1 else f"{count} {unit}s"


def number(value: float) -> str:
    """Format with four significant digits."""
    return f"{value:.4g}"
