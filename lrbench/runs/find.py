"""Find run folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lrbench.errors import UsageError
from lrbench.runs.folder import RunFolder


def find_runs(paths: Iterable[Path]) -> list[RunFolder]:
    """Return the run folders among `paths` and directly under them, each once, ordered by path and name.

    A folder that links lead to as well has its own name. Raises UsageError for a path that does not exist, is a file,
    or can't be read.
    """
    found: dict[Path, RunFolder] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such run or folder of runs")
        if not path.is_dir():
            raise UsageError(f"{path} is a file, not a run folder or a folder of runs")
        try:
            candidates = [_itself(path)] if RunFolder(path).is_run else sorted(path.iterdir(), key=_links_last)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        for run in candidates:
            if run.is_dir() and (folder := RunFolder(run)).is_run:
                found.setdefault(run.resolve(), folder)
    return list(found.values())


def _itself(path: Path) -> Path:
    """Return a run folder that was named: what it leads to, if it is a link."""
    return path.resolve() if path.is_symlink() else path


def _links_last(path: Path) -> tuple[bool, Path]:
    return path.is_symlink(), path
