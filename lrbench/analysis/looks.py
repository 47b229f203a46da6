"""How often seeds were added to groups, and so how often they may have been compared: their looks.

Whoever adds seeds until something is decided errs more often than each look does alone. p at the n-th look counts n²
times, which keeps the error of all looks together below 5% (simulated in benchmarks/power.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lrbench.analysis.groups import Group

_SEEDS = "--seeds"


def looks(groups: Iterable[Group]) -> int:
    """Return the largest number of times that one of the groups got its seeds; 1 if that is unknown.

    A command with another `--seeds` than the one before added seeds, and so did each request by hand to a sweep. Runs
    started in another way tell nothing.
    """
    return max((_looks(group) for group in groups), default=1)


def weight(looks: int) -> int:
    """Return how many times p counts at this look."""
    return looks**2


def _looks(group: Group) -> int:
    asked = {told for record in group.records if (told := _asked(record.environment.arguments)) is not None}
    by_hand = {record.environment.added for record in group.records} - {0}
    return max(len(asked), 1) + len(by_hand)


def _asked(arguments: Sequence[str]) -> str | None:
    """Return the value of `--seeds` of a command, also as `--seeds=5`."""
    for at, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == _SEEDS:
            return value if equals else next(iter(arguments[at + 1 : at + 2]), None)
    return None
