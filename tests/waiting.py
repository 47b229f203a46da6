"""Waiting for other processes."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

PATIENCE = 300
"""Seconds, for a busy machine: a node of a cluster takes ten on a quiet one, and a minute beside other tests."""


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition is true. Fails if that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)


def alive(mark: str) -> list[psutil.Process]:
    """Processes, zombies aside, that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("MARK") == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(mark: str, seconds: float = PATIENCE) -> bool:
    """Whether such processes end; some close their pipes a moment before."""
    until = time.monotonic() + seconds
    while alive(mark) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(mark)
