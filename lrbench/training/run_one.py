"""Execute one run in the current process: lock its folder, do the work, and write a result even if it fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
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
        family: what it has in common with the runs that it may be stacked with; None if it is trained alone.
        stack: `auto`, or `yes` to stack it even where that is slower.
    """

    path: Path
    experiment: RunConfig
    kind: Kind = field(default_factory=PlainTraining)
    retries: int = 0
    orders: Orders = NO_ORDERS
    family: str | None = None
    stack: str = "auto"


Done = tuple[Path, RunResult | Exception]
"""A run's folder with its result, or with the exception that prevented one."""
Tell = Callable[[Path, RunResult | Exception], None]
"""Takes what `Done` holds, as soon as a run has ended."""


class NotStacked(Exception):
    """The run could not be trained together with others, so it has to be trained alone."""


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
        if (done := settled(item, folder, watch)) is not None:
            return done
        with item.kind.executing(folder, item.experiment, threads=threads, stop=leave) as (once, around):
            watch = around(watch)
            result = _until_done(item, folder, once, watch, leave)
            watch(Event(folder.name, "end", values={"result": result, "folder": folder.path}))
            return result


def settled(item: WorkItem, folder: RunFolder, watch: Watch) -> RunResult | None:
    """Return the result of a locked run if it is there or the run is dropped; None if the run is to be executed.

    Raises the errors of `do_run` that come before anything is trained.
    """
    if not folder.has_config:  # the process that was to prepare it was killed, or its files are seen late
        folder.create(item.experiment, item.kind.environment(item.experiment))
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
    return None


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


def attempt_all(
    items: Sequence[WorkItem], *, threads: int | None, watch: Watch, stop: Callable[[], bool], tell: Tell
) -> None:
    """Execute a run, or the runs of a stack at once; `tell` is called with each result like that of `attempt`.

    Runs of a stack that have to be trained alone have the result `NotStacked`.
    """
    if len(items) == 1:
        tell(items[0].path, attempt(items[0], threads=threads, watch=watch, stop=stop))
        return
    from lrbench.training.stacked.execution import do_stack

    do_stack(items, threads=threads, watch=watch, stop=stop, tell=tell)


def failure(folder: RunFolder, experiment: RunConfig, reason: str, trace: str | None = None) -> RunResult:
    """Write the failure as the result. Raises RunError if it can't be written (full disk, missing folder).

    Args:
        folder: the run's folder, locked by this process.
        experiment: the run's config.
        reason: what failed.
        trace: the stack for `error.log`; None for that of the current exception, empty if it is unknown.
    """
    text = traceback.format_exc() if trace is None else trace
    log = folder.log_error(text) if 'File "' in text else None
    what = "Full traceback" if text.startswith("Traceback") else "Python stack"
    known = reason if log is None else f"{reason}\n{what}: {log}"
    result = RunResult(Status.FAILED, known)
    try:
        return folder.finish(experiment, result)
    except (OSError, FolderError) as error:
        raise RunError(f"{folder.name}: {reason}") from error
