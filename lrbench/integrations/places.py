"""Where a recorder writes: into a run folder of its own, or into that of the command that lrbench started."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from lrbench.components import recorded as described
from lrbench.config import RecordedConfig
from lrbench.errors import LockedError
from lrbench.integrations.processes import device, say, script_hash, versions
from lrbench.integrations.values import settled
from lrbench.runs import Recorded, RowWriter, RunFolder, Status, conclude, describe, now

RUN, RESUMED = "LRBENCH_RUN", "LRBENCH_RESUMED"
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"  # how often torchrun has started the workers again


class Place(Protocol):
    """Where a recorder writes."""

    folder: RunFolder
    writer: RowWriter

    def evaluated(self) -> None:
        """Called after each evaluation has been written."""

    def conclude(self, status: Status, error: BaseException | None, reason: str) -> None:
        """Write how the run ended, as far as that is the recorder's to write; may come again with later values."""

    def close(self) -> None:
        """Close the files and let go of the folder."""


class OfCommand:
    """The folder of a command that lrbench started, which holds its lock and writes its result.

    Args:
        path: the folder.
        recorded: what the program says of its run.
        resume: keep the rows that are there.

    Raises FolderError if it can't be written, LockedError if another process of the command records.
    """

    def __init__(self, path: Path, recorded: Recorded, *, resume: bool) -> None:
        self.folder = RunFolder(path)
        resume = resume or bool(os.environ.get(RESUMED)) or os.environ.get(_RESTARTS, "0") != "0"
        self._held = contextlib.ExitStack()
        with self._held:
            self._held.enter_context(_only_recorder(self.folder))
            if not resume and self.folder.recorded():
                say("another process of this command has recorded before; its rows are replaced")
            self.writer = RowWriter(self.folder, _kept(self.folder, recorded, resume), keep=resume, numbers=settled)
            self._held = self._held.pop_all()

    def evaluated(self) -> None:
        """See `Place`."""

    def conclude(self, status: Status, error: BaseException | None, reason: str) -> None:
        """See `Place`."""
        self.writer.flush()

    def close(self) -> None:
        """See `Place`."""
        with self._held:
            self.writer.close()


@contextlib.contextmanager
def _only_recorder(folder: RunFolder) -> Iterator[None]:
    """Be the one process of a command that records. Raises LockedError if another one is."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(folder.recorder_lock())
        except LockedError as error:
            advice = "if they train one model, only rank 0 records: set RANK before lrbench.record, or pass rank="
            raise LockedError(f"two processes of one command record {error}; {advice}") from None
        yield


class Standalone:
    """A run folder of the recorder's own, whose lock it holds.

    Args:
        root: the folder of all runs.
        config: what is known of the run.
        recorded: the same, as the program says it.
        resume: keep the rows that are there.

    Attributes:
        replaced: the status that a run of the same identity had, whose rows were removed; None if there was none.

    Raises FolderError if it can't be written, LockedError if another process records this run.
    """

    def __init__(self, root: Path, config: RecordedConfig, recorded: Recorded, *, resume: bool) -> None:
        self.config, self.folder = config, RunFolder.of(root, config)
        self.replaced: Status | None = None
        self._began = time.monotonic()
        self._held = contextlib.ExitStack()
        with self._held:
            known = self.folder.has_config
            before = self.folder.status() if known else None
            if not known:
                self._create(recorded)
            try:
                self._held.enter_context(self.folder.lock())
            except LockedError as error:
                raise LockedError(f"{error}, which records it; give this one another name, config or seed") from None
            if known and not resume:
                self.replaced = before
                self.folder.clear()
                self._create(recorded)
            elif known:
                self.folder.begin(now())
                self.folder.amend_environment({"resumed": [*self.folder.environment().resumed, now()]})
            self.writer = RowWriter(self.folder, _kept(self.folder, recorded, resume), keep=resume, numbers=settled)
            self._metrics = dict(recorded.metrics)
            self._held = self._held.pop_all()

    def _create(self, recorded: Recorded) -> None:
        known = describe(self.config, device="")
        torch = {"packages": {**known["packages"], **versions()}}
        self.folder.create(self.config, {**known, **torch, "user_code": script_hash(), **_sizes(recorded)})

    def evaluated(self) -> None:
        """See `Place`. Readers of the folder find the metrics in the environment."""
        if dict(self.writer.recorded.metrics) != self._metrics:
            self._metrics = dict(self.writer.recorded.metrics)
            self.folder.amend_environment({"metrics": described(self._metrics.values())})

    def conclude(self, status: Status, error: BaseException | None, reason: str) -> None:
        """See `Place`."""
        self.writer.flush()
        if error is not None:
            self.folder.log_error("".join(traceback.format_exception(error)))
        recorded = self.writer.recorded
        known = {"metrics": described(recorded.metrics.values()), **_sizes(recorded), **device()}
        self.folder.amend_environment(known)
        result = conclude(self.folder, recorded, status=status, reason=reason, best_by=self.config.best_by)
        seconds = result.seconds if result.seconds is not None else time.monotonic() - self._began
        self.folder.finish(self.config, replace(result, seconds=seconds))
        if status.complete and result.final is None and not result.test:
            say(f"{self.folder.name} has recorded no evaluation, so reports have nothing to compare")

    def close(self) -> None:
        """See `Place`."""
        with self._held:
            self.writer.close()


def _kept(folder: RunFolder, recorded: Recorded, keep: bool) -> Recorded:
    """Return what is known of a run, with what it had measured before it was resumed."""
    if not keep:
        return recorded
    before = Recorded.of(folder.recorded())
    metrics = {**before.metrics, **recorded.metrics}
    return replace(recorded, metrics=metrics, test=before.test, notes=before.notes)


def _sizes(recorded: Recorded) -> dict[str, Any]:
    return {} if recorded.total_steps is None else {"sizes": {"total_steps": recorded.total_steps}}


def new_run() -> str:
    """Return what tells a run without a seed from all others."""
    return uuid.uuid4().hex[:12]
