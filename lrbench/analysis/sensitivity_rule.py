"""How a result depends on the learning rate: the best rate, whether it is at an end, and which are nearly as good.

Everything is about costs, a number for each rate from the lowest to the highest, less being better: a loss, or an
accuracy with its sign turned. A rate without a result, or at which training diverged, costs infinitely much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

EPSILON = 0.1
"""The part of the best loss by which others may be worse and still count as near it."""

Edge = Literal["", "lowest", "highest"]


def best(costs: Sequence[float]) -> int | None:
    """Where the lowest cost is, the first of equal ones; None where none is finite.

    >>> best([0.3, 0.1, math.inf])
    1
    """
    known = [at for at, cost in enumerate(costs) if math.isfinite(cost)]
    return min(known, key=lambda at: costs[at], default=None)


def edge(costs: Sequence[float]) -> Edge:
    """At which end the best rate lies, if it does. Of a single rate nothing is said.

    A rate that diverged is a neighbour too: it was tried, so that the best one beside it is at no end.

    >>> edge([0.3, 0.2, 0.1]), edge([0.3, 0.1, math.inf])
    ('highest', '')
    """
    at = best(costs)
    if at is None or len(costs) < 2 or 0 < at < len(costs) - 1:
        return ""
    return "highest" if at else "lowest"


def near(costs: Sequence[float], margin: float) -> tuple[int, int] | None:
    """The first and the last place, without a gap around the best one, that cost at most `margin` more than it.

    >>> near([0.104, 0.3, 0.105, 0.1, 0.2], 0.01)
    (2, 3)
    """
    at = best(costs)
    if at is None:
        return None
    limit, low, high = costs[at] + margin, at, at
    while low > 0 and costs[low - 1] <= limit:
        low -= 1
    while high + 1 < len(costs) and costs[high + 1] <= limit:
        high += 1
    return low, high
