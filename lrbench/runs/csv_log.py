"""CSV files of numbers that runs write: append rows, cut back to a row on resume."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict

import numpy as np

from lrbench.config import opened
from lrbench.runs.csv_columns import MOST_IN_ROW, names_of, rows_of
from lrbench.runs.csv_thinned import ThinnedRows, take_thinned
from lrbench.runs.files import copy, replacing, writing

MARKED = 2**20
"""Bytes before a mark that are compared."""
Row = Mapping[str, float | int | None]


def table_of(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV with these columns and, after them, any others that rows have."""
    rows = list(rows)
    names = list(dict.fromkeys((*columns, *(name for row in rows for name in row))))
    lines = [",".join(names), *(",".join(_text(row.get(name)) for name in names) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


class Mark(TypedDict):
    """What a checkpoint says of a file's rows: where they end, in bytes, and a hash of their header and their end."""

    bytes: int
    hash: str


class CsvLog:
    """A CSV file with a fixed header. None is an empty field; floats are written with all their digits.

    A failed write raises FolderError. What resuming costs does not depend on the length of the file, except that the
    operating system copies it.

    Args:
        path: the file.
        header: the columns that it must have.
        more: columns that a new file has too. A file that is there keeps its own header.
        thins: keep the thinned rows of a long file beside it.
    """

    def __init__(self, path: Path, header: Sequence[str], more: Sequence[str] = (), *, thins: bool = False) -> None:
        self.path, self.required, self.columns = path, frozenset(header), (*header, *more)
        self._file: IO[bytes] | None = None
        self._size = 0
        self._thinned = ThinnedRows(path) if thins else None

    def open(self, end: int = 0) -> None:
        """Keep the file's first `end` bytes, which end with a row, drop all others and start appending.

        A file with these columns in another order, or under their old names, keeps its header. The rows are copied to a
        new file: if a suspended process comes back after its run was taken over, it appends to the deleted old file.

        Raises ValueError if no row ends there.
        """
        header = self._header() if end else ",".join(self.columns).encode()
        with writing(self.path.parent):
            if not end:
                self._replace(header + b"\n")
            elif header and self._ends_at(end):
                self._replace(b"", self.path, end)
            else:
                raise ValueError(f"{self.path} has no row that ends at byte {end}")
            self.columns = tuple(names_of(header))
            self._go_on()

    def take(self, other: CsvLog, end: int) -> None:
        """Replace the file by the first `end` bytes of another one."""
        with writing(self.path.parent):
            self._replace(b"", other.path, end)
            if self._thinned is not None:
                take_thinned(self.path, other.path)

    def widen(self, names: Iterable[str]) -> None:
        """Add columns, which are empty in the rows that are there."""
        new = list(names)
        if not new:
            return
        assert self._file is not None, "open() comes first"
        self.close()
        commas = b"," * len(new) + b"\n"
        with writing(self.path.parent):
            try:
                with rows_of(self.path) as (header, rows), writing(self.path.parent), replacing(self.path) as file:
                    file.write(b",".join((header, *(name.encode() for name in new))) + b"\n")
                    for text in rows:
                        file.write(text.replace(b"\n", commas))
                self.columns = (*self.columns, *new)
            finally:
                self._go_on()

    @property
    def mark(self) -> Mark:
        """Where the rows that were written end; see `end_of`."""
        assert self._file is not None, "open() comes first"
        with writing(self.path.parent):
            return _mark(self._file, self._size)

    def end_of(self, mark: Mark) -> int | None:
        """Return where the rows end that were written when `mark` was; None unless they are there unchanged.

        Only the header and the last megabyte of the rows are compared.
        """
        with opened(self.path) as file:
            same = self._header() and self._ends_at(mark["bytes"]) and _mark(file, mark["bytes"]) == mark
        return mark["bytes"] if same else None

    def end_of_rows(self, count: int, digest: str) -> int | None:
        """Return where the first `count` rows end, 0 for none; None unless `digest` is their checksum.

        Checkpoints of older versions have such checksums, of all rows.
        """
        if not count:
            return 0
        with rows_of(self.path) as (header, rows):
            found = hashlib.blake2b(header + b"\n", digest_size=16)
            end = len(header) + 1
            for text in rows:
                lines = text.split(b"\n", count)
                whole = text if len(lines) <= count else text[: len(text) - len(lines[-1])]
                found.update(whole)
                end, count = end + len(whole), count - whole.count(b"\n")
                if not count:
                    return end if self._header() and found.hexdigest() == digest else None
        return None

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and flush them to the operating system."""
        assert self._file is not None, "open() comes first"
        rows = list(rows)
        text = "".join([",".join([_text(row.get(name)) for name in self.columns]) + "\n" for row in rows]).encode()
        with writing(self.path.parent):
            self._file.write(text)
            self._file.flush()
        self._size += len(text)
        if self._thinned is not None and rows:
            values = [[row.get(name) for row in rows] for name in self.columns]
            self._thinned.add(text, np.array(values, dtype=float))

    def sync(self) -> None:
        """Flush the rows to disk."""
        if self._file is not None:
            with writing(self.path.parent):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. It counts as closed even if that fails, as after a failed write."""
        file, self._file = self._file, None
        if self._thinned is not None:
            self._thinned.close()
        if file is not None:
            with writing(self.path.parent):
                file.close()

    def _header(self) -> bytes:
        """Return the header; nothing if it is missing or lacks a column."""
        with rows_of(self.path) as (header, _):
            return header if self.required <= set(names_of(header)) else b""

    def _ends_at(self, end: int) -> bool:
        """Return whether a row, or the header, ends at this place of the file."""
        with opened(self.path) as file:
            file.seek(end - 1)
            return file.read(1) == b"\n"

    def _replace(self, text: bytes, source: Path | None = None, length: int = 0) -> None:
        """Write the file anew: a text, then the beginning of another file."""
        with replacing(self.path) as file:
            file.write(text)
            if source is not None:
                with opened(source) as other:
                    copy(other, file, length)

    def _go_on(self) -> None:
        """Open the file for appending."""
        self._file = self.path.open("a+b")
        self._size = self._file.seek(0, os.SEEK_END)
        if self._thinned is not None:
            self._thinned.open(self._size)


def _mark(file: IO[bytes], end: int) -> Mark:
    """Return the mark of a file's first `end` bytes."""
    file.seek(0)
    found = hashlib.blake2b(file.readline(MOST_IN_ROW), digest_size=16)
    file.seek(max(end - MARKED, 0))
    found.update(file.read(min(MARKED, end)))
    return {"bytes": end, "hash": found.hexdigest()}


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)
