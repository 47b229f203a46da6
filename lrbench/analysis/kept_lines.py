"""A file with a line for each run, of which only the places of the lines are in memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, Self

from lrbench.config import opened
from lrbench.errors import FolderError
from lrbench.runs import replacing

MOST_BYTES = 2_000_000_000
"""A larger file is not read, and is begun anew."""
MOST_IN_LINE = 64_000_000


class KeptLines:
    """Lines of run name, key and text, separated by tabs. Of several lines of a run, the last one counts.

    Each line is appended by one write, so that several processes can do so. A file that can't be read counts as empty,
    and one that can't be written stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._appends = self._torn = self._oversized = False
        self._count = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._live: dict[str, tuple[int, int]] = {}
        self._open_files = contextlib.ExitStack()
        with contextlib.suppress(OSError):
            self._file = self._open_files.enter_context(opened(path))
            self._find_lines(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def _find_lines(self, file: IO[bytes]) -> None:
        self._oversized = os.fstat(file.fileno()).st_size > MOST_BYTES
        at = 0
        while not self._oversized and (line := file.readline(MOST_IN_LINE)):
            name, tab, _ = line.partition(b"\t")
            self._torn = not line.endswith(b"\n")
            if tab and not self._torn:
                self._places[name.decode(errors="replace")] = at, at + len(line)
            at += len(line)
            self._count += 1

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def of(self, name: str) -> tuple[bytes, bytes]:
        """Return the key and the text of a run's line, both empty without one."""
        start, end = self._places.get(name, (0, 0))
        if self._file is None or start == end:
            return b"", b""
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(start)
            known, key, text = self._file.read(end - start).split(b"\t", 2)
            if known == name.encode() and text.endswith(b"\n"):
                return key, text[:-1]
        return b"", b""

    def used(self, name: str) -> None:
        """Note that a run's line is of use, so that it stays when the file is written anew."""
        self._live[name] = self._places[name]

    def add(self, name: str, key: bytes, text: bytes) -> None:
        """Append a line; nothing of a path that leads elsewhere by a link, or of a name that can't be written."""
        line = (b"\n" if self._torn else b"") + b"\t".join((name.encode(errors="replace"), key, text)) + b"\n"
        if name.isprintable() and b"\n" not in text and self.may_append() and self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(line)
                end = self._file.tell()
                self._live[name] = end - len(line) + self._torn, end
                self._count, self._torn = self._count + 1, False

    def may_append(self) -> bool:
        """Return whether lines can be appended, and have the file open for that."""
        if not self._appends and not self.path.parent.is_symlink() and not self.path.is_symlink():
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(exist_ok=True)
                (self.path.parent / ".gitignore").write_text("*\n")
                if self._oversized:
                    self.path.unlink()
                file = self._open_files.enter_context(self.path.open("a+b", buffering=0))
                if self._file is not None and not os.path.sameopenfile(self._file.fileno(), file.fileno()):
                    self._places, self._live, self._count = {}, {}, 0  # another process has written the file anew
                self._file, self._appends = file, True
        return self._appends

    def tidy(self) -> None:
        """Leave only lines that were added or used, if lines were added and most of all are of no use."""
        if self._file is not None and self._appends and self._count > 2 * len(self._live):
            self._rewrite(self._file)

    def _rewrite(self, file: IO[bytes]) -> None:
        with contextlib.suppress(OSError, FolderError), replacing(self.path) as target:
            for start, end in self._live.values():
                file.seek(start)
                target.write(file.read(end - start))
