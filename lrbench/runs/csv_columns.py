"""CSV files of numbers that are read: their columns, their last values, and rows as they are appended."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lrbench.config import opened
from lrbench.errors import FolderError, printable
from lrbench.runs.files import read as read_file

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
    lines = lines_of(path)
    if not lines:
        return {}
    names = names_of(lines[0])
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
    lines = lines_of(path)
    names = names_of(lines[0]) if lines else []
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
    names = names_of(header)
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
            self.names = names_of(lines.pop(0))
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


def lines_of(path: Path) -> list[bytes]:
    """Return the header and the complete rows; anything after the last newline is an incomplete row.

    Raises FolderError.
    """
    text = read_file(path, MOST_BYTES) or b""
    lines = text.split(b"\n")[:-1]
    if max(map(len, lines), default=0) > MOST_IN_ROW:
        raise FolderError(f"{path} is damaged: a row is longer than {MOST_IN_ROW // 1000} kB")
    return lines


def names_of(header: bytes) -> list[str]:
    """Return the names of a header's columns, old ones under their current names."""
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
