"""Read all runs, once or again and again: then only what has changed since, so that a live view costs little."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lrbench.analysis.copies import without_copies
from lrbench.analysis.evaluations import usable
from lrbench.analysis.folded import UNSURE_SECONDS, Stamps, read_all, stamps_of
from lrbench.analysis.reading import read_one
from lrbench.analysis.records import Record
from lrbench.errors import LrbenchError, UsageError
from lrbench.runs import Growing, RunFolder, Status, find_runs, folders_in

SEARCH_SECONDS = 120.0
"""Everything is looked at again after this long, in case a file system does not tell of changes in folders."""


def read_runs(paths: Iterable[Path]) -> list[Record]:
    """Read every run among and directly under `paths`, ordered by folder, and mark copies; see `without_copies`.

    Raises:
        UsageError: a path does not exist.
    """
    return without_copies(read_all(find_runs(list(paths))))


@dataclass
class _Known:
    """A run as last read; `stamp` is the folder's own, None if all of its files must be looked at."""

    record: Record
    stamps: Stamps
    stamp: int | None
    growing: Growing | None = None


@dataclass
class RunsReader:
    """The runs among and directly under some folders, of which each look reads only what has changed.

    A folder's own time stamp tells whether a file in it was made, replaced or removed, which is all that happens to a
    run that is not under way; of one under way, every file is looked at, and new rows are read from where reading
    stopped. A folder that does not exist has no runs.

    Attributes:
        paths: run folders, and folders that contain them.
        records: the runs as last read, as `read_runs` gives them. A run that has not changed keeps its record.
        version: counts the looks that found a change.
    """

    paths: Sequence[Path]
    records: list[Record] = field(default_factory=list)
    version: int = 0
    _known: dict[Path, _Known] = field(default_factory=dict)
    _folders: list[RunFolder] = field(default_factory=list)
    _listed: dict[Path, int | None] = field(default_factory=dict)
    _searched: float = -SEARCH_SECONDS

    def look(self) -> bool:
        """Look at the folders again and return whether anything has changed. Never raises for their contents."""
        folders = self._find()
        changed = len(folders) != len(self._known) or any(folder.path not in self._known for folder in folders)
        before, self._known = self._known, {}
        for folder in folders:
            known = before.get(folder.path)
            now = self._read(folder, known)
            changed = changed or known is None or now.record is not known.record
            self._known[folder.path] = now
        if changed or not self.version:
            self.records = without_copies(known.record for known in self._known.values())
            self.version += 1
            return True
        return False

    def _find(self) -> list[RunFolder]:
        """Return the run folders, which are searched for only where a folder of runs has changed."""
        again = time.monotonic() - self._searched >= SEARCH_SECONDS
        if not again and all(_changed(path) == stamp for path, stamp in self._listed.items()):
            return self._folders
        if again:  # look at the files of each folder, too
            self._searched = time.monotonic()
            for known in self._known.values():
                known.stamp = None
        self._listed = {path: _settled(path) for path in self.paths}
        found = []
        for path in self.paths:
            try:
                found += find_runs([path])
                runs = {folder.path for folder in found}
                others = [folder for _, folder in folders_in(path)] if path not in runs else []
                self._listed |= {other: _settled(other) for other in others if other not in runs}
            except (UsageError, OSError):  # not there yet, or gone again
                self._listed[path] = 0
        self._folders = list({folder.path.resolve(): folder for folder in reversed(found)}.values())[::-1]
        return self._folders

    def _read(self, folder: RunFolder, known: _Known | None) -> _Known:
        """Return what is known of a folder now; `known` itself if nothing has changed."""
        if known is not None and known.stamp is not None and known.stamp == _changed(folder.path):
            return known
        stamp, stamps = _settled(folder.path), stamps_of(folder.path)
        growing = None if known is None else known.growing
        if known is None or not self._only_rows(known, stamps):
            record, growing = read_one(folder), None
        else:
            record = known.record
            if stamps.get(folder.epochs.path.name) != known.stamps.get(folder.epochs.path.name):
                growing = growing or Growing(folder.epochs.path)
                record = _with_rows(record, growing)
            record = _with_status(record)
        return _Known(record, stamps, None if record.status is Status.RUNNING else stamp, growing)

    @staticmethod
    def _only_rows(known: _Known, stamps: Stamps) -> bool:
        """Whether all that may have changed are rows of a run under way, and its lock."""
        folder = known.record.folder
        rows = {folder.epochs.path.name, folder.steps.path.name, folder.output.name, "lock"}
        others = [{name: stamp for name, stamp in one.items() if name not in rows} for one in (known.stamps, stamps)]
        begun = folder.epochs.path.name in known.stamps or folder.epochs.path.name not in stamps
        return others[0] == others[1] and begun and known.record.status is not Status.DAMAGED


def _with_rows(record: Record, growing: Growing) -> Record:
    """Return the record with the rows that were appended since; if they are damaged, the folder as read anew."""
    try:
        found = usable(growing.columns(), record.folder, foreign=record.foreign)
    except (LrbenchError, OSError, ValueError):
        return read_one(record.folder)
    return record if len(found) == len(record.epochs) else replace(record, epochs=found)


def _with_status(record: Record) -> Record:
    """Return the record with its folder's status, if that has changed: the process may have ended."""
    try:
        status = record.folder.status(record.result)
    except (LrbenchError, OSError, ValueError):
        return read_one(record.folder)
    return record if status is record.status else replace(record, status=status)


def _changed(path: Path) -> int:
    """Return when a folder was changed, in ns; 0 if it is gone."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a third of the time, for each of thousands of folders
    except OSError:
        return 0


def _settled(path: Path) -> int | None:
    """Return when a folder was changed; None if that is so recent that its time stamp may hide another change."""
    stamp = _changed(path)
    return stamp if abs(time.time() - stamp / 1e9) > UNSURE_SECONDS else None
