"""The process that workers are forked from.

On Linux, it has imported torch but not used it, since forking a process that has used torch can hang. It imports torch
while the parent checks the configs. Elsewhere, workers are started as new processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

from lrbench.training.executors.worker import ASKED_TO_STOP

METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # forking needs a process without other threads


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Block the signals that workers handle, also in the processes that the block starts."""
    resource_tracker.ensure_running()  # first, since starting it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_server() -> None:
    """Start the process that workers are forked from, which imports torch in the background."""
    if METHOD != "forkserver":
        return
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    try:
        os.environ.update(_ONE_THREAD)
        forkserver.set_forkserver_preload(["lrbench.training.executors.preload"])
        with signals_blocked():  # for good in that process
            forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})
