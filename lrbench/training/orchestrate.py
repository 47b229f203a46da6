"""From configs to results: find what is done, check what is not, have it done. Every kind of work goes through here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lrbench.config import Experiment, identity, load_config
from lrbench.errors import ConfigError, FolderError, Interrupted, LockedError, Paused, Terminated, UsageError
from lrbench.events import Event, Watch, message, silent
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.training.executors import Executor, create
from lrbench.training.options import RunOptions
from lrbench.training.outcome import Outcome, look, nearest, pending
from lrbench.training.preflight import check, prepare
from lrbench.training.run_one import WorkItem
from lrbench.training.signals import StopFlag

POLL_SECONDS = 1.0


def run(
    configs: Iterable[str | Path | Experiment],
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    seeds: int | None = None,
    jobs: int = 1,
    device: str | None = None,
    again: bool = False,
    wait: bool = True,
    watch: Watch = silent,
) -> list[Outcome]:
    """Train what the configs describe; what is already done under `runs` is found, not done again.

    Args:
        configs: YAML files or experiments.
        runs: the folder that holds the runs' folders; made if need be.
        overrides: `key=value`, as `load_config` takes them; for files only.
        seeds: train each config with that many seeds, counted up from its own.
        jobs: how many runs at once, in worker processes that divide the cores.
        device: instead of the configs' own: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        again: train anew even what is done.
        wait: wait for runs that another process is doing, and take them over if it dies; else leave them to it.
        watch: is told of progress.

    Returns:
        One outcome for each different run, in the order asked for.

    Raises:
        ConfigError, DataError: something asked for can't be done; nothing was trained.
    """
    if jobs < 1 or (seeds is not None and seeds < 1):
        raise ConfigError("jobs and seeds must be at least 1")
    root, options = Path(runs), RunOptions(jobs=jobs, again=again, wait=wait)
    nearest(root)
    same: dict[str, list[str]] = {}
    experiments = different(configs, overrides=tuple(overrides), seeds=seeds, device=device, same=same)
    outcomes = [look(root, experiment, options.kind, again) for experiment in experiments]
    for outcome in outcomes:
        others = set(same[identity(outcome.experiment)]) - {outcome.experiment.name}
        if others:
            outcome.warnings.append(f"{', '.join(sorted(others))} is the same experiment, so it is one run")
    do(outcomes, root, options, watch)
    return outcomes


def different(
    configs: Iterable[str | Path | Experiment],
    *,
    overrides: Sequence[str],
    seeds: int | None,
    device: str | None,
    same: dict[str, list[str]],
) -> list[Experiment]:
    """The different experiments that are asked for: configs × seeds, each identity once.

    `same` collects, for each identity, all the names it was asked for under.
    """
    found: dict[str, Experiment] = {}
    for config in configs:
        base = config if isinstance(config, Experiment) else load_config(config, overrides)
        base = base if device is None else base.replace(device=device)
        for seed in range(base.seed, base.seed + (seeds or 1)):
            experiment = base if seed == base.seed else base.replace(seed=seed)
            found.setdefault(identity(experiment), experiment)
            same.setdefault(identity(experiment), []).append(experiment.name)
    return list(found.values())


def do(
    outcomes: Sequence[Outcome],
    root: Path,
    options: RunOptions,
    watch: Watch,
    checked: Callable[[], None] = lambda: None,
) -> None:
    """Do the runs among `outcomes` that are to be done, and note in each what became of it.

    Args:
        outcomes: as `look` gives them, of any kind of work.
        root: the folder that holds the runs' folders.
        options: how they are done.
        watch: is told of progress.
        checked: is called when all that is to be done has been checked, and nothing has been written yet.

    Raises:
        ConfigError, DataError, UsageError: something asked for can't be done; nothing was trained.
    """
    todo = pending(outcomes)
    if not todo:
        checked()
        return
    there = nearest(root)
    if not os.access(there, os.W_OK):
        raise UsageError(f"--runs {root}: {there} can't be written to")
    watch(Event("", "plan", values={"runs": len(todo)}))
    first = create(options, root, [outcome.experiment for outcome in todo])  # whose workers start meanwhile
    check(todo, watch, keep=first.in_process)
    checked()
    prepare(todo, options.again)
    _execute(pending(todo), first, root, options, watch)


def stopped(outcomes: Sequence[Outcome]) -> Interrupted | None:
    """What to raise where a signal left runs to do; None where it did not."""
    left = pending(outcomes)
    if not left:
        return None
    kind = Terminated if any(outcome.signal == signal.SIGTERM for outcome in left) else Interrupted
    return kind(f"stopped, with {len(left)} of {len(outcomes)} runs to go; the same command goes on from there")


def _execute(todo: Sequence[Outcome], executor: Executor, root: Path, options: RunOptions, watch: Watch) -> None:
    """Do the runs; those that another process is doing come last, once it is done with them or dead."""
    by_path = {outcome.path: outcome for outcome in todo}
    left, stop, told = list(todo), StopFlag(), set[Path]()
    with stop.on_signals():
        while left:
            elsewhere = []
            items = [WorkItem(one.path, one.experiment, one.kind, options.retries) for one in left]
            for path, result in executor.execute(items, watch, stop):
                outcome = by_path[path]
                _settle(outcome, result, stop)
                if outcome.status is Status.FAILED and outcome.result is None:  # else its end has been told
                    failed = RunResult(Status.FAILED, outcome.message.removeprefix(f"{path.name}: "))
                    watch(Event(path.name, "end", values={"result": failed}))
                if outcome.status is Status.RUNNING and options.wait:
                    elsewhere.append(outcome)
                elif outcome.status is Status.FAILED and _enough(todo, options):
                    watch(message(f"stopping: {options.max_failures} failed"))
                    stop.set()
            for outcome in elsewhere:
                if outcome.path not in told:
                    told.add(outcome.path)
                    whose = RunFolder(outcome.path).owner or "another process"
                    watch(message(f"{outcome.path.name} is being run by {whose}; waiting for it"))
            left = _awaited(elsewhere, stop)
            prepare(left, again=False)  # a process that was killed may have left a folder without its config
            left = [outcome for outcome in left if outcome.status is Status.RUNNING]
            if left:
                executor = create(options, root, [outcome.experiment for outcome in left])
        for outcome in todo:
            if outcome.status is Status.RUNNING and stop():
                outcome.status, outcome.signal = Status.INTERRUPTED, stop.signal


def _enough(todo: Sequence[Outcome], options: RunOptions) -> bool:
    failed = sum(outcome.status is Status.FAILED for outcome in todo)
    return options.max_failures is not None and failed >= options.max_failures


def _settle(outcome: Outcome, result: RunResult | Exception, stop: StopFlag) -> None:
    """What has become of a run."""
    if isinstance(result, RunResult):
        outcome.ended(result)
        return
    kinds = {Paused: Status.PAUSED, Interrupted: Status.INTERRUPTED, LockedError: Status.RUNNING}
    outcome.failed(result)
    outcome.status = next((status for kind, status in kinds.items() if isinstance(result, kind)), Status.FAILED)
    outcome.signal = stop.signal if outcome.status is Status.INTERRUPTED else None


def _awaited(outcomes: Sequence[Outcome], stop: StopFlag) -> list[Outcome]:
    """Wait until another process has done one of the runs, has left it, or is dead; what is left to do."""
    while outcomes and not stop():
        left = [outcome for outcome in outcomes if not _done_elsewhere(outcome)]
        if len(left) < len(outcomes) or not all(RunFolder(o.path).busy for o in left):
            return left
        time.sleep(POLL_SECONDS)
    return []


def _done_elsewhere(outcome: Outcome) -> bool:
    """Take the result over that another process has come to, if it has."""
    try:
        result = RunFolder(outcome.path).result_of(outcome.experiment, pruned=outcome.kind.accepts_pruned)
    except FolderError:  # which doing the run will say of it
        return False
    if result is not None:
        outcome.ended(result, found=True)
    return result is not None
