"""CSV files that are only ever appended to, and cut back to a known number of rows on resuming."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from lrbench.runs.atomic import replacing

Value = float | int | None


class CsvLog:
    """Rows of numbers under a fixed header; None is an empty field. Floats are written so that they read back equal."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path, self.header = path, ",".join(header)
        self._file: IO[str] | None = None
        self._hash = hashlib.blake2b(digest_size=16)

    def open(self, rows: int) -> None:
        """Begin appending after the first `rows` rows; what stands beyond them, a torn last row too, is left out.

        The rows go to a new file, so that a writer who was stopped, and comes back after its run was taken over,
        writes its last rows to a file that is no more.

        Raises ValueError where the file holds fewer whole rows.
        """
        whole = self._lines()
        if rows and len(whole) <= rows:
            raise ValueError(f"{self.path} holds {max(len(whole) - 1, 0)} rows where {rows} were written")
        kept = whole[: rows + 1] or [self.header.encode()]
        text = b"".join(line + b"\n" for line in kept)
        with replacing(self.path) as file:
            file.write(text)
        self._hash = hashlib.blake2b(text, digest_size=16)
        self._file = self.path.open("a", encoding="utf-8", newline="\n")

    def holds(self, rows: int, digest: str | None = None) -> bool:
        """True where at least so many whole rows stand in the file, and they are the ones that `digest` was made of."""
        lines = self._lines()
        if rows > 0 and len(lines) <= rows:
            return False
        if digest is None or not rows:
            return True
        text = b"".join(line + b"\n" for line in lines[: rows + 1])
        return hashlib.blake2b(text, digest_size=16).hexdigest() == digest

    def last(self) -> dict[str, str] | None:
        """The last whole row, by column; None where there is none."""
        lines = self._lines()
        return (
            dict(zip(self.header.split(","), lines[-1].decode().split(","), strict=False)) if len(lines) > 1 else None
        )

    @property
    def digest(self) -> str:
        """A checksum of all that has been written."""
        return self._hash.hexdigest()

    def append(self, rows: Iterable[Sequence[Value]]) -> None:
        """Write rows and hand them to the system at once."""
        assert self._file is not None, "open() comes first"
        text = "".join(",".join(map(_text, row)) + "\n" for row in rows)
        self._file.write(text)
        self._file.flush()
        self._hash.update(text.encode())

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self) -> list[bytes]:
        """The header and the whole rows; nothing where the header is missing or not ours."""
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        ours = lines[:1] == [self.header.encode()] and len(lines) > 1
        return lines[:-1] if ours else []  # what follows the last newline is torn


def _text(value: Value) -> str:
    return "" if value is None else repr(value)
