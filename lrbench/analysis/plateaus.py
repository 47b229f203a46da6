"""Seeds that ended on a plateau: far worse than the others of their arm, as if they were of another distribution.

The mean of such a mixture says little, and a t interval of it covers the true mean too rarely: of an arm in which one
seed in ten is stuck, three seeds mostly show none. So they are counted apart, like seeds that diverged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

LEAST = 3  # seeds
SHARE = 3  # a third of the seeds at most; more are no exceptions
APART = math.log(3)
"""How far on a plateau the best seed must be from the worst other, as a logarithm: three times its loss."""
RANGES = {2: 12.0, 3: 6.0}
MANY_RANGES = 4.0
"""The same in ranges of the others, by their number; of two or three, the range may be small by chance."""

Seed = TypeVar("Seed")


def on_plateau(values: Mapping[Seed, float], *, lower: bool = True) -> frozenset[Seed]:
    """Return the seeds that ended on a plateau; none unless all values are above 0.

    They are a third of the seeds at most, and the gap to the others is a factor of three at least, and several times
    the range of the others. Of a metric of which more is better, up to 1, the errors are compared.

    >>> sorted(on_plateau({0: 0.030, 1: 0.031, 2: 2.3, 3: 0.029}))
    [2]
    >>> on_plateau({0: 0.030, 1: 0.031, 2: 0.06, 3: 0.029})
    frozenset()
    """
    costs = {seed: value if lower else 1 - value for seed, value in values.items()}
    if len(costs) < LEAST or min(costs.values()) <= 0:
        return frozenset()
    order = sorted(costs, key=lambda seed: costs[seed])
    logs = [math.log(costs[seed]) for seed in order]
    for first in range(len(order) - len(order) // SHARE, len(order)):
        gap = logs[first] - logs[first - 1]
        if gap >= APART and gap >= RANGES.get(first, MANY_RANGES) * (logs[first - 1] - logs[0]):
            return frozenset(order[first:])
    return frozenset()
