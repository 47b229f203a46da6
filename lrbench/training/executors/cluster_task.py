"""A run as a task on a node of a cluster that shares the runs folder, and what its driver sees of it in that folder.

Independent of Ray and Slurm.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench._version import __version__
from lrbench.errors import (
    FolderError,
    Interrupted,
    LockedError,
    LrbenchError,
    RunError,
    at_command_line,
    command_line,
)
from lrbench.events import Event, Watch, silent
from lrbench.runs import DEAD_AFTER_SECONDS, NODE, WATCHED_SECONDS, RunFolder, RunResult, last_row
from lrbench.training.limits import spoken
from lrbench.training.run_one import NotStacked, WorkItem, attempt_all, do_run

LOOK_SECONDS = 2.0  # how often run folders are read for progress


@dataclass(frozen=True)
class Setting:
    """The settings of a task."""

    stopped: str  # a file; tasks stop once it exists
    folder: str  # the driver's working folder, for the user's own modules
    environment: dict[str, str]  # variables that locate the data
    typed: bool  # whether a command was typed, so that messages name options
    threads: int = 1  # torch's CPU threads

    @classmethod
    def here(cls, stopped: Path, threads: int = 1) -> Setting:
        """Return the setting of tasks that this process submits."""
        known = {name: os.environ[name] for name in ("LRBENCH_DATA",) if name in os.environ}
        return cls(str(stopped), str(Path.cwd()), known, at_command_line(), threads)


class LostError(RunError):
    """The cluster gave up a task because its process or its node was lost; the run can be submitted again."""


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


def do(item: WorkItem, setting: Setting, node: str, asked: Callable[[], bool] = lambda: False) -> str:
    """Start or resume a run on a node and return the run's name. Raises the same errors as `do_run`.

    It stops once the file `stopped` exists or `asked` returns True.
    """
    folder = RunFolder(item.path)
    if not folder.path.is_dir():
        raise FolderError(f"{socket.gethostname()} does not see {folder.path}; all nodes must share the runs folder")
    seen = _settle_in(setting, node)

    def stop() -> bool:
        return asked() or seen()

    if stop():
        raise Interrupted(f"{folder.name} was not started")
    patience = time.monotonic() + DEAD_AFTER_SECONDS + 2 * WATCHED_SECONDS
    while True:
        try:
            with command_line(setting.typed):
                do_run(item, threads=setting.threads, watch=silent, stop=stop)
            return folder.name
        except LockedError:  # perhaps by a lost node, which is certain once its heartbeat is a minute old
            if time.monotonic() > patience:
                raise
        if stop():
            raise Interrupted("stopped while waiting for a lost node's run")
        time.sleep(2.0)


def do_all(items: Sequence[WorkItem], setting: Setting, node: str) -> dict[str, Exception | None]:
    """Execute a run on a node, or the runs of a stack at once.

    Returns the error that kept each from a result, by the path of its folder; None if the result is there.
    """
    found: dict[str, Exception | None] = {}
    if len(items) == 1:
        (item,) = items
        try:
            do(item, setting, node)
        except LrbenchError as error:
            return {str(item.path): error}
        return {str(item.path): None}

    def tell(path: Path, result: RunResult | Exception) -> None:
        alone = isinstance(result, LockedError)  # perhaps by a lost node, for which a run waits alone
        found[str(path)] = NotStacked() if alone else result if isinstance(result, Exception) else None

    seen = _settle_in(setting, node)
    with command_line(setting.typed):
        attempt_all(items, threads=setting.threads, watch=silent, stop=seen, tell=tell)
    return found


def _settle_in(setting: Setting, node: str) -> _Seen:
    """Give this process the driver's folder and environment; return what tells that it is to stop."""
    os.environ.update({**setting.environment, NODE: node})
    if Path(setting.folder).is_dir():
        os.chdir(setting.folder)
        sys.path[:0] = [setting.folder] * (setting.folder not in sys.path)
    return _Seen(Path(setting.stopped))


class _Seen:
    """True once a file exists, which is checked every second."""

    def __init__(self, path: Path) -> None:
        self.path, self.looked, self.seen = path, 0.0, False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self.seen and now - self.looked > 1.0:
            self.looked, self.seen = now, self.path.exists()
        return self.seen


@dataclass
class Progress:
    """What was reported of runs that are executed elsewhere: the last step of each."""

    seen: dict[Path, int] = field(default_factory=dict)
    looked: float = 0.0

    def look(self, paths: Iterable[Path], watch: Watch) -> None:
        """Report the progress found in run folders, if they were not just read."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for path in paths:
            with contextlib.suppress(LrbenchError, OSError, ValueError, KeyError):
                event = _progress(RunFolder(path), path in self.seen)
                if event is not None and self.seen.get(path) != event.step:
                    self.seen[path] = event.step
                    watch(event)


def _progress(folder: RunFolder, started: bool) -> Event | None:
    """Return the progress of a run from its folder; None if no process is training it."""
    if not folder.busy:
        return None
    sizes = folder.environment().sizes
    row = last_row(folder.epochs.path)
    step, total = int(row.get("step", 0)), sizes.total_steps or 0
    epochs = -(-total // sizes.steps_per_epoch) if sizes.steps_per_epoch else 0
    values = {key: value for key, value in row.items() if key.startswith(("train_", "val_"))}
    lr, epoch = row.get("lr", 0.0), int(row.get("epoch", 0))
    return Event(folder.name, "epoch" if started else "start", step, total, epoch, epochs, lr, values=values)


def patience(what: str, seconds: float) -> str:
    """Say how long running jobs or tasks have once the command is asked to stop."""
    return f"running {what} have {spoken(seconds)} to write their checkpoints, then they are cancelled"


def result_in(path: Path) -> RunResult | RunError:
    """Return the result of a run whose task has ended, or the error that there is none."""
    try:
        result = RunFolder(path).result()
    except FolderError as error:
        return error
    return result or RunError(
        f"{path.name}: finished, but its result is not visible here; do all nodes share the folder?"
    )
