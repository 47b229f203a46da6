"""Folders in memory, where syncing costs nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 2**30
"""Bytes that must be free there: containers often have 64 MB."""


@contextlib.contextmanager
def folder_in_memory(prefix: str = "lrbench") -> Iterator[Path]:
    """Make a temporary folder, in memory where that has room."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    with tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if roomy else None) as folder:
        yield Path(folder)
