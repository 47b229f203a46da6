"""CSV files that are only ever appended to, and cut back to a known number of rows on resuming."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

Value = float | int | None


class CsvLog:
    """Rows of numbers under a fixed header; None is an empty field. Floats are written so that they read back equal."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path, self.header = path, ",".join(header)
        self._file: IO[str] | None = None

    def open(self, rows: int) -> None:
        """Begin appending after the first `rows` rows; what stands beyond them, a torn last row too, is cut off.

        Raises ValueError where the file holds fewer whole rows.
        """
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        whole = lines[:-1]  # what follows the last newline is torn
        if not whole or whole[0].decode("utf-8", "replace") != self.header:
            whole = [self.header.encode()]
        if len(whole) - 1 < rows:
            raise ValueError(f"{self.path} holds {len(whole) - 1} rows where {rows} were written")
        kept = b"\n".join(whole[: rows + 1]) + b"\n"
        if not self.path.exists() or self.path.stat().st_size < len(kept):
            self.path.write_bytes(kept)
        else:
            os.truncate(self.path, len(kept))
        self._file = self.path.open("a", encoding="utf-8", newline="\n")

    def append(self, rows: Iterable[Sequence[Value]]) -> None:
        """Write rows and hand them to the system at once."""
        assert self._file is not None, "open() comes first"
        self._file.write("".join(",".join(map(_text, row)) + "\n" for row in rows))
        self._file.flush()

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _text(value: Value) -> str:
    return "" if value is None else repr(value)
