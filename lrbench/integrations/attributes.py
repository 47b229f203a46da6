"""Puts back the attributes of other tools' objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def keep_attributes(owner: Any) -> Callable[[], None]:
    """Return a function that puts back an object's attributes, and what its lists hold, but no other values."""
    attributes = dict(vars(owner))
    lists = [(value, list(value)) for value in attributes.values() if isinstance(value, list)]

    def put_back() -> None:
        vars(owner).clear()
        vars(owner).update(attributes)
        for value, items in lists:
            value[:] = items

    return put_back
