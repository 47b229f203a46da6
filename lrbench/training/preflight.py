"""Before training: check all pending runs before anything is written, then prepare their folders."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lrbench.config import RunConfig, without_rate
from lrbench.errors import FolderError, LockedError, counted, option
from lrbench.events import Watch, message
from lrbench.runs import RunFolder, changes, writing
from lrbench.training.kinds import Kind
from lrbench.training.outcome import Outcome


def check(todo: Sequence[Outcome], root: Path, watch: Watch, *, keep: bool) -> None:
    """Check the pending runs, each kind in its own way, before anything is written; say so the first time.

    Raises ConfigError, DataError.
    """
    if new := {without_rate(outcome.experiment) for outcome in todo if not outcome.checked}:
        watch(message(f"checking {counted(len(new), 'config')}"))
    by_kind: dict[Kind, list[RunConfig]] = {}
    for outcome in todo:
        by_kind.setdefault(outcome.kind, []).append(outcome.experiment)
    for kind, configs in by_kind.items():
        kind.check(configs, root, watch, keep=keep)
    for outcome in todo:
        outcome.checked = True


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
