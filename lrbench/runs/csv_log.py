"""CSV files of numbers: appended to row by row, cut back to a known row on resuming, and read by column."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import FolderError
from lrbench.runs.files import replacing

Row = Mapping[str, float | int | None]
Columns = dict[str, NDArray[np.float64]]

_RENAMED = {"images_per_second": "examples_per_second"}  # columns of folders of format 1, and their names now


def read(path: Path) -> Columns:
    """The columns of a file by name, an empty field or text as NaN; a torn last row is no row. No file, no columns.

    Raises FolderError where the file can't be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    if not lines:
        return {}
    names = _names(lines[0])
    fields = [line.split(b",") for line in lines[1:]]
    try:
        values = np.array(fields, dtype=float).reshape(len(fields), len(names))
    except ValueError:  # an empty field, text, or a row of another length
        values = np.array([_numbers(row, len(names)) for row in fields]).reshape(len(fields), len(names))
    return {name: values[:, place] for place, name in enumerate(names)}


def last(path: Path) -> dict[str, float]:
    """The last row by column, without empty fields; empty where there is none. Raises FolderError."""
    row = {name: float(values[-1]) for name, values in read(path).items() if len(values)}
    return {name: value for name, value in row.items() if not np.isnan(value)}


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


class CsvLog:
    """Rows of numbers under a fixed header; None is an empty field. Floats are written so that they read back equal."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path, self.columns = path, tuple(header)
        self._file: IO[str] | None = None
        self._hash = hashlib.blake2b(digest_size=16)

    def open(self, rows: int) -> None:
        """Begin appending after the first `rows` rows; what stands beyond them, a torn last row too, is left out.

        A file that has these columns, in another order or under their former names, keeps its header. The rows go to a
        new file, so that a writer who was stopped, and comes back after its run was taken over, writes its last rows to
        a file that is no more.

        Raises ValueError where the file holds fewer whole rows.
        """
        whole = self._lines()
        if rows and len(whole) <= rows:
            raise ValueError(f"{self.path} holds {max(len(whole) - 1, 0)} rows where {rows} were written")
        kept = whole[: rows + 1] if rows else []
        header = kept[0] if kept else ",".join(self.columns).encode()
        self.columns = tuple(_names(header))
        text = b"".join(line + b"\n" for line in kept or [header])
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

    @property
    def digest(self) -> str:
        """A checksum of all that has been written."""
        return self._hash.hexdigest()

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and hand them to the system at once."""
        assert self._file is not None, "open() comes first"
        text = "".join(",".join(_text(row.get(name)) for name in self.columns) + "\n" for row in rows)
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
        """The header and the whole rows; nothing where the header is missing or lacks a column."""
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        ours = len(lines) > 1 and set(self.columns) <= set(_names(lines[0]))
        return lines[:-1] if ours else []  # what follows the last newline is torn


def _text(value: float | int | None) -> str:
    return "" if value is None else repr(value)
