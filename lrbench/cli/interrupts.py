"""Ctrl-C and SIGTERM that end a command at once: what it says, what is kept, and that no process of its own goes on.

During training, the first one lets the runs write their checkpoints instead (`StopFlag` in `lrbench.training`). This
file imports little, since a signal may come in the first moments of a command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from os import _exit
from types import FrameType
from typing import TYPE_CHECKING

from lrbench.cli import json_output
from lrbench.errors import counted

if TYPE_CHECKING:
    from lrbench.training import Outcome

AT_ONCE = "stopped immediately; the same command resumes from the last checkpoint"
_RUNS = "no run was under way, finished ones are kept, and the same command goes on"
_KEPT = {**dict.fromkeys(("demo", "find-lr", "run", "sweep"), _RUNS), "check-width": "what was measured is lost"}
"""What is kept and lost where a command is interrupted outside of training, as in the check of a config."""


def end(number: int, frame: FrameType | None) -> None:
    """End this process, saying what is kept: a handler of signals wherever no run is under way."""
    kept = _KEPT.get(sys.argv[1] if len(sys.argv) > 1 else "")
    leave(number, f"interrupted; {kept}" if kept else "interrupted")


@contextlib.contextmanager
def summarizing(outcomes: Sequence[Outcome]) -> Iterator[None]:
    """On Ctrl-C or SIGTERM during the block, say what is done, and end the process with the usual exit code."""
    done = sum(outcome.result is not None for outcome in outcomes)
    said = f"stopped during the summary: {done} of {counted(len(outcomes), 'run')} done and kept"

    def tell(number: int, frame: FrameType | None) -> None:
        leave(number, f"{said}; the same command shows the summary")

    mine = threading.current_thread() is threading.main_thread()  # no other may
    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM) if mine}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(number: int, said: str = AT_ONCE) -> None:
    """Say so and end this process and its workers now, without an exception that running code could catch."""
    with contextlib.suppress(Exception):  # psutil itself may be in the middle of its import
        _end_children()
    if "--json" in sys.argv or json_output.descriptor != 1:
        with contextlib.suppress(OSError):  # the reader is gone
            os.write(json_output.descriptor, json_output.last_line(128 + number, said))
    shown = "\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else ""  # the cursor, hidden by the progress
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}\n{said}\n".encode())
    _exit(128 + number)  # `os._exit` would end only the run


def _end_children() -> None:
    """Kill the processes that this one has started, and theirs."""
    if "multiprocessing" not in sys.modules and "subprocess" not in sys.modules:
        return
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
