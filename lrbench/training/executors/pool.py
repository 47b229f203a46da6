"""Worker processes that share this machine's cores.

Each worker has its own pipe to the parent. Workers share only read-only data, so that a killed worker can't leave a
lock that another one waits for.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait

from lrbench.config import Experiment
from lrbench.errors import Interrupted, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunResult, Status
from lrbench.training.executors.deaths import Deaths
from lrbench.training.executors.fork_server import start_server
from lrbench.training.executors.worker import POLL_SECONDS, Answer, Setting
from lrbench.training.executors.worker_handle import Worker, gpus, setting_of, threads_of
from lrbench.training.run_one import Done, NotStacked, WorkItem
from lrbench.training.signals import StopFlag
from lrbench.training.stacked import stacks


class WorkerProcesses:
    """An executor with `jobs` processes that divide the machine's cores. Dead workers are replaced.

    Attributes:
        first: a worker that is there already, since it has checked the configs; None if there is none.
    """

    in_process = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.first: Worker | None = None
        start_server()

    def keeps(self, experiment: Experiment) -> bool:
        """Return whether what a check builds in the first worker is kept there for the run.

        Memory of other runs would count for one with limits.
        """
        return self.jobs == 1 and not experiment.limits.any

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        size, threads = min(self.jobs, len(items)), threads_of(self.jobs)
        if self.jobs > 1 and threads is not None:
            watch(message(f"{counted(size, 'worker')}, {counted(threads, 'thread')} each"))
        first, self.first = self.first, None
        crew = Crew(setting_of(self.jobs), items, size, first)
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

    def __init__(self, setting: Setting, items: Sequence[WorkItem], size: int, first: Worker | None = None) -> None:
        self.setting = setting
        self.left, self.deaths = deque(stacks(items, size)), Deaths()
        self.stopped = False
        places = gpus()
        self.workers = [] if first is None else [first]
        for number in range(len(self.workers), size):
            offered = None if first is None else first.offered()
            self.workers.append(Worker(setting, places[number % len(places)], offered))

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
            if worker.items:
                worker.end_beyond_limits()

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
        elif not isinstance(news, Answer):
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
