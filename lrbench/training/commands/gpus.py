"""Which GPUs a command may use: each running command has its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence


@functools.cache
def gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(one.strip() for one in visible.split(",") if one.strip() and one.strip() != "-1")
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(told.split())


class Pool:
    """The GPUs that commands share; with more commands at once than GPUs, each GPU is there several times."""

    def __init__(self, known: Sequence[str], jobs: int) -> None:
        self.free = [gpu for _ in range(max(-(-jobs // len(known)), 1)) for gpu in known]
        self.most = len(known)
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def held(self, count: int) -> Iterator[list[str]]:
        """Hold `count` different GPUs while the block runs, or all if there are fewer; wait until they are free."""
        wanted = min(count, self.most)
        with self.changed:
            self.changed.wait_for(lambda: len(set(self.free)) >= wanted)
            mine = list(dict.fromkeys(self.free))[:wanted]
            for gpu in mine:
                self.free.remove(gpu)
        try:
            yield mine
        finally:
            with self.changed:
                self.free.extend(mine)
                self.changed.notify_all()


_pool: Pool | None = None


@contextlib.contextmanager
def taking_turns(jobs: int) -> Iterator[None]:
    """Let `jobs` commands at once share the GPUs while the block runs."""
    global _pool
    before, _pool = _pool, Pool(gpus(), jobs) if gpus() else None
    try:
        yield
    finally:
        _pool = before


@contextlib.contextmanager
def visible(count: int) -> Iterator[dict[str, str]]:
    """Return the environment variable that gives a command `count` GPUs; none where commands don't share them."""
    if _pool is None:
        yield {}
        return
    with _pool.held(count) as mine:
        yield {"CUDA_VISIBLE_DEVICES": ",".join(mine)}
