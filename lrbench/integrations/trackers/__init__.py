"""Trackers: what an experiment tracking tool gets to know of a run. One file per tool, imported only when it is used.

A tool is a class like `Tool`: it opens a `Log` for each run, live while the run trains or later from its folder. A
config may name a class of one's own, `mypkg.tools:MyTool`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lrbench.components import Metric
from lrbench.config import exists
from lrbench.errors import FolderError, UsageError
from lrbench.runs import Status, read_json, relative, to_json, write_file

STAMP = "lrbench.json"
"""The file that tells which state of a run a tool has."""


@dataclass(frozen=True)
class Run:
    """A run, as tools get it.

    Attributes:
        name: the name of its folder, which is unique.
        experiment: the config's name.
        group: what the runs that differ only in the seed have in common: name, learning rate, eight hex digits.
        seed: its seed; None if it is unknown.
        identity: 64 hex digits by which it is known, whatever its name.
        config: the config as nested mappings, without name, seed, device, reference and what is kept or tracked.
        started: when it was started, in seconds since 1970; 0 if unknown.
        metrics: what is measured, by name.
        about: other facts by name: the device, lrbench's version, the git commit.
        path: its folder.
    """

    name: str
    experiment: str
    group: str
    seed: int | None
    identity: str
    config: Mapping[str, Any]
    started: float
    metrics: Mapping[str, Metric]
    about: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()

    @property
    def flat(self) -> dict[str, bool | int | float | str]:
        """The config with dotted keys, `optimizer.lr`; lists are JSON."""
        return dict(_flat(self.config, ""))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, bool | int | float | str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif inner is not None:
            yield f"{prefix}{key}", inner if isinstance(inner, bool | int | float | str) else json.dumps(inner)


class Row(NamedTuple):
    """A row of `steps.csv` or `epochs.csv`.

    Attributes:
        step: steps done.
        time: when, in seconds since 1970.
        values: the other columns by name; those without a value are left out, one that is not a number is NaN.
    """

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Ending:
    """How a run ended, or where it was interrupted.

    Attributes:
        status: its status.
        reason: why, unless the status says it all.
        step: steps done.
        time: when, in seconds since 1970.
        values: measures of the whole run: `test_loss`, `best_val_accuracy`, ….
        final: measures of its last evaluation: `train_loss`, `val_accuracy`, ….
    """

    status: Status
    reason: str
    step: int
    time: float
    values: Mapping[str, float]
    final: Mapping[str, float]

    @property
    def over(self) -> bool:
        """False if the run may go on."""
        return self.status.over

    @property
    def good(self) -> bool:
        """False if the run diverged, failed, or has not reached its end."""
        return self.over and not self.status.lost


class Known(NamedTuple):
    """The last step that a tool already knows of a run: of its steps, and of its evaluations."""

    step: int = 0
    evaluation: int = 0


class Log:
    """A run in a tool.

    Attributes:
        known: what the tool already has; it gets only later rows.
        by_step: whether it has got steps.
    """

    known = Known()
    by_step = False

    def measured(self, row: Row) -> dict[str, float]:
        """Return the values of an evaluation, without the learning rate if that of each step is logged."""
        return {name: value for name, value in row.values.items() if name != "lr" or not self.by_step}

    def steps(self, rows: Sequence[Row]) -> None:
        """Log steps."""
        raise NotImplementedError

    def evaluation(self, row: Row) -> None:
        """Log an evaluation."""
        raise NotImplementedError

    def end(self, ending: Ending) -> None:
        """Log how the run ended, and close it."""
        raise NotImplementedError

    def discard(self) -> None:
        """Close it without an end, since the run has been resumed or started again and is about to be opened anew."""


class Tool:
    """A tracking tool that writes to the folder `into`.

    Attributes:
        title: its name in messages.
        needs: the packages that it imports.
        extra: the extra of lrbench that installs them.
        in_folders: whether a run's log is in its `folder_of`.
    """

    title: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    in_folders: ClassVar[bool] = False

    def __init__(self, into: Path) -> None:
        self.into = local(into, self.title)

    @property
    def hint(self) -> str:
        """The command that shows what was logged."""
        return ""

    @property
    def options(self) -> dict[str, Any]:
        """The options that decide what is logged where, besides the folder."""
        return {}

    def open(self, run: Run) -> Log:
        """Open a log for a new run, or again for one that it knows, which is then replaced or continued."""
        raise NotImplementedError

    def holds(self, run: Run, state: str) -> bool | None:
        """Whether the tool has all of a run in this state; None if it does not know the run."""
        stamp = read_json(self.folder_of(run) / STAMP)
        return None if stamp is None else stamp.get("state") == state and stamp.get("options") == self.options

    def stamp(self, run: Run, state: str) -> None:
        """Note that it has all of a run in this state. Raises FolderError, also if its files were removed meanwhile."""
        if self.in_folders and not self.folder_of(run).is_dir():  # a stamp alone would say that the run is there
            raise FolderError(f"{self.folder_of(run)} was removed while it was written")
        stamp = {"identity": run.identity, "state": state, "options": self.options}
        write_file(self.folder_of(run) / STAMP, to_json(stamp))

    def folder_of(self, run: Run) -> Path:
        """Return the folder of a run's files, which holds the stamp, so that whoever removes them removes it too."""
        return self.into / run.name

    def close(self) -> None:
        """Called once all logs are closed."""


def state_of(texts: Iterable[Any]) -> str:
    """Return a short hash of what a run's folder holds."""
    return hashlib.sha256("\n".join(map(str, texts)).encode()).hexdigest()[:16]


def split_of(column: str) -> tuple[str, str]:
    """Return a measure's metric and where it is measured.

    >>> split_of("val_loss"), split_of("best_val_accuracy"), split_of("test_loss"), split_of("lr")
    (('loss', 'val'), ('accuracy', 'best_val'), ('loss', 'test'), ('lr', ''))
    """
    for where in ("train", "val", "best_val", "test_best", "test"):
        if column.startswith(f"{where}_"):
            return column.removeprefix(f"{where}_"), where
    return column, ""


def sectioned(column: str, of_step: bool = False) -> str:
    """Return a column's name for tools that make sections of the names before a slash.

    >>> sectioned("val_loss"), sectioned("best_val_loss"), sectioned("loss", of_step=True), sectioned("lr")
    ('val/loss', 'best_val/loss', 'train/step_loss', 'lr')
    """
    if of_step:
        return "train/step_loss" if column == "loss" else column
    metric, where = split_of(column)
    return f"{where}/{metric}" if where else column


def quoted(path: Path | str) -> str:
    """Return a path as a shell takes it, from the working folder if it lies in there."""
    return shlex.quote(str(relative(path) if isinstance(path, Path) else path))


def local(into: Path | str, title: str) -> Path:
    """Return a folder that a tool writes to. Raises UsageError for an address or a file."""
    if "://" in str(into):
        raise UsageError(f"{title} writes to a folder, not to an address (got {into})")
    path = Path(into)
    if exists(path) and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder")
    return path
