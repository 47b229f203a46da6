"""From configs to results: find what is done, check what is not, have it done. What `lrbench run` calls."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lrbench.config import Experiment, load_config
from lrbench.environment import changes, describe
from lrbench.errors import ConfigError, DataError, FolderError, Interrupted, LockedError, LrbenchError, UsageError
from lrbench.events import Event, Watch, silent
from lrbench.executors import choose
from lrbench.identity import identity, run_name
from lrbench.runs import RunFolder
from lrbench.work import StopFlag

POLL_SECONDS = 1.0


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        experiment: what was asked for; its name may differ from the folder's, which keeps the first one.
        path: the run's folder.
        how: `trained` now, `found` done already, `failed`, `interrupted`, or `elsewhere` (another process is at it).
        result: the contents of `result.json`, None where there is none yet.
        message: why there is none, or what to know of it.
        warnings: what has changed since a run was made, and the like.
        signal: the signal that interrupted it, if one did.
    """

    experiment: Experiment
    path: Path
    how: Literal["trained", "found", "failed", "interrupted", "elsewhere"]
    result: dict[str, Any] | None
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    signal: int | None = None


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
    there = nearest(root)
    same: dict[str, list[str]] = {}
    experiments = plan(configs, overrides=tuple(overrides), seeds=seeds, device=device, same=same)
    outcomes = [_look(root, experiment, again) for experiment in experiments]
    todo = [o for o in outcomes if o.how == "interrupted"]
    for outcome in outcomes:
        others = set(same[identity(outcome.experiment)]) - {outcome.experiment.name}
        if others:
            outcome.warnings.append(f"{', '.join(sorted(others))} is the same experiment, so it is one run")
    if todo:
        if not os.access(there, os.W_OK):
            raise UsageError(f"--runs {root}: {there} can't be written to")
        watch(Event("", "plan", values={"runs": len(todo)}))
        _prepare(todo, again, watch)
        _execute([outcome for outcome in todo if outcome.how == "interrupted"], jobs, wait, watch)
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


def nearest(root: Path) -> Path:
    """The runs' folder, or as much of the way to it as is there. Raises UsageError where it can't be a folder."""
    there = root
    try:
        while not there.exists() and there != there.parent:
            if there.is_symlink():
                raise UsageError(f"--runs {root}: {there} is a link to nothing")
            there = there.parent
    except OSError as error:
        raise UsageError(f"--runs {str(root)[:200]}: {error.strerror}") from error
    if not there.is_dir():
        raise UsageError(f"--runs {root}: {there} is a file, not a folder")
    return there


def _look(root: Path, experiment: Experiment, again: bool) -> Outcome:
    """What there is of a run: `found`, or `interrupted` where it is to be done, or `failed` where it can't be."""
    path = root / run_name(experiment)
    try:
        folder = RunFolder.of(root, experiment)
        path = folder.path
        result = folder.result_of(experiment)
    except FolderError as error:
        return Outcome(experiment, path, "failed", None, message=str(error))
    if result is None or again:
        return Outcome(experiment, path, "interrupted", None)
    outcome = Outcome(experiment, path, "found", result, warnings=_changes(folder, experiment))
    try:
        folder.adopt(experiment)
    except FolderError as error:
        outcome.warnings.append(f"its config keeps its old device and reference: {error}")
    return outcome


def _changes(folder: RunFolder, experiment: Experiment) -> list[str]:
    """What has changed since the run was made, as warnings."""
    try:
        found = changes(folder.environment(), experiment)
    except FolderError as error:
        return [str(error)]
    return [f"{change} since this run was made; --again repeats it" for change in found]


def check_built(experiment: Experiment, written: Experiment | None = None) -> None:
    """Build everything once, so that what does not fit is said, with its place, before anything is written.

    `written` is what its places are looked up in, where the experiment was made of another.
    """
    from lrbench.parts import check, resolve_device

    places = written or experiment
    try:
        check(experiment, resolve_device(experiment.device))
    except ConfigError as error:
        raise error.at(places.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{places.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def _prepare(todo: Sequence[Outcome], again: bool, watch: Watch) -> None:
    """Check every run before the first is written; then make the folders."""
    different = {identity(o.experiment.replace(seed=0)): o.experiment for o in reversed(todo)}
    watch(Event("", "message", values={"text": f"checking {len(different)} config{'s' * (len(different) > 1)}"}))
    for experiment in reversed(different.values()):
        check_built(experiment)
    for outcome in todo:
        folder = RunFolder(outcome.path)
        try:
            folder.make()
            with contextlib.suppress(LockedError), folder.lock():  # or else another process has made the folder
                outcome.warnings += _make_ready(folder, outcome.experiment, again)
        except FolderError as error:
            outcome.how, outcome.message = "failed", str(error)


def _make_ready(folder: RunFolder, experiment: Experiment, again: bool) -> list[str]:
    """A folder with a config that is taken up, or anew, or for the first time; warnings. Its lock is held."""
    from lrbench.parts import resolve_device

    def environment() -> dict[str, Any]:
        return describe(experiment, device=str(resolve_device(experiment.device)))

    if not folder.has_config:
        folder.create(experiment, environment())
        return []
    folder.adopt(experiment)
    if again or not folder.has_checkpoint:
        folder.clear()
        folder.amend_environment(environment())
        return []
    try:
        changed = changes(folder.environment(), experiment)
    except FolderError:
        return []
    if changed:
        now = {key: value for key, value in environment().items() if key in ("lrbench", "user_code", "git")}
        folder.amend_environment({"resumed_with": now})
    return [f"{change} since this run was begun, so its parts are of both; --again trains anew" for change in changed]


def _execute(todo: Sequence[Outcome], jobs: int, wait: bool, watch: Watch) -> None:
    """Do the runs; those that another process is doing come last, once it is done with them or dead."""
    by_path = {outcome.path: outcome for outcome in todo}
    left, stop, told = list(by_path), StopFlag(), set[Path]()
    with stop.on_signals():
        while left:
            elsewhere = []
            for path, result in choose(jobs, len(left)).execute(left, watch, stop):
                _settle(by_path[path], result, stop)
                if by_path[path].how == "elsewhere" and wait:
                    elsewhere.append(path)
            for path in set(elsewhere) - told:
                told.add(path)
                text = f"{path.name} is being run by {RunFolder(path).owner or 'another process'}; waiting for it"
                watch(Event("", "message", values={"text": text}))
            left = _awaited([by_path[path] for path in elsewhere], stop)
        for outcome in todo:
            if outcome.how == "elsewhere" and stop():
                outcome.how, outcome.signal = "interrupted", stop.signal


def _settle(outcome: Outcome, result: dict[str, Any] | Exception, stop: StopFlag) -> None:
    """What has become of a run."""
    if isinstance(result, dict):
        outcome.result = result
        outcome.how = "failed" if result["status"] == "failed" else "trained"
        outcome.message = str(result.get("reason") or "")
        return
    outcome.message = str(result)
    kinds: dict[type[LrbenchError], Literal["interrupted", "elsewhere"]]
    kinds = {Interrupted: "interrupted", LockedError: "elsewhere"}
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
