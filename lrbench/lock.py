"""One run, one writer: a lock file with a heartbeat, so that a dead owner is noticed from any host."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lrbench.errors import LockedError

HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    pid: int
    host: str
    token: str
    born: float
    heartbeat: float

    @property
    def alive(self) -> bool:
        """False once its process on this host is gone, or its heartbeat is older than a minute."""
        if self.host == socket.gethostname() and not _is_process(self.pid, self.born):
            return False
        return time.time() - self.heartbeat < DEAD_AFTER_SECONDS

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def owner_of(path: Path) -> Owner | None:
    """Who holds the lock at `path`; None where there is no lock or it can't be read."""
    try:
        fields = json.loads(path.read_text())
        known = int(fields["pid"]), str(fields["host"]), str(fields["token"]), float(fields["born"])
        return Owner(*known, heartbeat=path.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Lock:
    """Hold the lock file at `path` while the `with` block runs, touching it every 10 s.

    Raises LockedError on entering if a live process holds it. A dead owner's lock is taken over.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.token = path, uuid.uuid4().hex
        self._done = threading.Event()

    def __enter__(self) -> Lock:
        for _ in range(20):
            if self._create():
                threading.Thread(target=self._beat, daemon=True).start()
                return self
            owner = owner_of(self.path)
            if owner is not None and owner.alive:
                raise LockedError(f"{self.path.parent.name} is being run by {owner}")
            self._remove_dead(owner)
        raise LockedError(f"{self.path} could not be taken")

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        if self.held:
            with contextlib.suppress(OSError):
                self.path.unlink()

    @property
    def held(self) -> bool:
        """False once another process has taken the lock over (after this one was stopped for a minute, say)."""
        owner = owner_of(self.path)
        return owner is not None and owner.token == self.token

    def _create(self) -> bool:
        fields = {"pid": os.getpid(), "host": socket.gethostname(), "token": self.token}
        born = psutil.Process().create_time()
        whole = self.path.with_name(f".{self.path.name}-{self.token}")
        whole.write_text(json.dumps({**fields, "born": born}))
        try:
            os.link(whole, self.path)  # atomic, and never an empty lock file
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        return True

    def _remove_dead(self, seen: Owner | None) -> None:
        """Move the dead lock aside; put it back if another process was quicker and this one is theirs."""
        aside = self.path.with_name(f".{self.path.name}-dead-{self.token}")
        with contextlib.suppress(OSError):
            self.path.rename(aside)
            moved = owner_of(aside)
            if moved is not None and (seen is None or moved.token != seen.token):
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self.path)
            aside.unlink()

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                if not self.held:
                    return
                os.utime(self.path)


def _is_process(pid: int, born: float) -> bool:
    """True if that very process is there, not a later one with its number."""
    try:
        return abs(psutil.Process(pid).create_time() - born) < 2.0
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
