"""Executing pending runs, wave by wave; those of another process last, once it has finished them or died."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lrbench.errors import FolderError, Interrupted, LockedError, Paused, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.training.branching import waves
from lrbench.training.executors import Executor, create
from lrbench.training.options import RunOptions
from lrbench.training.outcome import Outcome, pending
from lrbench.training.preflight import prepare
from lrbench.training.run_one import WorkItem
from lrbench.training.signals import StopFlag

POLL_SECONDS = 1.0


def execute(todo: Sequence[Outcome], first: Executor, root: Path, options: RunOptions, watch: Watch) -> None:
    """Execute the pending runs, trunks before their branches, and update their outcomes.

    `first` executes the trunks, or all runs if there are none.
    """
    stop, left = StopFlag(), pending(todo)
    experiments = [outcome.experiment for outcome in left]

    def on_failure() -> None:
        count = sum(outcome.status is Status.FAILED for outcome in todo)
        if options.max_failures is not None and count >= options.max_failures:
            watch(message(f"stopping after {counted(options.max_failures, 'failure')}"))
            stop.set()

    if any(outcome.status is Status.FAILED for outcome in todo):  # in the check
        on_failure()
    with stop.on_signals():
        for number, wave in enumerate(waves(left)):
            executor = first
            if number:  # of the same kind and size for every wave
                executor = create(options, root, experiments, lambda: not first.in_process)
            _execute_at_once(wave, executor, stop, on_failure, root, options, watch)


def _execute_at_once(
    todo: Sequence[Outcome],
    executor: Executor,
    stop: StopFlag,
    on_failure: Callable[[], None],
    root: Path,
    options: RunOptions,
    watch: Watch,
) -> None:
    """Execute runs in any order; those of another process come last, once it has finished them or died.

    `on_failure` is called after each failed run.
    """
    by_path = {outcome.path: outcome for outcome in todo}
    left, told = list(todo), set[Path]()
    while left:
        elsewhere = []
        for path, result in executor.execute([_item(one, options) for one in left], watch, stop):
            outcome = by_path[path]
            _settle(outcome, result, stop)
            if outcome.status is Status.FAILED and outcome.result is None:  # no `end` event was sent yet
                failed = RunResult(Status.FAILED, outcome.message.removeprefix(f"{path.name}: "))
                watch(Event(path.name, "end", values={"result": failed, "folder": path}))
            if outcome.status is Status.RUNNING and options.wait:
                elsewhere.append(outcome)
            elif outcome.status is Status.FAILED:
                on_failure()
        for outcome in elsewhere:
            if outcome.path not in told:
                told.add(outcome.path)
                whose = RunFolder(outcome.path).owner or "another process"
                watch(message(f"waiting for {outcome.path.name}, which is running in {whose}"))
        left = _awaited(elsewhere, lambda: stop() or options.orders.stop)
        prepare(left, again=False)  # a killed process may have left a folder without its config
        left = [outcome for outcome in left if outcome.status is Status.RUNNING]
        if left:
            executor = create(options, root, [outcome.experiment for outcome in left])
    for outcome in todo:
        if outcome.status is Status.RUNNING and (stop() or options.orders.stop):
            outcome.status, outcome.signal = Status.INTERRUPTED, stop.signal


def _item(outcome: Outcome, options: RunOptions) -> WorkItem:
    family = options.family_of(outcome.experiment, outcome.kind)
    return WorkItem(
        outcome.path, outcome.experiment, outcome.kind, options.retries, options.orders, family, options.stack
    )


def _settle(outcome: Outcome, result: RunResult | Exception, stop: StopFlag) -> None:
    """Update a run's outcome with its result."""
    if isinstance(result, RunResult):
        outcome.ended(result)
        return
    kinds = {Paused: Status.PAUSED, Interrupted: Status.INTERRUPTED, LockedError: Status.RUNNING}
    outcome.failed(result)
    outcome.status = next((status for kind, status in kinds.items() if isinstance(result, kind)), Status.FAILED)
    outcome.signal = stop.signal if outcome.status is Status.INTERRUPTED else None


def _awaited(outcomes: Sequence[Outcome], stop: Callable[[], bool]) -> list[Outcome]:
    """Wait until another process has finished or abandoned one of the runs; return the runs still pending."""
    while outcomes and not stop():
        left = [outcome for outcome in outcomes if not _done_elsewhere(outcome)]
        if len(left) < len(outcomes) or not all(RunFolder(o.path).busy for o in left):
            return left
        time.sleep(POLL_SECONDS)
    return []


def _done_elsewhere(outcome: Outcome) -> bool:
    """Return whether another process has finished the run, and note its result."""
    try:
        return outcome.find()
    except FolderError:  # executing the run will report it
        return False
