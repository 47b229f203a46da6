"""Several runs at once, in worker processes that share this machine's cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from lrbench.errors import Interrupted, LrbenchError, RunError
from lrbench.events import Event, Watch
from lrbench.work import StopFlag, do_run

ATTEMPTS = 3  # a run whose worker died is resumed in a new one, so often


class WorkerProcesses:
    """`jobs` processes, the machine's cores divided between them. A worker that dies is replaced."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.threads = max((os.cpu_count() or 1) // jobs, 1)

    def execute(
        self, paths: Sequence[Path], watch: Watch, stop: StopFlag
    ) -> Iterator[tuple[Path, dict[str, Any] | Exception]]:
        """See `lrbench.executors.Executor`."""
        left = list(paths)
        for attempt in range(ATTEMPTS):
            broken = []
            for path, result in self._round(left, watch, stop):
                if isinstance(result, BrokenProcessPool):
                    broken.append(path)
                else:
                    yield path, result
            left = broken
            if not left or stop():
                break
            if attempt < ATTEMPTS - 1:
                watch(Event("", "message", values={"text": f"a worker died; going on in new ones ({len(left)} to do)"}))
        hint = "killed by the system, perhaps for memory; fewer --jobs or a smaller batch_size may help"
        for path in left:
            died = RunError(f"{path.name}: its worker process died {ATTEMPTS} times ({hint})")
            yield path, Interrupted(path.name) if stop() else died

    def _round(
        self, paths: Sequence[Path], watch: Watch, stop: StopFlag
    ) -> Iterator[tuple[Path, dict[str, Any] | Exception]]:
        watch(Event("", "message", values={"text": f"starting {self.jobs} workers, {self.threads} threads each"}))
        context = multiprocessing.get_context("spawn")  # forking a process that has used torch can hang
        queue: Any = context.Queue()
        listener = threading.Thread(target=_listen, args=(queue, watch), daemon=True)
        listener.start()
        pool = ProcessPoolExecutor(
            self.jobs, mp_context=context, initializer=_begin_worker, initargs=(queue, self.threads, os.getpid())
        )
        futures: dict[Future[dict[str, Any]], Path] = {pool.submit(_work, p, self.threads): p for p in paths}
        watcher = threading.Thread(target=_pass_on, args=(stop, pool, futures), daemon=True)
        watcher.start()
        try:
            for future in as_completed(futures):
                yield futures[future], _outcome(future, futures[future])
        except KeyboardInterrupt:  # the second Ctrl-C: at once means the workers too
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            queue.put(None)
            listener.join(timeout=5)
            queue.close()


def _outcome(future: Future[dict[str, Any]], path: Path) -> dict[str, Any] | Exception:
    if future.cancelled():
        return Interrupted(f"{path.name} was not begun")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, LrbenchError | BrokenProcessPool):
        return error
    return RunError(f"{path.name}: {type(error).__name__}: {error}")


def _listen(queue: Any, watch: Watch) -> None:
    while (event := queue.get()) is not None:
        watch(event)


def _pass_on(stop: StopFlag, pool: ProcessPoolExecutor, futures: dict[Future[dict[str, Any]], Path]) -> None:
    """Once this process is asked to stop, ask the workers, who may not have got the signal themselves."""
    while not all(future.done() for future in futures):
        if stop():
            for future in futures:
                future.cancel()
            for process in list((pool._processes or {}).values()):
                if process.pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGUSR1)
            return
        time.sleep(0.1)


# -- in the worker

_queue: Any = None
_stop = StopFlag()
_busy = threading.Lock()


def _begin_worker(queue: Any, threads: int, parent: int) -> None:
    global _queue
    _queue = queue
    queue.cancel_join_thread()  # progress is no reason to wait at exit, least of all for a killed worker's lock
    os.environ["OMP_NUM_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, lambda *_: _stop.set())
    signal.signal(signal.SIGTERM, lambda *_: _stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: _stop.set())
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    """Stop when the parent is gone: a run under way writes its checkpoint first."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _stop.set()
    with _busy:
        os._exit(1)


def _work(path: Path, threads: int) -> dict[str, Any]:
    with _busy:
        if _stop():
            raise Interrupted(f"{path.name} was not begun")
        return do_run(path, threads=threads, watch=_queue.put, stop=_stop)
