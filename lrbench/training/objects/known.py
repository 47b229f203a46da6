"""The objects that users gave to Python functions: each has an import string while this process runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lrbench.errors import ConfigError
from lrbench.types import OBJECTS

KEPT = 64
_known: dict[str, Callable[[], Any]] = {}


def hold(shown: str, digits: str, make: Callable[[], Any]) -> str:
    """Make an object known in this process and return its import string; of many, the latest are kept.

    Args:
        shown: a name for messages and folders.
        digits: its fingerprint.
        make: returns what the import string stands for; called at each import.
    """
    name = f"{re.sub(r'[^A-Za-z0-9]+', '_', shown).strip('_') or 'object'}_{digits}"
    _known.pop(name, None)
    _known[name] = make
    while len(_known) > KEPT:
        _known.pop(next(iter(_known)))
    return f"{OBJECTS}{name}"


def held(name: str) -> Any:
    """Return the object with this name. Raises AttributeError for no such name, ConfigError if it is gone."""
    if not re.fullmatch(r"\w+_[0-9a-f]{12}", name):
        raise AttributeError(f"module 'lrbench.objects' has no attribute '{name}'")
    if name not in _known:
        problem = f"'{name}' was a Python object of another process or an earlier call"
        raise ConfigError(f"{problem}; only lrbench.run or lrbench.find_lr on the same objects can repeat this run")
    return _known[name]()
