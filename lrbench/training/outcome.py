"""Outcomes: the status and result of each requested run."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import RunConfig, run_name
from lrbench.errors import FolderError, LockedError, UsageError, UserCodeError, option
from lrbench.runs import RunFolder, RunResult, Status, changes
from lrbench.training.kinds import Kind, PlainTraining
from lrbench.types import Displayed


@dataclass
class Outcome:
    """The outcome of one run.

    Attributes:
        experiment: what was requested; its name may differ from the folder's, which keeps the first name.
        path: the run's folder.
        status: `pending` or `interrupted` before it is executed; `running` if another process trains it.
        result: how the run ended; None if it has not.
        kind: the kind of work.
        found: whether the run was already finished.
        message: why there is no result, or the result's reason.
        warnings: for example what has changed since the run.
        signal: the signal that interrupted the run, if any.
        checked: whether its config was checked.
        unfit: what went wrong in user code in that check; None if nothing did.
        added: the number of the request by hand that added the run's seed; 0 for none.
    """

    experiment: RunConfig
    path: Path
    status: Status
    result: RunResult | None = None
    kind: Kind = field(default_factory=PlainTraining)
    found: bool = False
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    signal: int | None = None
    checked: bool = False
    unfit: UserCodeError | None = None
    added: int = 0

    @property
    def to_do(self) -> bool:
        """True if the run is pending, interrupted or paused."""
        return self.status.to_do

    @property
    def undone(self) -> bool:
        """True if the run failed or is left to another process."""
        return self.status in (Status.FAILED, Status.RUNNING)

    def ended(self, result: RunResult, *, found: bool = False) -> None:
        """Note the run's result; `found` if it existed before."""
        self.status, self.result, self.found = result.status, result, found
        self.message = "" if found else result.reason

    def find(self) -> bool:
        """Note the result in the run's folder; False if none counts as finished. Raises FolderError."""
        result = RunFolder(self.path).result_of(self.experiment, pruned=self.kind.accepts_pruned)
        if result is not None:
            self.ended(result, found=True)
        return result is not None

    def failed(self, reason: object) -> None:
        """Note that the run failed without a result."""
        self.status, self.result, self.message = Status.FAILED, None, str(reason)


class Outcomes(list[Outcome], Displayed):
    """The outcomes of a call, in a list that shows itself in a notebook."""


def make(root: Path) -> None:
    """Make the folder of the runs. Raises UsageError if no folder can be made there or in it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".", dir=root)).rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # there may be room again when a run is written
            problem = f"no folder can be made there ({error.strerror})"
            raise UsageError(f"{option('--runs')} {root}: {problem}") from error


def look(root: Path, experiment: RunConfig, kind: Kind, again: bool) -> Outcome:
    """Look up a run under `root`: finished, pending or failed."""
    try:
        folder = RunFolder.of(root, experiment)
    except FolderError as error:
        return Outcome(experiment, root / run_name(experiment), Status.FAILED, kind=kind, message=str(error))
    return look_in(folder, experiment, kind, again)


def look_in(folder: RunFolder, experiment: RunConfig, kind: Kind, again: bool) -> Outcome:
    """Look up a run in its folder; with `again` it is always pending."""
    outcome = Outcome(experiment, folder.path, Status.PENDING, kind=kind)
    try:
        if again or not outcome.find():
            return outcome
    except FolderError as error:
        outcome.failed(error)
        return outcome
    _clear_up(folder, outcome.status)
    outcome.warnings = _changes(folder, experiment)
    if experiment.plain().get("keep") == "state" and outcome.status.complete and not folder.has_final:
        outcome.warnings.append(f"its final state was not kept; {option('--again')} repeats it and keeps it")
    try:
        folder.adopt(experiment)
    except FolderError as error:
        outcome.warnings.append(f"could not update the device and reference in its config: {error}")
    return outcome


def _clear_up(folder: RunFolder, status: Status) -> None:
    """Remove what is left of a run whose process was killed after it had written the result."""
    owner = folder.owner
    if status.ended and owner is not None and owner.gone:
        with contextlib.suppress(LockedError, FolderError), folder.lock():
            folder.clear_up()


def _changes(folder: RunFolder, experiment: RunConfig) -> list[str]:
    """Return warnings about what has changed since the run."""
    try:
        found = changes(folder.environment(), experiment)
    except FolderError as error:
        return [str(error)]
    return [f"{change} since this run; {option('--again')} repeats it" for change in found]


def pending(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes whose runs are pending, interrupted or paused."""
    return [outcome for outcome in outcomes if outcome.to_do]
