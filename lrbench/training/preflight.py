"""Before runs are done: check what is asked for while nothing is written yet, then make the folders ready."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from lrbench.config import Experiment, group, without_rate
from lrbench.errors import ConfigError, DataError, FolderError, LockedError
from lrbench.events import Watch, message
from lrbench.runs import RunFolder, changes, describe, writing
from lrbench.training.outcome import Outcome


def check(todo: Sequence[Outcome], watch: Watch, *, keep: bool) -> None:
    """Build what is to be done, so that nothing is written where something does not fit.

    Of runs that differ only in seed and learning rate, those with the lowest and the highest rate stand for all. With
    `keep`, what was built is kept for this process to train.

    Raises ConfigError, DataError.
    """
    from lrbench.training.build import forget_checked

    forget_checked()
    alike: dict[str, list[Experiment]] = {}
    for outcome in todo:
        alike.setdefault(without_rate(outcome.experiment), []).append(outcome.experiment)
    watch(message(f"checking {len(alike)} config{'s' * (len(alike) > 1)}"))
    for experiments in alike.values():
        experiments.sort(key=lambda experiment: experiment.optimizer.params.get("lr", 0.0))
        _check_built(experiments[0], keep)
        if group(experiments[-1]) != group(experiments[0]):
            _check_built(experiments[-1], keep)


def _check_built(experiment: Experiment, keep: bool) -> None:
    from lrbench.training.build import resolve_device
    from lrbench.training.check import check as check_built

    try:
        check_built(experiment, resolve_device(experiment.device), keep=keep)
    except ConfigError as error:
        raise error.at(experiment.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{experiment.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def prepare(todo: Sequence[Outcome], again: bool) -> None:
    """Make the folders of what is to be done. What another process has done meanwhile is found, unless `again`."""
    for outcome in todo:
        folder = RunFolder(outcome.path)
        try:
            with writing(folder.path):
                folder.path.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(LockedError), folder.lock():  # or else another process has made the folder
                done = None if again else folder.result_of(outcome.experiment, pruned=outcome.kind.accepts_pruned)
                if done is not None:
                    outcome.ended(done, found=True)
                else:
                    outcome.warnings += _make_ready(folder, outcome.experiment, again)
        except FolderError as error:
            outcome.failed(error)


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
