"""The orchestrator: look up finished runs, check pending ones and have them executed, for every kind of work."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.config import CONFIGS, RunConfig, branched, identity, load_config, own
from lrbench.errors import (
    FolderError,
    Interrupted,
    Terminated,
    UsageError,
    at_command_line,
    counted,
    option,
)
from lrbench.events import Event, Watch, message, silent
from lrbench.runs import RunFolder, nearest
from lrbench.training.branching import arrange, saving, tidy
from lrbench.training.execution import execute
from lrbench.training.executors import WorkerProcesses, check_one, create
from lrbench.training.executors.guard import Guard
from lrbench.training.options import RunOptions
from lrbench.training.outcome import Outcome, Outcomes, look, make, pending
from lrbench.training.preflight import check, end_unfit, prepare
from lrbench.training.tracking import tracked
from lrbench.types import FUNCTION, NOTHING, PATH, SWITCH, TEXT, TEXTS, TRACKS, WHOLE, arguments


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
        bases = [own(base, why).replace(asked_by=option("--device"), device=device) for base in bases]
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
        check(todo, root, watch, lambda one: check_one(one, guard, first))
        if pool is None:
            guard.close()
        make(root)
        checked()
        prepare(todo, options.again)
        end_unfit(todo, watch)
        if pool is not None:
            pool.first = guard.release()
        execute(todo, first, root, options, watch)
    if (said := saving(outcomes)) is not None:
        watch(message(said))


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
