"""Readers of other tools' runs: one file for each tool, which finds its runs by their marks and reads one.

Each has two functions: `claimed(folder)` returns what it can read in a folder, and `read(path)` the runs in one of
these places. Nothing here writes.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lrbench.errors import FolderError, UsageError, option
from lrbench.runs import RunFolder, Status


@dataclass(frozen=True)
class Foreign:
    """A run of another tool, as it was found.

    Attributes:
        key: what tells the run from all others, the same in each import.
        title: the run's own name.
        experiment: the name of what it belongs to; empty if there is nothing.
        log: its rows.
        params: its settings, flat or nested.
        status: how it ended; None if it is not known to have ended.
        reason: why, or what the tool says of its status.
        seconds: how long it took; None if unknown.
        started: when it started, as ISO 8601; None if unknown.
        total_steps: its planned length in steps; None if unknown.
        notes: what weakens a comparison.
        texts: the columns of the log without any number, each with an example of what they have.
        faults: what of the log was left out or does not fit, in words.
    """

    key: str
    title: str
    experiment: str
    log: Sequence[Mapping[str, float]]
    params: Mapping[str, Any] = field(default_factory=dict)
    status: Status | None = Status.FINISHED
    reason: str = ""
    seconds: float | None = None
    started: str | None = None
    total_steps: int | None = None
    notes: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class Claim:
    """What a tool has left in a folder.

    Attributes:
        places: the files or folders to read.
        whole: whether all that lies under the folder belongs to it.
        files: whether other tools' files in the folder itself are the same runs.
    """

    places: tuple[Path, ...]
    whole: bool = False
    files: bool = True


@dataclass(frozen=True)
class Tool:
    """A format of runs.

    Attributes:
        name: as in `--from`.
        title: its name in text.
        module: the file that reads it.
        marks: the names of its files, as a regular expression.
    """

    name: str
    title: str
    module: str
    marks: str

    @cached_property
    def claimed(self) -> Callable[[Path, bool], Claim | None]:
        """Return what it claims in a folder; with True also what doesn't look like a run's log."""
        found: Callable[[Path, bool], Claim | None] = self._function("claimed")
        return found

    @cached_property
    def read(self) -> Callable[[Path], list[Foreign]]:
        """Read the runs in a place. Raises FolderError, or UsageError if a package is missing."""
        found: Callable[[Path], list[Foreign]] = self._function("read")
        return found

    def _function(self, name: str) -> Any:
        return getattr(importlib.import_module(f"lrbench.integrations.importers.{self.module}"), f"{name}_{self.name}")


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("wandb", "W&B", "wandb", r".*\.wandb|.*\.csv"),
        Tool("mlflow", "MLflow", "mlflow", r".*\.db|meta\.yaml"),
        Tool("trainer", "Hugging Face Trainer", "trainer", r"trainer_state\.json"),
        Tool("lightning", "Lightning", "tables", r"metrics\.csv"),
        Tool("tensorboard", "TensorBoard", "tensorboard", r".*tfevents.*"),
        Tool("csv", "CSV", "tables", r".*\.[ct]sv"),
        Tool("jsonl", "JSON lines", "tables", r".*\.(jsonl|ndjson)"),
    )
}
"""The tools whose runs are imported; of a folder that several could read, the first reads it."""
OWN = Tool("lrbench", "lrbench", "own", "")
"""What lrbench itself has made: run folders and tables, which are no logs of other tools."""
LEFT = Tool("left", "left out", "left", "")
"""What looks like a log but is not read."""
MOST_DEEP = 20


def found_under(path: Path, only: Tool | None) -> Iterator[tuple[Tool, Path]]:
    """Yield the places under a path that can be read, and by which tool. Raises UsageError if it does not exist."""
    if not path.exists():
        missing = "is a link to a file that does not exist" if path.is_symlink() else "no such file or folder"
        raise UsageError(f"{path}{' ' if path.is_symlink() else ': '}{missing}")
    if not path.is_dir() and not path.is_file():
        raise UsageError(f"{path} is not a regular file, but a pipe, a socket or a device; give a file or a folder")
    path = path.resolve() if path.is_symlink() else path  # a link that was named is followed
    tools = list(TOOLS.values()) if only is None else [only]
    yield from _under(path, tools, 0) if path.is_dir() else [_of_file(path, tools)]


def _of_file(path: Path, tools: list[Tool]) -> tuple[Tool, Path]:
    """Return what reads a file, or the folder that it is a part of. Raises UsageError."""
    if OWN.claimed(path, True) is not None or _own(path.parent):
        return OWN, path
    marked = [tool for tool in tools if re.fullmatch(tool.marks, path.name, re.IGNORECASE)]
    for named in (len(tools) == 1, True):
        for tool in marked:
            claim = tool.claimed(path.parent, named)
            place = path if claim is None or path in claim.places else claim.places[0]
            if claim is not None and place in (path, path.parent):
                return tool, place
    if len(tools) == 1:
        others = [tool.name for tool in TOOLS.values() if re.fullmatch(tool.marks, path.name, re.IGNORECASE)]
        instead = f"; its name is that of {option('--from')} {others[-1]}" if others else ""
        raise UsageError(f"{path} is not a file of {tools[0].title}{instead}")
    endings = ".csv, .tsv, .jsonl, trainer_state.json, .wandb, mlflow.db or an event file of TensorBoard"
    raise UsageError(f"{path} is not a file of a known format; give {endings}")


def _under(folder: Path, tools: list[Tool], depth: int) -> Iterator[tuple[Tool, Path]]:
    if depth > MOST_DEEP:
        yield LEFT, folder
        return
    if _own(folder):
        yield OWN, folder
        return
    own = OWN.claimed(folder, True)
    taken: set[Path] = set() if own is None else set(own.places)
    yield from ((OWN, place) for place in sorted(taken))
    for tool in tools:
        claim = tool.claimed(folder, len(tools) == 1)
        if claim is None:
            continue
        left = [place for place in claim.places if place not in taken]
        yield from ((tool, place) for place in left)
        if not left:
            continue
        taken |= set(claim.places)
        if claim.whole:
            yield from ((LEFT, place) for place in (_tables_under(folder, depth) if tool.name == "tensorboard" else ()))
            return
        if claim.files:
            taken |= set(files_in(folder))
            break
    odd = LEFT.claimed(folder, True)
    yield from ((LEFT, place) for place in (odd.places if odd else ()) if place not in taken and _fits(place, tools))
    for inner in folders_in(folder):
        yield from _under(inner, tools, depth + 1)


def _fits(path: Path, tools: list[Tool]) -> bool:
    """Return whether a path may be of one of the tools: of all, any path may be."""
    marked = any(re.fullmatch(tool.marks, path.name, re.IGNORECASE) for tool in tools)
    return len(tools) == len(TOOLS) or path.is_dir() or (marked and (path.suffix.lower() != ".csv" or not is_log(path)))


def _tables_under(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the logs that are tables in and under a folder whose event files are read: they may be other runs'."""
    for claim in (TOOLS[name].claimed(folder, False) for name in ("csv", "jsonl")):
        yield from claim.places if claim else ()
    for inner in folders_in(folder) if depth < MOST_DEEP else ():
        yield from _tables_under(inner, depth + 1)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name; hidden ones and links are left out."""
    return sorted(
        (Path(e.path) for e in entries(folder) if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")),
        key=natural,
    )


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder, by name; links are left out."""
    return sorted((Path(e.path) for e in entries(folder) if e.is_file(follow_symlinks=False)), key=natural)


def is_log(path: Path) -> bool:
    """Return whether a path in a folder is a file, and no link, which could lead to any file of this machine."""
    return path.is_file() and not path.is_symlink()


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; nothing if it can't be read."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def natural(path: Path) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts `version_10` after `version_9`."""
    return tuple((int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d{1,15})", path.name))


def _own(folder: Path) -> bool:
    """Return whether it is a run folder of lrbench's own, rather than one that only has a file of the same name."""
    try:
        return RunFolder(folder).environment().identity is not None
    except FolderError:
        return False
