"""CSV files of numbers that runs write: append rows, cut back to a row on resume."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from lrbench.runs.csv_columns import lines_of, names_of
from lrbench.runs.files import replacing, writing

Row = Mapping[str, float | int | None]


def table_of(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV with these columns and, after them, any others that rows have."""
    rows = list(rows)
    names = list(dict.fromkeys((*columns, *(name for row in rows for name in row))))
    lines = [",".join(names), *(",".join(_text(row.get(name)) for name in names) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


class CsvLog:
    """A CSV file with a fixed header. None is an empty field; floats are written with all their digits.

    A failed write raises FolderError.

    Args:
        path: the file.
        header: the columns that it must have.
        more: columns that a new file has too. A file that is there keeps its own header.
    """

    def __init__(self, path: Path, header: Sequence[str], more: Sequence[str] = ()) -> None:
        self.path, self.required, self.columns = path, frozenset(header), (*header, *more)
        self._file: IO[str] | None = None
        self._hash = hashlib.blake2b(digest_size=16)

    def open(self, rows: int) -> None:
        """Keep the first `rows` rows, drop all others and start appending.

        A file with these columns in another order, or under their old names, keeps its header. The rows are copied to a
        new file: if a suspended process comes back after its run was taken over, it appends to the deleted old file.

        Raises ValueError if the file has fewer complete rows.
        """
        whole = self._lines()
        if rows and len(whole) <= rows:
            raise ValueError(f"{self.path} has {max(len(whole) - 1, 0)} rows, but {rows} were written")
        kept = whole[: rows + 1] if rows else []
        header = kept[0] if kept else ",".join(self.columns).encode()
        self.columns = tuple(names_of(header))
        text = b"".join(line + b"\n" for line in kept or [header])
        with writing(self.path.parent):
            with replacing(self.path) as file:
                file.write(text)
            self._hash = hashlib.blake2b(text, digest_size=16)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")

    def take(self, other: CsvLog, rows: int) -> None:
        """Replace the file by the header and the first `rows` rows of another one."""
        text = b"".join(line + b"\n" for line in other._lines()[: rows + 1])
        with writing(self.path.parent), replacing(self.path) as file:
            file.write(text)

    def widen(self, names: Iterable[str]) -> None:
        """Add columns, which are empty in the rows that are there."""
        new = list(names)
        if not new:
            return
        assert self._file is not None, "open() comes first"
        self.close()
        header, *rows = self._lines()
        lines = [header + "".join(f",{name}" for name in new).encode(), *(row + b"," * len(new) for row in rows)]
        text = b"".join(line + b"\n" for line in lines)
        with writing(self.path.parent):
            try:
                with replacing(self.path) as file:
                    file.write(text)
            finally:
                self._file = self.path.open("a", encoding="utf-8", newline="\n")
        self._hash = hashlib.blake2b(text, digest_size=16)
        self.columns = (*self.columns, *new)

    def holds(self, rows: int, digest: str) -> bool:
        """Return whether the file has at least `rows` complete rows and they match `digest`."""
        lines = self._lines()[: rows + 1]
        text = b"".join(line + b"\n" for line in lines)
        return not rows or (len(lines) > rows and hashlib.blake2b(text, digest_size=16).hexdigest() == digest)

    @property
    def digest(self) -> str:
        """The checksum of everything written."""
        return self._hash.hexdigest()

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and flush them to the operating system."""
        assert self._file is not None, "open() comes first"
        text = "".join(",".join(_text(row.get(name)) for name in self.columns) + "\n" for row in rows)
        with writing(self.path.parent):
            self._file.write(text)
            self._file.flush()
        self._hash.update(text.encode())

    def sync(self) -> None:
        """Flush the rows to disk."""
        if self._file is not None:
            with writing(self.path.parent):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. It counts as closed even if that fails, as after a failed write."""
        file, self._file = self._file, None
        if file is not None:
            with writing(self.path.parent):
                file.close()

    def _lines(self) -> list[bytes]:
        """Return the header and the complete rows; nothing if the header is missing or lacks a column."""
        lines = lines_of(self.path)
        return lines if lines and self.required <= set(names_of(lines[0])) else []


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)
