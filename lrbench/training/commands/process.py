"""A command as a process of its own, which ends with lrbench, whatever happens to either."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.errors import FolderError

_SUPERVISOR = str(Path(__file__).with_name("supervise.py"))
_ORDERS = {signal.SIGINT: b"i", signal.SIGTERM: b"t", signal.SIGKILL: b"k"}


@dataclass(frozen=True)
class End:
    """How a command ended: by its exit code or by a signal; `problem` if it could not be started.

    `at` is when, as `time.monotonic` has it, which is earlier than when it was noticed.
    """

    code: int = 0
    signal: int | None = None
    problem: str = ""
    at: float = field(default_factory=time.monotonic, compare=False)

    @classmethod
    def of(cls, code: int) -> End:
        """Return the end of a process by its exit code, which is negative for a signal, as Python has it."""
        return cls(signal=-code) if code < 0 else cls(code=code)

    @property
    def well(self) -> bool:
        """Whether it ended with exit code 0."""
        return not (self.code or self.signal or self.problem)

    @property
    def words(self) -> str:
        """How it ended, in words."""
        if self.problem:
            return f"could not be started: {self.problem}"
        if self.signal is None:
            return f"ended with exit code {self.code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = f"signal {self.signal}"
        return f"was killed by {name}" + ("; it may have run out of memory" * (self.signal == signal.SIGKILL))


class Process:
    """A running command.

    Args:
        arguments: the program and its arguments.
        folder: where it starts.
        environment: its environment variables.
        output: the file to which its output is appended.

    Raises FolderError if the output can't be written or no process can be started.
    """

    def __init__(self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], output: Path) -> None:
        self._socket, other = socket.socketpair()
        self._said, self._run = b"", environment.get("LRBENCH_RUN", "")
        try:
            with output.open("ab") as file:
                self._supervisor = subprocess.Popen(
                    [sys.executable, "-I", "-S", _SUPERVISOR, *arguments],
                    cwd=folder,
                    env=dict(environment),
                    stdin=other.fileno(),
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C in a terminal reaches lrbench alone, which passes it on
                )
        except (OSError, ValueError) as error:
            self._socket.close()
            problem = getattr(error, "strerror", None) or error
            raise FolderError(f"cannot start a command in {folder}: {problem}") from error
        finally:
            other.close()

    @property
    def pid(self) -> int:
        """The process id of what all its processes descend from."""
        return self._supervisor.pid

    def wait(self, seconds: float) -> End | None:
        """Wait for its end, at most so long; return how it ended, None if it still runs."""
        if not select.select([self._socket], [], [], seconds)[0]:
            return None
        with contextlib.suppress(OSError):
            while part := self._socket.recv(4096):  # it speaks when the command has ended, and then ends at once
                self._said += part
        self._supervisor.wait()
        self._socket.close()
        return self._end()

    def _end(self) -> End:
        time_, _, said = self._said.decode(errors="replace").partition(" ")
        kind, _, value = said.partition(" ")
        if kind == "exit":
            return End(code=int(value), at=float(time_))
        if kind == "signal":
            return End(signal=int(value), at=float(time_))
        if kind == "error":
            return End(code=127, problem=value, at=float(time_))
        code = self._supervisor.returncode  # the supervisor itself was killed, and the command with it
        _kill_orphans(self._run)
        return End.of(code or 1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's process group: SIGINT, SIGTERM or SIGKILL (to all that it started)."""
        with contextlib.suppress(OSError):
            self._socket.send(_ORDERS[number])

    def kill(self) -> None:
        """End it and all that it started now."""
        self.signal(signal.SIGKILL)
        until = time.monotonic() + 10.0
        while self.wait(max(until - time.monotonic(), 0.0)) is None:
            if time.monotonic() > until:
                self._supervisor.kill()
                self._supervisor.wait()
                break
        self._socket.close()


def _kill_orphans(run: str) -> None:
    """Kill what a killed supervisor has left, such as the ranks of torchrun: what has the run in its environment."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if run and process.pid != os.getpid() and process.environ().get("LRBENCH_RUN") == run:
                process.kill()
