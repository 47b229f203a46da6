"""A run as a task on a node of a cluster that shares the runs folder; independent of Ray."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lrbench._version import __version__
from lrbench.errors import FolderError, Interrupted, LockedError, command_line
from lrbench.events import silent
from lrbench.runs import DEAD_AFTER_SECONDS, NODE, WATCHED_SECONDS, RunFolder
from lrbench.training.run_one import WorkItem, do_run


@dataclass(frozen=True)
class Setting:
    """The settings of a task."""

    stopped: str  # a file; tasks stop once it exists
    folder: str  # the driver's working folder, for the user's own modules
    environment: dict[str, str]  # variables that locate the data
    typed: bool  # whether a command was typed, so that messages name options


def see(token: str) -> str | None:
    """Return what is wrong with this node; None if it can train."""
    there = Path(token)
    if not there.exists():
        return f"does not see {there.parent}; the runs folder must be on shared storage, at the same path on all nodes"
    if not os.access(there.parent, os.W_OK):
        return f"can't write to {there.parent}"
    if __version__ != (found := importlib.metadata.version("lrbench-torch")):
        return f"has lrbench {found} installed, but runs {__version__}"
    return None


def do(item: WorkItem, setting: Setting, node: str) -> str:
    """Start or resume a run on a node and return the run's name. Raises the same errors as `do_run`."""
    folder = RunFolder(item.path)
    if not folder.path.is_dir():
        raise FolderError(f"{socket.gethostname()} does not see {folder.path}; all nodes must share the runs folder")
    os.environ.update({**setting.environment, NODE: node})
    if Path(setting.folder).is_dir():
        os.chdir(setting.folder)
        sys.path[:0] = [setting.folder] * (setting.folder not in sys.path)
    stop = _Seen(Path(setting.stopped))
    if stop():
        raise Interrupted(f"{folder.name} was not started")
    patience = time.monotonic() + DEAD_AFTER_SECONDS + 2 * WATCHED_SECONDS
    while True:
        try:
            with command_line(setting.typed):
                do_run(item, threads=1, watch=silent, stop=stop)
            return folder.name
        except LockedError:  # perhaps by a lost node, which is certain once its heartbeat is a minute old
            if time.monotonic() > patience:
                raise
        if stop():
            raise Interrupted("stopped while waiting for a lost node's run")
        time.sleep(2.0)


class _Seen:
    """True once a file exists, which is checked every second."""

    def __init__(self, path: Path) -> None:
        self.path, self.looked, self.seen = path, 0.0, False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self.seen and now - self.looked > 1.0:
            self.looked, self.seen = now, self.path.exists()
        return self.seen
