"""A flag that SIGINT and SIGTERM set and that training polls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def _interrupt(number: int) -> None:
    raise KeyboardInterrupt


class StopFlag:
    """True once the process was asked to stop. A second signal stops immediately.

    Attributes:
        at_once: called on a second signal, in the main thread. The command line, which owns its process, ends it;
            by default it raises KeyboardInterrupt.
    """

    at_once: Callable[[int], None] = staticmethod(_interrupt)

    @classmethod
    @contextmanager
    def ending(cls, at_once: Callable[[int], None]) -> Iterator[None]:
        """Call `at_once` on a second signal while the block runs."""
        before = cls.at_once
        cls.at_once = staticmethod(at_once)
        try:
            yield
        finally:
            cls.at_once = staticmethod(before)

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    def __call__(self) -> bool:
        """True once the process was asked to stop."""
        return self._event.is_set()

    def set(self, number: int | None = None) -> None:
        """Set the flag."""
        self.signal = number
        self._event.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Set the flag on SIGINT and SIGTERM while the block runs; outside the main thread, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self():
                self.at_once(number)
            self.set(number)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
