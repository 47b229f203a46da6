"""Gains that were measured before, in a file of the platform's cache folder. It may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch

from lrbench._version import __version__
from lrbench.errors import FolderError
from lrbench.runs import place, read_json, to_json, write_file

MOST = 500  # gains that are kept


def gain(key: str, measure: Callable[[], float]) -> float:
    """Return a gain that was measured on this machine with these versions; else measure and remember it."""
    whole = hashlib.sha256(json.dumps([key, __version__, torch.__version__, place()["processor"]]).encode()).hexdigest()
    known = _read()
    if whole in known:
        return known[whole]
    found = measure()
    _write({**_read(), whole: round(found, 3)})
    return found


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("lrbench")) / "stacking.json"


def _read() -> dict[str, float]:
    """Return what is remembered; nothing if the file is missing or damaged."""
    try:
        plain = read_json(_file()) or {}
    except FolderError:
        return {}
    return {key: gain for key, gain in plain.items() if isinstance(gain, float) and 0 < gain < math.inf}


def _write(gains: dict[str, float]) -> None:
    latest = dict(list(gains.items())[-MOST:])
    try:
        write_file(_file(), to_json(latest))
    except FolderError:  # a read-only home: the next sweep measures again
        return
