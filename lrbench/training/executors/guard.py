"""User code before runs are trained, as in the check of a config: called by a worker process, which may hang or crash.

The code of lrbench and of torch is called in this process, which is quicker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from lrbench.config import Experiment
from lrbench.errors import UserCodeError, at_command_line
from lrbench.events import Watch, message
from lrbench.runs import own_modules
from lrbench.training.executors.deaths import ended
from lrbench.training.executors.fork_server import start_server
from lrbench.training.executors.worker import BEGUN, POLL_SECONDS, Answer, Call
from lrbench.training.executors.worker_handle import Worker, setting_of
from lrbench.training.limits import place_in, spoken

SLOW_SECONDS = 30.0
"""When the user is told what a call without limits is waiting for; then after twice as long, and so on."""


class Guard:
    """Calls what may execute user code, with the limits of its config.

    Without `workers`, everything is called in this process: a Python script may lack the guard
    `if __name__ == "__main__"`, which worker processes need.

    Args:
        watch: told what takes long.
        jobs: how many workers will share the cores.
        workers: whether there may be worker processes; by default only if a command was typed.
    """

    def __init__(self, watch: Watch, jobs: int = 1, workers: bool = False) -> None:
        self.watch, self.jobs, self.workers = watch, jobs, workers or at_command_line()
        self.worker: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.worker is not None and kind is not None:
            self.worker.process.kill()
        self.close()

    def close(self) -> None:
        """End the worker, if there is one."""
        if (worker := self.release()) is not None:
            worker.dismiss()
            worker.end()

    def release(self) -> Worker | None:
        """Return the worker, which is the caller's from now on; None if there is none."""
        worker, self.worker = self.worker, None
        return worker

    def keeps_from(self, experiment: Experiment) -> bool:
        """Return whether calls for this config are kept out of this process."""
        return self.workers and not experiment.of_objects and bool(own_modules(experiment) or experiment.limits.any)

    def call(self, function: str, experiment: Experiment, *arguments: Any, during: str) -> Any:
        """Return what a function returns that may execute the user code of a config.

        Args:
            function: `module:name` of one of lrbench's.
            experiment: the config.
            arguments: what the function is called with.
            during: what this is, for messages, such as `in the check before training`.

        Raises:
            UserCodeError: user code raised, exceeded a limit of the config, or ended its process.
            LrbenchError: what else the function raises.
        """
        call = Call(function, arguments)
        if not self.keeps_from(experiment):
            return call()
        if self.worker is None:
            start_server()
            self.worker = Worker(setting_of(self.jobs), None)
        worker = self.worker
        worker.call(call, experiment.limits)
        answer = self._answer_of(worker, self._patience(worker, f"{experiment.name}: {during}"))
        if answer is None:
            raise self._lost(worker, during)
        if answer.error is not None:
            raise answer.error
        return answer.value

    def _answer_of(self, worker: Worker, waiting: Callable[[], None]) -> Answer | None:
        """Wait for a worker's answer; None if it died or was killed for a limit."""
        while True:
            worker.end_beyond_limits()
            waiting()
            if not wait([worker.connection, worker.process.sentinel], POLL_SECONDS):
                continue
            news = worker.news()
            if news is None or isinstance(news, Answer):
                return news
            if news == BEGUN:
                worker.begun()

    def _patience(self, worker: Worker, what: str) -> Callable[[], None]:
        """Return a function that tells now and then where user code is that takes long."""
        began, told = time.monotonic(), 0.0

        def look() -> None:
            nonlocal told
            passed = time.monotonic() - began
            if passed > (due := 2 * told or SLOW_SECONDS):
                told = due
                place = place_in(worker.where()).removeprefix("; it was")
                place = place and f", now{place}"
                limit = "" if worker.limits is not None else "; Ctrl-C stops it, and so would a `timeout` in its config"
                self.watch(message(f"{what}, its code has been at work for {spoken(due)}{place}{limit}"))

        return look

    def _lost(self, worker: Worker, during: str) -> UserCodeError:
        """Return the error of a worker that died or was killed."""
        self.worker = None
        worker.dismiss()
        code, stack = worker.end(), worker.stack()
        how = worker.beyond or f"its process died ({ended(code)})"
        error = UserCodeError(f"{during}, {how}{place_in(stack)}")
        error.trace = stack
        return error
