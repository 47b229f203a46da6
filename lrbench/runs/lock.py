"""One writer per run: a lock file with a heartbeat, so that any host can detect a dead owner.

Clocks are not trusted. A heartbeat's age is measured by the file system's clock, and an owner that seems dead is
watched for longer than a heartbeat before its lock is taken. So neither clock skew between hosts nor a clock change
leads to two writers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from lrbench.config import parse_json, read_bytes
from lrbench.errors import FolderError, LockedError
from lrbench.runs.files import MOST_JSON
from lrbench.runs.result import parsed

HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0
WATCHED_SECONDS = 15.0  # more than a heartbeat


@dataclass(frozen=True)
class Owner:
    """The owner of a lock.

    Attributes:
        pid: the process id.
        host: the host name.
        space: the PID namespace, which differs between containers with the same host name.
        token: unique to each acquired lock.
        born: distinguishes the process from a later one with the same id; see `birth`.
        heartbeat: when the lock file was last touched, by the file system's clock.
        age: seconds since then, by the same clock; negative if the clock was set back.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")

    pid: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    host: str
    token: str
    born: str
    heartbeat: float
    age: float
    space: str = ""

    @property
    def gone(self) -> bool:
        """True if the process was on this host and has ended."""
        here = self.host == socket.gethostname() and self.space == _space()
        return here and birth(self.pid) != self.born

    @property
    def alive(self) -> bool:
        """False once the process on this host has ended or the heartbeat is a minute old."""
        return not self.gone and abs(self.age) < DEAD_AFTER_SECONDS

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def owner_of(path: Path) -> Owner | None:
    """Return the owner of the lock at `path`; None if there is no lock or it is damaged.

    A lock that this user may not read is judged by its heartbeat alone.
    """
    try:
        try:
            fields = _fields(path)
        except PermissionError:
            fields = {"pid": 0, "host": "an unknown host", "token": "", "born": ""}
        heartbeat = path.stat().st_mtime
        return parsed(Owner, {**fields, "heartbeat": heartbeat, "age": _now(path.parent) - heartbeat})
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, Any]:
    """Read the mapping in a lock file. Raises OSError, ValueError."""
    found = parse_json(read_bytes(path, MOST_JSON))
    return found if isinstance(found, dict) else {}


class Lock:
    """Hold the lock file at `path` while the `with` block runs, touching it every 10 s.

    Entering raises LockedError if a live process holds it, FolderError if the file can't be created. A dead owner's
    lock is taken over: immediately if its process was on this host, otherwise after watching it miss a heartbeat.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.token = path, uuid.uuid4().hex
        self.pid = os.getpid()
        self._done = threading.Event()

    def __enter__(self) -> Lock:
        for _ in range(20):
            if not self.path.parent.is_dir():
                raise FolderError(f"{self.path.parent}: no such folder")
            owner = owner_of(self.path)
            if owner is None:  # a process that is killed while it tries leaves a file, so only those try that may win
                try:
                    created = self._create()
                except FileNotFoundError:  # another process removed the temporary file as a leftover
                    continue
                if created:
                    threading.Thread(target=self._beat, daemon=True).start()
                    return self
                owner = owner_of(self.path)
            if owner is not None and (owner.alive or not (owner.gone or self._still(owner))):
                raise LockedError(f"{self.path.parent.name} is running in {owner}")
            self._remove_dead(owner)
        raise LockedError(f"could not acquire {self.path}")

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        if self.held:
            with contextlib.suppress(OSError):
                self.path.unlink()

    @property
    def held(self) -> bool:
        """False once another process has taken over the lock, and in a fork of this process."""
        try:
            return self.pid == os.getpid() and bool(_fields(self.path).get("token") == self.token)
        except (OSError, ValueError):
            return False

    def _create(self) -> bool:
        process = {"pid": os.getpid(), "host": socket.gethostname(), "space": _space(), "born": birth(os.getpid())}
        whole = self.path.with_name(f".{self.path.name}-{self.token}.tmp")
        try:
            whole.write_text(json.dumps({**process, "token": self.token}))
            os.link(whole, self.path)  # atomic; the lock file is never empty
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FolderError(f"cannot write to {self.path.parent}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                whole.unlink()
        return True

    def _still(self, seen: Owner) -> bool:
        """Return whether the lock stays untouched for longer than a heartbeat, by this process's clock."""
        end = time.monotonic() + WATCHED_SECONDS
        while time.monotonic() < end:
            time.sleep(min(0.2, WATCHED_SECONDS / 5))
            now = owner_of(self.path)
            if now is None or (now.token, now.heartbeat) != (seen.token, seen.heartbeat):
                return False
        return True

    def _remove_dead(self, seen: Owner | None) -> None:
        """Move the dead lock aside; put it back if it turns out to be a new one from another process."""
        aside = self.path.with_name(f".{self.path.name}-dead-{self.token}.tmp")
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
                # If missing only for a moment, another process had moved the lock aside by mistake.
                if not self.held and (self._done.wait(0.5) or not self.held):
                    return
                os.utime(self.path)


def _now(folder: Path) -> float:
    """Return the time by the folder's file system, or by this machine if the folder is not writable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def birth(pid: int) -> str | None:
    """Return text that distinguishes a process from a later one with the same id; None if it is not alive.

    On Linux it consists of the boot id and the ticks since boot, which clock changes don't affect.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    except FileNotFoundError:
        pass
    except OSError:
        return None
    import psutil  # for a process that has ended, or another system

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return None
