"""`lrbench export`: replay the runs of folders to a tracking tool, or into tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrbench.analysis import Record, kept, read_runs
from lrbench.config import TRACKERS, checked_tracker, trackers
from lrbench.errors import ConfigError, FolderError, RunError, UsageError, option, reason_of
from lrbench.integrations.following import Following, run_of, state_in
from lrbench.integrations.trackers import Tool
from lrbench.runs import RunFolder, Status, folders_in, last_row, no_runs
from lrbench.types import PATH, PATHS, TEXT, TEXTS, Kind, Part, arguments

_TABLES = "lrbench.integrations.trackers.tables"
TOOLS = {**TRACKERS, "csv": f"{_TABLES}:Csv", "parquet": f"{_TABLES}:Parquet"}


@dataclass(frozen=True)
class Export:
    """What an export has done, by run folders.

    Attributes:
        into: the folder or address that was written to.
        tool: the tool.
        added: runs that are new there.
        updated: runs that were there in an earlier state.
        unchanged: runs that were there already, which were left as they are.
        left_out: runs that can't be exported, and why.
        unreadable: those of them that are damaged.
    """

    into: str
    tool: Tool
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    @property
    def hint(self) -> str:
        """The command that shows the exported runs, or the names of the written tables."""
        return self.tool.hint


@arguments(
    to=TEXT | Kind("a mapping with a `name`", lambda value: isinstance(value, Mapping)), into=PATH, filters=TEXTS
)
def export(
    runs: str | Path | Iterable[str | Path] = "runs",
    *,
    to: str | Mapping[str, Any],
    into: str | Path,
    filters: Iterable[str] = (),
) -> Export:
    """Export runs to a tracking tool, or as tables. Runs already exported are skipped.

    Args:
        runs: run folders, or folders that contain them.
        to: `tensorboard`, `mlflow`, `wandb`, `trackio`, `csv` or `parquet`, the import string of a tool of your own, or
            a block with options such as `{"name": "wandb", "project": "mine"}`.
        into: the folder to write to; for MLflow also the address of a server.
        filters: as for `lrbench.report`: names, patterns or `key=value`.

    Raises:
        ConfigError, UsageError: an unknown tool, option, run or filter; a package that is not installed.
        RunError: the tool failed.
    """
    paths = PATHS.of("runs", runs)
    tool = made(to, into)
    records = read_runs([Path(path) for path in paths])
    if not records:
        raise no_runs(map(Path, paths))
    records = kept(records, list(filters))
    if "://" not in str(into):
        _check_apart(Path(into))
    done = Export(str(into), tool)
    for record in records:
        _export(record, tool, done)
    try:
        tool.close()
    except (OSError, ValueError) as error:
        raise RunError(f"{tool.title}: {reason_of(error)}") from error
    return done


def made(to: str | Mapping[str, Any], into: str | Path) -> Tool:
    """Return the tool that writes to `into`. Raises ConfigError, UsageError."""
    catalog = trackers(TOOLS)
    try:
        part = checked_tracker(Part.of(to), catalog)
    except ValueError as error:
        raise UsageError(f"{option('--to')} {error}") from None
    except ConfigError as error:
        raise UsageError(f"{option('--to')} {to if isinstance(to, str) else to.get('name')}: {error.problem}") from None
    tool: Tool = catalog.build(part, "track", into=into if "://" in str(into) else Path(into))
    return tool


def _check_apart(into: Path) -> None:
    """Raise UsageError if files of a tool would lie among those of a run, and might replace them, or among runs."""
    place = into.absolute()
    own = next((one for one in (place, *place.parents) if RunFolder(one).has_environment), None)
    inside = folders_in(place) if own is None and place.is_dir() else []
    if any(RunFolder(path).has_environment for _, path in inside):
        raise UsageError(f"{into} is a folder of runs; export to another one, such as {into / 'exported'}")
    if own is not None:
        lies = "is" if own == place else "lies in"
        raise UsageError(f"{into} {lies} the folder of the run {own.name}; export to another one")


def _export(record: Record, tool: Tool, done: Export) -> None:
    """Export a run, unless the tool holds all of it."""
    name = record.folder.name
    if record.status in (Status.DAMAGED, Status.COPY, Status.PENDING):
        done.left_out[name] = record.problem or "it has not started"
        if record.status is Status.DAMAGED:
            done.unreadable.append(name)
        return
    try:
        last_row(record.folder.steps.path)
    except FolderError as error:  # of one run, which must not keep the others back
        done.left_out[name] = str(error)
        done.unreadable.append(name)
        return

    def failed(tool: Tool, why: str) -> None:
        raise RunError(f"{tool.title}: {why}")

    known = _asked(tool, record)
    if known:
        done.unchanged.append(name)
        return
    following = Following(record.folder, [tool], failed)
    following.begin()
    following.end()
    (done.added if known is None else done.updated).append(name)


def _asked(tool: Tool, record: Record) -> bool | None:
    try:
        return tool.holds(run_of(record), state_in(record))
    except FolderError:
        return False  # its stamp is damaged
    except UsageError:
        raise
    except Exception as error:
        raise RunError(f"{tool.title}: {record.folder.name}: {reason_of(error)}") from error
