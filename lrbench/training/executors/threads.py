"""Runs at once in threads of this process, for work that starts processes of its own, such as commands."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence

from lrbench.errors import Interrupted, counted
from lrbench.events import Event, Watch, message
from lrbench.runs import RunResult
from lrbench.training.commands import taking_turns
from lrbench.training.run_one import Done, WorkItem, attempt
from lrbench.training.signals import StopFlag

POLL_SECONDS = 0.1


class Threads:
    """An executor with `jobs` threads, whose processes divide the machine's cores."""

    in_process = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def execute(self, items: Sequence[WorkItem], watch: Watch, stop: StopFlag) -> Iterator[Done]:
        """See `lrbench.training.executors.Executor`."""
        size = min(self.jobs, len(items))
        threads = max((os.cpu_count() or 1) // size, 1)
        if size > 1:
            watch(message(f"{size} commands at once, {counted(threads, 'thread')} each"))
        waiting: queue.SimpleQueue[WorkItem] = queue.SimpleQueue()
        news: queue.SimpleQueue[Event | Done] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)

        def work() -> None:
            while not stop():
                try:
                    item = waiting.get_nowait()
                except queue.Empty:
                    return
                news.put((item.path, _attempted(item, threads if size > 1 else None, news.put, stop)))

        crew = [threading.Thread(target=work, daemon=True, name=f"lrbench command {n}") for n in range(size)]
        with taking_turns(size):
            for one in crew:
                one.start()
            left = {item.path for item in items}
            while left:
                alive = any(one.is_alive() for one in crew)  # before the queue, which they fill before they end
                try:
                    told = news.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    if alive:
                        continue
                    break
                if isinstance(told, Event):
                    watch(told)
                else:
                    left.discard(told[0])
                    yield told
        for item in items:
            if item.path in left:
                yield item.path, Interrupted(f"{item.path.name} was not started")


def _attempted(item: WorkItem, threads: int | None, watch: Watch, stop: StopFlag) -> RunResult | Exception:
    try:
        return attempt(item, threads=threads, watch=watch, stop=stop)
    except KeyboardInterrupt:  # can't reach a thread, but a run may raise it
        return Interrupted(f"{item.path.name} was interrupted")
