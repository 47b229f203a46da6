"""The command line: parse, call, print.

Commands import what they need only when they run, so that `--help` is quick. Other rooms never import this one, but
for the progress that `objects` shows.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import time
from os import _exit, write
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrbench.cli.progress import display as progress_display
    from lrbench.cli.terminal import Terminal

GRACE_SECONDS = 3.0


def main() -> None:
    """Run the command line as this process. Ctrl-C and SIGTERM end it at once until training handles them."""
    from lrbench.cli import completion, interrupts

    if completion.asked():
        sys.exit(completion.answer())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupts.end)
    from lrbench.cli.app import main

    try:
        main()
    except SystemExit as ended:
        names = _left()
        if names:
            threading.Thread(target=_end_anyway, args=(ended.code, names), daemon=True).start()
        raise


def _left() -> list[str]:
    """Return the names of threads and processes of user code for which Python would wait."""
    threads = [one.name for one in threading.enumerate() if not (one.daemon or one is threading.main_thread())]
    return threads + [child.name for child in _children() if not child.daemon]


def _children() -> Sequence[Any]:
    """Return the processes that multiprocessing has started here."""
    started = sys.modules.get("multiprocessing")
    return [] if started is None else [*started.active_children()]  # `list` is a module here


def _end_anyway(code: object, names: list[str]) -> None:
    """End the process with its exit code, unless it ends by itself in a moment."""
    time.sleep(GRACE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for child in _children():
        child.kill()
    write(2, f"user code left {', '.join(names)} running; lrbench ended them\n".encode())
    _exit(code if isinstance(code, int) else 1)


def __getattr__(name: str) -> Any:
    homes = {"Terminal": ("lrbench.cli.terminal", "Terminal"), "progress_display": ("lrbench.cli.progress", "display")}
    if name not in homes:
        raise AttributeError(f"module 'lrbench.cli' has no attribute '{name}'")
    module, attribute = homes[name]
    return getattr(importlib.import_module(module), attribute)


__all__ = ["Terminal", "main", "progress_display"]
