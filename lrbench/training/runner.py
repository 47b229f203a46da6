"""From configs to results: find what is done, check what is not, have it done. What `lrbench run` calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lrbench.config.identity import identity
from lrbench.config.load import Experiment, load_config
from lrbench.errors import ConfigError, FolderError, Interrupted, LockedError, LrbenchError, Paused, UsageError
from lrbench.events import Event, Watch, message, silent
from lrbench.runs.folder import RunFolder
from lrbench.training.executors import Executor, choose
from lrbench.training.outcome import Outcome, check, look, nearest, prepare
from lrbench.training.run_one import StopFlag

__all__ = ["Outcome", "Policy", "do", "run"]

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Policy:
    """What is done about runs that can't be done at once.

    Attributes:
        again: train anew even what is done.
        wait: wait for runs that another process is doing, and take them over if it dies; else leave them to it.
        max_failures: begin no more runs once so many have failed for good; None for no limit.
    """

    again: bool = False
    wait: bool = True
    max_failures: int | None = None


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
    root = Path(runs)
    nearest(root)
    same: dict[str, list[str]] = {}
    experiments = plan(configs, overrides=tuple(overrides), seeds=seeds, device=device, same=same)
    outcomes = [look(root, experiment, again) for experiment in experiments]
    for outcome in outcomes:
        others = set(same[identity(outcome.experiment)]) - {outcome.experiment.name}
        if others:
            outcome.warnings.append(f"{', '.join(sorted(others))} is the same experiment, so it is one run")
    do(outcomes, root, lambda left: choose(jobs, left), Policy(again=again, wait=wait), watch)
    return outcomes


def plan(
    configs: Iterable[str | Path | Experiment],
    *,
    overrides: Sequence[str],
    seeds: int | None,
    device: str | None,
    same: dict[str, list[str]] | None = None,
) -> list[Experiment]:
    """The different experiments that are asked for: configs × seeds, each identity once.

    `same` collects, for each identity, all the names it was asked for under.
    """
    different: dict[str, Experiment] = {}
    for config in configs:
        base = config if isinstance(config, Experiment) else load_config(config, overrides)
        base = base if device is None else base.replace(device=device)
        for seed in range(base.seed, base.seed + (seeds or 1)):
            experiment = base if seed == base.seed else base.replace(seed=seed)
            different.setdefault(identity(experiment), experiment)
            if same is not None:
                same.setdefault(identity(experiment), []).append(experiment.name)
    return list(different.values())


def do(
    outcomes: Sequence[Outcome],
    root: Path,
    executor: Callable[[int], Executor],
    policy: Policy,
    watch: Watch,
    checked: Callable[[], None] = lambda: None,
) -> None:
    """Do the runs among `outcomes` that are not done, and note in each what became of it.

    Args:
        outcomes: as `look` gives them.
        root: the folder that holds the runs' folders.
        executor: what does so many runs.
        policy: what is done about failed ones, and those that others are at.
        watch: is told of progress.
        checked: is called when all that is to be done has been checked, and nothing has been written yet.

    Raises:
        ConfigError, DataError, UsageError: something asked for can't be done; nothing was trained.
    """
    todo = [o for o in outcomes if o.how == "interrupted"]
    if not todo:
        checked()
        return
    there = nearest(root)
    if not os.access(there, os.W_OK):
        raise UsageError(f"--runs {root}: {there} can't be written to")
    watch(Event("", "plan", values={"runs": len(todo)}))
    first = executor(len(todo))  # whose workers get ready while all is checked
    check(todo, watch)
    checked()
    prepare(todo, policy.again)
    todo = [outcome for outcome in todo if outcome.how == "interrupted"]
    _execute(todo, [first], executor, policy, watch)


def _execute(
    todo: Sequence[Outcome],
    ready: list[Executor],
    executor: Callable[[int], Executor],
    policy: Policy,
    watch: Watch,
) -> None:
    """Do the runs; those that another process is doing come last, once it is done with them or dead."""
    by_path = {outcome.path: outcome for outcome in todo}
    left, stop, told = list(by_path), StopFlag(), set[Path]()
    with stop.on_signals():
        while left:
            elsewhere = []
            for path, result in (ready.pop() if ready else executor(len(left))).execute(left, watch, stop):
                outcome = by_path[path]
                _settle(outcome, result, stop)
                if outcome.how == "failed" and outcome.result is None:  # else its end has been told
                    reason = outcome.message.removeprefix(f"{path.name}: ")
                    watch(Event(path.name, "end", values={"status": "failed", "reason": reason}))
                if outcome.how == "elsewhere" and policy.wait:
                    elsewhere.append(path)
                elif outcome.how == "failed" and _enough(todo, policy):
                    watch(message(f"stopping: {policy.max_failures} failed"))
                    stop.set()
            for path in [path for path in elsewhere if path not in told]:
                told.add(path)
                whose = RunFolder(path).owner or "another process"
                watch(message(f"{path.name} is being run by {whose}; waiting for it"))
            left = _awaited([by_path[path] for path in elsewhere], stop)
        for outcome in todo:
            if outcome.how == "elsewhere" and stop():
                outcome.how, outcome.signal = "interrupted", stop.signal


def _enough(todo: Sequence[Outcome], policy: Policy) -> bool:
    failed = sum(outcome.how == "failed" for outcome in todo)
    return policy.max_failures is not None and failed >= policy.max_failures


def _settle(outcome: Outcome, result: dict[str, Any] | Exception, stop: StopFlag) -> None:
    """What has become of a run."""
    if isinstance(result, dict):
        outcome.result = result
        outcome.how = "failed" if result["status"] == "failed" else "trained"
        outcome.message = str(result.get("reason") or "")
        return
    outcome.message = str(result)
    kinds: dict[type[LrbenchError], Literal["interrupted", "paused", "elsewhere"]]
    kinds = {Interrupted: "interrupted", Paused: "paused", LockedError: "elsewhere"}
    outcome.how = kinds.get(type(result), "failed")  # type: ignore[arg-type]
    outcome.signal = stop.signal if outcome.how == "interrupted" else None


def _awaited(outcomes: Sequence[Outcome], stop: StopFlag) -> list[Path]:
    """Wait until another process has done one of the runs, has left it, or is dead; the paths of what is left to do."""
    while outcomes and not stop():
        left = [outcome for outcome in outcomes if not _done_elsewhere(outcome)]
        if len(left) < len(outcomes) or not all(RunFolder(o.path).busy for o in left):
            return [outcome.path for outcome in left]
        time.sleep(POLL_SECONDS)
    return []


def _done_elsewhere(outcome: Outcome) -> bool:
    """Take the result over that another process has come to, if it has."""
    try:
        result = RunFolder(outcome.path).result_of(outcome.experiment)
    except FolderError:  # which doing the run will say of it
        return False
    if result is not None:
        outcome.how, outcome.result, outcome.message = "found", result, ""
    return result is not None
