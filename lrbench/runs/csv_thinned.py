"""The rows of a long CSV file that show what all of it shows, in a file beside it.

A long file is divided into blocks of hundreds of rows. Of each, a few rows are kept: the first and the last, those
with the lowest and the highest value of each column, the first and the last whose value is not finite, and both sides
of each jump. So its minima, maxima and last values are those of the whole file. Which rows these are depends on the
file alone: a resumed run keeps the same ones as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lrbench.config import opened
from lrbench.errors import FolderError
from lrbench.runs.csv_columns import Columns, ends, names_of, read, rows_of, table
from lrbench.runs.files import replacing

LONG = 2**22
"""Bytes of a file that is thinned, some 60,000 steps; a shorter one is read whole."""
BLOCK, BLOCKS = 2**14, 2**11
"""A block has at least so many bytes, some 230 steps; from 32 MiB on, a 2,048th of the file before it."""
MOST_JUMPS = 8
"""A column that changes more often within a block moves continuously."""
BLOCK_END = "block_end"
"""The column of a thinned file that the whole one lacks: where the row's block ends there, in bytes."""


def thinned(path: Path) -> Path:
    """Return the path of the thinned rows of a CSV file."""
    return path.with_name(f"{path.stem}_thinned.csv")


def read_thinned(path: Path, only: Iterable[str] | None = None) -> Columns:
    """Read a CSV file as `read` does; of a long one, only the thinned rows.

    They are the same without the thinned file, but then finding them takes as long as reading the whole one.

    Raises FolderError if the file can't be read.
    """
    with contextlib.suppress(OSError):
        status = path.stat()
        if status.st_size >= LONG:
            found = _read(path, status.st_size, status.st_mtime_ns, status.st_ino)
            return {name: values for name, values in found.items() if only is None or name in set(only)}
    return read(path, only)


@functools.lru_cache(maxsize=16)
def _read(path: Path, size: int, *stamp: int) -> Columns:
    """Read the thinned rows of a long file; a report reads the same ones several times."""
    header, start, known = _known(path, size)
    if not header:
        return {}
    thinner = Thinner(names_of(header), start)
    kept = [line.rpartition(b",")[0] + b"\n" for line in known]
    with rows_of(path, start) as (_, rows):
        for text in rows:
            kept += [line for _, lines in thinner.add(text) for line in lines]
    values = table(thinner.names, b"".join([*kept, thinner.rest]), thinner.names)
    values.setflags(write=False)
    return dict(zip(thinner.names, values, strict=True))


class Thinner:
    """Chooses the rows to keep while rows are added.

    Args:
        names: the columns.
        start: where the first row starts in the file, in bytes, if it starts a block.

    Attributes:
        start: where the last complete block ended.
    """

    def __init__(self, names: Sequence[str], start: int) -> None:
        self.names, self.start = names, start
        self._texts: list[bytes] = []
        self._values: list[NDArray[np.float64]] = []
        self._size = 0

    @property
    def rest(self) -> bytes:
        """The rows since the last complete block."""
        return b"".join(self._texts)

    def add(self, text: bytes, values: NDArray[np.float64] | None = None) -> list[tuple[int, list[bytes]]]:
        """Add rows and return the blocks that they complete: where each ends in the file, and its rows to keep.

        Args:
            text: complete rows.
            values: their numbers, (columns, rows), if they are known already.
        """
        self._texts.append(text)
        self._values.append(table(self.names, text, self.names) if values is None else values)
        self._size += len(text)
        blocks: list[tuple[int, list[bytes]]] = []
        if self._size < self._least:
            return blocks
        text, values, first, begin = self.rest, np.concatenate(self._values, axis=1), self.start, 0
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
        while first + len(text) - self.start >= self._least:
            end = int(np.searchsorted(ends, self.start + self._least - first)) + 1
            self.start = first + int(ends[end - 1])
            kept = [begin + row for row in _kept(values[:, begin:end])]
            blocks.append((self.start, [text[ends[row - 1] if row else 0 : ends[row]] for row in kept]))
            begin = end
        self._texts, self._values = [text[self.start - first :]], [values[:, begin:].copy()]
        self._size = len(self._texts[0])
        return blocks

    @property
    def _least(self) -> int:
        """The bytes of the block that begins at `start`."""
        return max(BLOCK, self.start // BLOCKS)


class ThinnedRows:
    """The thinned rows of a CSV file to which rows are appended.

    They only save time, so that nothing is raised if they can't be written: their file is removed.

    Args:
        path: the whole file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thinner: Thinner | None = None
        self._file: IO[bytes] | None = None
        self._held: list[bytes] = []

    def open(self, size: int) -> None:
        """Go on after the whole file's `size` bytes, to which it has been cut back."""
        self.close()
        header, start, self._held = _known(self.path, size)
        self._thinner = Thinner(names_of(header), start)
        with rows_of(self.path, start, size) as (_, rows):
            for text in rows:
                self.add(text)
        self._write()
        if self._file is None:
            remove_thinned(self.path)

    def add(self, text: bytes, values: NDArray[np.float64] | None = None) -> None:
        """Add rows that were appended; see `Thinner.add`."""
        if self._thinner is not None:
            blocks = self._thinner.add(text, values)
            self._held += [line[:-1] + b",%d\n" % end for end, lines in blocks for line in lines]
            self._write()

    def _write(self) -> None:
        """Write the rows that are held, once the file is long."""
        if self._thinner is None or not self._held or self._thinner.start < LONG:
            return
        path, rows = thinned(self.path), b"".join(self._held)
        try:
            if self._file is None:
                with replacing(path) as file:
                    file.write(",".join((*self._thinner.names, BLOCK_END)).encode() + b"\n" + rows)
                self._file = path.open("ab", buffering=0)
            else:
                self._file.write(rows)
            self._held = []
        except OSError:
            self.close()
            remove_thinned(self.path)

    def close(self) -> None:
        """Close the file."""
        file, self._file, self._thinner = self._file, None, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def thin(path: Path) -> None:
    """Write the thinned rows of a file that was written whole, if it is long."""
    if (size := _size(path)) >= LONG:
        rows = ThinnedRows(path)
        rows.open(size)
        rows.close()


def remove_thinned(path: Path) -> None:
    """Remove the thinned rows of a file."""
    with contextlib.suppress(OSError):
        thinned(path).unlink(missing_ok=True)


def take_thinned(path: Path, other: Path) -> None:
    """Copy the thinned rows of another file whose first rows `path` has; without them, finding them takes longer."""
    with contextlib.suppress(OSError), opened(thinned(other)) as source, replacing(thinned(path)) as file:
        shutil.copyfileobj(source, file)


def _known(path: Path, size: int) -> tuple[bytes, int, list[bytes]]:
    """Return a file's header, and of its first `size` bytes where the thinned blocks end, and their rows."""
    header, _ = ends(path, 0)
    lines: list[bytes] = []
    with contextlib.suppress(FolderError, ValueError), rows_of(thinned(path)) as (own, rows):
        if names_of(own) == [*names_of(header), BLOCK_END]:
            for text in rows:
                lines += [line + b"\n" for line in text[:-1].split(b"\n") if _end(line) <= size]
            if len(set(lines)) < len(lines) or any(_end(one) > _end(other) for one, other in pairwise(lines)):
                lines = []  # it was damaged
    with contextlib.suppress(OSError), opened(path) as file:
        while lines:
            row, _, end = lines[-1].rpartition(b",")
            file.seek(max(int(end) - len(row) - 2, 0))
            if file.read(len(row) + 2) == b"\n" + row + b"\n":
                return header, int(end), lines
            while lines and _end(lines[-1]) == int(end):  # its block is torn, or of other rows
                lines.pop()
    return header, len(header) + 1, []


def _end(line: bytes) -> int:
    return int(line.rpartition(b",")[2])


def _kept(values: NDArray[np.float64]) -> list[int]:
    """Return the places of a block's rows to keep, ascending; `values` are (columns, rows)."""
    finite = np.isfinite(values)
    lowest = np.where(finite, values, np.inf).argmin(axis=1)
    highest = np.where(finite, values, -np.inf).argmax(axis=1)
    changes = np.diff(np.where(finite, values, 0.0), axis=1) != 0
    jumps = np.flatnonzero(changes[changes.sum(axis=1) <= MOST_JUMPS].any(axis=0))
    found = {0, values.shape[1] - 1, *lowest.tolist(), *highest.tolist(), *jumps.tolist(), *(jumps + 1).tolist()}
    for column in finite[finite.any(axis=1) & ~finite.all(axis=1)]:
        for rows in (np.flatnonzero(column), np.flatnonzero(~column)):
            found |= {int(rows[0]), int(rows[-1])}
    return sorted(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
