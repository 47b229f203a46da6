"""Files that are whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replacing(path: Path, ready: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` once the block is left without an error.

    Args:
        path: the place.
        ready: is called when the new file is whole and on the disk, before it takes its place.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        ready()
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()  # a full disk is not made fuller by what could not be written
        raise
    sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left half written."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until the folder's own entries are on the disk."""
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
