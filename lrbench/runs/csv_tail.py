"""CSV files of numbers that grow: the rows that are new since the last look."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from lrbench.config import opened
from lrbench.runs.csv_columns import CHUNK, Columns, names_of, numbers, reading

COMPARED = 4096
"""Bytes before the new rows that must be as they were read."""


class Tail:
    """The rows of a file that were appended since it was last read.

    Attributes:
        path: the file.
        names: its columns, once a header was read.
        more: whether there are more rows than the last call gave.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.more = path, False
        self.names: list[str] = []
        self._file, self._read, self._end, self._hash = 0, 0, b"", hashlib.blake2b()

    def rows(self) -> list[dict[str, float]] | None:
        """Return new complete rows by column name, without empty fields; text is NaN.

        Of many, it gives the first thousands, and the next calls give the rest; see `more`.

        None if what was read has changed, as when a run resumes from an earlier step. The next call gives the file's
        rows from the first one on. Raises FolderError if the file can't be read.
        """
        self.more = False
        try:
            with reading(self.path), opened(self.path) as file:
                status = os.fstat(file.fileno())
                if not self._goes_on(file, status):
                    self.names, self._read, self._end, self._hash = [], 0, b"", hashlib.blake2b()
                    return None
                file.seek(self._read)
                new = file.read(CHUNK)
        except FileNotFoundError:
            return []
        whole, newline, _ = new.rpartition(b"\n")
        self.more = bool(newline) and len(new) == CHUNK
        self._file, self._read = status.st_ino, self._read + len(whole) + len(newline)
        self._end = (self._end + whole + newline)[-COMPARED:]
        self._hash.update(whole + newline)
        lines = whole.split(b"\n") if newline else []
        if lines and not self.names:
            self.names = names_of(lines.pop(0))
        return [self._row(line.split(b",")) for line in lines]

    def _goes_on(self, file: IO[bytes], status: os.stat_result) -> bool:
        """Return whether a file still begins with what was read.

        A file that was removed and made again may have the number of the old one, so that its rows tell.
        """
        if status.st_size < self._read or (status.st_ino != self._file and not self._same(file)):
            return False
        file.seek(self._read - len(self._end))
        return file.read(len(self._end)) == self._end

    def _same(self, file: IO[bytes]) -> bool:
        """Return whether another file of this name begins with what was read."""
        found, left = hashlib.blake2b(), self._read
        while left and (text := file.read(min(CHUNK, left))):
            found.update(text)
            left -= len(text)
        return found.digest() == self._hash.digest()

    def _row(self, fields: Sequence[bytes]) -> dict[str, float]:
        told = [(name, text) for name, text in zip(self.names, fields, strict=False) if text]
        return dict(zip((name for name, _ in told), numbers([text for _, text in told], len(told)), strict=True))


class Growing:
    """The columns of a file that grows, of which only new rows are read."""

    def __init__(self, path: Path) -> None:
        self._tail, self._columns = Tail(path), Columns()

    def columns(self) -> Columns:
        """Return the columns as `read` does. Raises FolderError if the file can't be read."""
        parts: list[Columns] = []
        while not parts or self._tail.more:
            new = self._tail.rows()
            if new is None:
                self._columns, parts, new = Columns(), [], self._tail.rows() or []
            names = self._tail.names if new or not self._columns else ()
            parts.append({name: np.array([row.get(name, np.nan) for row in new], dtype=float) for name in names})
        for name in self._tail.names:
            known = [part[name] for part in (self._columns, *parts) if name in part]
            self._columns[name] = np.concatenate(known) if len(known) > 1 else known[0]
        return dict(self._columns)
