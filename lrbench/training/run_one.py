"""Execute one run in the current process: lock its folder, do the work, and write a result even if it fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import RunConfig, identity
from lrbench.errors import FolderError, Interrupted, LrbenchError, RunError, reason_of
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, Status, now
from lrbench.training.kinds import Kind, Once, PlainTraining
from lrbench.training.orders import NO_ORDERS, Leave, Orders, drop


@dataclass(frozen=True)
class WorkItem:
    """A run to execute, as sent to a worker process.

    Attributes:
        path: the run's folder, which exists and contains its config.
        experiment: the checked experiment of that config.
        kind: the kind of work.
        retries: how many times to retry the run if it fails.
        orders: what people may ask of it.
    """

    path: Path
    experiment: RunConfig
    kind: Kind = field(default_factory=PlainTraining)
    retries: int = 0
    orders: Orders = NO_ORDERS


Done = tuple[Path, RunResult | Exception]
"""A run's folder with its result, or with the exception that prevented one."""


def do_run(item: WorkItem, *, threads: int | None, watch: Watch, stop: Callable[[], bool]) -> RunResult:
    """Start or resume a run and return its result.

    A failure becomes a result with status `failed` and a traceback in `error.log`.

    Args:
        item: the run.
        threads: CPU threads; None for the default.
        watch: called with progress events.
        stop: see `lrbench.training.loop.train`.

    Raises:
        FolderError: the folder's config has been edited.
        LockedError: another live process is training this run.
        Interrupted: `stop` returned True, and a checkpoint has been written; or no more runs may be started.
        Paused: the run waits to be compared with others.
    """
    folder = RunFolder(item.path)
    leave = Leave(item.orders, folder.name, stop)
    with folder.lock():
        if folder.identity() != identity(item.experiment):
            raise FolderError(folder.edited)
        done = folder.result_of(item.experiment, pruned=item.kind.accepts_pruned)
        if done is not None:
            return done
        if item.orders.drops(folder.name):
            result = drop(folder, item.experiment)
            watch(Event(folder.name, "end", values={"result": result, "folder": folder.path}))
            return result
        if item.orders.stop:
            raise Interrupted(f"{folder.name} was not started")
        with item.kind.executing(folder, item.experiment, threads=threads, stop=leave) as (once, around):
            watch = around(watch)
            result = _until_done(item, folder, once, watch, leave)
            watch(Event(folder.name, "end", values={"result": result, "folder": folder.path}))
            return result


def _until_done(item: WorkItem, folder: RunFolder, once: Once, watch: Watch, leave: Leave) -> RunResult:
    """Execute a run until it succeeds, has no retries left or is dropped."""
    for left in reversed(range(item.retries + 1)):
        folder.begin(now())
        try:
            result = once(watch)
        except Interrupted:
            if leave.stop() or not leave.dropped:
                raise
            return drop(folder, item.experiment)
        if result.status is not Status.FAILED or not left or leave():
            break
        watch(message(f"{folder.name} failed and is retried ({result.reason.splitlines()[0]})"))
    return result


def attempt(item: WorkItem, *, threads: int | None, watch: Watch, stop: Callable[[], bool]) -> RunResult | Exception:
    """Execute a run like `do_run`, but return the exception that prevented a result, so that other runs go on."""
    try:
        return do_run(item, threads=threads, watch=watch, stop=stop)
    except LrbenchError as error:
        return error
    except KeyboardInterrupt:  # a second signal
        raise
    except BaseException as error:  # for example a full disk: not even the failure could be written
        return RunError(f"{item.path.name}: {type(error).__name__}: {reason_of(error)}")


def failure(folder: RunFolder, experiment: RunConfig, reason: str, trace: str | None = None) -> RunResult:
    """Write the failure as the result. Raises RunError if it can't be written (full disk, missing folder)."""
    log = folder.log_error(trace or traceback.format_exc())
    result = RunResult(Status.FAILED, f"{reason}\nFull traceback: {log}")
    try:
        return folder.finish(experiment, result)
    except (OSError, FolderError) as error:
        raise RunError(f"{folder.name}: {reason}") from error
