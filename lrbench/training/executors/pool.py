"""Worker processes that share this machine's cores.

Each worker has its own pipe to the parent. Workers share only read-only data, so that a killed worker can't leave a
lock that another one waits for.

On Linux, workers are forked from a server process that has imported torch but not used it, since forking a process
that has used torch can hang. The imports happen while the parent checks the configs.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path

from lrbench.errors import Interrupted, RunError, at_command_line, counted, option
from lrbench.events import Event, Watch, message
from lrbench.runs import birth
from lrbench.training.executors.worker import ASKED_TO_STOP, POLL_SECONDS, Setting, serve
from lrbench.training.run_one import Done, NotStacked, WorkItem
from lrbench.training.signals import StopFlag
from lrbench.training.stacked import stacks

ATTEMPTS = 3  # a run fails once this many of its workers have died
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # forking needs a process without other threads


class WorkerProcesses:
    """An executor with `jobs` processes that divide the machine's cores. Dead workers are replaced."""

    in_process = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        threads = max((os.cpu_count() or 1) // jobs, 1)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        parent = os.getpid(), birth(os.getpid())
        self.setting = Setting(threads, parent, str(Path.cwd()), environment, at_command_line())
        _import_meanwhile()

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        size, threads = min(self.jobs, len(items)), self.setting.threads
        watch(message(f"{size} workers, {counted(threads, 'thread')} each"))
        crew = Crew(self.setting, items, size)
        try:
            while crew.busy:
                if stop():
                    yield from crew.stop()
                crew.hand_out()
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
        self.left, self.deaths = deque(stacks(items, size)), Counter[Path]()
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
                worker.begin(self.left.popleft())

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
            watch(news)
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
        """Replace a dead worker if there is work. Yields the errors of its runs that won't be resumed, each alone."""
        self.workers.remove(dead)
        dead.dismiss()
        code = dead.end()
        resumed = []
        for path, item in dead.items.items():
            self.deaths[path] += 1
            lost = _lost(path, self.deaths[path], code, stop)
            if lost is None:
                resumed.append((replace(item, family=None),))
            else:
                yield path, lost
        if resumed:
            what = resumed[0][0].path.name if len(resumed) == 1 else f"its {len(resumed)} runs one by one"
            watch(message(f"a worker died; resuming {what} in a new one"))
            self.left.extendleft(reversed(resumed))
        if self.left:
            self.workers.append(Worker(self.setting, dead.gpu))


def _lost(path: Path, deaths: int, code: int | None, stop: StopFlag) -> Exception | None:
    """Return the error of a run whose worker died; None if it will be resumed."""
    if stop():
        return Interrupted(f"{path.name} was stopped with its worker")
    if deaths < ATTEMPTS:
        return None
    hint = f"exit code {code}"
    if code is not None and code < 0:
        memory = f"; if out of memory, try fewer {option('--jobs')} or a smaller batch_size" * (-code == signal.SIGKILL)
        hint = f"killed by {signal.Signals(-code).name}{memory}"
    return RunError(f"{path.name}: its worker process died {deaths} times ({hint})")


class Worker:
    """A worker process, as its parent sees it.

    Attributes:
        items: the runs that it executes, by their folder; empty while it is idle.
        gpu: the index of its default CUDA device; None for torch's default.
    """

    def __init__(self, setting: Setting, gpu: int | None) -> None:
        context = multiprocessing.get_context(METHOD)
        self.connection, other = context.Pipe()
        self.items: dict[Path, WorkItem] = {}
        self.gpu = gpu
        arguments = (other, setting, gpu, _offered())
        self.process = context.Process(target=serve, args=arguments, name="lrbench worker")  # type: ignore[attr-defined]
        with _signals_blocked():
            self.process.start()  # it unblocks them once it has its handlers
        other.close()

    def begin(self, items: Sequence[WorkItem]) -> None:
        """Send it a run, or the runs of a stack."""
        self.items = {item.path: item for item in items}
        with contextlib.suppress(OSError):  # it is dead, which `news` will show
            self.connection.send(items)

    def news(self) -> Event | Done | None:
        """Return progress, or a run's result, or the exception that prevented one; None once it is dead."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            return None

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


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that workers handle, also in the processes that the block starts."""
    resource_tracker.ensure_running()  # first, since starting it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _import_meanwhile() -> None:
    """Start the process that workers are forked from, which imports torch in the background."""
    if METHOD != "forkserver":
        return
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    try:
        os.environ.update(_ONE_THREAD)
        forkserver.set_forkserver_preload(["lrbench.training.executors.preload"])
        with _signals_blocked():  # for good in that process
            forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


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
