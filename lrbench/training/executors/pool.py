"""Several runs at once, in worker processes that share this machine's cores.

Each worker has a pipe of its own to the parent, and but for the data, which nobody changes, nothing is shared: a worker
that is killed, in whatever moment, takes no lock with it that another waits for.

Where the system can, workers are forked from a process that has imported torch and done nothing with it: forking one
that has used torch can hang. It imports while the parent checks what is to be done.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path

from lrbench.errors import Interrupted, RunError
from lrbench.events import Event, Watch, message
from lrbench.runs import RunResult, birth
from lrbench.training.executors.worker import ASKED_TO_STOP, POLL_SECONDS, Setting, serve
from lrbench.training.run_one import WorkItem
from lrbench.training.signals import StopFlag

ATTEMPTS = 3  # a run whose worker died is resumed in a new one, so often
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # where workers are forked there is no other


class WorkerProcesses:
    """`jobs` processes, the machine's cores divided between them. A worker that dies is replaced."""

    in_process = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        threads = max((os.cpu_count() or 1) // jobs, 1)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        parent = os.getpid(), birth(os.getpid())
        self.setting = Setting(threads, parent, str(Path.cwd()), environment)
        _import_meanwhile()

    def execute(
        self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag
    ) -> Iterator[tuple[Path, RunResult | Exception]]:
        """See `lrbench.training.executors.Executor`."""
        size, threads = min(self.jobs, len(items)), self.setting.threads
        watch(message(f"{size} workers, {threads} thread{'s' * (threads > 1)} each"))
        crew = Crew(size, functools.partial(Worker, self.setting), items, gpus())
        try:
            while crew.busy:
                if stop():
                    yield from crew.stop()
                crew.hand_out()
                for worker in crew.with_news():
                    over = crew.hear(worker, watch, stop)
                    if over is not None:
                        yield over
        except KeyboardInterrupt:  # the second Ctrl-C: at once means the workers too
            for worker in crew.workers:
                worker.process.kill()
            raise
        finally:
            for worker in crew.workers:
                worker.dismiss()
            for worker in crew.workers:
                worker.end()


class Crew:
    """The workers, and the runs that none of them has begun."""

    def __init__(
        self, size: int, hire: Callable[[int | None], Worker], items: Sequence[WorkItem], gpus: Sequence[int] = ()
    ) -> None:
        self.hire = hire
        self.left, self.deaths = deque(items), Counter[Path]()
        self.stopped = False
        self.workers = [hire(gpus[number % len(gpus)] if gpus else None) for number in range(size)]

    @property
    def busy(self) -> bool:
        """False once there is nothing left and nothing under way."""
        return bool(self.left) or any(worker.item for worker in self.workers)

    def hand_out(self) -> None:
        """Give each idle worker a run."""
        for worker in self.workers:
            if self.left and worker.item is None:
                worker.begin(self.left.popleft())

    def stop(self) -> Iterator[tuple[Path, Exception]]:
        """Begin nothing more; ask the workers to stop, whom a signal to the parent alone has not reached."""
        while self.left:
            item = self.left.popleft()
            yield item.path, Interrupted(f"{item.path.name} was not begun")
        if not self.stopped:
            self.stopped = True
            for worker in self.workers:
                worker.signal(signal.SIGUSR1)

    def with_news(self) -> list[Worker]:
        """The workers who have something to say, or are dead, waiting for one a moment."""
        ready = wait([worker.connection for worker in self.workers], POLL_SECONDS)
        return [worker for worker in self.workers if worker.connection in ready or not worker.process.is_alive()]

    def hear(self, worker: Worker, watch: Watch, stop: StopFlag) -> tuple[Path, RunResult | Exception] | None:
        """Take in what a worker says: progress, which is passed on, or how its run ended, which is returned."""
        item, news = worker.item, worker.news()
        if isinstance(news, Event):
            watch(news)
            return None
        worker.item = None
        if news is None:
            news = self._replace(worker, item, watch, stop)
        return None if item is None or news is None else (item.path, news)

    def _replace(self, dead: Worker, item: WorkItem | None, watch: Watch, stop: StopFlag) -> Exception | None:
        """Put a new worker in a dead one's place, if there is work; what is said of its run, None if it goes on."""
        self.workers.remove(dead)
        dead.dismiss()
        code = dead.end()
        lost = None
        if item is not None:
            self.deaths[item.path] += 1
            lost = _lost(item.path, self.deaths[item.path], code, stop)
            if lost is None:
                watch(message(f"a worker died; {item.path.name} goes on in a new one"))
                self.left.appendleft(item)
        if self.left:
            self.workers.append(self.hire(dead.gpu))
        return lost


def _lost(path: Path, deaths: int, code: int | None, stop: StopFlag) -> Exception | None:
    """What is said of a run whose worker died; None where it is to be tried again."""
    if stop():
        return Interrupted(f"{path.name} was stopped with its worker")
    if deaths < ATTEMPTS:
        return None
    hint = f"it ended by itself, with exit code {code}"
    if code is not None and code < 0:
        perhaps = "; perhaps for memory: fewer --jobs or a smaller batch_size may help" * (-code == signal.SIGKILL)
        hint = f"killed by {signal.Signals(-code).name}{perhaps}"
    return RunError(f"{path.name}: its worker process died {deaths} times ({hint})")


class Worker:
    """A worker process, as its parent sees it.

    Attributes:
        item: the run it is at, None while it has none.
        gpu: what `cuda` is to it, None for the usual one.
    """

    def __init__(self, setting: Setting, gpu: int | None = None) -> None:
        context = multiprocessing.get_context(METHOD)
        self.connection, other = context.Pipe()
        self.item: WorkItem | None = None
        self.gpu = gpu
        arguments = (other, setting, gpu, _offered())
        self.process = context.Process(target=serve, args=arguments, name="lrbench worker")  # type: ignore[attr-defined]
        resource_tracker.ensure_running()  # which else, when first started, would let the signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
        try:
            self.process.start()  # with the signals held back until it has its handlers
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()

    def begin(self, item: WorkItem) -> None:
        """Hand it a run."""
        self.item = item
        with contextlib.suppress(OSError):  # it is dead, which is seen where its news are
            self.connection.send(item)

    def news(self) -> Event | RunResult | Exception | None:
        """Progress, or the result of its run, or the exception that kept it from having one; None once it is dead."""
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
        """Have it end: a run under way, which there is only after an error here, is stopped."""
        self.signal(signal.SIGUSR1)
        self.connection.close()

    def end(self) -> int | None:
        """Wait until it has ended; its exit code, the negative of a signal's number."""
        self.process.join()
        code: int | None = self.process.exitcode
        self.process.close()
        return code


def _import_meanwhile() -> None:
    """Start the process that workers are forked from; it imports torch and what the loop needs of it."""
    if METHOD != "forkserver":
        return
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)  # for good: its workers let them through
    try:
        os.environ.update(_ONE_THREAD)
        forkserver.set_forkserver_preload(["lrbench.training.executors.preload"])
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def gpus() -> list[int]:
    """The numbers of this machine's GPUs, where there are several to be shared out, and torch is imported."""
    torch = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None else 0
    return list(range(count)) if count > 1 else []


def _offered() -> bytes | None:
    """The data that this process has loaded, in memory that a worker shares; None where there is none."""
    if "lrbench.training.build" not in sys.modules:
        return None
    from lrbench.training.executors.shared_data import offered

    return offered()
