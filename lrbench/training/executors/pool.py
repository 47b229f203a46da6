"""Worker processes that share this machine's cores.

Each worker has its own pipe to the parent. Workers share only read-only data, so that a killed worker can't leave a
lock that another one waits for.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from lrbench.errors import Interrupted, at_command_line, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunResult, Status, birth
from lrbench.training.executors.deaths import Deaths
from lrbench.training.executors.fork_server import METHOD, signals_blocked, start_server
from lrbench.training.executors.worker import POLL_SECONDS, TELL_STACK, Setting, serve
from lrbench.training.limits import LimitWatch, kill
from lrbench.training.run_one import Done, NotStacked, WorkItem
from lrbench.training.signals import StopFlag
from lrbench.training.stacked import stacks

STACK_SECONDS = 2.0  # for a worker to write its stack before it is killed


class WorkerProcesses:
    """An executor with `jobs` processes that divide the machine's cores. Dead workers are replaced."""

    in_process = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        start_server()

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        size, threads = min(self.jobs, len(items)), threads_of(self.jobs)
        if self.jobs > 1:
            watch(message(f"{counted(size, 'worker')}, {counted(threads, 'thread')} each"))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        parent = os.getpid(), birth(os.getpid())
        crew = Crew(Setting(threads, parent, str(Path.cwd()), environment, at_command_line()), items, size)
        try:
            while crew.busy:
                if stop():
                    yield from crew.stop()
                crew.hand_out()
                crew.end_those_beyond_limits()
                for worker in crew.with_news():
                    yield from crew.hear(worker, watch, stop)
        except KeyboardInterrupt:  # the second Ctrl-C stops the workers immediately too
            for worker in crew.workers:
                worker.process.kill()
            raise
        finally:
            for worker in crew.workers:
                worker.dismiss()
            for worker in crew.workers:
                worker.end()


class Crew:
    """The workers, and the runs not handed out yet, each alone or in a stack."""

    def __init__(self, setting: Setting, items: Sequence[WorkItem], size: int) -> None:
        self.setting = setting
        self.left, self.deaths = deque(stacks(items, size)), Deaths()
        self.stopped = False
        places = gpus()
        self.workers = [Worker(setting, places[number % len(places)]) for number in range(size)]

    @property
    def busy(self) -> bool:
        """True while runs are waiting or running."""
        return bool(self.left) or any(worker.items for worker in self.workers)

    def hand_out(self) -> None:
        """Give each idle worker a run or a stack."""
        for worker in self.workers:
            if self.left and not worker.items:
                items = self.left.popleft()
                for item in items:
                    self.deaths.begins(item)
                worker.begin(items)

    def end_those_beyond_limits(self) -> None:
        """Kill the workers whose run exceeds a limit, which then are dead workers."""
        for worker in self.workers:
            if worker.items and worker.limits is not None and not worker.beyond:
                worker.beyond = worker.limits.exceeded() or ""
                if worker.beyond:
                    worker.kill()

    def stop(self) -> Iterator[Done]:
        """Start no more runs and signal the workers to stop, in case only the parent got the signal."""
        while self.left:
            for item in self.left.popleft():
                yield item.path, Interrupted(f"{item.path.name} was not started")
        if not self.stopped:
            self.stopped = True
            for worker in self.workers:
                worker.signal(signal.SIGUSR1)

    def with_news(self) -> list[Worker]:
        """Wait a moment for workers that have sent something or died, and return them."""
        ready = wait([worker.connection for worker in self.workers], POLL_SECONDS)
        return [worker for worker in self.workers if worker.connection in ready or not worker.process.is_alive()]

    def hear(self, worker: Worker, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Handle a worker's message: pass progress on to `watch`, yield how its run ended."""
        news = worker.news()
        if isinstance(news, Event):
            worker.progressed()
            watch(news)
        elif isinstance(news, str):
            worker.begun()
        elif news is None:
            yield from self._replace(worker, watch, stop)
        else:
            path, result = news
            item = worker.items.pop(path)
            if not isinstance(result, NotStacked):
                yield path, result
            elif stop():
                yield path, Interrupted(f"{path.name} was not started")
            else:
                self.left.append((replace(item, family=None),))

    def _replace(self, dead: Worker, watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """Replace a dead worker if there is work. Yields the ends of its runs that won't be resumed, each alone."""
        self.workers.remove(dead)
        dead.dismiss()
        code, stack = dead.end(), dead.stack()
        resumed = []
        for item in dead.items.values():
            end = self.deaths.end_of(item, dead.beyond, code, stack, stop)
            if isinstance(end, RunResult) and end.status is Status.FAILED and item.retries and not stop():
                watch(message(f"{item.path.name} failed and is retried ({end.reason.splitlines()[0]})"))
                resumed.append((replace(item, family=None, retries=item.retries - 1),))
            elif end is not None:
                if isinstance(end, RunResult):
                    watch(Event(item.path.name, "end", values={"result": end, "folder": item.path}))
                yield item.path, end
            else:
                resumed.append((replace(item, family=None),))
                what = item.path.name if len(dead.items) == 1 else f"its {len(dead.items)} runs one by one"
                if len(resumed) == 1:
                    watch(message(f"a worker died; resuming {what} in a new one"))
        self.left.extendleft(reversed(resumed))
        if self.left:
            self.workers.append(Worker(self.setting, dead.gpu))


class Worker:
    """A worker process, as its parent sees it.

    Attributes:
        items: the runs that it executes, by their folder; empty while it is idle.
        gpu: the index of its default CUDA device; None for torch's default.
        limits: those of its run; None if it has none.
        beyond: the limit that its run exceeded, in words, for which the worker is killed; empty otherwise.
    """

    limits: LimitWatch | None = None
    beyond = ""

    def __init__(self, setting: Setting, gpu: int | None) -> None:
        context = multiprocessing.get_context(METHOD)
        self.connection, other = context.Pipe()
        self.items: dict[Path, WorkItem] = {}
        self.gpu = gpu
        self._stacks, stacks = context.Pipe(duplex=False)
        os.set_blocking(self._stacks.fileno(), False)
        arguments = (other, stacks, setting, gpu, _offered())
        self.process = context.Process(target=serve, args=arguments, name="lrbench worker")  # type: ignore[attr-defined]
        with signals_blocked():
            self.process.start()  # it unblocks them once it has its handlers
        other.close()
        stacks.close()

    def begin(self, items: Sequence[WorkItem]) -> None:
        """Send it a run, or the runs of a stack."""
        self.items, self.limits = {item.path: item for item in items}, None
        with contextlib.suppress(OSError):  # it is dead, which `news` will show
            self.connection.send(items)

    def begun(self) -> None:
        """Note that it has begun its run, whose limits count from now on."""
        (item, *_), pid = self.items.values(), self.process.pid  # runs with limits are not stacked
        if item.experiment.limits.any and pid is not None:
            self.limits = LimitWatch(item.experiment.limits, pid)

    def news(self) -> Event | Done | str | None:
        """Return `BEGUN`, progress, or a run's result or the exception that prevented one; None once it is dead."""
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
        self.signal(TELL_STACK)
        until = time.monotonic() + STACK_SECONDS
        while not self._stacks.poll(0.05) and self.process.is_alive() and time.monotonic() < until:
            pass
        time.sleep(0.1)  # the rest of the stack
        if self.process.pid is not None:
            kill(self.process.pid)

    def stack(self) -> str:
        """Return the Python stack that it wrote, at a crash or before it was killed; empty if it wrote none."""
        found = b""
        with contextlib.suppress(OSError):  # there is no more, though a process that it started may be alive
            while part := os.read(self._stacks.fileno(), 65536):
                found += part
        self._stacks.close()
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


def threads_of(jobs: int) -> int:
    """Return the CPU threads of a worker: its share of the cores; a single worker has as many as this process."""
    if jobs > 1:
        return max((os.cpu_count() or 1) // jobs, 1)
    import torch

    return torch.get_num_threads()


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
