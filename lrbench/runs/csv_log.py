"""CSV files of numbers: append rows, cut back to a row on resume, read columns."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lrbench.config import opened
from lrbench.errors import FolderError, printable
from lrbench.runs.files import read as read_file
from lrbench.runs.files import replacing, writing

Row = Mapping[str, float | int | None]
Columns = dict[str, NDArray[np.float64]]

MOST_BYTES, MOST_IN_ROW, MOST_MISSING = 2_000_000_000, 100_000, 1_000_000
"""Limits of a file that is read: its size, the bytes of a row, and the fields that rows lack."""

MOST_SHOWN = 500  # characters of a line of output
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and movements of a terminal
_RENAMED = {"images_per_second": "examples_per_second"}  # column names of format 1, and their current names


def read(path: Path) -> Columns:
    """Read a file's columns by name; empty if there is no file.

    Empty fields and text become NaN, and an incomplete last row is ignored. Raises FolderError if the file can't be
    read.
    """
    lines = _lines(path)
    if not lines:
        return {}
    names = _names(lines[0])
    if len(names) * len(lines) > sum(map(len, lines)) + len(lines) + MOST_MISSING:
        raise FolderError(f"{path} is damaged: its rows are shorter than its header")
    fields = [line.split(b",") for line in lines[1:]]
    try:
        values = np.array(fields, dtype=float).reshape(len(fields), len(names))
    except ValueError:  # an empty field, text, or a row of another length
        values = np.array([_numbers(row, len(names)) for row in fields]).reshape(len(fields), len(names))
    return {name: values[:, place] for place, name in enumerate(names)}


def latest(path: Path) -> dict[str, float]:
    """Return each column's last field that is not empty; text is NaN. Raises FolderError if the file can't be read."""
    lines = _lines(path)
    names = _names(lines[0]) if lines else []
    found: dict[str, float] = {}
    for line in reversed(lines[1:]):
        fields = line.split(b",")
        for name, text in zip(names, fields, strict=False):
            if text and name not in found:
                found[name] = _numbers([text], 1)[0]
        if len(found) == len(names):
            break
    return found


def last(path: Path) -> dict[str, float]:
    """Read the last row by column name, without empty fields; empty if there are no rows. Raises FolderError.

    Only the ends of the file are read, so that a long one can be looked at often.
    """
    header, rows = ends(path, MOST_IN_ROW)
    lines = rows.split(b"\n")[:-1]
    if not header or not lines or not lines[-1]:
        return {}
    names = _names(header)
    row = dict(zip(names, _numbers(lines[-1].split(b","), len(names)), strict=True))
    return {name: value for name, value in row.items() if not np.isnan(value)}


class Tail:
    """The rows of a file that were appended since it was last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self._file, self._read, self._hash = 0, 0, hashlib.blake2b()

    def rows(self) -> list[dict[str, float]] | None:
        """Return the new complete rows by column name, without empty fields; text is NaN.

        None if what was read has changed, as when a run resumes from an earlier step. The next call gives the file's
        rows from the first one on. Raises FolderError if the file can't be read.
        """
        try:
            with opened(self.path) as file:
                status = os.fstat(file.fileno())
                if status.st_size < self._read or (status.st_ino != self._file and not self._same(file)):
                    self.names, self._read, self._hash = [], 0, hashlib.blake2b()
                    return None
                file.seek(self._read)
                text = file.read(MOST_BYTES).rpartition(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FolderError(f"{self.path} cannot be read: {error.strerror}") from error
        self._file, self._read = status.st_ino, self._read + len(text[0]) + len(text[1])
        self._hash.update(text[0] + text[1])
        lines = text[0].split(b"\n") if text[1] else []
        if lines and not self.names:
            self.names = _names(lines.pop(0))
        return [self._row(line.split(b",")) for line in lines]

    def _same(self, file: IO[bytes]) -> bool:
        """Return whether another file of this name begins with what was read."""
        return hashlib.blake2b(file.read(self._read)).digest() == self._hash.digest()

    def _row(self, fields: Sequence[bytes]) -> dict[str, float]:
        told = [(name, text) for name, text in zip(self.names, fields, strict=False) if text]
        return dict(zip((name for name, _ in told), _numbers([text for _, text in told], len(told)), strict=True))


class Growing:
    """The columns of a file that grows, of which only new rows are read."""

    def __init__(self, path: Path) -> None:
        self._tail, self._columns = Tail(path), Columns()

    def columns(self) -> Columns:
        """Return the columns as `read` does. Raises FolderError if the file can't be read."""
        new = self._tail.rows()
        if new is None:
            self._columns, new = Columns(), self._tail.rows() or []
        empty = np.empty(0)
        for name in self._tail.names if new or not self._columns else ():
            values = np.array([row.get(name, np.nan) for row in new], dtype=float)
            self._columns[name] = np.concatenate([self._columns.get(name, empty), values])
        return dict(self._columns)


def ends(path: Path, most: int) -> tuple[bytes, bytes]:
    """Return the first line of a file, and what follows it, of which only the last `most` bytes.

    Both are empty if there is no file. Raises FolderError if it can't be read.
    """
    try:
        with opened(path) as file:
            first = file.readline(MOST_IN_ROW)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(len(first), size - most))
            return first.rstrip(b"\n"), file.read(most)
    except FileNotFoundError:
        return b"", b""
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a program's output that are not empty, without control characters."""
    first, rest = ends(path, 100_000)
    text = printed((first + b"\n" + rest).decode(errors="replace"))
    lines = [line.rstrip()[:MOST_SHOWN] for line in text.splitlines() if line.strip()]
    return lines[-count:]


def _lines(path: Path) -> list[bytes]:
    """Return the header and the complete rows; anything after the last newline is an incomplete row."""
    text = read_file(path, MOST_BYTES) or b""
    lines = text.split(b"\n")[:-1]
    if max(map(len, lines), default=0) > MOST_IN_ROW:
        raise FolderError(f"{path} is damaged: a row is longer than {MOST_IN_ROW // 1000} kB")
    return lines


def _names(header: bytes) -> list[str]:
    names = header.decode("utf-8", errors="replace").split(",")
    return [_RENAMED.get(name, name) for name in names]


def _numbers(row: Sequence[bytes], count: int) -> list[float]:
    found = []
    for text in row[:count]:
        try:
            found.append(float(text))
        except ValueError:
            found.append(np.nan)
    return found + [np.nan] * (count - len(found))


def printed(text: str) -> str:
    """Return what a program printed without colours and control characters; progress bars are lines of their own."""
    return printable(_ESCAPES.sub("", text).replace("\r", "\n"))


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
            raise ValueError(f"{self.path} holds {max(len(whole) - 1, 0)} rows where {rows} were written")
        kept = whole[: rows + 1] if rows else []
        header = kept[0] if kept else ",".join(self.columns).encode()
        self.columns = tuple(_names(header))
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
        lines = _lines(self.path)
        return lines if lines and self.required <= set(_names(lines[0])) else []


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)
