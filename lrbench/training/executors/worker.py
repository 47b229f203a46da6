"""A worker process, which executes runs, and may check configs, until there is no more or it is asked to stop.

A worker never outlives its parent by more than a few seconds. A thread watches the parent and ends the process. On
Linux the kernel kills it too (see `preload`), since a run in native code may keep that thread from running.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from os import _exit as end_process  # while a run executes, `os._exit` ends only the run
from pathlib import Path
from typing import Any

from lrbench.errors import LrbenchError, UserCodeError, command_line
from lrbench.events import Event
from lrbench.runs import RunResult, birth
from lrbench.training.executors.open_lines import of_this_process
from lrbench.training.run_one import attempt_all
from lrbench.training.signals import StopFlag

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
POLL_SECONDS = 0.1
TELL_STACK = signal.SIGRTMAX - 1 if sys.platform == "linux" else signal.SIGUSR2
"""The signal at which a worker writes its Python stack, whatever it is doing."""
BEGUN = "begun"
"""What a worker says when it has got its work, from when on limits count: its own start may take seconds."""
GRACE_SECONDS = 5  # for the last checkpoint, once the parent is gone


@dataclass(frozen=True)
class Setting:
    """The settings of a worker.

    Attributes:
        threads: torch's CPU threads; None for its default.
        parent: the parent's process id and `birth`; the worker exits when the parent does.
        folder: the working folder.
        environment: the environment variables.
        typed: whether a command was typed, so that messages name options.
    """

    threads: int | None
    parent: tuple[int, str | None]
    folder: str
    environment: dict[str, str]
    typed: bool


@dataclass(frozen=True)
class Call:
    """A function of lrbench's that a worker calls instead of executing runs, such as the check of a config.

    Attributes:
        function: `module:name`; a text, since the module may need torch, which the parent need not import.
        arguments: what it is called with.
    """

    function: str
    arguments: tuple[Any, ...] = ()

    def __call__(self) -> Any:
        """Call it in this process."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(*self.arguments)

    def answer(self) -> Answer:
        """Call it, and return its value or its error. Whatever else is raised comes from user code."""
        try:
            return Answer(self())
        except UserCodeError as error:
            error.trace = traceback.format_exc()
            return Answer(error=error)
        except LrbenchError as error:
            return Answer(error=error)
        except BaseException as error:
            told = UserCodeError.of("user code", error)
            told.trace = traceback.format_exc()
            return Answer(error=told)


@dataclass(frozen=True)
class Answer:
    """What a `Call` returned, or the error that it raised."""

    value: Any = None
    error: LrbenchError | None = None


def serve(connection: Connection, stacks: Connection, setting: Setting, gpu: int | None, data: Sequence[bytes]) -> None:
    """Do what the parent sends until it closes the connection or is gone, or this process is asked to stop.

    Its Python stack goes to `stacks` if it crashes, and when it is asked for by `TELL_STACK`.
    """
    os.set_blocking(stacks.fileno(), False)  # a crash must not wait for a reader
    stop, busy = StopFlag(), threading.Lock()
    _heed_signals(stop)
    if sys.platform == "linux":  # data loaders as in a single process; those of a fork server would outlive this one
        multiprocessing.set_start_method("fork", force=True)
    os.environ.update(setting.environment)
    os.chdir(setting.folder)
    threading.Thread(target=_follow, args=(setting.parent, stop, busy), daemon=True).start()
    import torch.multiprocessing  # after the environment, which sets its threads

    torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]
    if gpu is not None:
        torch.cuda.set_device(gpu)
    threads = setting.threads or torch.get_num_threads()
    if data:
        from lrbench.training.executors.shared_data import accept

        for pickled in data:
            accept(pickled)

    printed = of_this_process()

    def end_lines() -> None:
        for one in printed:
            one.end()

    def tell(event: Event) -> None:
        if event.kind in ("start", "end"):  # a line is printed for each
            end_lines()
        with contextlib.suppress(OSError):  # the parent is gone, which `_follow` handles
            connection.send(event)

    def report(path: Path, result: RunResult | Exception) -> None:
        end_lines()
        connection.send((path, result))

    with contextlib.suppress(EOFError, OSError), command_line(setting.typed):
        while not stop():
            if connection.poll(POLL_SECONDS):
                work = connection.recv()
                _tell_stacks(stacks.fileno())  # again, since the last run may have changed it
                connection.send(BEGUN)
                if isinstance(work, Call):
                    torch.set_num_threads(threads)
                    answer = work.answer()
                    end_lines()
                    connection.send(answer)
                else:
                    with busy:
                        attempt_all(work, threads=threads, watch=tell, stop=stop, tell=report)
    for child in multiprocessing.active_children():  # of user code
        child.kill()
    end_process(0)  # everything is on disk, and a regular exit takes a second with torch loaded


def _heed_signals(stop: StopFlag) -> None:
    """Stop when this process is asked to; its parent has blocked these signals until now."""
    for number in ASKED_TO_STOP:
        signal.signal(number, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the fork server's handler


def _tell_stacks(descriptor: int) -> None:
    """Have C code write the Python stacks of all threads, which works while other C code keeps Python from running."""
    faulthandler.enable(descriptor)
    faulthandler.register(TELL_STACK, descriptor)


def _follow(parent: tuple[int, str | None], stop: StopFlag, busy: threading.Lock) -> None:
    """Exit when the parent is gone, giving the current run a few seconds to write its checkpoint."""
    number, born = parent
    while birth(number) == born:
        time.sleep(0.5)
    stop.set()
    busy.acquire(timeout=GRACE_SECONDS)
    end_process(1)
