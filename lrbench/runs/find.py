"""Find run folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lrbench.config import exists
from lrbench.errors import UsageError
from lrbench.runs.folder import RunFolder

_RANGE_TESTS = "find-lr"


def find_runs(paths: Iterable[Path]) -> list[RunFolder]:
    """Return the run folders among `paths` and directly under them, each once, ordered by path and name.

    A folder that links lead to as well has its own name. Raises UsageError for a path that does not exist, is a file,
    or can't be read.
    """
    found: dict[Path, RunFolder] = {}
    for path in paths:
        if not exists(path):
            raise UsageError(f"{path}: no such run or folder of runs")
        if not path.is_dir():
            raise UsageError(f"{path} is a file, not a run folder or a folder of runs")
        try:
            if RunFolder(path).is_run:
                run = _itself(path)
                found.setdefault(run.resolve(), RunFolder(run))
                continue
            inside = folders_in(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        resolved = path.resolve()
        for is_link, run in sorted(inside):
            if (folder := RunFolder(run)).is_run:
                found.setdefault(run.resolve() if is_link else resolved / run.name, folder)
    return list(found.values())


def no_runs(paths: Iterable[Path], creates: str = "lrbench run CONFIG") -> UsageError:
    """Return the error that there are no runs in `paths`: what is there instead, where some are, or what creates some.

    Args:
        paths: the folders.
        creates: a command that creates runs.
    """
    paths = list(paths)
    said = f"no runs in {', '.join(map(str, paths)) or '[]'}"
    if any(_RANGE_TESTS in (path.name, path.parent.name) or exists(path / _RANGE_TESTS) for path in paths):
        return UsageError(f"{said}, only range tests; `lrbench report` shows them")
    unread = ""
    for folder in (folder for path in paths for folder in path.parents[:2]):
        try:
            if find_runs([folder]):
                return UsageError(f"{said}; there are some in {folder}")
        except UsageError as error:  # it may not be read, or is gone
            unread = unread or f", and {error}, so there may be some in there"
    return UsageError(f"{said}; `{creates}` creates some{unread}")


def of_range_test(folder: Path) -> bool:
    """Return whether a folder is a seed of a range test rather than a run to compare."""
    return folder.absolute().parent.parent.name == _RANGE_TESTS


def folders_in(path: Path) -> list[tuple[bool, Path]]:
    """Return the folders in a folder, and whether each is a link to one; only links are looked at one by one."""
    with os.scandir(path) as entries:
        return [
            (entry.is_symlink(), Path(entry.path))
            for entry in entries
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())  # no circle
        ]


def _itself(path: Path) -> Path:
    """Return a run folder that was named: what it leads to, if it is a link."""
    return path.resolve() if path.is_symlink() else path
