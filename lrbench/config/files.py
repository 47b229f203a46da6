"""Read files that may come from anyone: only regular files, only up to a size, and JSON only up to a depth."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

MOST_DEEP = 100
"""How deep JSON may be nested."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; a pipe would block for ever, and a device has no end. Raises OSError."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its path contains a NUL character")
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield file


def read_bytes(path: Path, most: int) -> bytes:
    """Return the contents of a regular file of at most `most` bytes. Raises OSError, with the reason in `strerror`."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most // 1_000_000:,} MB")
        return file.read(size)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting for another process to open the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def parse_json(text: str | bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text; `constant` reads NaN and Infinity, which are no JSON.

    Raises ValueError, too, for one that is nested too deeply for what goes through it level by level.
    """
    try:
        value = json.loads(text, parse_constant=constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(_wrong(error)) from None
    if _brackets(text) <= MOST_DEEP:
        return value
    level = [value]
    for _ in range(MOST_DEEP):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def _brackets(text: str | bytes) -> int:
    """Return how many brackets open in a text, which is nested no deeper."""
    if isinstance(text, str):
        return text.count("[") + text.count("{")
    return text.count(b"[") + text.count(b"{")


def _wrong(error: json.JSONDecodeError) -> str:
    """Say where a text ceases to be JSON."""
    if not error.doc.strip():
        return "it is empty"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        return f"its JSON breaks off in line {error.lineno}"
    return f"it is no JSON from line {error.lineno}, column {error.colno} on"


def run_notes(folder: Path) -> Mapping[str, Any] | None:
    """Return what a run folder's JSON files say of it, with its `identity`; None for other folders."""
    for file in sorted(folder.glob("*.json")):  # each readable one tells the run's identity
        with contextlib.suppress(OSError, TypeError, ValueError):
            found = parse_json(read_bytes(file, most=16_000_000))
            if isinstance(found, dict) and isinstance(found.get("identity"), str):
                return found
    return None


def no_folder(path: Path) -> str:
    """Return why a path is no folder to start in; empty if it is one."""
    if not exists(path):
        return f"no such folder: {path}"
    if not path.is_dir():
        return f"{path} is a file, not a folder"
    return "" if os.access(path, os.X_OK) else f"{path} may not be entered"


def exists(path: Path) -> bool:
    """Return whether a path exists; False, too, for one that no system call accepts or that may not be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
