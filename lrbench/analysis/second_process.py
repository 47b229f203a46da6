"""How many runs are read and reported quickly: in processes beside this one, and without searches for cycles."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Let Python search for no reference cycles in this block: among 1,000 runs, that takes a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class SecondProcess(Generic[T]):
    """What a function returns, from a forked process if this one has no other threads, which a fork would not copy.

    Without one (on macOS and Windows, in a notebook), and if the process fails, `result` calls the function here. So
    an error is raised here, too.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._receiver: Connection | None = None
        self._found: list[T] = []
        if sys.platform == "linux" and threading.active_count() == 1:
            context = multiprocessing.get_context("fork")
            receiver, sender = context.Pipe(duplex=False)
            # It ends with this process, also if that is interrupted.
            self._process = context.Process(target=_send, args=(call, sender), daemon=True)
            with warnings.catch_warnings():  # of threads of NumPy's matrix library, which is made for forks
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
            sender.close()
            self._receiver = receiver

    def result(self) -> T:
        """Return the value; the first call waits for it. Raises what the function raises."""
        if not self._found:
            self._found.append(self._received())
        return self._found[0]

    def _received(self) -> T:
        if self._receiver is None:
            return self._call()
        with self._receiver as receiver:
            self._receiver = None
            try:
                found: T = receiver.recv()
            except EOFError:
                return self._call()
            finally:
                self._process.join()
        return found


def _send(call: Callable[[], T], sender: Connection) -> None:
    try:
        sender.send(call())
    except BaseException:
        sender.close()
