"""Watching the limits of a run from outside: whoever waits for the run's process ends it once it exceeds one."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import Limits

MEMORY_SECONDS = 0.5  # how often memory is looked at


@dataclass
class LimitWatch:
    """The limits of a run that is executed by a process, and what the run has taken of them.

    Attributes:
        limits: the limits.
        pid: the process that executes the run; what it starts counts as its own.
        out_of_memory: whether the run exceeded its memory, so that there is no time to end it gently.
        moved: whether it has got on at all; until then, starting may just take longer than `stall`.
    """

    limits: Limits
    pid: int
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)
    out_of_memory: bool = False
    moved: bool = False

    def progressed(self) -> None:
        """Note that the run has got on."""
        self.heard, self.moved = time.monotonic(), True

    def exceeded(self) -> str | None:
        """Return in words which limit the run exceeds; None if it keeps to all."""
        now, limits = time.monotonic(), self.limits
        if limits.timeout is not None and now - self.began > limits.timeout:
            return f"it was stopped after its timeout of {spoken(limits.timeout)}"
        if limits.stall is not None and now - self.heard > limits.stall:
            long = spoken(limits.stall)
            nothing = f"no further for {long}" if self.moved else f"nowhere in the {long} since its start"
            return f"it was stopped because it got {nothing} (its `stall` limit)"
        if limits.memory is not None and now - self.looked > MEMORY_SECONDS:
            self.looked = now
            used = memory_of(self.pid, limits.memory)
            self.out_of_memory = used > limits.memory
            if self.out_of_memory:
                allowed = f"more than its `memory` limit of {_gigabytes(limits.memory)}"
                return f"it was stopped because it used {_gigabytes(used)}, {allowed}"
        return None


def spoken(seconds: float) -> str:
    """Return a time in the largest unit that it is a whole number of, as a config would write it.

    >>> spoken(7200), spoken(5400), spoken(90), spoken(0.3), spoken(60)
    ('2 hours', '90 minutes', '90 seconds', '0.3 seconds', '1 minute')
    """
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0 or unit == "second":
            amount = seconds / size
            return f"{amount:g} {unit}{'s' if amount != 1 else ''}"
    raise AssertionError


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def memory_of(pid: int, enough: int = 0) -> int:
    """Return the main memory of a process and all that it started, in bytes; 0 once it has ended.

    Pages that several of them share are counted once (on Linux). Since that takes a while to find out, they are counted
    in each if the sum is at most `enough` even so.
    """
    import psutil

    whole, shared_once = 0, 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in family:
        with contextlib.suppress(psutil.Error):
            whole += one.memory_info().rss
    if whole <= enough:
        return whole
    for one in family:
        with contextlib.suppress(psutil.Error):
            used = one.memory_full_info()
            shared_once += getattr(used, "pss", used.uss)
    return min(shared_once or whole, whole)


def kill(pid: int) -> None:
    """Kill a process and all that it started."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        process.suspend()  # so that it starts no more
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                one.kill()


_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = str(Path(__file__).parent.parent)


def place_in(trace: str) -> str:
    """Return where user code was, from a stack that faulthandler wrote: `; it was in forward (nets.py, line 27)`.

    It is empty if the stack has no user code.
    """
    for frame in _frames(trace):
        file, _, rest = frame.partition('", line ')
        if file and not file.startswith((*_LIBRARIES, _OURS, sys.prefix, "<")):
            number, _, function = rest.partition(" in ")
            return f"; it was in {function} ({file}, line {number})"
    return ""


def _frames(trace: str) -> Sequence[str]:
    """Return the frames of the thread that executes the run, `FILE", line 27 in forward`, the innermost first."""
    threads = [part for part in trace.split("\n\n") if 'File "' in part]
    current = [part for part in threads if "Current thread" in part] or threads[-1:]  # the main thread is the last
    return [line.strip().removeprefix('File "') for part in current for line in part.splitlines() if 'File "' in line]
