"""Standard output as JSON, an object per line, for programs.

Nothing else is on it: what user code prints goes to the standard error.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, TextIO

descriptor = 1
"""The file descriptor of the lines, for the last line before the process is ended at once."""
_open: Stream | None = None


class Stream:
    """The standard output while it belongs to JSON lines.

    User code and worker processes print to the standard error meanwhile. If the reader is gone, the command is asked to
    stop as by Ctrl-C, so that its runs can be resumed.
    """

    def __init__(self) -> None:
        self.stdout, self.ended, self.gone = sys.stdout, False, False
        self.file: TextIO = self.stdout
        self.copy: int | None = None
        if _is_descriptor(self.stdout, 1):
            self.stdout.flush()
            self.copy = os.dup(1)
            self.file = os.fdopen(self.copy, "w", encoding="ascii", closefd=False)
            _redirect(1, 2)
        sys.stdout = sys.stderr

    def write(self, event: str, **facts: Any) -> None:
        """Write a line, unless the reader is gone."""
        if self.gone:
            return
        line = _line(event, facts)
        self.ended = event == "error"
        try:
            self.file.write(line)
            self.file.flush()
        except (OSError, ValueError):  # a broken pipe, a full disk, or closed
            self.gone = True
            os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        """Give the standard output back."""
        sys.stdout = self.stdout
        if self.copy is not None:
            os.dup2(self.copy, 1)
            os.close(self.copy)


def _line(event: str, facts: Mapping[str, Any]) -> str:
    from lrbench.runs import finite, now  # here, so that `lrbench --help` is quick

    return json.dumps(finite({"event": event, **facts, "time": now()}), allow_nan=False, default=str) + "\n"


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):  # none, or a notebook's
        return False


def _redirect(number: int, target: int) -> None:
    try:
        os.dup2(target, number)
    except OSError:  # the target is closed
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)


def opened() -> Stream:
    """Take the standard output for JSON lines until `close`."""
    global _open, descriptor
    if _open is None:
        _open = Stream()
        descriptor = 1 if _open.copy is None else _open.copy
    return _open


def complain(text: str, code: int) -> None:
    """Write an error as a line, whether or not the standard output was taken."""
    if _open is not None:
        _open.write("error", message=text, exit_code=code)
    else:
        try:
            print(_line("error", {"message": text, "exit_code": code}), end="", flush=True)
        except OSError:  # the standard output takes nothing
            print(f"Error: {text}", file=sys.stderr)


def close(code: int) -> None:
    """Write the last line, if the standard output was taken, and give it back. An error has been the last line."""
    global _open, descriptor
    if _open is None:
        return
    stream, _open, descriptor = _open, None, 1
    if not stream.ended:
        stream.write("done", exit_code=code)
    stream.close()


def last_line(code: int, message: str) -> bytes:
    """Return the line for a process that is ended at once by a signal."""
    return f"{json.dumps({'event': 'error', 'message': message, 'exit_code': code})}\n".encode()
