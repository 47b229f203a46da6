"""What became of each run that was asked for: what there is of it, and making ready what is to be done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lrbench.config.identity import group, run_name, without_rate
from lrbench.config.load import Experiment
from lrbench.errors import ConfigError, DataError, FolderError, LockedError, UsageError
from lrbench.events import Watch, message
from lrbench.runs.environment import changes, describe
from lrbench.runs.folder import RunFolder


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        experiment: what was asked for; its name may differ from the folder's, which keeps the first one.
        path: the run's folder.
        how: `trained` now, `found` done already, `failed`, `interrupted`, `paused` (it waits to be compared with
            others), or `elsewhere` (another process is at it).
        result: the contents of `result.json`, None where there is none yet.
        message: why there is none, or what to know of it.
        warnings: what has changed since a run was made, and the like.
        signal: the signal that interrupted it, if one did.
    """

    experiment: Experiment
    path: Path
    how: Literal["trained", "found", "failed", "interrupted", "paused", "elsewhere"]
    result: dict[str, Any] | None
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    signal: int | None = None


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


def look(root: Path, experiment: Experiment, again: bool, pruned: bool = False) -> Outcome:
    """What there is of a run: `found`, or `interrupted` where it is to be done, or `failed` where it can't be.

    One that was pruned is found only where that is asked for.
    """
    path = root / run_name(experiment)
    try:
        folder = RunFolder.of(root, experiment)
        path = folder.path
        result = folder.result_of(experiment, pruned)
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
    from lrbench.training.build import check, resolve_device

    places = written or experiment
    try:
        check(experiment, resolve_device(experiment.device))
    except ConfigError as error:
        raise error.at(places.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{places.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def check(todo: Sequence[Outcome], watch: Watch) -> None:
    """Build what is to be done, so that nothing is written where something does not fit.

    Of runs that differ only in seed and rate, those with the lowest and the highest rate stand for all.

    Raises ConfigError, DataError.
    """
    alike: dict[str, list[Experiment]] = {}
    for outcome in todo:
        alike.setdefault(without_rate(outcome.experiment), []).append(outcome.experiment)
    watch(message(f"checking {len(alike)} config{'s' * (len(alike) > 1)}"))
    for experiments in alike.values():
        experiments.sort(key=lambda experiment: experiment.optimizer.params.get("lr", 0.0))
        check_built(experiments[0])
        if group(experiments[-1]) != group(experiments[0]):
            check_built(experiments[-1])


def prepare(todo: Sequence[Outcome], again: bool) -> None:
    """Make the folders of what is to be done."""
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
    from lrbench.training.build import resolve_device

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
