"""CSV files of numbers that are read: their columns, some thousands of rows at once, and their last values."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lrbench.config import opened
from lrbench.errors import FolderError, printable

Columns = dict[str, NDArray[np.float64]]

MOST_BYTES, MOST_IN_ROW, MOST_MISSING = 2_000_000_000, 100_000, 1_000_000
"""Limits of a file that is read: its size, the bytes of a row, and the fields that rows lack."""

CHUNK = 2**20  # bytes that are read at once
_FIELDS = bytes(set(range(256)) - set(b",\n"))  # all that is in fields
MOST_SHOWN = 500  # characters of a line of output
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and movements of a terminal
_RENAMED = {"images_per_second": "examples_per_second"}  # column names of format 1, and their current names


def read(path: Path, only: Iterable[str] | None = None) -> Columns:
    """Read a file's columns by name; empty if there is no file.

    Empty fields and text become NaN, and an incomplete last row is ignored. Besides the columns themselves, 8 bytes a
    field, this takes no memory that grows with the file.

    Args:
        path: the file.
        only: the columns that are wanted, if not all of them.

    Raises FolderError if the file can't be read.
    """
    with rows_of(path, most=MOST_BYTES) as (header, rows):
        if not header:
            return {}
        names = names_of(header)
        asked = None if only is None else set(only)
        wanted = [name for name in names if asked is None or name in asked]
        parts = [table(names, text, wanted) for text in rows]
    return {name: np.concatenate([np.empty(0), *(part[place] for part in parts)]) for place, name in enumerate(wanted)}


@contextlib.contextmanager
def rows_of(
    path: Path, start: int = 0, end: int = sys.maxsize, *, most: int = sys.maxsize
) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Open a file and give its header and its complete rows, some thousands of them at once.

    There is no header if there is no file, or no complete line in it.

    Args:
        path: the file.
        start: the place in the file where a row starts, in bytes, from which on rows are wanted; 0 for all rows.
        end: the place before which they end.
        most: the bytes that the file may have.

    Raises FolderError if the file can't be read.
    """
    with contextlib.ExitStack() as stack:
        header = b""
        with contextlib.suppress(FileNotFoundError), reading(path):
            file = stack.enter_context(opened(path))
            if os.fstat(file.fileno()).st_size > most:
                raise FolderError(f"{path} cannot be read: it is larger than {most // 1_000_000:,} MB")
            header = file.readline(MOST_IN_ROW + 1)
            if len(header) > MOST_IN_ROW:
                raise _too_long(path)
            if header.endswith(b"\n") and not _is_text(header):
                raise FolderError(f"{path} is damaged: it is not text in UTF-8")
            file.seek(start or len(header))
        if header.endswith(b"\n"):
            yield header[:-1], _complete(file, path, end, header.count(b",") + 1)
        else:
            yield b"", iter(())


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a FolderError, unless there is no file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error


def _complete(file: IO[bytes], path: Path, end: int, width: int) -> Iterator[bytes]:
    """Yield the complete rows from the file's place on. Raises FolderError for one that is too long, many too short."""
    rest, missing = b"", 0
    while True:
        with reading(path):
            text = file.read(min(CHUNK, max(end - file.tell(), 0)))
        if not text:
            return
        whole, newline, rest = (rest + text).rpartition(b"\n")
        longest = len(rest) if not newline else max(map(len, whole.split(b"\n")))
        if longest > MOST_IN_ROW:
            raise _too_long(path)
        if newline:
            missing += width * (whole.count(newline) + 1) - len(whole) - 1
            if missing > MOST_MISSING:
                raise FolderError(f"{path} is damaged: its rows are shorter than its header")
            yield whole + newline


def _is_text(header: bytes) -> bool:
    try:
        return "\0" not in header.decode()
    except UnicodeDecodeError:
        return False


def _too_long(path: Path) -> FolderError:
    return FolderError(f"{path} is damaged: a row is longer than {MOST_IN_ROW // 1000} kB")


def table(names: Sequence[str], text: bytes, wanted: Sequence[str]) -> NDArray[np.float64]:
    """Return the numbers in complete rows, (columns, rows), of the `wanted` ones among the columns `names`."""
    count, width = text.count(b"\n"), len(names)
    if not count:
        return np.empty((len(wanted), 0))
    known = {name: place for place, name in enumerate(names)}
    places = [known[name] for name in wanted]
    if text.translate(None, _FIELDS) == (b"," * (width - 1) + b"\n") * count:
        fields = text[:-1].replace(b"\n", b",").split(b",")
        columns = [_column(fields[place::width]) for place in places]
    else:  # rows of another length
        rows = [numbers(row.split(b","), width) for row in text[:-1].split(b"\n")]
        columns = [[row[place] for row in rows] for place in places]
    return np.array(columns, dtype=float).reshape(len(wanted), count)


def _column(fields: Sequence[bytes]) -> list[float]:
    try:
        return [float(text or b"nan") for text in fields]
    except ValueError:
        return numbers(fields, len(fields))


def latest(path: Path) -> dict[str, float]:
    """Return each column's last field that is not empty; text is NaN. Raises FolderError if the file can't be read."""
    found: dict[str, float] = {}
    with rows_of(path) as (header, rows):
        names = names_of(header)
        for text in rows:
            latest_here: dict[str, float] = {}
            for line in reversed(text[:-1].split(b"\n")):
                for name, field in zip(names, line.split(b","), strict=False):
                    if field and name not in latest_here:
                        latest_here[name] = numbers([field], 1)[0]
                if len(latest_here) == len(names):
                    break
            found |= latest_here
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
    row = dict(zip(names, numbers(lines[-1].split(b","), len(names)), strict=True))
    return {name: value for name, value in row.items() if not np.isnan(value)}


def ends(path: Path, most: int, end: int | None = None) -> tuple[bytes, bytes]:
    """Return the first line of a file, and what follows it, of which only the last `most` bytes.

    With `end`, the file is read as if it ended there, in bytes. Both are empty if there is no file. Raises FolderError
    if it can't be read.
    """
    try:
        with reading(path), opened(path) as file:
            first = file.readline(MOST_IN_ROW)
            size = file.seek(0, os.SEEK_END) if end is None else end
            start = file.seek(max(len(first), size - most))
            return first[:end].rstrip(b"\n"), file.read(most if end is None else max(end - start, 0))
    except FileNotFoundError:
        return b"", b""


def end_of_rows(path: Path) -> int:
    """Return where the last complete row ends, in bytes; 0 without one.

    Raises FolderError if the file can't be read.
    """
    header, rows = ends(path, MOST_IN_ROW)
    _, newline, torn = rows.rpartition(b"\n")
    return path.stat().st_size - len(torn) if header and newline else 0


def end_before(path: Path, step: float) -> int:
    """Return where the last row ends whose `step` is lower, in bytes; 0 without one.

    The file is read from its end. Raises FolderError if it can't be read.
    """
    names = names_of(ends(path, 0)[0])
    end = end_of_rows(path) if "step" in names else 0
    while end:
        begin = max(end - CHUNK, 0)
        with rows_of(path, begin, end) as (header, rows):
            text = b"".join(rows)
        cut = text.find(b"\n") + 1 if begin else 0  # the rest of a row
        begin, text = (begin + cut if begin else len(header) + 1), text[cut:]
        lower = np.flatnonzero(table(names, text, ["step"])[0] < step)
        if len(lower):
            kept = text.split(b"\n")[: lower[-1] + 1]
            return begin + sum(map(len, kept)) + len(kept)
        end = begin if begin > len(header) + 1 else 0
    return 0


def last_lines(path: Path, count: int, end: int | None = None) -> list[str]:
    """Return the last lines of a program's output that are not empty, without control characters; see `ends`."""
    first, rest = ends(path, 100_000, end)
    text = printed((first + b"\n" + rest).decode(errors="replace"))
    lines = [line.rstrip()[:MOST_SHOWN] for line in text.splitlines() if line.strip()]
    return lines[-count:]


def names_of(header: bytes) -> list[str]:
    """Return the names of a header's columns, old ones under their current names."""
    names = header.decode("utf-8", errors="replace").split(",")
    return [_RENAMED.get(name, name) for name in names]


def numbers(row: Sequence[bytes], count: int) -> list[float]:
    """Return a row's first `count` fields as numbers; NaN for what is none or missing."""
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
