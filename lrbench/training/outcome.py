"""What became of each run that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import Experiment, run_name
from lrbench.errors import FolderError, UsageError
from lrbench.runs import RunFolder, RunResult, Status, changes
from lrbench.training.kinds import Kind, PlainTraining


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        experiment: what was asked for; its name may differ from the folder's, which keeps the first one.
        path: the run's folder.
        status: `pending` or `interrupted` while it is to be done; `running` where another process is at it.
        result: how it ended, None where it has not.
        kind: what is done with the experiment.
        found: whether it was done already.
        message: why there is no result, or what to know of it.
        warnings: what has changed since the run was made, and the like.
        signal: the signal that interrupted it, if one did.
    """

    experiment: Experiment
    path: Path
    status: Status
    result: RunResult | None = None
    kind: Kind = field(default_factory=PlainTraining)
    found: bool = False
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    signal: int | None = None

    @property
    def to_do(self) -> bool:
        """True where the run is still to be done."""
        return self.status.to_do

    @property
    def undone(self) -> bool:
        """True where the run failed, or is left to another process."""
        return self.status in (Status.FAILED, Status.RUNNING)

    def ended(self, result: RunResult, *, found: bool = False) -> None:
        """The run has come to that result, or had when it was looked up."""
        self.status, self.result, self.found = result.status, result, found
        self.message = "" if found else result.reason

    def failed(self, reason: object) -> None:
        """The run could not be done, and has no result."""
        self.status, self.result, self.message = Status.FAILED, None, str(reason)


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


def look(root: Path, experiment: Experiment, kind: Kind, again: bool) -> Outcome:
    """Look up a run under `root`: finished, pending or failed."""
    try:
        folder = RunFolder.of(root, experiment)
    except FolderError as error:
        return Outcome(experiment, root / run_name(experiment), Status.FAILED, kind=kind, message=str(error))
    return look_in(folder, experiment, kind, again)


def look_in(folder: RunFolder, experiment: Experiment, kind: Kind, again: bool) -> Outcome:
    """Look up a run in its folder; with `again` it is pending whatever is there."""
    try:
        result = folder.result_of(experiment, pruned=kind.accepts_pruned)
    except FolderError as error:
        return Outcome(experiment, folder.path, Status.FAILED, kind=kind, message=str(error))
    outcome = Outcome(experiment, folder.path, Status.PENDING, kind=kind)
    if result is None or again:
        return outcome
    outcome.ended(result, found=True)
    outcome.warnings = _changes(folder, experiment)
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


def pending(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes whose runs are still to be done."""
    return [outcome for outcome in outcomes if outcome.to_do]
