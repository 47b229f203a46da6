"""A run as a task on one of several nodes that share the runs' folder, whoever hands out the tasks."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lrbench._version import __version__
from lrbench.errors import FolderError, Interrupted, LockedError
from lrbench.events import silent
from lrbench.runs import DEAD_AFTER_SECONDS, NODE, WATCHED_SECONDS, RunFolder
from lrbench.training.run_one import WorkItem, do_run


@dataclass(frozen=True)
class Setting:
    """What a task works with.

    Attributes:
        threads: of torch.
        stopped: a file; once it is there, tasks stop.
        folder: the driver's working folder, for the user's own modules.
        environment: variables that data are found by.
    """

    threads: int
    stopped: str
    folder: str
    environment: dict[str, str]


def see(token: str) -> str | None:
    """What is wrong with this node; None where all is well."""
    there = Path(token)
    if not there.exists():
        return f"does not see {there.parent}; the runs folder must be on storage that all nodes share, at the same path"
    if not os.access(there.parent, os.W_OK):
        return f"can't write to {there.parent}"
    if __version__ != (found := importlib.metadata.version("lrbench-torch")):
        return f"has lrbench {found} installed, but runs {__version__}"
    return None


def do(item: WorkItem, setting: Setting, node: str) -> str:
    """Do a run on the node of that name, or go on with it; the run's name.

    Raises FolderError, Interrupted, LockedError, and as `lrbench.training.run_one.do_run`.
    """
    folder = RunFolder(item.path)
    if not folder.path.is_dir():
        raise FolderError(f"{folder.path} is not seen on {socket.gethostname()}; all nodes must share the runs folder")
    os.environ.update({**setting.environment, NODE: node})
    if Path(setting.folder).is_dir():
        os.chdir(setting.folder)
        sys.path[:0] = [setting.folder] * (setting.folder not in sys.path)
    stop = _Seen(Path(setting.stopped))
    if stop():
        raise Interrupted(f"{folder.name} was not begun")
    patience = time.monotonic() + DEAD_AFTER_SECONDS + 2 * WATCHED_SECONDS
    while True:
        try:
            do_run(item, threads=setting.threads, watch=silent, stop=stop)
            return folder.name
        except LockedError:  # by a node that was lost, which shows once its heart has not beaten for a minute
            if time.monotonic() > patience:
                raise
        _rest(stop)


def _rest(stop: Callable[[], bool]) -> None:
    if stop():
        raise Interrupted("stopped while waiting for a lost node's run")
    time.sleep(2.0)


class _Seen:
    """True once a file is there; looked for every second."""

    def __init__(self, path: Path) -> None:
        self.path, self.looked, self.seen = path, 0.0, False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self.seen and now - self.looked > 1.0:
            self.looked, self.seen = now, self.path.exists()
        return self.seen
