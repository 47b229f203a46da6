"""Rows of other programs' logs: CSV, JSON lines, `trainer_state.json`, TensorBoard's event files."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from lrbench.config import flat, opened, parse_json, read_bytes
from lrbench.errors import FolderError, counted
from lrbench.runs.logs.log import Log, Odd, Values, kept

MOST_BYTES = 2_000_000_000
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


def encoding_of(start: bytes) -> str:
    """Return the encoding of a text by its first bytes: UTF-8, or UTF-16 if it has a byte order mark."""
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def lines_of(path: Path, long: Odd | None = None) -> Iterator[str]:
    """Yield the lines of a text file, which a carriage return ends too; in place of long ones, an empty line.

    The last one may be incomplete; then it does not end with a newline.

    Args:
        path: the file.
        long: counts the lines of more than MOST_LINE characters.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise FolderError(f"{path} cannot be read: it is larger than {MOST_BYTES // 1_000_000:,} MB")
        start = file.read(2)
        file.seek(0)
        text, whole, number = io.TextIOWrapper(file, encoding_of(start), errors="replace"), True, 0
        while line := text.readline(MOST_LINE):
            number += whole
            ends = line.endswith("\n")
            if whole and (ends or len(line) < MOST_LINE):
                yield line
            elif whole:
                yield "\n"
                if long is not None:
                    long.at(number)
            whole = ends


def _long() -> Odd:
    than = f"longer than {MOST_LINE:,} characters"
    return Odd(f"is {than}", f"are {than}")


def read_csv(path: Path) -> Log:
    """Read a CSV or TSV file with a header; rows may be of several kinds, each with its own empty fields.

    A last row that has neither an end nor all fields is being written, and is left out.
    """
    long, quote = _long(), Odd("has a quote that is not closed", "have a quote that is not closed")
    lines = lines_of(path, long)
    header, lead = next(lines, ""), 0
    while header and not header.strip() and not long.count:
        header, lead = next(lines, ""), lead + 1
    delimiter = max(",\t;", key=header.count)
    names: list[str] = []
    whole = (line for line in lines if line.endswith("\n") or line.count(delimiter) >= len(names) - 1)
    rows, seen = csv.reader(chain([header], whole), delimiter=delimiter), Values()
    try:
        names += [name.strip() for name in next(rows, [])]
        lack = f"not have {counted(len(names), 'field')}, as the header; what is there counts"
        odd = Odd(f"does {lack}", f"do {lack}")

        def values() -> Iterator[dict[str, float]]:
            before = rows.line_num + lead
            for row in rows:
                if row and row[-1].endswith("\n"):  # what a quote keeps that is open until the end of the file
                    quote.at(before + 1)
                elif row and names and len(row) != len(names):
                    odd.at(before + 1)
                before = rows.line_num + lead
                yield seen.numbers(dict(zip(names, row, strict=False)), before)

        log = kept(values())
    except csv.Error as error:
        raise FolderError(f"{path} is not a CSV file: {error}") from error
    log.texts, log.faults = seen.texts, [*_twice(names), *long.told, *quote.told, *odd.told, *seen.told]
    return log


def _twice(names: Iterable[str]) -> list[str]:
    """Say which names a header repeats: of these columns, one is read."""
    many = [repr(name) for name, count in Counter(names).items() if name and count > 1]
    listed = ", ".join(many[:4]) + " …" * (len(many) > 4)
    return [f"its header has {listed} more than once; the last such column counts"] if many else []


def read_jsonl(path: Path) -> Log:
    """Read a file with a JSON object per line. Other lines are left out; a last one may be being written."""
    odd, long, seen = Odd("is not a JSON object", "are not JSON objects"), _long(), Values()

    def rows() -> Iterator[dict[str, float]]:
        for number, line in enumerate(lines_of(path, long), 1):
            if isinstance(value := _parsed(line), dict):
                yield seen.numbers(value, number)
            elif line.strip() and line.endswith("\n"):
                odd.at(number)

    log = kept(rows())
    log.texts, log.faults = seen.texts, [*long.told, *odd.told, *seen.told]
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
    odd, seen = Odd("is not a JSON object", "are not JSON objects", "entry"), Values("entry")

    def rows() -> Iterator[dict[str, float]]:
        for number, row in enumerate(history, 1):
            if isinstance(row, dict):
                yield seen.numbers(flat(row), number)
            else:
                odd.at(number)

    log = kept(rows())
    faults = "; ".join((*odd.told, *seen.told))
    log.faults = [f"in its log_history, {faults}"] if faults else []
    return log


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
    from lrbench.runs.logs.events import hyperparameters, loaded, scalars, unread

    tags: dict[str, list[tuple[int, float, float]]] = {}
    again, faults = 0, list[str]()
    settings: dict[str, Any] = {}
    folders = {file.parent for file in path.rglob("*tfevents*")} if path.is_dir() else {path}
    for folder in sorted(folders, key=lambda one: [(len(part), part) for part in one.parts]):
        inner = [part for part in folder.relative_to(path).parts if not re.fullmatch(r"version_\d+", part)]
        events = loaded(folder)
        faults += unread(folder, events)
        settings |= hyperparameters(events)
        for tag, step, value, time in scalars(events):
            series = tags.setdefault("/".join([*inner, tag]), [])
            while series and series[-1][0] >= step:
                series.pop()
                again += 1
            series.append((step, value, time))
    rows: dict[int, dict[str, float]] = {}
    for tag, series in tags.items():
        for step, value, time in series:
            row = rows.setdefault(step, {"step": float(step), "wall_time": time})
            row |= {tag: value, "wall_time": min(row["wall_time"], time)}
    if not rows:
        problem = "scalars that can be read in its event files" if folders else f"event files{_beside(path / 'x')}"
        raise FolderError("; ".join([f"{path} has no {problem}", *faults]))
    log = Log(rows[step] for step in sorted(rows))
    log.faults = [*faults, *written_again(again)]
    return log, settings


def written_again(count: int) -> list[str]:
    """Say how many values others have replaced; nothing without any."""
    was = "value was" if count == 1 else "values were"
    return [f"{count:,} {was} written again for the same or an earlier step; the last one counts"] if count else []


LOGS: dict[str, Callable[[Path], Log]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "tensorboard": read_tensorboard,
    "trainer_state": read_trainer_state,
}
"""The readers of files, by format."""
