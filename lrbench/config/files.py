"""Read files that may come from anyone: only regular files, and only up to a size."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any


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


def run_notes(folder: Path) -> Mapping[str, Any] | None:
    """Return what a run folder's JSON files say of it, with its `identity`; None for other folders."""
    for file in sorted(folder.glob("*.json")):  # each readable one tells the run's identity
        with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
            found = json.loads(read_bytes(file, most=16_000_000))
            if isinstance(found, dict) and isinstance(found.get("identity"), str):
                return found
    return None


def exists(path: Path) -> bool:
    """Return whether a path exists; False, too, for one that no system call accepts or that may not be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
