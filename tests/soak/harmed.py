"""The command `lrbench` under harms: `python harmed.py run c.yaml`, with the harms as JSON in SOAK_HARM.

Each harm is a function of this file, with its arguments. Worker processes import the main file of the command, which is
this one, so that harms reach them too. Harms change what Python's functions do: they are simulations, cheap enough for
thousands of tries.
"""

from __future__ import annotations

import atexit
import builtins
import errno
import io
import json
import os
import pathlib
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def often() -> None:
    """A checkpoint after every evaluation and every few updates, so that kills often meet one being written."""
    import lrbench.training.loop
    from lrbench.training.stacked import lockstep

    lrbench.training.loop.EVALUATION_CHECKPOINT_SECONDS = lockstep.EVALUATION_CHECKPOINT_SECONDS = 0.0
    lrbench.training.loop.CHECKPOINT_SECONDS = lockstep.CHECKPOINT_SECONDS = 0.02
    lrbench.training.loop.READ_BACK_SECONDS = lockstep.READ_BACK_SECONDS = 0.01


def here() -> None:
    """Resume in the command's own process; otherwise a command whose last process was killed uses a worker."""
    from lrbench.training import orchestrate

    orchestrate._crashed = lambda todo, watch: False


def slowly(seconds: float) -> None:
    """Every update takes so long, so that what happens meanwhile does not depend on how fast a run is."""
    from lrbench.training.loop import Training

    inner = Training.begin_step

    def begin_step(self: Training) -> Any:
        time.sleep(seconds)
        return inner(self)

    Training.begin_step = begin_step  # type: ignore[method-assign]


def undrawn() -> None:
    """Sweeps draw no figure, which says nothing of what is lost and takes most of the time of a short one."""
    from lrbench.reports import sweep

    sweep.drawn_summary = lambda summary: None


def hasty_locks(heartbeat: float, dead: float, watched: float) -> None:
    """Locks whose owner is taken for dead after so many seconds instead of a minute."""
    from lrbench.runs import lock

    lock.HEARTBEAT_SECONDS, lock.DEAD_AFTER_SECONDS, lock.WATCHED_SECONDS = heartbeat, dead, watched


def host(name: str) -> None:
    """Be on another host: no process of this one is known there."""
    socket.gethostname = lambda: name


def clock(seed: int, every: float = 0.05) -> None:
    """The clock jumps all the time, by seconds to years, for this process and for the file system that it sees."""
    from lrbench.runs import lock

    chance, plain, now = random.Random(seed), time.time, lock._now
    jumps = [0.0, 30.0, -30.0, 61.0, -61.0, 3600.0, -3600.0, 1e6, -1e6, 3e8, -1.5e9]
    state = {"until": 0.0, "offset": 0.0}

    def offset() -> float:
        if time.monotonic() > state["until"]:
            state.update(until=time.monotonic() + every, offset=chance.choice(jumps))
        return state["offset"]

    time.time = lambda: plain() + offset()
    time.time_ns = lambda: int(time.time() * 1e9)
    lock._now = lambda folder: now(folder) + offset()


def file_limit(size: int) -> None:
    """No file of this process may grow beyond so many bytes, nor those of its workers."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


# -- files of other processes that are seen late


class LateFiles:
    """New files of other processes are not there yet for a while after they are first looked for, as on NFS.

    What this process has made itself is there at once, and so is what it finds when it tries to make it.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        self.folder, self.seconds, self.began = folder, seconds, time.time()
        self.own: set[str] = set()
        self.seen: dict[str, float] = {}
        self.stat = os.stat

    def install(self) -> None:
        sys.addaudithook(self.note)
        scandir, listdir, late = os.scandir, os.listdir, self

        def looked(function: Callable[..., Any]) -> Callable[..., Any]:
            def look(path: Any, *given: Any, **more: Any) -> Any:
                self.missing(path)
                return function(path, *given, **more)

            return look

        class Entries:
            """What `os.scandir` returns, without what is hidden."""

            def __init__(self, path: Any = ".") -> None:
                self.found = scandir(path)
                self.close = self.found.close

            def __iter__(self) -> Iterator[Any]:
                return (entry for entry in self.found if not late.hidden(entry.path))

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *what: object) -> None:
                self.close()

        os.stat, os.open = looked(os.stat), looked(os.open)
        io.open = builtins.open = looked(io.open)
        os.scandir = Entries  # type: ignore[assignment]
        os.listdir = lambda path=".": [one for one in listdir(path) if not self.hidden(f"{path}/{one}")]  # type: ignore[assignment]

    def note(self, event: str, given: tuple[Any, ...]) -> None:
        """What this process makes itself."""
        made = {"os.rename": 1, "os.link": 1, "os.mkdir": 0}.get(event)
        if event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR):
            made = 0
        if made is not None and isinstance(given[made], str | os.PathLike):
            self.own.add(os.path.abspath(given[made]))  # noqa: PTH100

    def missing(self, path: Any) -> None:
        """Raise FileNotFoundError for a file that is not seen yet."""
        if isinstance(path, str | os.PathLike) and self.hidden(os.fspath(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))

    def hidden(self, path: str) -> bool:
        path = os.path.abspath(path)  # noqa: PTH100
        if not path.startswith(self.folder) or path in self.own:
            return False
        if path not in self.seen:
            try:
                new = self.stat(path, follow_symlinks=False).st_ctime > self.began
            except OSError:
                return False  # it is not there at all
            self.seen[path] = time.monotonic() if new else -self.seconds
        return time.monotonic() - self.seen[path] < self.seconds


def late_files(folder: str, seconds: float) -> None:
    """See `LateFiles`."""
    LateFiles(folder, seconds).install()


# -- writes that fail


class Torn:
    """A file whose write may stop in the middle."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self.file, self.fault = file, fault

    def write(self, data: Any) -> Any:
        if self.fault.comes():
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            self.fault.end("a write")
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Any:
        self.file.__enter__()
        return self

    def __exit__(self, *what: Any) -> Any:
        return self.file.__exit__(*what)


class Fault:
    """The `point`-th operation on files in `folder` fails (no space left), or is the process's last; None for none."""

    CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.utime", "os.truncate")

    def __init__(self, folder: str, point: int | None, die: bool) -> None:
        self.folder, self.point, self.die, self.seen = folder, point, die, 0

    def install(self) -> None:
        plain_open, plain_sync = pathlib.Path.open, os.fsync

        def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
            file = plain_open(path, mode, *rest, **more)
            return Torn(file, self) if set(mode) & set("wa") and self.inside(path) else file

        def synced(descriptor: int) -> None:
            if self.comes():
                self.end("a sync")
            plain_sync(descriptor)

        pathlib.Path.open = opened  # type: ignore[method-assign, assignment]
        os.fsync = synced  # type: ignore[assignment]
        sys.addaudithook(self.audit)

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(given[1], str) and set(given[1]) & set("wax+")
        if (writes or event in self.CHANGES) and self.inside(given[0]) and self.comes():
            self.end(str(given[0]))

    def inside(self, name: object) -> bool:
        return isinstance(name, str | os.PathLike) and self.folder in os.fspath(name)

    def comes(self) -> bool:
        """Whether this operation is the one."""
        self.seen += 1
        return self.point is not None and self.seen - 1 == self.point

    def end(self, text: str) -> None:
        if self.die:
            os.kill(os.getpid(), signal.SIGKILL)  # lrbench notices os._exit
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), text)


def fault(folder: str, point: int | None, die: bool, count: str | None = None) -> None:
    """See `Fault`; the number of operations goes to the file `count`. By the clock they would differ each time."""
    import lrbench.training.loop

    lrbench.training.loop.EVALUATION_CHECKPOINT_SECONDS = 0.0
    lrbench.training.loop.CHECKPOINT_SECONDS = lrbench.training.loop.READ_BACK_SECONDS = 3600.0
    made = Fault(folder, point, die)
    made.install()
    if count is not None:
        atexit.register(lambda: Path(count).write_text(str(made.seen)))


HARMS: dict[str, Callable[..., None]] = {
    one.__name__: one for one in (often, here, slowly, hasty_locks, host, clock, file_limit, late_files, fault)
}


def harm(asked: str) -> None:
    """Do the harms that are asked for; the last ones see what the others have changed."""
    for name, given in json.loads(asked).items():
        HARMS[name](**given)


harm(os.environ.get("SOAK_HARM", "{}"))
if __name__ == "__main__":
    if sys.argv[1:2] == ["sweep"]:
        undrawn()
    from lrbench.cli.app import main

    main()
