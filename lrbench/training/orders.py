"""Orders: what people ask of runs under way, by files in a folder that is looked at wherever a run is executed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lrbench.config import RunConfig
from lrbench.runs import DROPPED, Recorded, RunFolder, RunResult, Status, conclude

STOP = "stop"
"""The file that asks to start no more runs."""
DROP = "drop-"
"""What the name of a file begins with that asks to drop a run; the run's name follows."""
LOOK_SECONDS = 0.5

Mark = tuple[int, int, int]
"""What tells a file from a later one of the same name."""


@dataclass(frozen=True)
class Orders:
    """The orders in a folder, made of plain values so that they can be sent to worker processes.

    Attributes:
        folder: the folder; None if nobody can ask for anything.
        old: the stop file of an earlier command, which does not count.
    """

    folder: Path | None = None
    old: Mark | None = None

    @property
    def stop(self) -> bool:
        """True once no more runs may be started."""
        found = _mark(self.folder / STOP) if self.folder is not None else None
        return found is not None and found != self.old

    def drops(self, run: str) -> bool:
        """Return whether a run is to be dropped."""
        return self.folder is not None and _mark(self.folder / (DROP + run)) is not None

    def without_earlier(self) -> Orders:
        """Return the same orders, without the request to stop that is there already."""
        return self if self.folder is None else replace(self, old=_mark(self.folder / STOP))


NO_ORDERS = Orders()


class Leave:
    """True once a run must stop: its process was asked to, or the run is dropped. Files are looked at now and then.

    Attributes:
        dropped: whether the run was found to be dropped.
    """

    def __init__(self, orders: Orders, run: str, stop: Callable[[], bool]) -> None:
        self.orders, self.run, self.stop = orders, run, stop
        self.looked, self.dropped = time.monotonic(), False

    def __call__(self) -> bool:
        """True once the run must stop."""
        if self.stop():
            return True
        if not self.dropped and (now := time.monotonic()) - self.looked > LOOK_SECONDS:
            self.looked, self.dropped = now, self.orders.drops(self.run)
        return self.dropped


def drop(folder: RunFolder, experiment: RunConfig, reason: str = DROPPED) -> RunResult:
    """Write and return the result `pruned` of a run, from its rows so far; a checkpoint stays.

    Raises FolderError, LockedError.
    """
    found = conclude(folder, Recorded.of(folder.recorded()), status=Status.PRUNED, reason=reason)
    return folder.finish(experiment, replace(found, steps=found.steps or 0, epochs=found.epochs or 0))


def _mark(path: Path) -> Mark | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
