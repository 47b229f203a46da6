"""Where a command is to write, checked before its work: a wrong path should cost no time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lrbench.errors import UsageError, option
from lrbench.runs.files import check_replaceable


def nearest(folder: Path, name: str = "") -> Path:
    """Return a folder to write to, or its nearest existing parent. Raises UsageError if it can't be a folder.

    `name` is what the user calls it; without one, `--runs`.
    """
    there, name = folder, name or option("--runs")
    try:
        while not there.exists() and there != there.parent:
            if there.is_symlink():
                raise UsageError(f"{name} {folder}: {there} is a broken link")
            there = there.parent
    except OSError as error:
        raise UsageError(f"{name} {str(folder)[:200]}: {error.strerror}") from error
    if not there.is_dir():
        what = "is a file, not a folder"
        raise UsageError(f"{name} {folder} {what}" if there == folder else f"{name} {folder}: {there} {what}")
    return there


def check_output(path: Path, name: str, kinds: Sequence[str] = ()) -> None:
    """Check, before the work whose result it is, that a file can be written to a path.

    Args:
        path: the file.
        name: what the user calls it, such as `--out`.
        kinds: suffixes of which it must have one; none for any.

    Raises UsageError.
    """
    if kinds and path.suffix not in kinds:
        raise UsageError(f"{name} must be a {' or '.join(kinds)} file (got {str(path)[:200]})")
    try:
        check_replaceable(path)
    except OSError as error:
        raise UsageError(f"{name} {str(path)[:200]}: {error.strerror}") from error
    there = nearest(path.parent, name)
    if not os.access(there, os.W_OK):
        raise UsageError(f"{name} {path}: {there} is not writable")
