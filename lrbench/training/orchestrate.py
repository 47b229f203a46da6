"""The orchestrator: look up finished runs, check pending ones and execute them, for every kind of work."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.config import CONFIGS, Experiment, RunConfig, branched, identity, load_config, own
from lrbench.errors import (
    FolderError,
    Interrupted,
    LockedError,
    Paused,
    Terminated,
    UsageError,
    at_command_line,
    counted,
    option,
)
from lrbench.events import Event, Watch, message, silent
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.training.branching import arrange, saving, tidy, waves
from lrbench.training.executors import Executor, WorkerProcesses, create
from lrbench.training.executors.guard import Guard
from lrbench.training.options import RunOptions
from lrbench.training.outcome import Outcome, Outcomes, look, make, nearest, pending
from lrbench.training.preflight import check, end_unfit, prepare
from lrbench.training.run_one import WorkItem
from lrbench.training.signals import StopFlag
from lrbench.training.tracking import tracked
from lrbench.types import FUNCTION, NOTHING, PATH, SWITCH, TEXT, TEXTS, TRACKS, WHOLE, arguments

POLL_SECONDS = 1.0


@arguments(
    configs=CONFIGS,
    runs=PATH,
    overrides=TEXTS,
    seeds=WHOLE | NOTHING,
    jobs=WHOLE,
    device=TEXT | NOTHING,
    again=SWITCH,
    wait=SWITCH,
    track=TRACKS,
    watch=FUNCTION,
)
def run(
    configs: Iterable[str | Path | RunConfig],
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    seeds: int | None = None,
    jobs: int = 1,
    device: str | None = None,
    again: bool = False,
    wait: bool = True,
    track: str | Mapping[str, Any] | Sequence[Any] | None = None,
    watch: Watch = silent,
) -> Outcomes:
    """Train configs. Runs already finished under `runs` are looked up, not repeated; interrupted runs are resumed.

    Args:
        configs: YAML files or experiments.
        runs: the folder that holds the runs; created if missing.
        overrides: `key=value`, as for `load_config`; for files only.
        seeds: train each config with this many seeds, counted up from its own.
        jobs: runs at once, in worker processes that share the CPU cores.
        device: instead of the configs' own: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        again: repeat runs that are already finished.
        wait: wait for runs of another process and take them over if it dies; otherwise leave them to it.
        track: the tools that follow the runs, instead of the configs' own: `tensorboard`, or a list of names and
            blocks such as `{"name": "wandb", "project": "mine"}`.
        watch: called with progress events.

    Returns:
        One outcome per distinct run, in the order of the configs.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
    """
    if seeds is not None and seeds < 1:
        raise UsageError(f"{option('--seeds')} must be at least 1 (got {seeds})")
    root, options = Path(runs).absolute(), RunOptions(jobs=jobs, again=again, wait=wait)
    nearest(root)
    keys = tuple(overrides)
    bases = [config if isinstance(config, RunConfig) else load_config(config, keys) for config in configs]
    if device is not None:
        why = f"it chooses its own device, so {option('--device')} has no effect"
        bases = [own(base, why).replace(device=device) for base in bases]
    if track is not None:
        bases = [base.replace(asked_by=option("--track"), track=track) for base in bases]
    outcomes = Outcomes()
    for first, *others in _alike(bases, seeds or 1):
        outcome = look(root, first, options.kind_of(first), again)
        names = {other.name for other in others} - {first.name}
        if names:
            outcome.warnings.append(f"the same experiment as {', '.join(sorted(names))}, so they share this run")
        outcomes.append(outcome)
    do(outcomes, root, options, watch)
    return outcomes


def _alike(bases: Iterable[RunConfig], seeds: int) -> Iterable[list[RunConfig]]:
    """Return experiments × seeds; those with the same identity are together."""
    found: dict[str, list[RunConfig]] = {}
    for base in bases:
        for seed in range(base.seed, base.seed + seeds):
            for experiment in branched(base if seed == base.seed else base.replace(seed=seed)):
                found.setdefault(identity(experiment), []).append(experiment)
    return found.values()


def do(
    outcomes: Sequence[Outcome],
    root: Path,
    options: RunOptions,
    watch: Watch,
    checked: Callable[[], None] = lambda: None,
) -> None:
    """Execute the pending runs and update their outcomes. Raises the same errors as `run`.

    Args:
        outcomes: from `look`, of any kind of work.
        root: the folder that holds the runs.
        options: how to execute them.
        watch: called with progress events.
        checked: called when all pending runs have been checked and nothing has been written yet.
    """
    arrange(outcomes)
    with tracked(outcomes, root, watch) as follow:
        _do(outcomes, root, options, follow, checked)
    tidy(outcomes)


def _do(
    outcomes: Sequence[Outcome], root: Path, options: RunOptions, watch: Watch, checked: Callable[[], None]
) -> None:
    _leave_dropped(outcomes, options)
    todo = pending(outcomes)
    if not todo:
        checked()
        return
    there = nearest(root)
    if not os.access(there, os.W_OK):
        raise UsageError(f"{option('--runs')} {root}: {there} is not writable")
    watch(Event("", "plan", values={"runs": len(todo)}))
    crashed = lambda: _crashed(todo, watch)  # noqa: E731
    first = create(options, root, [outcome.experiment for outcome in todo], crashed)  # its workers start meanwhile
    pool = first if isinstance(first, WorkerProcesses) else None
    with Guard(watch, 1 if pool is None else pool.jobs, workers=pool is not None) as guard:
        check(todo, root, watch, lambda one: _check_one(one, guard, first))
        if pool is None:
            guard.close()
        make(root)
        checked()
        prepare(todo, options.again)
        end_unfit(todo, watch)
        if pool is not None:
            pool.first = guard.release()
        _execute(todo, first, root, options, watch)
    if (said := saving(outcomes)) is not None:
        watch(message(said))


def _check_one(experiment: Experiment, guard: Guard, executor: Executor) -> Sequence[str]:
    """Check a config of the training loop, and keep what is built where the run will be trained."""
    keep = executor.in_process
    if guard.keeps_from(experiment):  # memory of other runs would count for one with limits
        keep = isinstance(executor, WorkerProcesses) and executor.jobs == 1 and not experiment.limits.any
    check_one, during = "lrbench.training.in_loop:check_one", "in the check before training"
    found: Sequence[str] = guard.call(check_one, experiment, experiment, keep, during=during)
    return found


def _crashed(todo: Sequence[Outcome], watch: Watch) -> bool:
    """Return whether the last process of a run was killed or crashed, and say so.

    If it crashed, it would take this process and the other runs with it. A script may lack what worker processes need,
    the guard `if __name__ == "__main__"`, so only the command line does without being asked.
    """
    if not at_command_line():
        return False
    for outcome in todo:
        folder = RunFolder(outcome.path)
        with contextlib.suppress(FolderError):
            owner = folder.owner
            if (owner is not None and owner.gone) or folder.environment().crashed:
                why = f"the last process of {folder.name} was killed or crashed"
                watch(message(f"runs are executed by a worker process, since {why}"))
                return True
    return False


def _leave_dropped(outcomes: Sequence[Outcome], options: RunOptions) -> None:
    """Note the results of runs that were dropped before and still are."""
    for outcome in pending(outcomes):
        if options.orders.drops(outcome.path.name):
            with contextlib.suppress(FolderError):  # executing the run will report it
                result = RunFolder(outcome.path).result()
                if result is not None and result.dropped and result.identity == identity(outcome.experiment):
                    outcome.ended(result)


def stopped(outcomes: Sequence[Outcome]) -> Interrupted | None:
    """Return the error to raise if runs are left pending; None if none are."""
    left = pending(outcomes)
    if not left:
        return None
    kind = Terminated if any(outcome.signal == signal.SIGTERM for outcome in left) else Interrupted
    return kind(f"stopped with {len(left)} of {counted(len(outcomes), 'run')} left; the same command resumes")


def _execute(todo: Sequence[Outcome], first: Executor, root: Path, options: RunOptions, watch: Watch) -> None:
    """Execute the pending runs, trunks before their branches."""
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
