"""Lines of output that user code has begun and not ended, so that a line of lrbench's never continues one."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO


class OpenLines:
    """Whether the last line that Python code has written to a stream is open, from now on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.is_open = stream, False
        self._write = stream.write
        with contextlib.suppress(AttributeError):  # a stream of another kind stays as it is
            stream.write = self.write  # type: ignore[method-assign]

    def write(self, text: str) -> int:
        """Write to the stream, as its own `write` does."""
        if text:
            self.is_open = not text.endswith("\n")
        return self._write(text)

    def end(self) -> None:
        """End the line if it is open, and let all that was written be seen."""
        with contextlib.suppress(OSError, ValueError):  # user code closed it, or nobody reads it any more
            if self.is_open:
                self.stream.write("\n")
            self.stream.flush()


def of_this_process() -> list[OpenLines]:
    """Return those of standard output and error."""
    return [OpenLines(stream) for stream in (sys.stdout, sys.stderr) if stream is not None]
