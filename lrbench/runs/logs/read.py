"""Rows of other programs' logs: CSV, JSON lines, `trainer_state.json`, TensorBoard's event files, printed text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lrbench.config import opened
from lrbench.errors import FolderError, UsageError
from lrbench.runs.csv_log import printed

Log = list[dict[str, float]]
"""Rows, in order, of the numbers that a program logged, by its own names."""
MOST_ROWS = 5_000_000
MOST_LINE = 1_000_000  # characters
_NUMBER = r"[-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"


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


def _lines(path: Path) -> Iterator[str]:
    """Yield the complete lines of a text file; the last one may be incomplete and is left out unless it ends."""
    with opened(path) as file:
        while line := file.readline(MOST_LINE):
            if line.endswith(b"\n") or len(line) < MOST_LINE:
                yield line.decode("utf-8-sig" if file.tell() == len(line) else "utf-8", errors="replace")


def number(value: object) -> float | None:
    """Return a number, or text that is one, as a float; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) <= 1e308 or value != value or abs(value) == float("inf") else None
    text = str(value).strip()
    try:
        return float(text)
    except ValueError:
        return None


def _numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    return {str(name): found for name, value in values.items() if (found := number(value)) is not None}


def flat(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return nested mappings with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and depth < 10:
            found |= flat(value, f"{prefix}{key}.", depth + 1)
        else:
            found[f"{prefix}{key}"] = value
    return found


def _kept(rows: Iterable[dict[str, float]]) -> Log:
    found = []
    for row in rows:
        if row:
            found.append(row)
        if len(found) > MOST_ROWS:
            raise FolderError(f"a log has more than {MOST_ROWS:,} rows")
    return found


def read_csv(path: Path) -> Log:
    """Read a CSV or TSV file with a header; rows may be of several kinds, each with its own empty fields."""
    lines = _lines(path)
    header = next(lines, "")
    delimiter = max(",\t;", key=header.count)
    try:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return _kept(_numbers(dict(zip(names, row, strict=False))) for row in csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise FolderError(f"{path} is not a CSV file: {error}") from error


def read_jsonl(path: Path) -> Log:
    """Read a file with a JSON object per line. Other lines, such as a torn last one, are left out."""
    return _kept(_numbers(flat(value)) for line in _lines(path) if isinstance(value := _parsed(line), dict))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def read_trainer_state(path: Path) -> Log:
    """Read the history in a `trainer_state.json` of Hugging Face's Trainer."""
    with opened(path) as file:
        plain = _parsed(file.read(500_000_000).decode(errors="replace"))
    history = plain.get("log_history") if isinstance(plain, dict) else plain
    if not isinstance(history, list):
        raise FolderError(f"{path} has no log_history; is it a Trainer's state?")
    return _kept(_numbers(flat(row)) for row in history if isinstance(row, dict))


def read_tensorboard(path: Path) -> Log:
    """Read the scalars of TensorBoard's event files in a folder and those under it, merged by step.

    Tags in folders below have their folder's name before them, such as `validation/epoch_loss`. Of steps that were
    written twice, as after a resumption, the later ones count.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    from lrbench.runs.logs.events import scalars

    rows: dict[int, dict[str, float]] = {}
    for folder in sorted({file.parent for file in path.rglob("*tfevents*")}):
        inner = folder.relative_to(path).as_posix()
        for tag, step, value in scalars(folder):
            rows.setdefault(step, {"step": float(step)})[tag if inner == "." else f"{inner}/{tag}"] = value
    if not rows:
        raise FolderError(f"{path} has no event files with scalars{_beside(path / 'x')}")
    return [rows[step] for step in sorted(rows)]


def pattern_of(text: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern: itself, or that of a template such as `step {step} loss {loss}`.

    In a template, spaces match any space, and each name in braces a number. Raises UsageError.
    """
    if "(?P<" not in text:
        pieces = re.split(r"\{([A-Za-z_]\w*)\}", text)
        if len(pieces) == 1:
            raise UsageError(f"the pattern {text!r:.80} names no values; write step {{step}} loss {{train_loss}}")
        fixed = [re.sub(r"(\\\s|\s)+", r"\\s*", re.escape(piece)) for piece in pieces[::2]]
        names = [f"(?P<{name}>{_NUMBER})" for name in pieces[1::2]]
        text = "".join(a + b for a, b in zip(fixed, [*names, ""], strict=True))
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"the pattern {text!r:.80} is no regular expression: {error}") from None


def read_printed(path: Path, pattern: str) -> Log:
    """Read what a program printed: a row for each place that fits the pattern."""
    wanted = pattern_of(pattern)
    rows = (found.groupdict() for line in _lines(path) for found in wanted.finditer(printed(line)))
    return _kept(_numbers({name: _bare(value) for name, value in row.items()}) for row in rows)


def _bare(text: str | None) -> str:
    """Return a number as printed, without thousands' separators and units such as %."""
    return re.sub(r"(?<=\d)[,_](?=\d{3})", "", (text or "").strip()).rstrip("%,;)]")


LOGS: dict[str, Callable[[Path], Log]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "tensorboard": read_tensorboard,
    "trainer_state": read_trainer_state,
}
"""The readers of files, by format."""
