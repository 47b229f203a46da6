"""What is made of runs once, for as long as their files do not change: a live page makes the same again and again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Maker(Protocol):
    """Keeps what was made of it and the runs beside it, by key."""

    @property
    def made(self) -> dict[Hashable, tuple[tuple[Any, ...], Any]]:
        """The other runs that a value was made of, and the value."""


def once(runs: Sequence[Maker], key: Hashable, make: Callable[[], T]) -> T:
    """Return what `make` makes of runs; it is called only if their records are others than last time.

    A run whose files change gets a new record (`RunsReader`), which has nothing made of it yet.

    Args:
        runs: the records, at least one; the first one keeps the value.
        key: what is made, with all that it depends on besides the runs.
        make: makes it.
    """
    first, *others = runs
    known = first.made.get(key)
    if known is not None and len(known[0]) == len(others) and all(map(_same, known[0], others)):
        found: T = known[1]
        return found
    found = make()
    first.made[key] = tuple(others), found
    return found


def _same(one: object, other: object) -> bool:
    return one is other
