"""A worker process as its parent sees it: started, given work, watched, killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path

from lrbench.config import Limits
from lrbench.errors import at_command_line
from lrbench.events import Event
from lrbench.runs import birth
from lrbench.training.executors.fork_server import METHOD, signals_blocked
from lrbench.training.executors.worker import TELL_STACK, Answer, Call, Setting, serve
from lrbench.training.limits import LimitWatch, kill
from lrbench.training.run_one import Done, WorkItem

STACK_SECONDS = 2.0  # for a worker to write its stack before it is killed


class Worker:
    """A worker process, as its parent sees it.

    Attributes:
        items: the runs that it executes, by their folder; empty while it is idle.
        gpu: the index of its default CUDA device; None for torch's default.
        limits: those of its work; None if it has none.
        beyond: the limit that its work exceeded, in words, for which the worker is killed; empty otherwise.

    Args:
        setting: its settings.
        gpu: see above.
        offered: data of another worker, as `offered` gives it, besides those of this process.
    """

    limits: LimitWatch | None = None
    beyond = ""
    _allowed = Limits()

    def __init__(self, setting: Setting, gpu: int | None, offered: bytes | None = None) -> None:
        context = multiprocessing.get_context(METHOD)
        self.connection, other = context.Pipe()
        self.items: dict[Path, WorkItem] = {}
        self.gpu = gpu
        self._stacks, stacks = context.Pipe(duplex=False)
        os.set_blocking(self._stacks.fileno(), False)
        arguments = (other, stacks, setting, gpu, [data for data in (_offered(), offered) if data is not None])
        self.process = context.Process(target=serve, args=arguments, name="lrbench worker")  # type: ignore[attr-defined]
        with signals_blocked():
            self.process.start()  # it unblocks them once it has its handlers
        other.close()
        stacks.close()

    def begin(self, items: Sequence[WorkItem]) -> None:
        """Send it a run, or the runs of a stack."""
        self.items = {item.path: item for item in items}
        self._send(items, items[0].experiment.limits)  # runs with limits are not stacked

    def call(self, call: Call, limits: Limits) -> None:
        """Have it call a function, whose answer comes as news."""
        self._send(call, limits)

    def _send(self, work: Sequence[WorkItem] | Call, limits: Limits) -> None:
        self.limits, self._allowed = None, limits
        with contextlib.suppress(OSError):  # it is dead, which `news` will show
            self.connection.send(work)

    def begun(self) -> None:
        """Note that it has begun its work, whose limits count from now on."""
        if self._allowed.any and self.process.pid is not None:
            self.limits = LimitWatch(self._allowed, self.process.pid)

    def end_beyond_limits(self) -> None:
        """Kill it if its work exceeds a limit; then it is a dead worker."""
        if self.limits is not None and not self.beyond:
            self.beyond = self.limits.exceeded() or ""
            if self.beyond:
                self.kill()

    def offered(self) -> bytes | None:
        """Return the data that it holds, for one other worker; None if there is none. It has to be idle."""
        self.call(Call("lrbench.training.executors.shared_data:offered"), Limits())
        while True:
            if self.connection in wait([self.connection, self.process.sentinel]):
                news = self.news()
                if isinstance(news, Answer):
                    found: bytes | None = news.value
                    return found
                if news is not None:
                    continue
            return None

    def news(self) -> Event | Done | Answer | str | None:
        """Return `BEGUN`, progress, an answer, or a run's result or what prevented one; None once it is dead."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            return None

    def progressed(self) -> None:
        """Note that its run has got on."""
        if self.limits is not None:
            self.limits.progressed()

    def kill(self) -> None:
        """Kill it and all that it started, after it has written its stack."""
        self._ask_for_stack()
        if self.process.pid is not None:
            kill(self.process.pid)

    def where(self) -> str:
        """Return the Python stack of what it is doing; empty if it does not write one."""
        self._ask_for_stack()
        return self._written()

    def stack(self) -> str:
        """Return the Python stack that it wrote, at a crash or before it was killed; empty if it wrote none."""
        found = self._written()
        self._stacks.close()
        return found

    def _ask_for_stack(self) -> None:
        """Have it write its stack, and wait for that."""
        self.signal(TELL_STACK)
        until = time.monotonic() + STACK_SECONDS
        while not self._stacks.poll(0.05) and self.process.is_alive() and time.monotonic() < until:
            pass
        time.sleep(0.1)  # the rest of the stack

    def _written(self) -> str:
        found = b""
        with contextlib.suppress(OSError):  # there is no more, though a process that it started may be alive
            while part := os.read(self._stacks.fileno(), 65536):
                found += part
        return found.decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal, unless it is dead."""
        with contextlib.suppress(ProcessLookupError):
            if self.process.is_alive() and self.process.pid is not None:
                os.kill(self.process.pid, number)

    def dismiss(self) -> None:
        """Ask it to exit; a run still in progress (only after an error in this process) is stopped."""
        self.signal(signal.SIGUSR1)
        self.connection.close()

    def end(self) -> int | None:
        """Wait for it to exit and return its exit code (negative: a signal number)."""
        self.process.join()
        code: int | None = self.process.exitcode
        self.process.close()
        return code


def setting_of(jobs: int) -> Setting:
    """Return the setting of this process's workers, of which so many share the cores."""
    threads, parent = threads_of(jobs), (os.getpid(), birth(os.getpid()))
    environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    return Setting(threads, parent, str(Path.cwd()), environment, at_command_line())


def threads_of(jobs: int) -> int | None:
    """Return the CPU threads of a worker: its share of the cores.

    A single worker has as many as this process; None if torch, which this process need not import, has its default.
    """
    if jobs > 1:
        return max((os.cpu_count() or 1) // jobs, 1)
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def gpus() -> Sequence[int | None]:
    """Return the indices of this machine's GPUs if there are several and torch is imported, else [None]."""
    torch = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None else 0
    return range(count) if count > 1 else [None]


def _offered() -> bytes | None:
    """Return the data that this process has loaded, in shared memory, pickled; None if there is none."""
    if "lrbench.training.build" not in sys.modules:
        return None
    from lrbench.training.executors.shared_data import offered

    return offered()
