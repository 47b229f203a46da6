"""Before training: check all pending runs before anything is written, then prepare their folders."""

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
    """Build the pending runs, so that an invalid config is found before anything is written.

    Of runs that differ only in seed and learning rate, only the lowest and the highest learning rate are checked. With
    `keep`, the parts are kept for training in this process. Likely mistakes are told once.

    Raises ConfigError, DataError.
    """
    alike: dict[str, list[Experiment]] = {}
    for outcome in todo:
        alike.setdefault(without_rate(outcome.experiment), []).append(outcome.experiment)
    watch(message(f"checking {len(alike)} config{'s' * (len(alike) > 1)}"))
    from lrbench.training.build import checked  # torch takes a second, in which the message can be read

    checked.clear()  # of runs that never started; the user's code may have changed since
    doubts: list[str] = []
    for experiments in alike.values():
        experiments.sort(key=lambda experiment: experiment.optimizer.params.get("lr", 0.0))
        doubts += [f"{experiments[0].name}: {text}" for text in _check_built(experiments[0], keep)]
        if group(experiments[-1]) != group(experiments[0]):
            _check_built(experiments[-1], keep)
    for text in dict.fromkeys(doubts):
        watch(message(text))


def _check_built(experiment: Experiment, keep: bool) -> list[str]:
    from lrbench.training.check import check as check_built
    from lrbench.training.device import resolve_device
    from lrbench.training.isolation import isolated

    try:
        with isolated():
            return check_built(experiment, resolve_device(experiment.device), keep=keep)
    except ConfigError as error:
        raise error.at(experiment.where(error.key)) from None
    except DataError as error:
        raise DataError(f"{experiment.where('dataset')}: dataset: {error}".removeprefix(": ")) from error


def prepare(todo: Sequence[Outcome], again: bool) -> None:
    """Prepare the folders of pending runs. Unless `again`, results that another process has written are found."""
    for outcome in todo:
        folder = RunFolder(outcome.path)
        try:
            with writing(folder.path):
                folder.path.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(LockedError), folder.lock():  # if locked, another process has prepared it
                if again or not outcome.find():
                    outcome.warnings += _make_ready(folder, outcome.experiment, again)
        except FolderError as error:
            outcome.failed(error)


def _make_ready(folder: RunFolder, experiment: Experiment, again: bool) -> list[str]:
    """Prepare a locked folder for a new, repeated or resumed run; return warnings."""
    from lrbench.training.device import resolve_device

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
    return [f"{change} since this run started, so it mixes both; --again starts it over" for change in changed]
