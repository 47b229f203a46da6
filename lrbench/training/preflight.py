"""Before training: check all pending runs before anything is written, then prepare their folders."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from lrbench.config import RunConfig, identity, without_rate
from lrbench.errors import FolderError, LockedError, LrbenchError, UserCodeError, counted, option
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, RunResult, Status, changes, writing
from lrbench.training.kinds import Kind
from lrbench.training.loop_check import CheckOne
from lrbench.training.outcome import Outcome
from lrbench.training.run_one import failure


def check(todo: Sequence[Outcome], root: Path, watch: Watch, check_one: CheckOne) -> None:
    """Check the pending runs, each kind in its own way, before anything is written; say so the first time.

    `check_one` checks a config of the training loop. What goes wrong in user code is noted in the outcomes, unless no
    run is left then.

    Raises ConfigError, DataError, UserCodeError.
    """
    if (building := sys.modules.get("lrbench.training.build")) is not None:
        building.checked.clear()  # of runs that never started; the user's code may have changed since
    if new := {without_rate(outcome.experiment) for outcome in todo if not outcome.checked}:
        watch(message(f"checking {counted(len(new), 'config')}"))
    by_kind: dict[Kind, list[RunConfig]] = {}
    for outcome in todo:
        by_kind.setdefault(outcome.kind, []).append(outcome.experiment)
    failed: dict[str, UserCodeError] = {}
    for kind, configs in by_kind.items():
        failed |= kind.check(configs, root, watch, check_one)
    for outcome in todo:
        outcome.checked, outcome.unfit = True, failed.get(identity(outcome.experiment))
    if todo and all(outcome.unfit for outcome in todo):
        raise UserCodeError(f"{todo[0].experiment.name}: {todo[0].unfit}") from todo[0].unfit


def end_unfit(todo: Sequence[Outcome], watch: Watch) -> None:
    """Write the failures that `check` noted as results of the runs, whose folders are prepared."""
    for outcome in todo:
        if outcome.unfit is None or not outcome.to_do:
            continue
        folder, reason = RunFolder(outcome.path), str(outcome.unfit)
        try:
            with folder.lock():
                outcome.ended(failure(folder, outcome.experiment, reason, outcome.unfit.trace))
        except LrbenchError:  # another process trains it, or the disk is full
            outcome.failed(reason)
        ended = outcome.result or RunResult(Status.FAILED, reason)
        watch(Event(folder.name, "end", values={"result": ended, "folder": folder.path}))


def prepare(todo: Sequence[Outcome], again: bool) -> None:
    """Prepare the folders of pending runs. Unless `again`, results that another process has written are found."""
    for outcome in todo:
        folder = RunFolder(outcome.path)
        try:
            with writing(folder.path):
                folder.path.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(LockedError), folder.lock():  # if locked, another process has prepared it
                if again or not outcome.find():
                    outcome.warnings += _make_ready(folder, outcome, again)
        except FolderError as error:
            outcome.failed(error)


def _make_ready(folder: RunFolder, outcome: Outcome, again: bool) -> list[str]:
    """Prepare a locked folder for a new, repeated or resumed run; return warnings."""
    experiment, kind = outcome.experiment, outcome.kind
    if not folder.has_config:
        added = {"added": outcome.added} if outcome.added else {}
        folder.create(experiment, {**kind.environment(experiment), **added})
        return []
    folder.adopt(experiment)
    if again or not kind.resumes(folder, experiment):
        folder.clear()
        folder.amend_environment(kind.environment(experiment))
        return []
    try:
        changed = changes(folder.environment(), experiment)
    except FolderError:
        return []
    if changed:
        now = {
            key: value for key, value in kind.environment(experiment).items() if key in ("lrbench", "user_code", "git")
        }
        folder.amend_environment({"resumed_with": now})
    return [
        f"{change} since this run started, so its results mix both versions; {option('--again')} starts it over"
        for change in changed
    ]
