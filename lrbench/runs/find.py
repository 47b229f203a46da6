"""Find run folders."""

from __future__ import annotations

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
            candidates = [_itself(path)] if RunFolder(path).is_run else sorted(path.iterdir(), key=_links_last)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        for run in candidates:
            if run.is_dir() and (folder := RunFolder(run)).is_run:
                found.setdefault(run.resolve(), folder)
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
    for path in paths:
        for folder in path.parents[:2]:
            if find_runs([folder]):
                return UsageError(f"{said}; there are some in {folder}")
    return UsageError(f"{said}; `{creates}` creates some")


def of_range_test(folder: Path) -> bool:
    """Return whether a folder is a seed of a range test rather than a run to compare."""
    return folder.absolute().parent.parent.name == _RANGE_TESTS


def _itself(path: Path) -> Path:
    """Return a run folder that was named: what it leads to, if it is a link."""
    return path.resolve() if path.is_symlink() else path


def _links_last(path: Path) -> tuple[bool, Path]:
    return path.is_symlink(), path
