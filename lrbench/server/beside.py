"""The live page beside a command that trains: a process of its own, so that training never waits for it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

END_SECONDS = 5.0
"""How long the server has to tell open pages that it ends."""


@contextlib.contextmanager
def beside(runs: Path, options: Sequence[str], say: Callable[[str], None]) -> Iterator[None]:
    """Serve a folder of runs while the block runs.

    The server ends with this process, however that ends, since it reads until the other end of a pipe is closed.

    Args:
        runs: the folder of runs.
        options: more options of `lrbench serve`.
        say: is told the server's address, or why there is none.
    """
    command = [sys.executable, "-m", "lrbench", "serve", str(runs.absolute()), "--beside", *options]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    try:
        say(server.stdout.readline().strip() or "the live page could not be started")
        yield
    finally:
        with contextlib.suppress(OSError):
            server.stdin.close()
        try:
            server.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
