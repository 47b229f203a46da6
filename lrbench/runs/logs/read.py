"""Rows of other programs' logs: CSV, JSON lines, `trainer_state.json`, TensorBoard's event files."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lrbench.config import flat, opened, parse_json, read_bytes
from lrbench.errors import FolderError, counted
from lrbench.types import number_of


class Log(list[dict[str, float]]):
    """Rows, in order, of the numbers that a program logged, by its own names.

    Attributes:
        texts: columns without any number, each with an example of what they have.
        faults: what of the file was left out or does not fit, in words.
    """

    def __init__(self, rows: Iterable[dict[str, float]] = ()) -> None:
        super().__init__(rows)
        self.texts: dict[str, str] = {}
        self.faults: list[str] = []


class Odd:
    """Lines that don't fit, by their numbers."""

    def __init__(self, singular: str, plural: str) -> None:
        self.singular, self.plural, self.count, self.first = singular, plural, 0, 0

    def at(self, number: int) -> None:
        """Count a line."""
        self.first = self.first or number
        self.count += 1

    @property
    def told(self) -> list[str]:
        """Return `2 lines are no JSON objects, the first is line 7`; nothing without such lines."""
        if not self.count:
            return []
        if self.count == 1:
            return [f"line {self.first} {self.singular}"]
        return [f"{self.count:,} lines {self.plural}, the first is line {self.first}"]


MOST_BYTES, MOST_ROWS, MOST_NUMBERS = 2_000_000_000, 5_000_000, 50_000_000
MOST_LINE = 1_000_000  # characters
MOST_STATE = 500_000_000  # bytes of a `trainer_state.json`


def read_log(kind: str, place: str | Path) -> Log:
    """Read a log.

    Args:
        kind: one of `LOGS`.
        place: the file, or the folder for `tensorboard`.

    Raises:
        FolderError: it does not exist or can't be read.
        UsageError: a package that reads it is missing.
    """
    path = Path(place)
    try:
        return LOGS[kind](path)
    except FileNotFoundError:
        raise FolderError(f"there is no {path}{_beside(path)}") from None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror or error}") from error


def _beside(path: Path) -> str:
    """Name the nearest folder that exists and the files in it."""
    there = next((parent for parent in path.parents if parent.is_dir()), None)
    if there is None:
        return ""
    names = sorted(one.name + "/" * one.is_dir() for one in there.iterdir() if not one.name.startswith("."))
    listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    return f"; {there} has {listed or 'no files'}"


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, which a carriage return ends too; those longer than MOST_LINE are left out.

    The last one may be incomplete; then it does not end with a newline.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise FolderError(f"{path} cannot be read: it is larger than {MOST_BYTES // 1_000_000:,} MB")
        start = file.read(2)
        file.seek(0)
        encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text, whole = io.TextIOWrapper(file, encoding, errors="replace"), True
        while line := text.readline(MOST_LINE):
            ends = line.endswith("\n")
            if whole and (ends or len(line) < MOST_LINE):
                yield line
            whole = ends


def read_number(value: object) -> float | None:
    """Return a number, or text that is one, as a float; None for anything else."""
    if not isinstance(value, str):
        return number_of(value)
    try:
        return float(value)
    except ValueError:
        return None


def numbers_in(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return the values that are numbers."""
    return {str(name): found for name, value in values.items() if (found := read_number(value)) is not None}


def kept(rows: Iterable[dict[str, float]]) -> Log:
    """Return the rows that have numbers. Raises FolderError if they are too many."""
    found, numbers = Log(), 0
    for row in rows:
        if row:
            found.append(row)
            numbers += len(row)
        if len(found) > MOST_ROWS or numbers > MOST_NUMBERS:
            raise FolderError(f"a log has more than {MOST_ROWS:,} rows or {MOST_NUMBERS:,} numbers")
    return found


def read_csv(path: Path) -> Log:
    """Read a CSV or TSV file with a header; rows may be of several kinds, each with its own empty fields.

    A last row that has neither an end nor all fields is being written, and is left out.
    """
    lines = lines_of(path)
    header = next(lines, "")
    delimiter = max(",\t;", key=header.count)
    try:
        names = next(csv.reader([header], delimiter=delimiter), [])
        whole = (line for line in lines if line.endswith("\n") or line.count(delimiter) >= len(names) - 1)
        rows, seen = csv.reader(whole, delimiter=delimiter), _Seen()
        fields = counted(len(names), "field")
        odd = Odd(f"does not have {fields}, as the header", f"do not have {fields}, as the header")

        def values() -> Iterator[dict[str, str]]:
            for row in rows:
                if row and len(row) != len(names):
                    odd.at(rows.line_num + 1)
                yield seen.of(dict(zip(names, row, strict=False)))

        log = kept(map(numbers_in, values()))
    except csv.Error as error:
        raise FolderError(f"{path} is not a CSV file: {error}") from error
    log.texts, log.faults = seen.texts(log), odd.told
    return log


class _Seen:
    """The first values of columns, for messages about those without numbers."""

    MOST = 200  # rows

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []

    def of(self, row: Any) -> Any:
        """Return a row, and keep it if it is among the first."""
        if len(self.rows) < self.MOST and isinstance(row, dict):
            self.rows.append(row)
        return row

    def texts(self, log: Log) -> dict[str, str]:
        """Return the columns of which no row has a number, each with an example."""
        numbers: set[str] = set()
        for row in log:
            numbers.update(row)
        found: dict[str, str] = {}
        for values in self.rows:
            for name, value in values.items():
                if name and name not in numbers and isinstance(value, str) and value.strip():
                    found.setdefault(name, value.strip())
        return found


def read_jsonl(path: Path) -> Log:
    """Read a file with a JSON object per line. Other lines are left out; a last one may be being written."""
    odd, seen = Odd("is not a JSON object", "are not JSON objects"), _Seen()

    def objects() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(lines_of(path), 1):
            if isinstance(value := _parsed(line), dict):
                yield seen.of(value)
            elif line.strip() and line.endswith("\n"):
                odd.at(number)

    log = kept(map(numbers_in, objects()))
    log.texts, log.faults = seen.texts(log), odd.told
    return log


def _parsed(text: str) -> Any:
    try:
        value = parse_json(text)
        return flat(value) if isinstance(value, dict) else value
    except ValueError:
        return None


def read_trainer_state(path: Path) -> Log:
    """Read the history in a `trainer_state.json` of Hugging Face's Trainer, or of the last one in an output folder."""
    if path.is_dir():
        states = [*path.glob("trainer_state.json"), *path.glob("checkpoint-*/trainer_state.json")]
        if not states:
            raise FolderError(f"{path} has no trainer_state.json{_beside(path / 'x')}")
        path = max(states, key=lambda one: one.stat().st_mtime_ns)
    plain = _parsed(read_bytes(path, MOST_STATE).decode(errors="replace"))
    history = plain.get("log_history") if isinstance(plain, dict) else plain
    if not isinstance(history, list):
        raise FolderError(f"{path} has no log_history; is it a Trainer's state?")
    return kept(numbers_in(flat(row)) for row in history if isinstance(row, dict))


def read_tensorboard(path: Path) -> Log:
    """Read the scalars of an event file of TensorBoard, or of those in and under a folder; see `read_events`."""
    return read_events(path)[0]


def read_events(path: Path) -> tuple[Log, dict[str, Any]]:
    """Read the scalars of event files, merged by step, and the hyperparameters in them.

    Tags in folders below have their folder's name before them, such as `validation/epoch_loss`; Lightning's folders
    `version_0`, `version_1`, … continue each other. Where a tag goes back, as after a resumption, what it had from that
    step on is gone. `wall_time` is when a step was first written, in seconds.

    Raises FolderError if there are none, UsageError if the package tensorboard is missing.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    from lrbench.runs.logs.events import hyperparameters, loaded, scalars

    tags: dict[str, list[tuple[int, float, float]]] = {}
    settings: dict[str, Any] = {}
    folders = {file.parent for file in path.rglob("*tfevents*")} if path.is_dir() else {path}
    for folder in sorted(folders, key=lambda one: [(len(part), part) for part in one.parts]):
        inner = [part for part in folder.relative_to(path).parts if not re.fullmatch(r"version_\d+", part)]
        events = loaded(folder)
        settings |= hyperparameters(events)
        for tag, step, value, time in scalars(events):
            series = tags.setdefault("/".join([*inner, tag]), [])
            while series and series[-1][0] >= step:
                series.pop()
            series.append((step, value, time))
    rows: dict[int, dict[str, float]] = {}
    for tag, series in tags.items():
        for step, value, time in series:
            row = rows.setdefault(step, {"step": float(step), "wall_time": time})
            row |= {tag: value, "wall_time": min(row["wall_time"], time)}
    if not rows:
        problem = "scalars that can be read in its event files" if folders else f"event files{_beside(path / 'x')}"
        raise FolderError(f"{path} has no {problem}")
    return Log(rows[step] for step in sorted(rows)), settings


LOGS: dict[str, Callable[[Path], Log]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "tensorboard": read_tensorboard,
    "trainer_state": read_trainer_state,
}
"""The readers of files, by format."""
